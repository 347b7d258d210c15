//! Golden folders of imports: `tests/golden/import/<case>/` has `input/` (and `host.txt`, the node they are compared with), and what comes
//! of it: `node-config.yaml`, `profiles/`, `report.txt`, or `error.txt`. `UPDATE_GOLDEN=1 cargo test --test import` rewrites the outcome;
//! look at the difference before you keep it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

mod common;

#[path = "import/goldens.rs"]
mod goldens;
#[path = "import/places.rs"]
mod places;
#[path = "import/properties.rs"]
mod properties;
#[path = "import/scenarios.rs"]
mod scenarios;
