//! One file per kind of step.

mod bind;
mod cpus;
mod disks;
mod framebuffer;
mod hugepages;
mod irqs;
mod mdev;
mod memlock;
mod module;
mod parameter;
mod power;
mod reset;
mod service;
mod sysfs;
mod vf_attributes;
mod vfs;
mod vgpu;
mod vtconsole;

pub use bind::{Bind, BindState};
pub use cpus::{CpusState, IsolateCpus};
pub use disks::{CheckDisks, DiskClaim, DiskState, DisksState};
pub use framebuffer::{Framebuffer, FramebufferState, Place, ReleaseFramebuffer};
pub use hugepages::{AddHugepages, AllowOvercommit, Bound, PagesState};
pub use irqs::{IrqState, MoveIrqs};
pub use mdev::{MakeMdev, Mdev, MdevState, MdevType, uuid_for};
pub use memlock::{Limits, MemlockState, SetMemlock};
pub use module::{Driven, LoadModule, Loaded, ModuleState, Need, Shown, SwapModule, SwapState, UnloadModule};
pub use parameter::{ParameterState, SetParameter};
pub use power::{PinPower, PowerState, upstream};
pub use reset::{ResetState, SetResetMethods};
pub use service::{ServiceState, StopService};
pub use vf_attributes::{SetVf, VfState};
pub use vfs::{MakeVfs, Vf, VfsState, vf_address};
pub use vgpu::{SetVgpu, VgpuState};
pub use vtconsole::{Console, ConsolesState, ReleaseConsoles};
