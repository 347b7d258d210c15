//! Elements of a picture. All foreign text goes through here, and is escaped.

use crate::base::shown;

/// Elements as they are drawn, the first at the back.
#[derive(Debug, Default)]
pub(super) struct Pen(Vec<String>);

/// A place among the elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

impl Pen {
    /// A text with its left end at a place.
    pub(super) fn text(&mut self, x: u32, y: u32, class: &str, text: &str) {
        self.0.push(format!("<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(text)));
    }

    /// A text with its right end at a place.
    pub(super) fn text_right(&mut self, x: u32, y: u32, class: &str, text: &str) {
        let text = escaped(text);
        self.0.push(format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\" class=\"{class}\">{text}</text>"));
    }

    /// A box with round corners.
    pub(super) fn rect(&mut self, x: u32, y: u32, width: u32, height: u32, round: u32, class: &str) {
        self.0.push(rect(x, y, width, height, round, class));
    }

    /// A box behind everything that was drawn since a mark.
    #[allow(clippy::too_many_arguments, reason = "a box has four sides, a shape and a class")]
    pub(super) fn rect_at(&mut self, mark: Mark, x: u32, y: u32, width: u32, height: u32, round: u32, class: &str) {
        self.0.insert(mark.0.min(self.0.len()), rect(x, y, width, height, round, class));
    }

    /// Begins a part with a text that shows when a pointer rests on it.
    pub(super) fn begin(&mut self, title: &str) {
        self.0.push(format!("<g><title>{}</title>", escaped(title)));
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.0.push("</g>".to_owned());
    }

    /// Where we are.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.0.len())
    }

    /// All elements, a line each.
    pub(super) fn finish(self) -> String {
        self.0.into_iter().map(|element| element + "\n").collect()
    }
}

fn rect(x: u32, y: u32, width: u32, height: u32, round: u32, class: &str) -> String {
    format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\" class=\"{class}\"/>")
}

/// A text in a document: what steers and what XML reserves or forbids is not in it as such.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in shown(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// About how wide a text is, in letters of this size: nobody measures fonts here, so places for texts are generous.
pub(super) fn width(text: &str, size: u32) -> u32 {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    letters.saturating_mul(size).saturating_mul(11) / 20
}

/// At most so many letters, the last one a dot of three if some are left out.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// A text in at most so many lines of so many letters each, broken at blanks.
pub(super) fn broken(text: &str, letters: usize, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let begin = match out.last() {
            None => true,
            Some(line) => out.len() < lines && line.chars().count() + 1 + word.chars().count() > letters,
        };
        match out.last_mut() {
            Some(line) if !begin => {
                line.push(' ');
                line.push_str(word);
            }
            _ => out.push(word.to_owned()),
        }
    }
    out.iter().map(|line| short(line, letters)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Pen, broken, short};

    #[test]
    fn foreign_text_is_text() {
        let mut pen = Pen::default();
        pen.text(1, 2, "t", "<script>&\"\u{1b}\u{ffff}");
        let drawn = pen.finish();
        assert!(drawn.contains("&lt;script&gt;&amp;&quot;\\u{1b}\u{fffd}</text>"), "{drawn}");
    }

    #[test]
    fn lines_and_letters() {
        assert_eq!(broken("one two three four", 8, 2), ["one two", "three f…"]);
        assert_eq!(broken("", 8, 2), Vec::<String>::new());
        assert_eq!(short("nvidia-vgpu-vfio", 10), "nvidia-vg…");
    }
}
