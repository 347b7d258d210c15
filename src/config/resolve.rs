//! From everything that was asked to one valid profile.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::suggest;

use super::builtin::{ProfileText, Profiles};
use super::document;
use super::merge::{Layer, merge, origins};
use super::path;
use super::problems::{Place, Problem, Problems, Source};
use super::read::{Report, check, read_spec};
use super::tree::{Node, Value, quote};
use super::{Origins, Resolved};

/// Prefix of the annotations with a meaning of their own.
pub const PREFIX: &str = "virt-tailor.io/";

/// Prefix of the annotations that set one field.
pub const FIELD_PREFIX: &str = "domain.virt-tailor.io/";

/// The annotation that names profiles.
pub const PROFILES: &str = "virt-tailor.io/profiles";

/// The annotation with a spec inline.
pub const INLINE: &str = "virt-tailor.io/domain";

/// The annotation that names the agent's profiles.
pub const NODE_PROFILES: &str = "virt-tailor.io/node-profiles";

/// What is asked, by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The annotations of the VMI, ours and others'.
    pub annotations: BTreeMap<String, String>,
    /// `--profile`, left to right.
    pub profiles: Vec<ProfileArgument>,
    /// `--set PATH=VALUE`, left to right.
    pub sets: Vec<String>,
}

/// One `--profile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileArgument {
    /// A name to look up.
    Name(String),
    /// A file that was read.
    File(ProfileText),
}

/// Merges all layers, weakest first (annotation profiles left to right, inline, dotted annotations in the order of their names,
/// `--profile` and `--set` left to right), and validates each layer and the result.
///
/// `Err` has every mistake in every layer, so that one round is enough; what fields mean for each other is told only when every
/// layer could be read.
pub fn resolve(request: &Request, profiles: &Profiles) -> Result<Resolved, Problems> {
    let mut layers = Layers::of(request, profiles);
    let node_profiles = layers.node_profiles(&request.annotations);
    layers.finish(node_profiles)
}

/// Every mistake in the layers themselves. What fields mean for each other is not looked at: more layers may come, and a setting
/// without the section it belongs to is only a mistake when they have.
pub fn validate(request: &Request, profiles: &Profiles) -> Result<(), Problems> {
    let problems = Layers::of(request, profiles).problems;
    if problems.0.is_empty() { Ok(()) } else { Err(problems) }
}

impl From<Node> for Layer {
    fn from(tree: Node) -> Self {
        Self { tree, without: None }
    }
}

struct Layers<'a> {
    profiles: &'a Profiles,
    layers: Vec<Layer>,
    problems: Problems,
    /// Whether every layer could be read.
    complete: bool,
}

impl<'a> Layers<'a> {
    /// Reads all layers, weakest first.
    fn of(request: &Request, profiles: &'a Profiles) -> Self {
        let mut layers = Self { profiles, layers: Vec::new(), problems: Problems::default(), complete: true };
        layers.unknown_annotations(&request.annotations);
        layers.named_profiles(&request.annotations);
        if let Some(content) = request.annotations.get(INLINE) {
            let source = Arc::new(Source::Inline { key: INLINE.to_owned() });
            layers.add(document::inline(&source, content).map(Layer::from));
        }
        for (key, value) in &request.annotations {
            if let Some(dotted) = key.strip_prefix(FIELD_PREFIX) {
                layers.add(path::from_annotation(key, dotted, value));
            }
        }
        for argument in &request.profiles {
            layers.argument(argument);
        }
        for text in &request.sets {
            layers.add(path::from_set(text));
        }
        layers
    }

    fn problem(&mut self, place: Place, message: String) {
        self.problems.add(Problem { place, message });
    }

    /// Adds a layer after validating it by itself.
    fn add(&mut self, layer: Result<Layer, Problems>) {
        match layer {
            Ok(layer) => {
                let report = Report::default();
                read_spec(&layer.tree, &report);
                self.problems.extend(report.into_problems());
                self.layers.push(layer);
            }
            Err(problems) => {
                self.problems.extend(problems);
                self.complete = false;
            }
        }
    }

    fn document(&mut self, source: &Arc<Source>, text: &str, name: Option<&str>) {
        let report = Report::default();
        let spec = document::profile(source, text, name, &report);
        self.problems.extend(report.into_problems());
        match spec {
            Ok(Some(spec)) => self.add(Ok(spec.into())),
            Ok(None) => {}
            Err(problems) => self.add(Err(problems)),
        }
    }

    fn named(&mut self, place: &Place, name: &str) {
        let profiles = self.profiles;
        if let Some((source, text)) = profiles.get(name) {
            self.document(&source, text, Some(name));
            return;
        }
        self.complete = false;
        let names = profiles.names();
        let near = suggest(name, names.iter().copied());
        let hint = near.map_or_else(
            || format!("there are {}", names.join(", ")),
            |near| format!("did you mean {near:?}? There are {}", names.join(", ")),
        );
        self.problem(place.clone(), format!("no profile is called {}: {hint}", quote(name)));
    }

    fn argument(&mut self, argument: &ProfileArgument) {
        match argument {
            ProfileArgument::File(profile) => {
                self.document(&profile.source(), &profile.text, None);
            }
            ProfileArgument::Name(name) => {
                let source = Arc::new(Source::Option { text: format!("--profile {name}") });
                self.named(&Place::whole(&source), name);
            }
        }
    }

    fn named_profiles(&mut self, annotations: &BTreeMap<String, String>) {
        for (place, name) in self.names(annotations, PROFILES) {
            self.named(&place, &name);
        }
    }

    fn node_profiles(&mut self, annotations: &BTreeMap<String, String>) -> Vec<String> {
        let mut names = Vec::new();
        for (place, name) in self.names(annotations, NODE_PROFILES) {
            match document::profile_name(&name) {
                Ok(()) => names.push(name),
                Err(message) => self.problem(place, message),
            }
        }
        names
    }

    /// The names in an annotation, separated by commas.
    fn names(&mut self, annotations: &BTreeMap<String, String>, key: &str) -> Vec<(Place, String)> {
        let Some(value) = annotations.get(key) else {
            return Vec::new();
        };
        let place = Place::whole(&Arc::new(Source::Annotation { key: key.to_owned(), path: String::new() }));
        if value.trim().is_empty() {
            let message = "the value is empty: name profiles, separated by commas, or remove the annotation";
            self.problem(place, message.to_owned());
            return Vec::new();
        }
        let mut names: Vec<(Place, String)> = Vec::new();
        for name in value.split(',').map(str::trim) {
            if name.is_empty() {
                let message = format!("{} has an empty name", quote(value));
                self.problem(place.clone(), message);
            } else if names.iter().any(|(_, known)| known == name) {
                let message = format!("{} is named twice", quote(name));
                self.problem(place.clone(), message);
            } else {
                names.push((place.clone(), name.to_owned()));
            }
        }
        names
    }

    fn unknown_annotations(&mut self, annotations: &BTreeMap<String, String>) {
        let known = [PROFILES, INLINE, NODE_PROFILES];
        for key in annotations.keys() {
            if !key.starts_with(PREFIX) || known.contains(&key.as_str()) {
                continue;
            }
            let name = &key[PREFIX.len()..];
            let names = known.map(|known| &known[PREFIX.len()..]);
            let fields = super::DomainProfile::FIELDS;
            let first = name.split('.').next().unwrap_or_default();
            let hint = if fields.contains(&first) {
                format!("one field is set by {FIELD_PREFIX}{name}")
            } else if let Some(near) = suggest(name, names) {
                format!("did you mean \"{PREFIX}{near}\"?")
            } else {
                format!("there are {}; one field is set by {FIELD_PREFIX}<path>", known.join(", "))
            };
            let place = Place::whole(&Arc::new(Source::Annotation { key: key.clone(), path: String::new() }));
            self.problem(place, format!("no annotation of ours has this name: {hint}"));
        }
    }

    fn finish(mut self, node_profiles: Vec<String>) -> Result<Resolved, Problems> {
        let source = Arc::new(Source::Option { text: "the profile".to_owned() });
        let mut tree = Node { place: Place::whole(&source), value: Value::Map(Vec::new()) };
        for layer in self.layers {
            // A layer that is no map is a mistake that is told already.
            if matches!(layer.tree.value, Value::Map(_)) {
                merge(&mut tree, layer);
            }
        }
        let report = Report::default();
        let spec = read_spec(&tree, &report);
        let wholes = report.next();
        // Mistakes of a single value were told with its layer; what is new here came about by merging.
        for problem in report.into_problems().0 {
            if !self.problems.0.iter().any(|told| told.place == problem.place) {
                self.problems.add(problem);
            }
        }
        if self.complete {
            check(&tree, &spec, &wholes);
            self.problems.extend(wholes.into_problems());
        }
        if !self.problems.0.is_empty() {
            return Err(self.problems);
        }
        let mut who = Origins::default();
        origins(&tree, &mut |path, origin| who.insert(path, origin));
        Ok(Resolved { spec, origins: who, node_profiles })
    }
}
