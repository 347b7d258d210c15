//! One file per kind of step.

mod bind;
mod framebuffer;
mod mdev;
mod power;
mod reset;
mod sysfs;
mod vf_attributes;
mod vfs;
mod vgpu;
mod vtconsole;

pub use bind::{Bind, BindState};
pub use framebuffer::{Framebuffer, FramebufferState, Place, ReleaseFramebuffer};
pub use mdev::{MakeMdev, Mdev, MdevState, MdevType, uuid_for};
pub use power::{PinPower, PowerState, upstream};
pub use reset::{ResetMethod, ResetState, SetResetMethods};
pub use vf_attributes::{SetVf, VfState};
pub use vfs::{MakeVfs, Vf, VfsState, vf_address};
pub use vgpu::{SetVgpu, VgpuState};
pub use vtconsole::{Console, ConsolesState, ReleaseConsoles};
