//! Which of cloud-init's forms a user data has.

use super::error::CloudInitError;

/// How far cloud-init looks for the header of a MIME message.
const MIME_WINDOW: usize = 4096;

/// The beginnings cloud-init knows, the longer before those they begin with, and the type of the part.
const HEADERS: [(&str, &str); 11] = [
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#cloud-config", "text/cloud-config"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#part-handler", "text/part-handler"),
    // Known to old releases only; newer ones say that they do not, as they would without us.
    ("#upstart-job", "text/upstart-job"),
    ("## template: jinja", "text/jinja2"),
    ("#!", "text/x-shellscript"),
    ("\u{feff}", "text/plain"),
];

/// A form of user data, as far as it matters for putting it into a multi-part message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing, or white space only.
    Empty,
    /// A single text of this type.
    Text(&'static str),
    /// A MIME message of one part: headers, an empty line, a body.
    Message,
    /// A MIME message of several parts.
    Multipart,
}

impl Form {
    /// The form of a user data; an error if cloud-init would not read it.
    pub(super) fn of(user_data: &[u8]) -> Result<Self, CloudInitError> {
        // cloud-init would unpack a compressed part of a message, but not take apart a message of several parts inside it.
        if Self::is_compressed(user_data) {
            return Err(CloudInitError::Compressed);
        }
        let text = str::from_utf8(user_data).map_err(|_| CloudInitError::NotText)?;
        if let Some(form) = message(text) {
            return Ok(form);
        }
        let start = text.trim_start();
        if start.is_empty() {
            return Ok(Self::Empty);
        }
        let has = |header: &str| start.get(..header.len()).is_some_and(|s| s.eq_ignore_ascii_case(header));
        // Not cloud-init's, though it begins with one of its headers for everything that does.
        if has("#ps1") || has("rem cmd") || has("<powershell>") {
            return Err(CloudInitError::NotCloudInit("a script for Windows"));
        }
        if start.starts_with('{') && start.contains("\"ignition\"") {
            return Err(CloudInitError::NotCloudInit("an Ignition config"));
        }
        match HEADERS.iter().find(|(header, _)| has(header)) {
            Some(("#cloud-config", _)) if bootcmd_is_no_list(start) => Err(CloudInitError::BootcmdIsNoList),
            Some((_, kind)) => Ok(Self::Text(kind)),
            None => Err(CloudInitError::UnknownForm),
        }
    }
}

impl Form {
    /// Whether this is gzip, as it was or as Go's JSON leaves it.
    pub(super) fn is_compressed(user_data: &[u8]) -> bool {
        user_data.starts_with(&[0x1f, 0x8b]) || user_data.starts_with("\u{1f}\u{fffd}".as_bytes())
    }
}

/// Whether a text begins with the headers of a MIME message, as cloud-init sees it.
fn message(text: &str) -> Option<Form> {
    let mut form = None;
    let mut multipart = false;
    let mut read = 0;
    for line in text.split_inclusive('\n') {
        if read >= MIME_WINDOW {
            break;
        }
        let first = read == 0;
        read += line.len();
        if line.starts_with([' ', '\t']) && !first || first && line.starts_with("From ") {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            break;
        }
        match name.to_ascii_lowercase().as_str() {
            "mime-version" => form = Some(Form::Message),
            "content-type" => multipart = value.trim_start().to_ascii_lowercase().starts_with("multipart/"),
            _ => {}
        }
    }
    form.map(|form| if multipart { Form::Multipart } else { form })
}

/// `bootcmd:` with nothing, or something else than a list, under it. A text our parser does not understand gets the benefit of the doubt.
fn bootcmd_is_no_list(text: &str) -> bool {
    let Ok(value) = serde_saphyr::from_str::<serde_json::Value>(text) else {
        return false;
    };
    value.get("bootcmd").is_some_and(|value| !value.is_array())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_known() {
        let cases: [(&str, Result<Form, CloudInitError>); 24] = [
            ("", Ok(Form::Empty)),
            (" \n\r\n", Ok(Form::Empty)),
            ("#cloud-config\n{}", Ok(Form::Text("text/cloud-config"))),
            ("#cloud-config\r\nusers: []\r\n", Ok(Form::Text("text/cloud-config"))),
            ("\n\n#Cloud-Config\n", Ok(Form::Text("text/cloud-config"))),
            ("#cloud-config-archive\n- x", Ok(Form::Text("text/cloud-config-archive"))),
            ("#cloud-config-jsonp\n[]", Ok(Form::Text("text/cloud-config-jsonp"))),
            ("#include\nfile:///x", Ok(Form::Text("text/x-include-url"))),
            ("#include-once\nfile:///x", Ok(Form::Text("text/x-include-once-url"))),
            ("#cloud-boothook\n#!/bin/sh\n", Ok(Form::Text("text/cloud-boothook"))),
            ("#part-handler\n", Ok(Form::Text("text/part-handler"))),
            ("## template: jinja\n#cloud-config\n", Ok(Form::Text("text/jinja2"))),
            ("#!/bin/sh\necho MIME-Version: 1.0\n", Ok(Form::Text("text/x-shellscript"))),
            ("\u{feff}#cloud-config\n", Ok(Form::Text("text/plain"))),
            ("MIME-Version: 1.0\nContent-Type: text/cloud-config\n\n#cloud-config\n", Ok(Form::Message)),
            ("Content-Type: multipart/mixed;\n boundary=x\nmime-version: 1.0\n\n--x--\n", Ok(Form::Multipart)),
            ("From me Mon\r\nMIME-Version: 1.0\r\nContent-Type: Multipart/mixed\r\n\r\n", Ok(Form::Multipart)),
            ("Content-Type: multipart/mixed; boundary=x\n\n--x--\n", Err(CloudInitError::UnknownForm)),
            ("{\"ignition\": {}}", Err(CloudInitError::NotCloudInit("an Ignition config"))),
            ("#ps1_sysnative\n", Err(CloudInitError::NotCloudInit("a script for Windows"))),
            ("\u{1f}\u{fffd}\u{8}", Err(CloudInitError::Compressed)),
            ("version: v1alpha1\nmachine: {}\n", Err(CloudInitError::UnknownForm)),
            ("#cloud-config\nbootcmd:\n# - true\n", Err(CloudInitError::BootcmdIsNoList)),
            ("#cloud-config\nbootcmd: [[a]]\n", Ok(Form::Text("text/cloud-config"))),
        ];
        for (text, form) in cases {
            assert_eq!(Form::of(text.as_bytes()), form, "{text:?}");
        }
        assert_eq!(Form::of(&[0x1f, 0x8b, 8]), Err(CloudInitError::Compressed));
        assert_eq!(Form::of(b"#!/bin/sh\n\xff"), Err(CloudInitError::NotText));
    }
}
