//! Words every part of the house uses.

mod pci_address;
mod quantity;
mod shown;
mod signals;
mod suggest;

pub use pci_address::{PciAddress, PciAddressError};
pub use quantity::{ByteSize, ByteSizeError};
pub use shown::shown;
pub use signals::held_back;
pub use suggest::{did_you_mean, suggest};
