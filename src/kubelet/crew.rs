//! Tasks that hyper starts for a connection, kept so that they end with it.
//!
//! A client's connection is several tasks. Those that hyper starts by itself end when the peer lets them: one that grants no window and
//! answers pings would keep them, and the socket, for ever.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::task::AbortHandle;

/// Starts tasks and remembers them; every clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crew(Arc<Mutex<Work>>);

#[derive(Debug, Default)]
struct Work {
    is_over: bool,
    tasks: Vec<AbortHandle>,
}

impl<F> Executor<F> for Crew
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        // Nothing below stops half way.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.is_over {
            all.tasks.push(tokio::spawn(work).abort_handle());
        }
    }
}

/// Ends a crew's tasks when it is dropped; none is started after that.
#[derive(Debug)]
pub(crate) struct Dismissed(pub(crate) Crew);

impl Drop for Dismissed {
    fn drop(&mut self) {
        let mut all = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.is_over = true;
        for task in all.tasks.drain(..) {
            task.abort();
        }
    }
}
