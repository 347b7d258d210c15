//! Variables of TuneD profiles (tuned-profiles(7), `[variables]`): profiles include each other and files of variables, and the one that
//! includes has the last word.

use crate::import::place::Place;

use super::file_name;
use super::ini::Entry;

/// How deep values name each other, and profiles include each other.
const MAX_DEPTH: usize = 16;

/// A profile, or a file of variables.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// As others include it.
    pub name: String,
    /// Where its text begins.
    pub place: Place,
    /// Its lines.
    pub entries: Vec<Entry>,
    /// Whether it is a file of variables and no profile.
    pub is_file: bool,
}

impl Profile {
    /// Whether an `include=` means this one: profiles by name, files by path, wherever they were found here.
    pub(super) fn is(&self, include: &str) -> bool {
        if self.is_file { file_name(include) == self.name } else { include == self.name }
    }

    fn includes(&self) -> impl Iterator<Item = &str> {
        let includes = self.entries.iter().filter(|entry| is_variables(entry) && entry.key == "include");
        includes.flat_map(|entry| names(&entry.value))
    }

    /// The last value that stands here.
    fn value(&self, variable: &str) -> Option<&str> {
        let found = self.entries.iter().rev().find(|entry| entry.section == "variables" && entry.key == variable);
        found.map(|entry| entry.value.as_str())
    }
}

fn is_variables(entry: &Entry) -> bool {
    ["main", "variables"].contains(&entry.section.as_str())
}

/// The names of an `include=`.
pub(super) fn names(value: &str) -> impl Iterator<Item = &str> {
    value.split([' ', ',', ';']).filter(|name| !name.is_empty())
}

/// Words of a command line: a blank in quotes or in `${…}` holds a word together.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut depth, mut before) = (false, 0_u32, ' ');
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' if before == '$' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_whitespace() && !quoted && depth == 0 {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(c);
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A text of a profile with its variables in it. `Err`: what is not known, and what to do.
pub(super) fn expanded(text: &str, profile: usize, all: &[Profile]) -> Result<String, String> {
    expand(text, profile, all, 0)
}

fn expand(text: &str, profile: usize, all: &[Profile], depth: usize) -> Result<String, String> {
    if depth > MAX_DEPTH {
        return Err("its variables name each other in a circle".to_owned());
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        // `\${` is a text.
        if let Some(before) = before.strip_suffix('\\') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            return Err("a ${ is not closed".to_owned());
        };
        if let Some((kind, _)) = name.split_once(':') {
            let what = if kind == "f" { "a function of TuneD's" } else { "a variable of TuneD's own" };
            return Err(format!("${{{name}… is {what}: what comes of it is only known on the node"));
        }
        out.push_str(&expand(value(name, profile, all)?, profile, all, depth + 1)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// A variable's value for a profile. Who includes it has the last word, then it itself, then what it includes, then what is included
/// beside it.
fn value<'a>(name: &str, profile: usize, all: &'a [Profile]) -> Result<&'a str, String> {
    let below = |from| reach(from, all, &|one, other| all[one].includes().any(|include| all[other].is(include)));
    let above = reach(profile, all, &|one, other| all[other].includes().any(|include| all[one].is(include)));
    let one_of = |mut said: Vec<&'a str>| {
        said.sort_unstable();
        said.dedup();
        match said[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(format!("${{{name}}} is {}, by which profile is in force", said.join(" or "))),
        }
    };
    let first = |mut profiles: std::vec::IntoIter<usize>| profiles.find_map(|index| all[index].value(name));
    let own = [vec![profile], below(profile)].concat();
    let found = match one_of(above.iter().filter_map(|index| all[*index].value(name)).collect())? {
        Some(last_word) => Some(last_word),
        None => match first(own.into_iter()) {
            Some(own) => Some(own),
            None => one_of(above.iter().filter_map(|index| first(below(*index).into_iter())).collect())?,
        },
    };
    found.ok_or_else(|| format!("${{{name}}} is set in no file given: import the file that sets it, too"))
}

/// The profiles that are reached from one, the nearest first.
fn reach(from: usize, all: &[Profile], leads: &dyn Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut found = vec![from];
    let mut at = 0;
    while let Some(one) = found.get(at).copied().filter(|_| found.len() <= all.len()) {
        let next: Vec<usize> = (0..all.len()).filter(|other| !found.contains(other) && leads(one, *other)).collect();
        found.extend(next);
        at += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::read::ini::entries;

    fn profile(name: &str, text: &str) -> Profile {
        Profile { name: name.to_owned(), place: Place::file(name), entries: entries(text).unwrap(), is_file: false }
    }

    #[test]
    fn who_includes_has_the_last_word() {
        let file = Profile { is_file: true, ..profile("x-variables.conf", "[variables]\nc=file\n") };
        let all = [
            profile("base", "[main]\ninclude=lost\n[variables]\na=base\nb=base\nloop=${loop}\n"),
            profile("mine", "[main]\ninclude=base\n[variables]\ninclude=/etc/tuned/x-variables.conf\na=mine\n"),
            file,
        ];
        for (text, profile, expected) in [
            ("${a} ${b}", 0, Ok("mine base")),
            ("${a} ${b} ${c}", 1, Ok("mine base file")),
            ("x\\${a}", 0, Ok("x${a}")),
            ("${c}", 0, Ok("file")),
            ("${d}", 0, Err("${d} is set in no file given")),
            ("${loop}", 1, Err("circle")),
            ("${a", 1, Err("not closed")),
            ("${f:x:${a}}", 1, Err("a function of TuneD's")),
            ("${i:PROFILE_DIR}", 1, Err("of TuneD's own")),
        ] {
            match (expanded(text, profile, &all), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn two_that_include_it_may_differ() {
        let including = |name: &str, a: &str| profile(name, &format!("[main]\ninclude=base\n[variables]\na={a}\n"));
        let all = [profile("base", "[variables]\na=1\n"), including("x", "2"), including("y", "3")];
        assert!(expanded("${a}", 0, &all).unwrap_err().contains("2 or 3"));
        assert_eq!(expanded("${a}", 1, &all).unwrap(), "2");
    }

    #[test]
    fn words_hold_together() {
        assert_eq!(split(" a=${f:x:b c}  d=\"e f\" "), ["a=${f:x:b c}", "d=\"e f\""]);
    }
}
