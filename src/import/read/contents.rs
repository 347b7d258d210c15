//! What a file of Ignition holds: data URLs (RFC 2397), packed with gzip or not.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::MAX_TEXT;

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoText {
    /// What is wrong, and what to write instead.
    Wrong(String),
    /// It is as it should be, and not for us to read: why.
    Unread(String),
}

impl From<String> for NoText {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

/// A data URL to text.
pub(super) fn text(source: &str, compression: Option<&str>) -> Result<String, NoText> {
    // RFC 3986: schemes are written in any case.
    let is_data = source.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if !source.is_empty() && !is_data {
        let scheme: String = source.split(':').next().unwrap_or_default().chars().take(20).collect();
        return Err(NoText::Unread(format!("it is fetched from {scheme}:… at boot: import that file, too")));
    }
    let bytes = unpacked(data(source)?, compression)?;
    String::from_utf8(bytes).map_err(|_| NoText::Unread("it is no text, and only texts are read".to_owned()))
}

fn data(source: &str) -> Result<Vec<u8>, String> {
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let rest = source.get(5..).unwrap_or_default();
    let Some((kind, content)) = rest.split_once(',') else {
        return Err("the data URL has no comma before its data: write data:,… or data:;base64,…".to_owned());
    };
    let bytes = percent(content)?;
    if !kind.split(';').any(|word| word.trim().eq_ignore_ascii_case("base64")) {
        return Ok(bytes);
    }
    let packed: Vec<u8> = bytes.into_iter().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD
        .decode(&packed)
        .or_else(|_| URL_SAFE.decode(&packed))
        .map_err(|error| format!("the data is not base64 ({error}): write data:;base64,… with whole groups of four"))
}

/// `%20` to a blank.
fn percent(content: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(content.len());
    let mut bytes = content.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("a % without two hexadecimal digits: write %25 for a % itself".to_owned());
        };
        out.push(high << 4 | low);
    }
    Ok(out)
}

fn unpacked(bytes: Vec<u8>, compression: Option<&str>) -> Result<Vec<u8>, String> {
    match compression {
        None | Some("" | "null") => Ok(bytes),
        Some("gzip") => {
            let mut out = Vec::new();
            let most = MAX_TEXT as u64;
            let read = flate2::read::MultiGzDecoder::new(&bytes[..]).take(most + 1).read_to_end(&mut out);
            if let Err(error) = read {
                return Err(format!(
                    "compression is gzip, and the data is not ({error}): leave compression out or pack the data"
                ));
            }
            if out.len() > MAX_TEXT {
                return Err(format!("unpacked it is more than {MAX_TEXT} bytes: no file of a boot has so much"));
            }
            Ok(out)
        }
        Some(other) => Err(format!("compression {other:?} is not known: gzip, or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls() {
        for (source, compression, expected) in [
            ("", None, Ok("")),
            ("data:,a%20b%0A", None, Ok("a b\n")),
            ("data:text/plain;charset=utf-8;base64,b3B0aW9ucw==", None, Ok("options")),
            ("data:text/plain;charset=utf-8;base64,b3B0aW9\nucw==", None, Ok("options")),
            ("data:;base64,H4sIAAAAAAAAA8svKMnMzysGAFCtXaYHAAAA", Some("gzip"), Err("not")),
            ("data:;base64,b3B0aW9ucw=", None, Err("base64")),
            ("data:,100%", None, Err("%25")),
            ("data:no-comma", None, Err("comma")),
            ("https://example.com/x", None, Err("https:…")),
            ("data:,x", Some("gzip"), Err("gzip")),
            ("data:,x", Some("xz"), Err("xz")),
            ("data:,%ff", None, Err("no text")),
            ("DATA:;BASE64,b3B0aW9ucw==", None, Ok("options")),
        ] {
            match (text(source, compression), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{source}"),
                (Err(NoText::Wrong(why) | NoText::Unread(why)), Err(part)) => {
                    assert!(why.contains(part), "{source}: {why}")
                }
                // A sum that is wrong is told, too.
                (got, expected) => panic!("{source}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn gzip_has_an_end() {
        use std::io::Write as _;
        let pack = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packer.write_all(text).unwrap();
            format!("data:;base64,{}", STANDARD.encode(packer.finish().unwrap()))
        };
        assert_eq!(text(&pack(b"hello"), Some("gzip")).unwrap(), "hello");
        assert!(
            matches!(text(&pack(&vec![b'x'; MAX_TEXT + 1]), Some("gzip")), Err(NoText::Wrong(why)) if why.contains("more than"))
        );
    }
}
