//! Foreign text in a message: on one line, without anything that steers a terminal or hides what is there, and not endless.

use std::borrow::Cow;

/// Longest message that is shown, in characters.
const LONGEST: usize = 2000;

/// A message as it may be shown: control and format characters (terminal escapes, line breaks, text direction) are escaped, and what
/// goes beyond 2000 characters is cut.
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST && !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        if steers(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Control characters (Cc), format characters (Cf) and the two line breaks of Unicode.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{180e}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0001}' | '\u{e0020}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_steers_is_escaped_and_the_rest_left() {
        assert_eq!(shown("é \"x\" \u{1f600}"), "é \"x\" \u{1f600}");
        assert_eq!(shown("a\u{1b}[2J\nb\u{202e}c\u{2028}"), "a\\u{1b}[2J\\nb\\u{202e}c\\u{2028}");
        assert_eq!(shown(&"x".repeat(5000)).chars().count(), 2001);
    }
}
