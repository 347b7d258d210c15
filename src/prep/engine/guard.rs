//! Who is asked before anything is written.

use crate::prep::journal::Request;
use crate::prep::step::Step;
use crate::prep::trouble::Trouble;

/// Reads the live system and says what stands in the way: each reason one line that says what and who.
///
/// An empty list allows. That nothing can be read is no permission: it is an error.
pub trait Guard {
    /// Before a plan begins.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: the system cannot be read.
    fn before_plan(&self, request: &Request) -> Result<Vec<String>, Trouble>;

    /// Right before a step is made: what was true a moment ago may not be.
    ///
    /// # Errors
    ///
    /// As above.
    fn before_step(&self, request: &Request, step: &Step) -> Result<Vec<String>, Trouble>;

    /// Before anything of an owner is undone: whoever still uses a device would have it torn away, or the kernel would wait for them.
    ///
    /// # Errors
    ///
    /// As above.
    fn before_undo(&self, request: &Request) -> Result<Vec<String>, Trouble>;
}

/// Allows everything: for tests of the engine alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unguarded;

impl Guard for Unguarded {
    fn before_plan(&self, _request: &Request) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    fn before_step(&self, _request: &Request, _step: &Step) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    fn before_undo(&self, _request: &Request) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }
}
