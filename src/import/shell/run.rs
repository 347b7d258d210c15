//! A script followed with what is known of its variables.

use std::collections::HashMap;

use crate::import::place::Place;
use crate::import::read::Reading;

use super::braces::braces;
use super::commands::command;
use super::lexer::{Document, Piece, Simple, Word, commands};

/// How deep functions and scripts may call each other.
const MAX_DEPTH: usize = 8;
/// How many commands of all scripts are followed, loops unrolled.
const MAX_COMMANDS: usize = 20_000;
/// How many words of one command.
pub(super) const MAX_WORDS: usize = 1000;

/// Between the words of an array: no word has it.
const BETWEEN: &str = "\u{1f}";

/// Where the shell keeps the folder it is in; not set here: only known when it runs.
const FOLDER: &str = "PWD";

/// A word that is known, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Its text; what is not known is `…`.
    pub text: String,
    /// Whether all of it is known.
    pub whole: bool,
}

/// Follows a script; `arguments` are `$1`, `$2`, … `undo`: it runs when the unit stops.
pub(in crate::import) fn script(
    place: &Place,
    text: &str,
    arguments: &[String],
    undo: bool,
    reading: &mut Reading<'_>,
) {
    if reading.depth >= MAX_DEPTH {
        reading.unclear(place, "a script that calls scripts", "they call each other too deep");
        return;
    }
    let all = match commands(text) {
        Ok(all) => all,
        Err(unclosed) => return reading.malformed(&place.line(unclosed.line), &unclosed.to_string()),
    };
    reading.depth += 1;
    let mut run = Run { place, undo, functions: HashMap::new(), cases: 0, depth: 0 };
    let mut variables = reading.environment.clone();
    bind(&mut variables, arguments);
    run.block(&all, &mut variables, reading);
    if reading.followed == MAX_COMMANDS {
        // Told once.
        reading.followed += 1;
        reading.unclear(
            place,
            "the rest of the script",
            "the loops are too long to be followed: import what they call by itself",
        );
    }
    reading.depth -= 1;
}

fn bind(variables: &mut HashMap<String, String>, arguments: &[String]) {
    for (i, argument) in arguments.iter().enumerate() {
        variables.insert((i + 1).to_string(), argument.clone());
    }
    variables.insert("@".to_owned(), arguments.join(" "));
    variables.insert("*".to_owned(), arguments.join(" "));
}

struct Run<'a> {
    place: &'a Place,
    undo: bool,
    functions: HashMap<String, Vec<Simple>>,
    cases: usize,
    depth: usize,
}

fn plain(word: &Word) -> Option<&str> {
    match &word[..] {
        [Piece::Text(text, false)] => Some(text),
        _ => None,
    }
}

fn first(simple: &Simple) -> Option<&str> {
    simple.words.first().and_then(plain)
}

/// The index behind the word that closes what `open` opens at `from`.
fn closed(all: &[Simple], from: usize, open: &[&str], close: &str) -> usize {
    let mut depth = 0_usize;
    for (at, simple) in all.iter().enumerate().skip(from) {
        for word in simple.words.iter().filter_map(plain).take(2) {
            if open.contains(&word) {
                depth += 1;
            } else if word == close {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
        }
    }
    all.len()
}

/// The folder after `cd DIR`; `None`: only known when it runs. `..` takes a name off, without a look at links (POSIX, cd -L).
fn changed(folder: Option<&String>, words: &[Known]) -> Option<String> {
    let [cd, to] = words else { return None };
    if cd.text != "cd" || !to.whole || to.text.starts_with('-') {
        return None;
    }
    joined(folder, &to.text)
}

/// A path from the folder; `None`: it is relative, and the folder is not known.
fn joined(folder: Option<&String>, path: &str) -> Option<String> {
    let from = if path.starts_with('/') { "" } else { folder?.as_str() };
    let mut names: Vec<&str> = from.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    Some(format!("/{}", names.join("/")))
}

impl Run<'_> {
    fn block(&mut self, all: &[Simple], variables: &mut HashMap<String, String>, reading: &mut Reading<'_>) {
        let mut at = 0;
        while let Some(simple) = all.get(at) {
            if reading.followed >= MAX_COMMANDS {
                return;
            }
            reading.followed += 1;
            at = match first(simple) {
                Some("for") => self.for_loop(all, at, variables, reading),
                Some(name) if simple.end == "(" && simple.words.len() == 1 => self.define(all, at, name),
                Some("function") if simple.words.len() >= 2 => {
                    let name = simple.words.get(1).and_then(plain).unwrap_or_default();
                    self.define(all, at, name)
                }
                _ => at + self.simple(simple, all.get(at + 1), variables, reading),
            };
            // A subshell may end here, and with it the folder it went to.
            if simple.end == ")" && self.cases == 0 {
                variables.remove(FOLDER);
            }
        }
    }

    /// `NAME() { … }`: kept for its calls.
    fn define(&mut self, all: &[Simple], at: usize, name: &str) -> usize {
        let open = (at..all.len())
            .find(|i| all.get(*i).is_some_and(|simple| simple.words.iter().filter_map(plain).any(|word| word == "{")));
        let Some(open) = open.filter(|open| *open <= at + 2) else { return at + 1 };
        let end = closed(all, open, &["{"], "}");
        let mut body: Vec<Simple> = all.get(open..end).unwrap_or_default().to_vec();
        if let Some(head) = body.first_mut() {
            let brace = head.words.iter().position(|word| plain(word) == Some("{")).map_or(0, |at| at + 1);
            head.words.drain(..brace);
        }
        body.retain(|simple| !simple.words.is_empty());
        self.functions.insert(name.to_owned(), body);
        end + 1
    }

    fn for_loop(
        &mut self,
        all: &[Simple],
        at: usize,
        variables: &mut HashMap<String, String>,
        reading: &mut Reading<'_>,
    ) -> usize {
        let head = &all[at];
        let end = closed(all, at, &["for", "while", "until"], "done");
        let name = head.words.get(1).and_then(plain).unwrap_or_default().to_owned();
        let mut body: Vec<Simple> = all.get(at + 1..end).unwrap_or_default().to_vec();
        // `for ((i = 0; …))`: what is counted is only known when it runs.
        if head.end == "(" {
            let counted = body.iter().position(|simple| first(simple) == Some("do")).unwrap_or(body.len());
            for word in body.drain(..counted).filter_map(|simple| simple.words.into_iter().next()) {
                if let [Piece::Text(text, false), ..] = &word[..] {
                    variables.remove(text.split(['=', '+', '<', '-']).next().unwrap_or_default());
                }
            }
        }
        if let Some(simple) = body.first_mut()
            && first(simple) == Some("do")
        {
            simple.words.remove(0);
        }
        body.retain(|simple| !simple.words.is_empty());
        let mut values: Vec<Known> =
            head.words.iter().skip(3).flat_map(|word| self.expand(word, variables)).take(MAX_WORDS).collect();
        reading.idle += 1;
        // `for x; do`, or a list that is empty as far as it is known: what the loop does is not dropped.
        if values.is_empty() {
            values.push(Known { text: "…".to_owned(), whole: false });
        }
        for value in values {
            if value.whole {
                variables.insert(name.clone(), value.text);
            } else {
                variables.remove(&name);
            }
            self.block(&body, variables, reading);
        }
        end + 1
    }

    /// How many commands were taken: a `tee` that is piped into goes with what it is given.
    fn simple(
        &mut self,
        simple: &Simple,
        next: Option<&Simple>,
        variables: &mut HashMap<String, String>,
        reading: &mut Reading<'_>,
    ) -> usize {
        const KEYWORDS: [&str; 13] =
            ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "esac"];
        let mut words: &[Word] = &simple.words;
        while let Some((word, rest)) = words.split_first()
            && plain(word).is_some_and(|word| KEYWORDS.contains(&word))
        {
            if plain(word) == Some("esac") {
                self.cases = self.cases.saturating_sub(1);
            }
            words = rest;
        }
        if words.first().and_then(plain) == Some("case") {
            self.cases += 1;
            reading.idle += 1;
            return 1;
        }
        // The pattern of a case.
        if simple.end == ")" && self.cases > 0 {
            reading.idle += 1;
            return 1;
        }
        let words = self.assign(words, variables);
        let expanded: Vec<Known> = words.iter().flat_map(|word| self.expand(word, variables)).take(MAX_WORDS).collect();
        let to = simple.to.as_ref().map(|word| self.file(word, variables));
        let document =
            simple.document.as_ref().or(next.filter(|_| simple.end == "|").and_then(|next| next.document.as_ref()));
        let document = document.map(|document| self.document(document, variables));
        let place = self.place.line(simple.line);
        let Some(name) = expanded.first().filter(|word| word.whole).map(|word| word.text.clone()) else {
            if expanded.is_empty() {
                reading.idle += 1;
            } else {
                reading.unclear(&place, &simple.said, "which command this is, is only known when it runs");
            }
            return 1;
        };
        if let Some(body) = self.functions.get(&name).cloned() {
            if self.depth >= MAX_DEPTH {
                reading.unclear(&place, &simple.said, "functions that call each other too deep");
                return 1;
            }
            let arguments: Vec<String> = expanded.iter().skip(1).map(|word| word.text.clone()).collect();
            let mut inner = variables.clone();
            bind(&mut inner, &arguments);
            for (known, i) in expanded.iter().skip(1).zip(1..) {
                if !known.whole {
                    inner.remove(&i.to_string());
                }
            }
            reading.idle += 1;
            self.depth += 1;
            self.block(&body, &mut inner, reading);
            self.depth -= 1;
            match inner.remove(FOLDER) {
                Some(folder) => variables.insert(FOLDER.to_owned(), folder),
                None => variables.remove(FOLDER),
            };
            return 1;
        }
        if ["cd", "pushd", "popd"].contains(&name.as_str()) {
            match changed(variables.get(FOLDER), &expanded) {
                Some(folder) => variables.insert(FOLDER.to_owned(), folder),
                None => variables.remove(FOLDER),
            };
        }
        // `echo x | tee file`: the text goes into the next command.
        let piped = next.filter(|_| simple.end == "|");
        let tee = piped.filter(|next| {
            let mut names = next.words.iter().filter_map(plain).skip_while(|name| *name == "sudo");
            names.next() == Some("tee")
        });
        let mut all: Vec<Option<Known>> = vec![to];
        if let ([None], Some(tee)) = (&all[..], tee) {
            let files = tee.words.iter().skip_while(|word| plain(word) != Some("tee")).skip(1);
            let files = files.filter(|word| plain(word).is_none_or(|text| !text.starts_with('-')));
            let files: Vec<Option<Known>> = files.map(|word| Some(self.file(word, variables))).collect();
            if !files.is_empty() {
                all = files;
            }
        }
        // `tee file <<END`: it is given what it writes.
        if let (None, Some(at)) =
            (&tee, expanded.iter().position(|word| word.text == "tee").filter(|_| document.is_some()))
        {
            let files = expanded.iter().skip(at + 1).filter(|word| !word.text.starts_with('-'));
            all = files.map(|word| Some(word.clone())).collect();
        }
        for to in all {
            command(&place, &simple.said, &expanded, to.as_ref(), document.as_ref(), self.undo, reading);
        }
        1 + usize::from(tee.is_some())
    }

    /// Takes the assignments in front of a command.
    fn assign<'w>(&self, mut words: &'w [Word], variables: &mut HashMap<String, String>) -> &'w [Word] {
        if words
            .first()
            .and_then(plain)
            .is_some_and(|word| ["export", "local", "readonly", "declare", "typeset"].contains(&word))
        {
            words = &words[1..];
            while words.first().and_then(plain).is_some_and(|word| word.starts_with('-')) {
                words = &words[1..];
            }
        }
        while let Some((word, rest)) = words.split_first() {
            let Some(Piece::Text(text, false)) = word.first() else { break };
            let Some((name, value)) = text.split_once('=') else { break };
            let bare = name.strip_suffix('+').unwrap_or(name);
            let good = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !good || name.as_bytes()[0].is_ascii_digit() {
                break;
            }
            let (name, adds) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
            let mut right = word.clone();
            right[0] = Piece::Text(value.to_owned(), false);
            let mut known = match right.get(1) {
                Some(Piece::Array(words)) => self.array(words, variables),
                _ => self.one(&right, variables),
            };
            for all in ["[@]", "[*]"].map(|end| format!("{name}{end}")) {
                match (right.get(1), known.whole && !adds) {
                    (Some(Piece::Array(_)), true) => variables.insert(all, known.text.clone()),
                    _ => variables.remove(&all),
                };
            }
            if let (Some(Piece::Array(_)), Some((first, _))) = (right.get(1), known.text.split_once(BETWEEN)) {
                known.text = first.to_owned();
            }
            if adds {
                match variables.get(name) {
                    Some(before) => known.text.insert_str(0, before),
                    None => known.whole = false,
                }
            }
            if known.whole {
                variables.insert(name.to_owned(), known.text);
            } else {
                variables.remove(name);
            }
            words = rest;
        }
        words
    }

    /// The words of an array in one text, as `for` takes them apart again.
    fn array(&self, words: &[Word], variables: &HashMap<String, String>) -> Known {
        let words: Vec<Known> = words.iter().flat_map(|word| self.expand(word, variables)).take(MAX_WORDS).collect();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        Known { text: texts.join(BETWEEN), whole: words.iter().all(|word| word.whole) }
    }

    /// A here-document: in one without quotes at its end variables are known by their values.
    fn document(&self, document: &Document, variables: &HashMap<String, String>) -> Known {
        if document.is_quoted || !document.text.contains(['$', '`', '\\']) {
            return Known { text: document.text.clone(), whole: true };
        }
        // It is read as what stands between two double quotes is, but for these themselves.
        let quoted = format!("x \"{}\"", document.text.replace('"', "\\\""));
        match commands(&quoted).ok().as_deref() {
            Some([Simple { words, .. }]) if words.len() == 2 => self.one(&words[1], variables),
            _ => Known { text: "…".to_owned(), whole: false },
        }
    }

    /// A word as the path of a file: from the folder that the script is in, if that is known.
    fn file(&self, word: &Word, variables: &HashMap<String, String>) -> Known {
        let mut known = self.one(word, variables);
        // More than one file: no shell writes to that.
        known.whole &= braces(word).is_none();
        match joined(variables.get(FOLDER), &known.text) {
            Some(text) if known.whole && !known.text.starts_with('/') => Known { text, whole: true },
            _ => known,
        }
    }

    /// A word as one text.
    fn one(&self, word: &Word, variables: &HashMap<String, String>) -> Known {
        let mut known = Known { text: String::new(), whole: true };
        for piece in word {
            match piece {
                Piece::Text(text, _) => known.text.push_str(text),
                Piece::Variable(name, default, _) => match variables.get(name).or(default.as_ref()) {
                    Some(value) => known.text.push_str(&value.replace(BETWEEN, " ")),
                    None => {
                        known.text.push('…');
                        known.whole = false;
                    }
                },
                Piece::Open | Piece::Array(_) => {
                    known.text.push('…');
                    known.whole = false;
                }
            }
        }
        // A loop may make a text longer each time.
        if known.text.len() > 4096 {
            known = Known { text: "…".to_owned(), whole: false };
        }
        known
    }

    /// A word as the words it becomes: a variable without quotes may be several.
    fn expand(&self, word: &Word, variables: &HashMap<String, String>) -> Vec<Known> {
        // `"${NAME[@]}"` is several in quotes, too.
        if let [rest @ .., Piece::Variable(name, default, quoted)] = &word[..]
            && (!quoted || name.ends_with("[@]"))
            && rest.iter().all(|piece| matches!(piece, Piece::Text(text, _) if text.is_empty()))
            && let Some(value) = variables.get(name).or(default.as_ref())
        {
            if *quoted || value.contains(BETWEEN) {
                let words = value.split(BETWEEN).filter(|text| !text.is_empty());
                return words.map(|text| Known { text: text.to_owned(), whole: true }).collect();
            }
            return value.split_whitespace().map(|text| Known { text: text.to_owned(), whole: true }).collect();
        }
        match braces(word) {
            Some(words) => words.iter().map(|word| self.one(word, variables)).collect(),
            None => vec![self.one(word, variables)],
        }
    }
}
