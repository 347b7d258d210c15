//! virt-tailor: see the library's documentation.

fn main() {}
