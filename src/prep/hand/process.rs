//! The engine's side: starts the process, and gives it up when it does not come back.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use super::protocol::{Answer, Order};
use super::{Hand, HandError, Hands};
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::step::{Step, StepState};
use crate::prep::trouble::Trouble;

/// No answer comes near it.
const ANSWER_LIMIT: usize = 1 << 20;
/// Who was given up although nothing hung is gone by then.
const REAP_WITHIN: Duration = Duration::from_millis(200);

/// A process, told apart from a later one with the same number by its start time (field 22 of `/proc/<pid>/stat`, in clock ticks).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started.
    pub started: u64,
}

impl ProcessId {
    /// The process that has this number now.
    pub fn of(root: &Root, pid: u32) -> Option<Self> {
        let (_, started) = stat(root, pid)?;
        Some(Self { pid, started })
    }

    /// Whether it still runs. One that has ended and only waits to be noticed does not, unless another thread of it hangs on.
    pub fn is_alive(self, root: &Root) -> bool {
        let threads = || root.names(format!("proc/{}/task", self.pid)).unwrap_or_default().len();
        stat(root, self.pid)
            .is_some_and(|(state, started)| started == self.started && (!matches!(state, 'Z' | 'X') || threads() > 1))
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)
    }
}

/// State and start time of a process.
fn stat(root: &Root, pid: u32) -> Option<(char, u64)> {
    let text = root.text(format!("proc/{pid}/stat")).ok().flatten()?;
    // The name, in parentheses, may hold anything; what follows the last one does not.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Starts hands: this very program with the arguments that make it one.
#[derive(Debug)]
pub struct Workshop {
    program: PathBuf,
    arguments: Vec<String>,
    root: Root,
    /// Who did not end when told to; kept to be noticed once they do.
    given_up: Arc<Mutex<Vec<Child>>>,
}

impl Workshop {
    /// Hands that are `program` called with `arguments`; `root` is where `/proc` is.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = String>, root: Root) -> Self {
        let arguments = arguments.into_iter().collect();
        Self { program: program.into(), arguments, root, given_up: Arc::default() }
    }
}

impl Hands for Workshop {
    type Hand = ProcessHand;

    fn hire(&self) -> Result<ProcessHand, Trouble> {
        if let Ok(mut given_up) = self.given_up.lock() {
            given_up.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        }
        let starting = |error: &io::Error| Trouble::io(format_args!("cannot start {}", self.program.display()), error);
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| starting(&error))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Trouble::new("a child process has no pipes"));
        };
        // It is our child and has not been waited for, so its number is still its own.
        let Some(id) = ProcessId::of(&self.root, child.id()) else {
            return Err(Trouble::new(format!("/proc shows no process {}: is it the host's /proc?", child.id())));
        };
        let given_up = Arc::clone(&self.given_up);
        Ok(ProcessHand {
            id,
            child: Some(child),
            given_up,
            orders,
            answers,
            unread: Vec::new(),
            stuck: false,
            in_kernel: false,
        })
    }
}

/// A hand that is a process.
#[derive(Debug)]
pub struct ProcessHand {
    id: ProcessId,
    child: Option<Child>,
    given_up: Arc<Mutex<Vec<Child>>>,
    orders: ChildStdin,
    answers: ChildStdout,
    unread: Vec<u8>,
    stuck: bool,
    /// Whether what it is stuck in is a call of the kernel that may still come to a good end.
    in_kernel: bool,
}

impl ProcessHand {
    fn ask(&mut self, order: &Order, what: &str, within: Duration) -> Result<Answer, HandError> {
        let gone = |why: String| HandError::Gone { what: what.to_owned(), why };
        if self.stuck {
            return Err(gone("it was given up before".to_owned()));
        }
        let mut line = serde_json::to_vec(order).map_err(|error| gone(error.to_string()))?;
        line.push(b'\n');
        self.orders.write_all(&line).map_err(|error| gone(error.to_string()))?;
        match self.read_line(Instant::now() + within) {
            Ok(Some(line)) => serde_json::from_slice(&line).map_err(|error| gone(error.to_string())),
            Ok(None) => {
                self.stuck = true;
                Err(HandError::Stuck { what: what.to_owned(), seconds: within.as_secs(), process: self.id })
            }
            Err(error) => Err(gone(error.to_string())),
        }
    }

    /// One line; `None` if it has not come by then.
    fn read_line(&mut self, end: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(at + 1);
                return Ok(Some(std::mem::replace(&mut self.unread, rest)));
            }
            let left = end.saturating_duration_since(Instant::now());
            // Rounded up: a wait of nothing would be a busy loop for the last millisecond.
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let mut ready = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, if left.is_zero() { PollTimeout::ZERO } else { timeout }) {
                Ok(0) if left.is_zero() => return Ok(None),
                Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
                Ok(_) => (),
                Err(errno) => return Err(errno.into()),
            }
            let mut some = [0; 4096];
            match self.answers.read(&mut some)? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed its pipe")),
                read => self.unread.extend_from_slice(&some[..read]),
            }
            if self.unread.len() > ANSWER_LIMIT {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer has no end"));
            }
        }
    }
}

impl Hand for ProcessHand {
    fn observe(&mut self, step: &Step) -> Result<StepState, HandError> {
        let what = format!("look at what is to be changed by {:?}", step.describe());
        match self.ask(&Order::Observe(step.clone()), &what, step.observe_within())? {
            Answer::State(state) => Ok(state),
            Answer::Refused(trouble) => Err(trouble.into()),
            Answer::Done => Err(HandError::Gone { what, why: "it answered something else".to_owned() }),
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), HandError> {
        let what = action.to_string();
        let answer = self.ask(&Order::Act(action.clone()), &what, action.deadline());
        self.in_kernel = matches!(answer, Err(HandError::Stuck { .. })) && action.is_one_call();
        match answer? {
            Answer::Done => Ok(()),
            Answer::Refused(trouble) => Err(trouble.into()),
            Answer::State(_) => Err(HandError::Gone { what, why: "it answered something else".to_owned() }),
        }
    }

    fn process(&self) -> Option<ProcessId> {
        Some(self.id)
    }
}

impl Drop for ProcessHand {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Its orders end with its pipe; a kill makes sure that one who hangs does nothing more when it wakes up. In the kernel it does one
        // thing only, and a signal would make a driver's probe that was just slow fail (kthread_create() returns EINTR).
        if !self.in_kernel {
            let _ = child.kill();
        }
        let end = Instant::now() + REAP_WITHIN;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        if matches!(child.try_wait(), Ok(None))
            && let Ok(mut given_up) = self.given_up.lock()
        {
            given_up.push(child);
        }
    }
}
