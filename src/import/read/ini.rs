//! Sections of `key=value` lines, as systemd and TuneD write them.

/// A line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// From 1.
    pub line: u64,
    /// The section, without brackets.
    pub section: String,
    /// Before the `=`.
    pub key: String,
    /// Behind it; a line that ends in `\` goes on.
    pub value: String,
}

/// All lines. `Err`: the line and what is wrong.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, (u64, String)> {
    let mut out: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut goes_on = false;
    for (line, text) in (1..).zip(text.lines()) {
        let trimmed = text.trim();
        if goes_on {
            if trimmed.starts_with(['#', ';']) {
                continue;
            }
            goes_on = trimmed.ends_with('\\');
            if let Some(entry) = out.last_mut() {
                entry.value.push(' ');
                entry.value.push_str(trimmed.trim_end_matches('\\').trim());
            }
            continue;
        }
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let Some((key, value)) = trimmed.split_once('=') else {
            return Err((line, format!("{:?} is neither [section] nor key=value", shorten(trimmed))));
        };
        if section.is_empty() {
            return Err((line, format!("{:?} stands before the first [section]", shorten(trimmed))));
        }
        goes_on = value.ends_with('\\');
        let value = value.trim_end_matches('\\').trim().to_owned();
        out.push(Entry { line, section: section.clone(), key: key.trim().to_owned(), value });
    }
    Ok(out)
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
