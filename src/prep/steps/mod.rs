//! One file per kind of step.

mod bind;
mod cpu_set;
mod cpus;
mod hugepages;
mod irqs;
mod memlock;
mod module;
mod parameter;
mod power;
mod service;
mod swap;
mod sysfs;

pub use bind::{Bind, BindState};
pub use cpu_set::{CpuSet, CpuSetError};
pub use cpus::{CpusState, IsolateCpus};
pub use hugepages::{AddHugepages, AllowOvercommit, Bound, PagesState};
pub use irqs::{IrqState, MoveIrqs};
pub use memlock::{Limits, MemlockState, SetMemlock};
pub use module::{LoadModule, Loaded, ModuleState, Need, UnloadModule};
pub use parameter::{ParameterState, SetParameter};
pub use power::{PinPower, PowerState};
pub use service::{ServiceState, StopService};
pub use swap::{SwapModule, SwapState};
