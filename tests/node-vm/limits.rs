//! No more than two QEMUs at a time, whoever on this machine starts them, and none that outlives us.

use std::fs::{File, TryLockError};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

const AT_ONCE: usize = 2;

/// The right to run one QEMU, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Permit {
    _lock: File,
}

impl Permit {
    /// Waits until there is one: a lock on one of two files that all worktrees share.
    pub(crate) fn wait() -> Self {
        loop {
            for number in 0..AT_ONCE {
                let path = std::env::temp_dir().join(format!("virt-tailor-node-vm.{number}"));
                let file = File::options().create(true).append(true).open(path).unwrap();
                match file.try_lock() {
                    Ok(()) => return Self { _lock: file },
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(why)) => panic!("locking {number}: {why}"),
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Starts a program that is killed when the test program ends, however it ends. The command must begin with
/// [`dies_with_us`].
///
/// The kernel binds that to the thread that forked, not to the process, so that one thread forks for all and never ends.
pub(crate) fn spawn(command: Command) -> std::io::Result<Child> {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                // Whoever asked has gone: dropping the answer is all there is to do.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = channel();
    spawner.send((command, sender)).expect("the thread that forks");
    answer.recv().expect("the thread that forks")
}

/// A command that is run with `PR_SET_PDEATHSIG`.
pub(crate) fn dies_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}
