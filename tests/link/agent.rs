//! An agent that answers as it is told, and notes what it is asked.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use virt_tailor::link::find::{Places, run};
use virt_tailor::link::names::LogsAlone;
use virt_tailor::link::{Errands, Pod, Refusal, Reply, Request};

/// What it does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Answer(Reply),
    Refuse(&'static str),
    /// Never an answer.
    Hang,
    /// A mistake of ours.
    Panic,
}

/// Every request with its pod, and what was seen of links.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) asked: Vec<(Pod, Request)>,
    pub(crate) linked: Vec<String>,
    pub(crate) unlinked: Vec<String>,
}

/// The double. Acts are taken in order, the last for ever.
pub(crate) struct Agent {
    acts: Mutex<VecDeque<Act>>,
    seen: watch::Sender<Seen>,
}

impl Agent {
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { acts: Mutex::new(acts.into_iter().collect()), seen: watch::Sender::new(Seen::default()) })
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits for something to be seen.
    pub(crate) async fn sees(&self, what: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        let waited = tokio::time::timeout(crate::rig::LONG, seen.wait_for(what)).await;
        match waited {
            Ok(seen) => seen.unwrap().clone(),
            Err(_) => panic!("never seen: {:?}", self.seen()),
        }
    }

    /// Has it find and serve links, until the task is aborted.
    pub(crate) fn serve(self: &Arc<Self>, places: Places) -> JoinHandle<()> {
        let agent = Arc::clone(self);
        tokio::spawn(async move { run(places, LogsAlone, agent, pending()).await.unwrap() })
    }

    fn act(&self, request: &Request) -> Act {
        if *request == Request::Release {
            return Act::Answer(Reply::Released);
        }
        let mut acts = self.acts.lock().unwrap();
        if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
    }
}

impl Errands for Agent {
    async fn ask(&self, pod: &Pod, request: Request) -> Result<Reply, Refusal> {
        let act = self.act(&request);
        self.seen.send_modify(|seen| seen.asked.push((pod.clone(), request)));
        match act {
            Act::Answer(reply) => Ok(reply),
            Act::Refuse(reason) => Err(Refusal::new(reason)),
            Act::Hang => pending().await,
            Act::Panic => panic!("this panic belongs to the test"),
        }
    }

    fn linked(&self, pod: &Pod) {
        self.seen.send_modify(|seen| seen.linked.push(pod.uid.clone()));
    }

    fn unlinked(&self, pod: &Pod) {
        self.seen.send_modify(|seen| seen.unlinked.push(pod.uid.clone()));
    }
}
