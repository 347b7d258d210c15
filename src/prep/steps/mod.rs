//! One file per kind of step.

mod bind;
mod power;
mod sysfs;

pub use bind::{Bind, BindState};
pub use power::{PinPower, PowerState};
