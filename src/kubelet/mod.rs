//! kubelet's protocols on a node: it hands our devices to pods, and says which pod has which.
//!
//! Knows nothing of what a device is or how it is made ready: that is behind [`Devices`].

mod devices;

pub use devices::{Allocation, DeviceNode, Devices, NotReady, Offer, UnknownId};
