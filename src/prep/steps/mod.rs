//! One file per kind of step.

mod bind;
mod disks;
mod power;
mod sysfs;

pub use bind::{Bind, BindState};
pub use disks::{CheckDisks, DiskClaim, DiskState, DisksState};
pub use power::{PinPower, PowerState};
