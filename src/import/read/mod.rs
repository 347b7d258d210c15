//! Files to actions: which format a file is in, and in what order what is in it is read.
//!
//! First every document is opened, so that a unit finds the script that another file embeds; then all is read in the order of the files,
//! scripts after the units that run them.

mod arguments;
mod cluster;
mod contents;
mod documents;
mod embedded;
mod ignition;
mod ini;
mod kind;
mod kubevirt;
mod modprobe;
mod policy;
mod settings;
mod tuned;
mod udev;
mod unit;
mod variables;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::shown;
use crate::config::Source;
use crate::config::tree;

use super::Input;
use super::action::{Action, Found};
use super::place::Place;
use super::shell;
use super::verdict::Verdict;

pub(super) use cluster::page_size;
use kind::Kind;

/// Longest text of one file that is read, unpacked: what etcd stores of an object, with room for gzip.
const MAX_TEXT: usize = 4 << 20;
/// Most actions that are kept.
const MAX_FOUND: usize = 10_000;
/// How deep files embed files.
const MAX_EMBEDDED: usize = 8;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading<'a> {
    pub found: Vec<Found>,
    /// Files that are not what they seem, one line each.
    pub malformed: Vec<String>,
    /// Lines that only hold others together.
    pub idle: usize,
    /// How deep scripts call each other just now.
    pub depth: usize,
    /// How deep files embed files just now.
    embedding: usize,
    /// How many commands of scripts were followed.
    pub followed: usize,
    /// Variables that scripts are started with.
    pub environment: HashMap<String, String>,
    scripts: Vec<Script<'a>>,
    inputs: &'a [Input],
    /// Inputs that are parts of others, by index.
    taken: BTreeSet<usize>,
    /// Inputs that others are parts of: none of them is a part itself, or two might be parts of each other, and nobody reads them.
    takers: BTreeSet<usize>,
    /// The input that is opened just now.
    opening: usize,
    /// Scripts that scripts have written, by index.
    later: Vec<usize>,
    /// How many bytes scripts have written into files that are read here.
    written: usize,
    /// TuneD's profiles and files of variables, which include each other.
    tuned: Vec<variables::Profile>,
    /// Whether a `hugepages=` stood on this command line, and no size behind it yet.
    pages_given: bool,
}

/// A script that is embedded, or a file by itself.
#[derive(Debug, Clone)]
struct Script<'a> {
    /// Where the node has it.
    path: String,
    place: Place,
    text: std::borrow::Cow<'a, str>,
    used: bool,
}

/// A part of a file: what is read as a whole.
#[derive(Debug)]
enum Part {
    /// A text in a format of its own, at the path the node has it at.
    Text { place: Place, path: String, text: String },
    /// A YAML document.
    Document { place: Place, node: tree::Node },
    /// A unit of systemd, or a drop-in of one.
    Unit { place: Place, unit: unit::Unit },
    /// Kernel arguments.
    Arguments(Vec<(Place, String)>),
    /// Something that was understood on the way.
    Found(Found),
    /// A script, by its index.
    Script(usize),
    /// A profile of TuneD's, by its index.
    Tuned(usize),
}

/// Reads all files.
pub(super) fn read(inputs: &[Input]) -> Reading<'_> {
    let (mut reading, parts) = opened(inputs, BTreeSet::new());
    for mut parts in parts {
        parts.sort_by_key(|part| matches!(part, Part::Script(_)));
        for part in parts {
            part.read(&mut reading);
        }
    }
    while let Some(index) = reading.later.pop() {
        Part::Script(index).read(&mut reading);
    }
    reading
}

/// All files opened, but for those that are parts of others: these are read where they belong.
fn opened(inputs: &[Input], parts_of_others: BTreeSet<usize>) -> (Reading<'_>, Vec<Vec<Part>>) {
    let mut reading = Reading { inputs, taken: parts_of_others.clone(), ..Reading::default() };
    let mut parts = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        if !parts_of_others.contains(&index) {
            let place = Place::file(&shown(&input.label));
            reading.opening = index;
            parts.push(open(input, &place, &mut reading));
        }
    }
    // The set only grows.
    if reading.taken != parts_of_others { opened(inputs, reading.taken) } else { (reading, parts) }
}

/// A file to its parts.
fn open(input: &Input, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let text = match std::str::from_utf8(&input.bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = input.bytes.get(..error.valid_up_to()).unwrap_or_default().split(|b| *b == b'\n').count();
            reading.malformed(
                &place.line(line as u64),
                "this is no UTF-8 text: give text files (an image or a binary says nothing here)",
            );
            return Vec::new();
        }
    };
    if text.len() > MAX_TEXT {
        reading.malformed(place, &format!("{} bytes are too many: at most {MAX_TEXT} are read", text.len()));
        return Vec::new();
    }
    text_part(place.clone(), input.label.clone(), text.to_owned(), reading)
}

/// A text with the path that tells its format, to its parts; none if it only says what others make use of.
fn text_part(place: Place, path: String, text: String, reading: &mut Reading<'_>) -> Vec<Part> {
    match kind::of(&path, &text) {
        Kind::Yaml => yaml(&place, &text, reading),
        Kind::Tuned => tuned::file(place, &path, &text, reading).into_iter().collect(),
        Kind::Script => {
            reading.scripts.push(Script { path, place, text: text.into(), used: false });
            vec![Part::Script(reading.scripts.len() - 1)]
        }
        _ => vec![Part::Text { place, path, text }],
    }
}

/// YAML documents, which may embed others.
fn yaml(place: &Place, text: &str, reading: &mut Reading<'_>) -> Vec<Part> {
    if reading.embedding == MAX_EMBEDDED {
        reading.malformed(place, "files that embed files that embed files: give the innermost one by itself");
        return Vec::new();
    }
    let label = place.to_string();
    let source = Arc::new(Source::File { origin: label.clone(), label });
    match tree::documents(&source, text) {
        Ok(documents) if documents.is_empty() => {
            reading.malformed(place, "the file is empty: there is nothing to import");
            Vec::new()
        }
        Ok(documents) => {
            reading.embedding += 1;
            let parts = documents.into_iter().flat_map(|node| documents::open(node, place, reading)).collect();
            reading.embedding -= 1;
            parts
        }
        Err(problems) => {
            reading.malformed.extend(problems.0.iter().map(ToString::to_string));
            Vec::new()
        }
    }
}

impl Part {
    fn read(self, reading: &mut Reading<'_>) {
        reading.begin_arguments();
        match self {
            Self::Text { place, path, text } => read_text(&place, &path, &text, reading),
            Self::Document { place, node } => documents::read(&node, &place, reading),
            Self::Unit { place, unit } => unit::read(&place, &unit, reading),
            Self::Arguments(arguments) => {
                for (place, text) in arguments {
                    arguments::words(&place, &text, reading);
                }
            }
            Self::Found(Found { place, said, action }) => reading.found(&place, &said, action),
            Self::Tuned(index) => tuned::read(index, reading),
            Self::Script(index) => {
                let script = reading.scripts.get(index).filter(|script| !script.used).cloned();
                if let Some(script) = script {
                    shell::script(&script.place, &script.text, &[], false, reading);
                }
            }
        }
    }
}

fn read_text(place: &Place, path: &str, text: &str, reading: &mut Reading<'_>) {
    match kind::of(path, text) {
        Kind::Modprobe => modprobe::options(place, path, text, reading),
        Kind::ModulesLoad => modprobe::load(place, path, text, reading),
        Kind::Udev => udev::read(place, text, reading),
        Kind::Grub => arguments::grub(place, text, reading),
        Kind::CommandLine => {
            for (line, text) in lines(text) {
                reading.begin_arguments();
                arguments::words(&place.line(line), text, reading);
            }
        }
        Kind::Unit => match unit::Unit::parse(file_name(path), text) {
            Ok(unit) => unit::read(place, &unit, reading),
            Err((line, why)) => reading.malformed(&place.line(line), &why),
        },
        Kind::Sysctl => settings::sysctl(place, text, reading),
        Kind::Crio => settings::crio(place, text, reading),
        Kind::Limits => settings::limits(place, text, reading),
        // Those are taken apart before.
        Kind::Yaml | Kind::Tuned | Kind::Script | Kind::Unknown => {
            reading.unclear(place, file_name(path), "this is no kind of file that is known here")
        }
    }
}

/// Lines with their number, without comments and blank ones.
fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..)
        .zip(text.lines())
        .map(|(line, text)| (line, text.trim()))
        .filter(|(_, text)| !text.is_empty() && !text.starts_with(['#', ';']))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Reading<'_> {
    /// An action.
    pub(super) fn found(&mut self, place: &Place, said: &str, action: Action) {
        if self.found.len() == MAX_FOUND {
            self.malformed(place, &format!("here stands the {MAX_FOUND}th action: import fewer files at a time"));
        }
        if self.found.len() <= MAX_FOUND {
            let said = shorten(said);
            self.found.push(Found { place: place.clone(), said, action });
        }
    }

    /// An action, or the undoing of one when a unit stops.
    pub(super) fn change(&mut self, place: &Place, said: &str, action: Action, undo: bool) {
        let action = match action {
            action @ Action::Told(_) => action,
            action if !undo => action,
            _ => Action::Told(Verdict::now("what was changed for a VM is put back, from a journal, when it has gone")),
        };
        self.found(place, said, action);
    }

    /// Something that is not understood.
    pub(super) fn unclear(&mut self, place: &Place, said: &str, why: &str) {
        self.found(place, said, Action::Told(Verdict::unclear(why)));
    }

    /// What follows is a command line of its own.
    pub(super) fn begin_arguments(&mut self) {
        self.pages_given = false;
    }

    /// Files among the inputs that another one names by a path of its own: of a folder, with what stands behind that.
    fn given(&mut self, path: &str) -> Vec<(String, &'_ [u8])> {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        let mut found = Vec::new();
        if path.is_empty() {
            return found;
        }
        for (index, input) in self.inputs.iter().enumerate() {
            let label = format!("/{}", input.label);
            let Some((_, rest)) = label.rsplit_once(&format!("/{path}")) else { continue };
            let is_free = index != self.opening && !self.takers.contains(&index);
            if is_free && (rest.is_empty() || rest.starts_with('/')) {
                self.taken.insert(index);
                self.takers.insert(self.opening);
                found.push((rest.to_owned(), &input.bytes[..]));
            }
        }
        found
    }

    /// A file that a script writes: whether it is of a kind that is read here.
    pub(super) fn written(&mut self, place: &Place, path: &str, text: String) -> bool {
        self.written = self.written.saturating_add(text.len());
        if kind::by_path(path).is_none() || self.written > MAX_TEXT {
            return false;
        }
        for part in text_part(place.inside(path), path.to_owned(), text, self) {
            match part {
                // Something may run it yet.
                Part::Script(index) => self.later.push(index),
                part => part.read(self),
            }
        }
        true
    }

    /// A kernel argument.
    pub(super) fn argument(&mut self, place: &Place, text: &str) {
        arguments::argument(place, text, self);
    }

    /// A file that is not what it seems: what, and what instead.
    pub(super) fn malformed(&mut self, place: &Place, what: &str) {
        let line = shown(&format!("{place}: {what}")).into_owned();
        if self.malformed.len() < 100 && !self.malformed.contains(&line) {
            self.malformed.push(line);
        }
    }

    /// Follows a script that one of the files embeds, if it is there.
    pub(super) fn run_embedded(&mut self, path: &str, arguments: &[String], undo: bool) -> bool {
        let same = |script: &Script<'_>| {
            script.path == path
                || (!script.path.starts_with('/')
                    && path.starts_with('/')
                    && file_name(&script.path) == file_name(path))
        };
        let Some(index) = self.scripts.iter().position(same) else { return false };
        self.scripts[index].used = true;
        let script = self.scripts[index].clone();
        self.idle += 1;
        shell::script(&script.place, &script.text, arguments, undo, self);
        true
    }
}

/// A text on one line that is not endless.
fn shorten(text: &str) -> String {
    const MOST: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(MOST).collect();
    shown(&if cut.len() < line.len() { cut + "…" } else { cut }).into_owned()
}
