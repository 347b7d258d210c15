//! The socket in the state folder, which only root may enter: what a person asks of the running agent.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::agent::{Selection, Taken};

use super::LiveAgent;
use super::life::over;

/// Its name.
pub(in crate::commands) const SOCKET: &str = "agent.sock";
/// No request comes near it.
const LONGEST: u64 = 4096;
/// Undoing everything of a big node.
const WITHIN: Duration = Duration::from_secs(300);

/// Listens. What lies there is of an agent that is gone, for the journal is ours.
pub(super) fn listen(state: &Path) -> io::Result<UnixListener> {
    let path = state.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    UnixListener::bind(path)
}

/// Answers one request after the other.
pub(super) async fn serve(listener: UnixListener, agent: &LiveAgent, stopped: watch::Receiver<bool>) {
    loop {
        let mut stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            },
            () = over(stopped.clone()) => return,
        };
        let mut line = Vec::new();
        // Whoever asks says so at once: it writes, and closes its half.
        let read = timeout(Duration::from_secs(5), (&mut stream).take(LONGEST).read_to_end(&mut line)).await;
        let Ok(selection) = serde_json::from_slice::<Selection>(&line) else { continue };
        if !matches!(read, Ok(Ok(_))) {
            continue;
        }
        tracing::info!(?selection, "a person wants devices back");
        let taken = agent.release(&selection).await;
        let mut answer = serde_json::to_vec(&taken).unwrap_or_default();
        answer.push(b'\n');
        let _ = timeout(Duration::from_secs(5), stream.write_all(&answer)).await;
    }
}

/// Asks the running agent.
pub(in crate::commands) fn ask(state: &Path, selection: &Selection) -> io::Result<Vec<Taken>> {
    let mut stream = UnixStream::connect(state.join(SOCKET))?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.write_all(&serde_json::to_vec(selection).map_err(io::Error::from)?)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(io::Error::from)
}
