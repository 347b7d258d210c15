//! Words with braces, and the words they become.

use super::lexer::{Piece, Word};
use super::run::MAX_WORDS;

/// How many braces of one word are followed.
const MOST: usize = 8;

/// `a{b,c}` and `a{1..3}`, without quotes, as the words it becomes (bash(1), "Brace Expansion").
pub(super) fn braces(word: &Word) -> Option<Vec<Word>> {
    let many = word.iter().filter_map(|piece| if let Piece::Text(text, false) = piece { Some(text) } else { None });
    if many.map(|text| text.matches('{').count()).sum::<usize>() > MOST {
        return None;
    }
    let found = word.iter().enumerate().find_map(|(at, piece)| {
        let Piece::Text(text, false) = piece else { return None };
        let (before, rest) = text.split_once('{')?;
        let (inner, after) = rest.split_once('}')?;
        Some((at, before, alternatives(inner)?, after))
    });
    let (at, before, alternatives, after) = found?;
    let mut out: Vec<Word> = Vec::new();
    for one in alternatives {
        let mut word = word.clone();
        word[at] = Piece::Text(format!("{before}{one}{after}"), false);
        match braces(&word) {
            Some(words) => out.extend(words),
            None => out.push(word),
        }
        if out.len() > MAX_WORDS {
            break;
        }
    }
    Some(out)
}

/// What stands in a brace: a list, or a range of numbers.
fn alternatives(inner: &str) -> Option<Vec<String>> {
    if inner.contains(',') && !inner.contains('{') {
        return Some(inner.split(',').map(str::to_owned).collect());
    }
    let (first, last) = inner.split_once("..")?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && usize::from(last - first) < MAX_WORDS).then(|| (first..=last).map(|n| n.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_several() {
        for (text, expected) in [
            ("a{b,c}d", Some(vec!["abd", "acd"])),
            ("{1..3}", Some(vec!["1", "2", "3"])),
            ("{a,b}{1,2}", Some(vec!["a1", "a2", "b1", "b2"])),
            ("a{b}", None),
            ("{3..1}", None),
            ("{", None),
            ("}{", None),
            ("{0..65535}", None),
        ] {
            let words = braces(&vec![Piece::Text(text.to_owned(), false)]);
            let expected = expected.map(|all| {
                all.into_iter().map(|text| vec![Piece::Text(text.to_owned(), false)]).collect::<Vec<Word>>()
            });
            assert_eq!(words, expected, "{text}");
        }
        assert_eq!(braces(&vec![Piece::Text("{a,b}".to_owned(), true)]), None, "in quotes it is a text");
        let braces_in = |count| braces(&vec![Piece::Text("{0..9}".repeat(count), false)]);
        assert!(braces_in(MOST).is_some_and(|words| words.len() <= 2 * MAX_WORDS));
        assert_eq!(braces_in(1 << 16), None);
    }
}
