//! "A real libvirt says yes."

use std::time::{Duration, Instant};

use crate::embed::{Doc, Libvirt, Verdict};
use crate::schema;

/// A document and what it was made from. Both are the same for an input that nobody changed.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Define,
    Native,
    Schema,
}

/// What libvirt said to all outputs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Name, stage and libvirt's own text.
    pub(crate) refused: Vec<(String, Stage, String)>,
    /// Outputs that the schema cannot judge, because what they were made from violates it already.
    pub(crate) schema_says_nothing: Vec<String>,
    /// How long each stage took for all outputs together.
    pub(crate) took: Vec<(Stage, Duration)>,
}

impl Report {
    /// Fails with all refusals at once.
    pub(crate) fn assert_accepted(&self) {
        let list: Vec<String> =
            self.refused.iter().map(|(name, stage, why)| format!("{name}: {stage:?}: {why}")).collect();
        assert!(list.is_empty(), "libvirt refuses {} outputs:\n{}", list.len(), list.join("\n"));
    }
}

/// Lets libvirt define every output, write its command line, and compares schema violations before and after.
///
/// An output refused at an earlier stage is not sent to a later one.
pub(crate) fn accepts(libvirt: &Libvirt, outputs: &[Output]) -> Report {
    let mut report = Report::default();
    let mut good: Vec<&Output> = outputs.iter().collect();
    for (stage, judge) in [
        (Stage::Define, &(|docs: &[Doc<'_>]| libvirt.define(docs)) as &dyn Fn(&[Doc<'_>]) -> Vec<Verdict>),
        (Stage::Native, &|docs| libvirt.native(docs)),
        (Stage::Schema, &schema::validate),
    ] {
        let begun = Instant::now();
        if stage == Stage::Schema {
            let before: Vec<Doc<'_>> = good.iter().map(|o| (o.name.as_str(), o.before.as_slice())).collect();
            let mut verdicts = schema::validate(&before).into_iter();
            let mut valid = |o: &&Output| {
                let valid = verdicts.next().is_some_and(|verdict| verdict.is_ok());
                if !valid {
                    report.schema_says_nothing.push(o.name.clone());
                }
                valid
            };
            good.retain(&mut valid);
        }
        let after: Vec<Doc<'_>> = good.iter().map(|o| (o.name.as_str(), o.after.as_slice())).collect();
        let mut verdicts = judge(&after).into_iter();
        good.retain(|o| match verdicts.next().expect("one verdict per document") {
            Ok(_) => true,
            Err(why) => {
                report.refused.push((o.name.clone(), stage, why));
                false
            }
        });
        report.took.push((stage, begun.elapsed()));
    }
    report
}
