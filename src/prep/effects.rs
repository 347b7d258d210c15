//! Carrying actions out: on the live kernel, or on a model of it in tests.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::action::{Action, HostFile};
use super::live::{self, modules};
use super::refusal::refused_write;
use super::trouble::Trouble;
use super::vf::{self, VfSetting};
use crate::base::PciAddress;
use crate::host::Root;

/// How often a condition is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the node does when it is asked. [`LiveEffects`] asks the kernel; a behaviour model in tests answers like one.
pub trait Effects {
    /// One write of a whole value to a file that is there.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn write(&mut self, root: &Root, file: &HostFile, value: &str) -> io::Result<()>;

    /// Loads a module and what it depends on.
    ///
    /// # Errors
    ///
    /// [`Trouble`], with what a person can do about it (a missing signature, another kernel's build).
    fn load_module(
        &mut self,
        root: &Root,
        module: &str,
        parameters: &[String],
        from: Option<&Path>,
    ) -> Result<(), Trouble>;

    /// Unloads one module.
    ///
    /// # Errors
    ///
    /// [`Trouble`], with who still uses it.
    fn unload_module(&mut self, root: &Root, module: &str) -> Result<(), Trouble>;

    /// Changes one attribute of a VF.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: the PF has no network interface, or its driver does not take this.
    fn set_vf(&mut self, root: &Root, pf: PciAddress, index: u32, setting: VfSetting) -> Result<(), Trouble>;
    /// Anything else: control groups, limits, units.
    ///
    /// # Errors
    ///
    /// [`Trouble`], with what a person can do about it.
    fn other(&mut self, root: &Root, action: &Action) -> Result<(), Trouble> {
        let _ = root;
        Err(Trouble::new(format!("cannot {action}: not on this node")))
    }
}

/// Carries one action out.
///
/// # Errors
///
/// [`Trouble`]: the node refused, or what was waited for did not come.
pub fn perform(action: &Action, root: &Root, effects: &mut dyn Effects) -> Result<(), Trouble> {
    match action {
        Action::Write { file, value, tolerate } => match effects.write(root, file, value) {
            Err(error) if error.raw_os_error().is_some_and(|errno| tolerate.contains(&errno)) => Ok(()),
            Err(error) => Err(refused_write(action, file, &error)),
            Ok(()) => Ok(()),
        },
        Action::Await { path, present, millis } => await_path(root, path, *present, Duration::from_millis(*millis))
            .then_some(())
            .ok_or_else(|| Trouble::new(format!("{action}: it has not come within {millis} ms"))),
        Action::Pause { millis } => {
            std::thread::sleep(Duration::from_millis(*millis));
            Ok(())
        }
        Action::LoadModule { module, parameters, from } => {
            effects.load_module(root, module, parameters, from.as_deref())
        }
        Action::UnloadModule { module } => effects.unload_module(root, module),
        Action::SetVf { pf, index, setting } => effects.set_vf(root, *pf, *index, *setting),
        other => effects.other(root, other),
    }
}

/// Whether something came, or went, in time.
fn await_path(root: &Root, path: &Path, present: bool, within: Duration) -> bool {
    // The monotonic clock: the service that sets the other one may be stopped by us.
    let end = Instant::now() + within;
    loop {
        if root.has(path) == present {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The running kernel.
#[derive(Debug, Default)]
pub struct LiveEffects;

impl Effects for LiveEffects {
    fn write(&mut self, root: &Root, file: &HostFile, value: &str) -> io::Result<()> {
        use std::io::Write as _;
        // Neither created nor truncated: what is not there is an error, and an attribute takes one write as one value.
        let mut file = std::fs::OpenOptions::new().write(true).open(root.path(file.as_path()))?;
        match file.write(value.as_bytes())? {
            written if written == value.len() => Ok(()),
            written => Err(io::Error::new(
                io::ErrorKind::WriteZero,
                format!("only {written} of {} bytes were taken", value.len()),
            )),
        }
    }

    fn load_module(
        &mut self,
        root: &Root,
        module: &str,
        parameters: &[String],
        from: Option<&Path>,
    ) -> Result<(), Trouble> {
        modules::load(root, module, parameters, from)
    }

    fn unload_module(&mut self, root: &Root, module: &str) -> Result<(), Trouble> {
        modules::unload(root, module)
    }

    fn other(&mut self, root: &Root, action: &Action) -> Result<(), Trouble> {
        live::carry_out(root, action)
    }

    fn set_vf(&mut self, root: &Root, pf: PciAddress, index: u32, setting: VfSetting) -> Result<(), Trouble> {
        vf::change(root, pf, index, setting)
    }
}
