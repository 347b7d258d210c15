//! The lines of mountinfo.

use std::path::PathBuf;

use super::device::DevT;

/// One line of `/proc/<pid>/mountinfo` (kernel: filesystems/proc.rst, 3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountLine {
    /// `st_dev` of the files on it; major 0 for a file system without a device, btrfs and ZFS included.
    pub(super) number: DevT,
    /// The folder of the file system that is mounted.
    pub(super) root: String,
    /// Where.
    pub(super) at: PathBuf,
    /// Type of the file system.
    pub(super) fs: String,
    /// What was given as source: a device, a dataset, anything.
    pub(super) source: String,
}

/// The mounts in a text; a line of another shape is skipped.
pub(super) fn parse(text: &str) -> impl Iterator<Item = MountLine> {
    text.lines().filter_map(line)
}

fn line(line: &str) -> Option<MountLine> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ');
    let number = DevT::parse(place.nth(2)?)?;
    let (root, at) = (unescape(place.next()?), unescape(place.next()?));
    let mut what = what.split(' ');
    let (fs, source) = (unescape(what.next()?), unescape(what.next()?));
    Some(MountLine { number, root, at: at.into(), fs, source })
}

/// Undoes the kernel's octal escapes of blank, tab, newline, backslash and number sign (kernel: fs/seq_file.c, mangle_path).
pub(super) fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_and_without_optional_fields() {
        let text = "36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                    22 27 0:21 / /proc rw,relatime - proc proc rw\nnonsense\n";
        let mounts: Vec<MountLine> = parse(text).collect();
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].number, DevT { major: 98, minor: 0 });
        assert_eq!((mounts[0].at.to_str(), mounts[0].root.as_str()), (Some("/a b\\c"), "/mnt1"));
        assert_eq!((mounts[0].fs.as_str(), mounts[0].source.as_str()), ("ext3", "/dev/root"));
        assert_eq!(mounts[1].fs, "proc");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescape("\\9a\\04"), "\\9a\\04");
        assert_eq!(unescape("\\040(deleted)"), " (deleted)");
    }
}
