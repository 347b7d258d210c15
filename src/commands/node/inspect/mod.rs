//! `virt-tailor node inspect`: whether this node is ready, and which devices can be handed over.
//!
//! | file | what it is |
//! |---|---|
//! | `facts` | everything that is read, on the node or in a captured tree |
//! | `overrides` | `driver_override`, which only an expendable process may read |
//! | `report` | facts to a report: pure, and the JSON as it is published |
//! | `look` | what is asked of the guards for a device that no resource selects |
//! | `resources` | what the resources of a NodeConfig select |
//! | `notes`, `words` | sentences and words for a person |
//! | `rows` | the order in which devices are shown |
//! | `text`, `svg` | a report as a page, and as a picture |

mod facts;
mod look;
mod notes;
mod overrides;
mod report;
mod resources;
mod rows;
mod svg;
mod text;
mod words;

use std::path::{Path, PathBuf};

use crate::cli::node::Inspect;
use crate::commands::{Failure, output};
use crate::host::Root;

use facts::Facts;
use report::Report;

/// Reads the node and says what it found. What is found is no failure, however bad.
pub(super) fn run(args: &Inspect) -> Result<(), Failure> {
    let root = Root::new(&args.host_root);
    let report = Report::of(Facts::read(args, &root)?);
    if let Some(file) = &args.svg {
        output::write(svg::picture(&report).as_bytes(), Some(file))?;
    }
    // `--svg /dev/stdout` is the picture alone.
    if args.svg.as_deref() == Some(Path::new("/dev/stdout")) {
        return Ok(());
    }
    let text = if args.json { json(&report)? } else { text::page(&report) };
    output::write(text.as_bytes(), None)
}

/// The report as JSON, in the order in which its fields stand there.
fn json(report: &Report) -> Result<String, Failure> {
    let failed = |error| Failure::Write { path: PathBuf::from("standard output"), error };
    let mut text = serde_json::to_string_pretty(report).map_err(|error| failed(error.into()))?;
    text.push('\n');
    Ok(text)
}
