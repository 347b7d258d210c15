//! NodeConfig: what an admin lets virt-tailor do to a node, as a document.
//!
//! A text goes in, a [`NodeConfig`] comes out whose values are of their final types and fit together, or every problem at once with
//! line and column. [`NodeConfig::for_node`] leaves what concerns one node. Which devices a selector means is not known here: no host
//! is looked at.

mod effective;
mod protected;
mod read;
mod scalars;
mod schema;
mod spec;
mod steps;
mod written;

pub use effective::Effective;
pub use protected::{NEVER_STOPPED, TIME_SERVICES, keeps_time};
pub use read::KIND;
pub use scalars::*;
pub use schema::node_config_schema;
pub use spec::*;
pub use steps::*;
