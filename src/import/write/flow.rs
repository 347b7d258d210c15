//! Values in YAML's flow style, as short as they may be and never something else than they are.

use serde_json::Value;

/// A value: `{stop: chronyd.service, maxHold: 12h}`.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}: {}", word(key), flow(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

/// A map with one key, as the items of a list are: `module: {load: vfio_pci}`.
pub(in crate::import) fn entry(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}: {}", word(key), flow(value))).collect();
            fields.join(", ")
        }
        other => flow(other),
    }
}

/// A text without quotes if it can be nothing else.
fn word(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    // `on` and `off` are the words of our own documents, and words they are in YAML 1.2.
    // A number with a unit: `2Mi`, `12h`.
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let quantity = unit.len() < text.len() && ["Ki", "Mi", "Gi", "Ti", "h", "m", "s", "d"].contains(&unit);
    if plain || quantity || text == "on" || text == "off" {
        return text.to_owned();
    }
    // JSON's way to write a text is one of YAML's.
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_might_be_something_else_is_quoted() {
        for (text, written) in [
            ("nvidia.com/gpu", "nvidia.com/gpu"),
            ("10de", "\"10de\""),
            ("0000:0a:00.0", "\"0000:0a:00.0\""),
            ("true", "\"true\""),
            ("1e84", "\"1e84\""),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("*", "\"*\""),
            ("on", "on"),
            ("12h", "12h"),
            ("2Mi", "2Mi"),
            ("1e5", "\"1e5\""),
            ("h", "h"),
        ] {
            assert_eq!(word(text), written);
        }
    }
}
