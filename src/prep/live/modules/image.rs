//! A module's file: what it says of itself, unpacked where it is packed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::named;
use super::place::real;
use crate::host::Root;
use crate::prep::trouble::Trouble;

/// The largest modules (nouveau, amdgpu with debug symbols) have some ten MiB; NVIDIA's some fifty.
const LARGEST: u64 = 256 << 20;

/// A module's file.
#[derive(Debug)]
pub(crate) struct Image {
    path: PathBuf,
    packed: bool,
    bytes: Vec<u8>,
}

impl Image {
    /// Reads and unpacks a file of the host's.
    pub(crate) fn read(root: &Root, below: &Path) -> Result<Self, Trouble> {
        let failed = |error: io::Error| Trouble::io(format_args!("cannot read module {}", below.display()), &error);
        let path = real(root, below).map_err(failed)?;
        let mut raw = Vec::new();
        File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut raw)).map_err(failed)?;
        match unpack(&raw).map_err(failed)? {
            Some(bytes) => Ok(Self { path, packed: true, bytes }),
            None if raw.len() as u64 > LARGEST => Err(failed(too_large())),
            None => Ok(Self { path, packed: false, bytes: raw }),
        }
    }

    /// Whose file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is compressed.
    pub(crate) fn is_packed(&self) -> bool {
        self.packed
    }

    /// What `init_module` takes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A line of its `.modinfo`: `vermagic`, `srcversion`. They are texts with a NUL before and after, and nothing else in a module has
    /// this form at a place where a text begins.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let start = format!("{name}=");
        let line = self.bytes.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(start.as_bytes()))?;
        Some(String::from_utf8_lossy(line).trim().to_owned())
    }

    /// The modules it has to find loaded.
    pub(crate) fn needs(&self) -> Vec<String> {
        let needs = self.field("depends").unwrap_or_default();
        needs.split(',').filter(|name| !name.is_empty()).map(named).collect()
    }

    /// Whether a note that the kernel shows of a loaded module (its build id) is in here.
    pub(crate) fn has(&self, note: &[u8]) -> bool {
        !note.is_empty() && self.bytes.windows(note.len()).any(|window| window == note)
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {} MiB", LARGEST >> 20))
}

/// The bytes within, by the file's first bytes; `None` if it is not packed.
fn unpack(raw: &[u8]) -> io::Result<Option<Vec<u8>>> {
    fn whole(reader: impl Read) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST { Err(too_large()) } else { Ok(Some(bytes)) }
    }
    match raw {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => whole(lzma_rust2::XzReader::new(raw, true)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            whole(ruzstd::decoding::StreamingDecoder::new(raw).map_err(|error| io::Error::other(error.to_string()))?)
        }
        [0x1f, 0x8b, ..] => whole(flate2::read::GzDecoder::new(raw)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn what_a_module_says_of_itself() {
        let bytes = b"\x7fELF\0\0license=GPL\0depends=vfio,snd-hda\0vermagic=6.12 SMP \0depends\0".to_vec();
        let image = Image { path: PathBuf::new(), packed: false, bytes };
        assert_eq!(image.needs(), ["vfio", "snd_hda"]);
        assert_eq!(image.field("vermagic").unwrap(), "6.12 SMP");
        assert_eq!(image.field("srcversion"), None);
        assert!(image.has(b"GPL") && !image.has(b"LGPL") && !image.has(b""));
    }

    #[test]
    fn every_packing_that_distributions_use_is_unpacked() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("module.ko");
        std::fs::write(&path, &text).unwrap();
        let packers: [&[&str]; 3] = [&["xz", "--check=crc32", "-c"], &["gzip", "-c"], &["zstd", "-q", "-19", "-c"]];
        let mut tried = 0;
        for packer in packers {
            let command = Command::new(packer[0]).args(&packer[1..]).arg(&path).stderr(Stdio::null()).output();
            // A machine without the tool cannot try it; xz and gzip are everywhere.
            let Ok(output) = command else { continue };
            assert!(unpack(&output.stdout).unwrap().unwrap() == text, "{packer:?}");
            tried += 1;
        }
        assert!(tried >= 2);
        assert_eq!(unpack(b"\x7fELF").unwrap(), None);
        assert!(unpack(b"\xfd7zXZ\0broken").is_err());
    }
}
