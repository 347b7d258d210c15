//! What a disk or partition bears, by the marks that file systems, volume managers and RAID leave on it.

mod table;

use std::io::{self, Read, Seek, SeekFrom};

use table::{At, MARKS, Mark};

/// What a mark stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Bears {
    /// A file system.
    FileSystem,
    /// Swap space or a hibernated system.
    Swap,
    /// A part of a volume manager, of a pool or of a cache: LVM, ZFS, Ceph, VDO, bcache, DRBD.
    Volume,
    /// A member of a RAID.
    Raid,
    /// An encrypted volume.
    Encrypted,
    /// A partition table, alone no sign of data.
    PartitionTable,
}

/// A mark that was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// What it stands for.
    pub bears: Bears,
    /// Its name, as libblkid calls it.
    pub name: &'static str,
    /// Where the mark is, in bytes.
    pub offset: u64,
}

impl Signature {
    /// Whether it says that there is data: everything but a partition table.
    pub fn is_data(&self) -> bool {
        self.bears != Bears::PartitionTable
    }
}

/// All marks on a device of this size in bytes, each name once, by offset. Empty for a device that bears nothing known; it may hold data
/// all the same (a database or a virtual machine's disk writes without marks that we know).
///
/// Only marks are looked at, no checksums: in doubt there is data. Nothing but reading is done to the device, about 2 MiB of it.
///
/// # Errors
///
/// What the device says when it is read. A device shorter than it was said to be is no error.
pub fn signatures(device: &mut (impl Read + Seek), size: u64) -> io::Result<Vec<Signature>> {
    let mut device = Device { device, size };
    let mut found: Vec<Signature> = Vec::new();
    let mut add = |bears: Bears, name: &'static str, offset: u64| {
        if !found.iter().any(|other| other.name == name) {
            found.push(Signature { bears, name, offset });
        }
    };
    for Mark { bears, name, at, bytes } in MARKS {
        for offset in places(*at, size) {
            if device.has(offset, bytes)? {
                add(*bears, name, offset);
                break;
            }
        }
    }
    if let Some(offset) = device.zfs()? {
        add(Bears::Volume, "zfs_member", offset);
    }
    if let Some(offset) = device.drbd()? {
        add(Bears::Volume, "drbd", offset);
    }
    if let Some(offset) = device.gpfs()? {
        add(Bears::FileSystem, "gpfs", offset);
    }
    if device.mbr()? && !found.iter().any(|other| matches!(other.name, "vfat" | "ntfs" | "exfat" | "BitLocker")) {
        found.push(Signature { bears: Bears::PartitionTable, name: "dos", offset: 0x1fe });
    }
    found.sort_by_key(|signature| signature.offset);
    Ok(found)
}

/// The offsets a rule means on a device of this size. What lies outside is left out.
fn places(at: At, size: u64) -> Vec<u64> {
    let end = |back: u64| size.checked_sub(back).into_iter().collect();
    match at {
        At::Start(offset) => vec![offset],
        At::Starts(offsets) => offsets.to_vec(),
        At::End(back) => end(back),
        At::Ends(backs) => backs.iter().filter_map(|back| size.checked_sub(*back)).collect(),
        // kernel: include/linux/raid/md_p.h, MD_NEW_SIZE_SECTORS.
        At::Md090 => (size & !0xffff).checked_sub(0x1_0000).into_iter().collect(),
        // mdadm: super1.c: 8 KiB before the end, down to a multiple of 4 KiB.
        At::Md10 => size.checked_sub(0x2000).map(|offset| offset & !0xfff).into_iter().collect(),
    }
}

/// A device with its size.
struct Device<'a, D> {
    device: &'a mut D,
    size: u64,
}

impl<D: Read + Seek> Device<'_, D> {
    /// What stands at an offset; less than asked for at the end.
    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        if offset >= self.size {
            return Ok(Vec::new());
        }
        self.device.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        self.device.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn has(&mut self, offset: u64, mark: &[u8]) -> io::Result<bool> {
        Ok(self.read(offset, mark.len())? == mark)
    }

    /// ZFS: four labels of 256 KiB, two at the start and two at the end of the device cut to whole labels; in the second half of each a ring of
    /// uberblocks that begin with a number, in either byte order (OpenZFS: include/sys/vdev_impl.h, uberblock_impl.h).
    fn zfs(&mut self) -> io::Result<Option<u64>> {
        const LABEL: u64 = 256 << 10;
        const RING: usize = 128 << 10;
        const MAGIC: u64 = 0x00ba_b10c;
        let end = self.size / LABEL * LABEL;
        let labels = [Some(0), Some(LABEL), end.checked_sub(2 * LABEL), end.checked_sub(LABEL)];
        for label in labels.into_iter().flatten() {
            let start = label + LABEL / 2;
            let ring = self.read(start, RING)?;
            // The least distance of two uberblocks is 1 KiB (UBERBLOCK_SHIFT).
            let is = |block: &[u8]| block.starts_with(&MAGIC.to_le_bytes()) || block.starts_with(&MAGIC.to_be_bytes());
            if let Some(at) = ring.chunks(1024).position(is) {
                return Ok(Some(start + at as u64 * 1024));
            }
        }
        Ok(None)
    }

    /// DRBD with its notes inside: in the last 4 KiB, at byte 60 (libblkid: superblocks/drbd.c; 8, 8.4 not closed, 9).
    fn drbd(&mut self) -> io::Result<Option<u64>> {
        let Some(end) = (self.size & !0xfff).checked_sub(0x1000) else { return Ok(None) };
        let offset = end + 60;
        let bytes = self.read(offset, 4)?;
        let known = [0x8374_026b_u32, 0x8374_026c, 0x8374_026d];
        Ok(known.iter().any(|magic| bytes == magic.to_be_bytes()).then_some(offset))
    }

    /// GPFS before its disks had a partition table (NSD version 1): a sentence in sector 2. As it is reported, not from its source, which
    /// is closed.
    fn gpfs(&mut self) -> io::Result<Option<u64>> {
        let sector = self.read(0x400, 0x200)?;
        let words = b"NSD descriptor for";
        Ok(sector.windows(words.len()).position(|window| window == words).map(|at| 0x400 + at as u64))
    }

    /// A partition table of DOS: its mark alone also ends boot sectors of file systems, so the four entries have to look like such, and
    /// one has to be in use (libblkid: partitions/dos.c).
    fn mbr(&mut self) -> io::Result<bool> {
        let sector = self.read(0, 512)?;
        let (Some(entries), Some([0x55, 0xaa])) = (sector.get(446..510), sector.get(510..512)) else {
            return Ok(false);
        };
        let mut used = false;
        for entry in entries.chunks(16) {
            match entry {
                [0 | 0x80, _, _, _, kind, ..] => used |= *kind != 0,
                _ => return Ok(false),
            }
        }
        Ok(used)
    }
}
