//! The multi-part message around the user's data and ours, and the way back.
//!
//! A single text goes in as base64, so that no mail reader's idea of lines, character sets or boundaries can touch it. A MIME message
//! goes in whole, for a message is a part of a larger one as it stands: cloud-init walks through nested ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::CloudInitError;
use super::form::Form;

/// The header that says: ours. Its value says how the original stands in the first part.
const MARK: &str = "X-Virt-Tailor: ";
const BEGINNING: &str = "Content-Type: multipart/mixed; boundary=\"virt-tailor-";
/// The name of our part; also what its lines are called in cloud-init's log.
const FILE_NAME: &str = "virt-tailor.cfg";
/// A line of base64, as mail has it.
const LINE: usize = 76;

/// Puts the original and our part into one message.
pub(super) fn seal(original: &[u8], form: Form, part: &str) -> Result<String, CloudInitError> {
    let (kind, body) = match form {
        Form::Empty | Form::Text(_) => ("base64", encoded(original, form)),
        Form::Message | Form::Multipart => ("verbatim", verbatim(original, form)?),
    };
    let boundary = boundary(&body);
    let length = original.len();
    let mut message = format!("{BEGINNING}{boundary}\"\nMIME-Version: 1.0\n{MARK}{kind} {length}\n\n");
    let separator = format!("--virt-tailor-{boundary}");
    if !original.is_empty() {
        message.push_str(&format!("{separator}\n{body}"));
    }
    message.push_str(&format!(
        "{separator}\nContent-Type: text/cloud-config; charset=\"us-ascii\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\nContent-Disposition: attachment; filename=\"{FILE_NAME}\"\n\n{part}\n{separator}--\n"
    ));
    Ok(message)
}

fn encoded(original: &[u8], form: Form) -> String {
    let kind = match form {
        Form::Text(kind) => kind,
        _ => "text/plain",
    };
    let mut body = format!("Content-Type: {kind}\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n");
    for line in original.chunks(LINE / 4 * 3) {
        body.push_str(&BASE64.encode(line));
        body.push('\n');
    }
    body
}

/// The line end before a boundary belongs to the boundary: so one more is added. A message of several parts needs it only to end its
/// last line; if its own end is missing, the last part would get it.
fn verbatim(original: &[u8], form: Form) -> Result<String, CloudInitError> {
    let text = str::from_utf8(original).map_err(|_| CloudInitError::NotText)?;
    let ends = form == Form::Multipart && text.ends_with('\n');
    Ok(if ends { text.to_owned() } else { format!("{text}\n") })
}

/// The smallest number that makes a boundary which stands nowhere in the body.
fn boundary(body: &str) -> usize {
    let mut number = 0;
    while body.contains(&format!("--virt-tailor-{number}")) {
        number += 1;
    }
    number
}

/// The original, if this is a message of ours.
pub(super) fn open(user_data: &[u8]) -> Result<Option<Vec<u8>>, CloudInitError> {
    let Some(rest) = str::from_utf8(user_data).ok().and_then(|text| text.strip_prefix(BEGINNING)) else {
        return Ok(None);
    };
    // A message that only looks like ours could come from anywhere; one with our mark cannot.
    let Some((boundary, rest)) = rest.split_once("\"\nMIME-Version: 1.0\n") else {
        return Ok(None);
    };
    let Some(rest) = rest.strip_prefix(MARK) else {
        return Ok(None);
    };
    original(boundary, rest).map(Some).ok_or(CloudInitError::Edited)
}

fn original(boundary: &str, rest: &str) -> Option<Vec<u8>> {
    let (mark, rest) = rest.split_once("\n\n")?;
    let (kind, length) = mark.split_once(' ')?;
    let length: usize = length.parse().ok()?;
    let separator = format!("--virt-tailor-{boundary}\n");
    let original = if length == 0 {
        Vec::new()
    } else {
        let body = rest.strip_prefix(&separator)?;
        match kind {
            "base64" => {
                let (_, body) = body.split_once("\n\n")?;
                let (lines, _) = body.split_once("--")?;
                BASE64.decode(lines.replace('\n', "")).ok()?
            }
            "verbatim" => body.get(..length)?.as_bytes().to_vec(),
            _ => return None,
        }
    };
    // What we would not have sealed like this is not what we sealed; our own part may differ, it is about to be replaced.
    let sealed = seal(&original, Form::of(&original).ok()?, "").ok()?;
    let head = sealed.split_once("\nContent-Disposition: ")?.0;
    let given = format!("{BEGINNING}{boundary}\"\nMIME-Version: 1.0\n{MARK}{mark}\n\n{rest}");
    (original.len() == length && given.starts_with(head)).then_some(original)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_nowhere_in_the_data() {
        let text = "MIME-Version: 1.0\n\n--virt-tailor-0\n--virt-tailor-11\n";
        assert_eq!(boundary(text), 2);
        let sealed = seal(text.as_bytes(), Form::Message, "x").unwrap();
        assert_eq!(open(sealed.as_bytes()).unwrap().unwrap(), text.as_bytes());
    }

    #[test]
    fn what_was_edited_since_is_refused() {
        let sealed = seal(b"#!/bin/sh\ntrue\n", Form::Text("text/x-shellscript"), "x").unwrap();
        for (from, to) in
            [("base64 15", "base64 16"), ("x-shellscript", "x-shell"), ("IyEv", "IyE"), ("base64 15", "other 15")]
        {
            let edited = sealed.replacen(from, to, 1);
            assert_ne!(edited, sealed);
            assert_eq!(open(edited.as_bytes()), Err(CloudInitError::Edited), "{from}");
        }
        assert_eq!(open(sealed.replace(MARK, "X-Other: ").as_bytes()), Ok(None));
        assert_eq!(open(b"#!/bin/sh\n"), Ok(None));
    }
}
