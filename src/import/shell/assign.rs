//! Files that only set variables, in the shell's own words.

use super::lexer::{Piece, Word, commands};

/// A variable that is set at the left margin of a file, as `/etc/default/grub` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) struct Assigned {
    /// Its line, from 1.
    pub line: u64,
    /// Its name.
    pub name: String,
    /// Whether it is added to what was there (`+=`).
    pub adds: bool,
    /// Its value, piece by piece: a text, or the name of a variable.
    pub value: Vec<Result<String, String>>,
}

impl Assigned {
    /// Whether what was there is a part of it.
    pub(in crate::import) fn keeps(&self) -> bool {
        self.adds || self.value.iter().any(|piece| piece.as_ref().is_err_and(|name| *name == self.name))
    }
}

/// A line from 1, and what is said of it.
type Line = (u64, String);

/// The assignments of a text, and the lines that are none. `Err`: the line, and what is not closed.
pub(in crate::import) fn assignments(text: &str) -> Result<(Vec<Assigned>, Vec<Line>), Line> {
    let (mut all, mut others) = (Vec::new(), Vec::new());
    for command in commands(text).map_err(|unclosed| (unclosed.line, unclosed.to_string()))? {
        let leads = |word: &Word| matches!(&word[..], [Piece::Text(text, false)] if ["export", "then", "else"].contains(&text.as_str()));
        let words: Vec<&Word> = command.words.iter().skip_while(|word| leads(word)).collect();
        let count = all.len();
        for word in &words {
            let Some((Piece::Text(text, false), rest)) = word.split_first() else { break };
            let Some((name, value)) = text.split_once('=') else { break };
            let mut pieces = vec![Ok(value.to_owned())];
            pieces.extend(rest.iter().map(|piece| match piece {
                Piece::Text(text, _) => Ok(text.clone()),
                Piece::Variable(name, ..) => Err(name.clone()),
                Piece::Open | Piece::Array(_) => Err("(…)".to_owned()),
            }));
            let adds = name.ends_with('+');
            let name = name.trim_end_matches('+').to_owned();
            all.push(Assigned { line: command.line, name, adds, value: pieces });
        }
        if all.len() == count || all.len() - count < words.len() {
            others.push((command.line, command.said));
        }
    }
    Ok((all, others))
}
