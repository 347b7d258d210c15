//! Lines of at most 96 columns, without anything in them that steers a terminal.

use crate::base::shown;

/// Columns of a page: fits a terminal of 100, and a mail.
const WIDTH: usize = 96;

/// A page as it grows.
#[derive(Debug, Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    /// One line as it is, but for what steers.
    pub(super) fn line(&mut self, text: &str) {
        self.0.push_str(shown(text).trim_end());
        self.0.push('\n');
    }

    /// A heading, with an empty line before it.
    pub(super) fn heading(&mut self, text: &str) {
        self.line("");
        self.line(text);
    }

    /// A text behind `first`, broken at blanks; the lines after the first are indented by so many columns. A word that is longer than a
    /// line stays whole, so that it can be copied.
    pub(super) fn broken(&mut self, first: &str, indent: usize, text: &str) {
        let text = shown(text);
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = " ".repeat(indent);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn breaks_at_blanks_and_steers_nothing() {
        let mut page = Page::default();
        page.broken("  - ", 4, &format!("{} b\u{1b}[2J {}", "a".repeat(90), "c".repeat(120)));
        let lines: Vec<&str> = page.0.lines().collect();
        assert_eq!(
            lines,
            [format!("  - {}", "a".repeat(90)).as_str(), "    b\\u{1b}[2J", &format!("    {}", "c".repeat(120)),]
        );
    }
}
