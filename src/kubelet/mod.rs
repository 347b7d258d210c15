//! kubelet's protocols on a node: it hands our devices to pods, and says which pod has which.
//!
//! | file | what it is |
//! |---|---|
//! | [`Devices`] | one resource, seen from kubelet: all that this module asks of the rest of the house |
//! | `serve` | the life of one resource: its socket, its registration, and both again |
//! | `plugin`, `streams`, `works` | the calls of kubelet: the lists it reads, the preparations it waits for |
//! | `socket`, `folder`, `incoming`, `listening` | a socket in kubelet's folder, and who connects to it |
//! | `dial`, `crew`, `register`, `pods` | our calls to kubelet, each over a connection of its own, with a deadline |
//!
//! Knows nothing of what a device is or how it is made ready: that is behind [`Devices`].

mod crew;
mod devices;
mod dial;
mod error;
mod folder;
mod incoming;
mod listening;
mod plugin;
mod pods;
pub mod proto;
mod register;
mod serve;
mod socket;
mod streams;
mod times;
mod works;

pub(crate) use crew::{Crew, Dismissed};
pub use devices::{Allocation, DeviceNode, Devices, NotReady, Offer, UnknownId};
pub use error::KubeletError;
pub(crate) use incoming::Incoming;
pub use pods::{PodDevices, PodName, PodResources, Pods};
pub use serve::{serve_resource, serve_resource_at};
pub(crate) use socket::{Placed, place};
pub use times::Times;
