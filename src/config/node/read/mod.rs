//! A document to the typed NodeConfig, with every mistake collected.

/// `kind` of the document.
pub const KIND: &str = "NodeConfig";
