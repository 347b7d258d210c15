//! Messages ↔ the link's own types. What comes from the other side is checked here, whole, before anybody acts on it.

use crate::base::shown;
use crate::config::is_profile_name;

use super::proto::refused::Code;
use super::proto::{self, from_agent::Answer, from_sidecar::Ask, memory_lock::Limit};
use super::{MAX_PROFILES, Memlock, Refusal, Reply, Request};

/// Longest text of the other side that is passed on, in characters.
const MAX_TEXT: usize = 300;

/// Why a message of a sidecar is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Asked by a newer sidecar; what it is cannot be seen.
    #[error("this agent of virt-tailor does not know the request: the sidecar is newer, update the agent")]
    Unknown,
    /// A second Hello.
    #[error("the sidecar introduces itself twice")]
    Hello,
    /// No id to answer to.
    #[error("the request has no number")]
    NoId,
    /// A name that no profile can have.
    #[error("{0:?} is not the name of a node profile")]
    Profile(String),
    /// The same name twice.
    #[error("the node profile {0:?} is named twice")]
    Twice(String),
    /// Too many names.
    #[error("{0} node profiles are named; {MAX_PROFILES} at most are taken")]
    TooMany(usize),
    /// A lock without a size.
    #[error("the memory lock has no limit that this agent knows")]
    Memlock,
}

impl Malformed {
    fn code(&self) -> Code {
        if *self == Self::Unknown { Code::Unimplemented } else { Code::Invalid }
    }
}

/// A request as a sidecar sends it.
pub(super) fn request_to_wire(id: u64, request: &Request) -> proto::FromSidecar {
    let ask = match request {
        Request::Prepare { node_profiles, memlock } => Ask::Prepare(proto::Prepare {
            node_profiles: node_profiles.clone(),
            memory_lock: memlock.map(memlock_to_wire),
        }),
        Request::Release => Ask::Over(proto::Over {}),
        Request::Status => Ask::Status(proto::Status {}),
    };
    proto::FromSidecar { id, ask: Some(ask) }
}

/// The request in a message of a sidecar.
pub(super) fn request_of_wire(message: proto::FromSidecar) -> Result<Request, Malformed> {
    if message.id == 0 {
        return Err(Malformed::NoId);
    }
    match message.ask {
        None => Err(Malformed::Unknown),
        Some(Ask::Hello(_)) => Err(Malformed::Hello),
        Some(Ask::Over(proto::Over {})) => Ok(Request::Release),
        Some(Ask::Status(proto::Status {})) => Ok(Request::Status),
        Some(Ask::Prepare(proto::Prepare { node_profiles, memory_lock })) => {
            let memlock = memory_lock.map(|lock| memlock_of_wire(&lock).ok_or(Malformed::Memlock)).transpose()?;
            if node_profiles.len() > MAX_PROFILES {
                return Err(Malformed::TooMany(node_profiles.len()));
            }
            for (index, name) in node_profiles.iter().enumerate() {
                if !is_profile_name(name) {
                    return Err(Malformed::Profile(text(name)));
                }
                if node_profiles[..index].contains(name) {
                    return Err(Malformed::Twice(name.clone()));
                }
            }
            Ok(Request::Prepare { node_profiles, memlock })
        }
    }
}

/// An answer as the agent sends it. Ready repeats what was asked.
pub(super) fn reply_to_wire(id: u64, request: &Request, reply: Result<Reply, Refusal>) -> proto::FromAgent {
    let answer = match reply {
        Ok(Reply::Ready { lock_confirmed }) => Answer::Ready(match request {
            Request::Prepare { node_profiles, memlock } => proto::Ready {
                node_profiles: node_profiles.clone(),
                memory_lock: memlock.filter(|_| lock_confirmed).map(memlock_to_wire),
            },
            _ => proto::Ready::default(),
        }),
        Ok(Reply::Working { step, of, what }) => Answer::Working(proto::Working { step, of, what: text(&what) }),
        Ok(Reply::Released) => Answer::Released(proto::Released {}),
        Err(Refusal { reason }) => refused(Code::Denied, &reason),
    };
    proto::FromAgent { id, answer: Some(answer) }
}

/// The answer to what is no request.
pub(super) fn malformed_to_wire(id: u64, why: &Malformed) -> proto::FromAgent {
    proto::FromAgent { id, answer: Some(refused(why.code(), &why.to_string())) }
}

fn refused(code: Code, reason: &str) -> Answer {
    Answer::Refused(proto::Refused { code: code.into(), reason: text(reason) })
}

/// What an agent's answer means to the sidecar that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// What is done.
    Ready {
        node_profiles: Vec<String>,
        memlock: Option<Memlock>,
    },
    Working {
        step: u32,
        of: u32,
        what: String,
    },
    Released,
    /// Not done, and why.
    Refused(String),
    /// An older agent that does not know the request.
    Unimplemented(String),
    /// A newer agent's answer.
    Unknown,
}

/// The answer in a message of an agent.
pub(super) fn reply_of_wire(answer: Option<Answer>) -> Answered {
    match answer {
        // Hello has no id, so it answers nothing.
        None | Some(Answer::Hello(_)) => Answered::Unknown,
        Some(Answer::Ready(proto::Ready { node_profiles, memory_lock })) => {
            Answered::Ready { node_profiles, memlock: memory_lock.as_ref().and_then(memlock_of_wire) }
        }
        Some(Answer::Working(proto::Working { step, of, what })) => Answered::Working { step, of, what: text(&what) },
        Some(Answer::Released(proto::Released {})) => Answered::Released,
        Some(Answer::Refused(refused)) => {
            let reason = text(&refused.reason);
            if refused.code() == Code::Unimplemented {
                Answered::Unimplemented(reason)
            } else {
                Answered::Refused(reason)
            }
        }
    }
}

fn memlock_to_wire(memlock: Memlock) -> proto::MemoryLock {
    let limit = match memlock {
        Memlock::Bytes(bytes) => Limit::Bytes(bytes),
        Memlock::Unlimited => Limit::Unlimited(true),
    };
    proto::MemoryLock { limit: Some(limit) }
}

fn memlock_of_wire(lock: &proto::MemoryLock) -> Option<Memlock> {
    match lock.limit {
        Some(Limit::Bytes(bytes)) if bytes > 0 => Some(Memlock::Bytes(bytes)),
        Some(Limit::Unlimited(true)) => Some(Memlock::Unlimited),
        _ => None,
    }
}

/// A text of the other side as it may be shown: one line, escaped, not endless.
pub(super) fn text(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_TEXT).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    shown(&out).into_owned()
}
