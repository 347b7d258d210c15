//! To come.

pub mod reduce;
