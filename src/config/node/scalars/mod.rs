//! Scalars of a NodeConfig in their final types: a value of one of these types is a good one.
//!
//! Each is made by `FromStr` and shown in its canonical text, which is read as the same value again.

mod cpus;
mod glob;
mod hardware;
mod kubernetes;
mod modules;
mod network;
mod paths;
mod period;
mod units;

pub use cpus::{CpuList, MOST_CPUS};
pub use glob::{Glob, Globs};
pub use hardware::{ClassPrefix, CompanionName, DriverName, HexId, PageSize, SubsystemId, TypeName};
pub use kubernetes::ResourceName;
pub use modules::{ModuleName, ParameterName, ParameterValue};
pub use network::{MacAddress, MacPrefix};
pub use paths::HostPath;
pub use period::Period;
pub use units::{UnitName, UnitPattern};

/// Why a text is not what it should be: what it is, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScalarError(pub(super) String);

/// `Err` with a message.
pub(super) fn refuse<T>(message: impl Into<String>) -> Result<T, ScalarError> {
    Err(ScalarError(message.into()))
}

/// A scalar is written as its canonical text.
macro_rules! written_as_text {
    ($($type:ty),* $(,)?) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
pub(super) use written_as_text;

/// A type around a text that is its canonical form.
macro_rules! shown_as_is {
    ($($type:ty),* $(,)?) => {$(
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
pub(super) use shown_as_is;

/// Whether a text fits a pattern of ours.
pub(super) fn glob_matches(pattern: &str, text: &str) -> bool {
    glob::matches(pattern.as_bytes(), text.as_bytes())
}
