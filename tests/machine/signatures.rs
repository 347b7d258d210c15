use std::fs::{self, File};
use std::io::{Cursor, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Command;

use virt_tailor::host::signature::{Bears, signatures};

use crate::sparse;

const SIZE: u64 = 64 << 20;

/// Names of what a file bears.
fn names(path: &Path) -> Vec<&'static str> {
    let size = fs::metadata(path).unwrap().len();
    signatures(&mut File::open(path).unwrap(), size).unwrap().into_iter().map(|found| found.name).collect()
}

/// Writes bytes at an offset; a negative one counts from the end.
fn put(path: &Path, offset: i64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let from = if offset < 0 { SeekFrom::End(offset) } else { SeekFrom::Start(offset.unsigned_abs()) };
    file.seek(from).unwrap();
    file.write_all(bytes).unwrap();
}

/// Every mark by hand, with the offsets as their makers document them, apart from the table's.
#[test]
fn by_hand() {
    let magic = 0xa92b_4efc_u32;
    let cases: &[(&str, i64, &[u8])] = &[
        ("xfs", 0, b"XFSB"),
        ("btrfs", 65536 + 64, b"_BHRfS_M"),
        ("ext", 1024 + 56, &0xef53_u16.to_le_bytes()),
        ("f2fs", 1024, &0xf2f5_2010_u32.to_le_bytes()),
        ("squashfs", 0, &0x7371_7368_u32.to_le_bytes()),
        ("erofs", 1024, &0xe0f5_e1e2_u32.to_le_bytes()),
        ("iso9660", 16 * 2048 + 1, b"CD001"),
        ("udf", 17 * 2048 + 1, b"NSR02"),
        ("gfs2", 128 * 512, &0x0116_1970_u32.to_be_bytes()),
        ("ocfs2", 2 * 512, b"OCFSV2"),
        ("gpfs", 2 * 512, b"NSD descriptor for /dev/sdb created by GPFS"),
        ("apfs", 32, b"NXSB"),
        ("ntfs", 3, b"NTFS    "),
        ("exfat", 3, b"EXFAT   "),
        ("vfat", 0x52, b"FAT32   "),
        ("swap", 4096 - 10, b"SWAPSPACE2"),
        ("swap", 65536 - 10, b"SWAPSPACE2"),
        ("swsuspend", 4096 - 10, b"S1SUSPEND\0"),
        ("LVM2_member", 512 + 24, b"LVM2 001"),
        ("LVM2_member", 3 * 512 + 24, b"LVM2 001"),
        ("crypto_LUKS", 0, b"LUKS\xba\xbe\0\x01"),
        ("crypto_LUKS", 0x4000, b"SKUL\xba\xbe\0\x02"),
        ("BitLocker", 3, b"-FVE-FS-"),
        ("linux_raid_member", -65536, &magic.to_ne_bytes()),
        ("linux_raid_member", -8192, &magic.to_le_bytes()),
        ("linux_raid_member", 0, &magic.to_le_bytes()),
        ("linux_raid_member", 4096, &magic.to_le_bytes()),
        ("isw_raid_member", -1024, b"Intel Raid ISM Cfg Sig. 1.3.00"),
        ("ddf_raid_member", -512, &0xde11_de11_u32.to_be_bytes()),
        ("ceph_bluestore", 0, b"bluestore block device\nuuid"),
        ("vdo", 0, b"dmvdo001"),
        ("stratis", 512 + 4, b"!Stra0tis\x86\xff\x02^\x41rh"),
        ("drbd", -4096 + 60, &0x8374_026d_u32.to_be_bytes()),
        ("oracleasm", 32, b"ORCLDISK"),
        (
            "bcache",
            4096 + 24,
            &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf7, 0x7f, 0x48, 0xba, 0x6d, 0x81],
        ),
        ("zfs_member", 128 << 10, &0x00ba_b10c_u64.to_le_bytes()),
        ("zfs_member", (384 << 10) + 8 * 4096, &0x00ba_b10c_u64.to_be_bytes()),
        ("zfs_member", -(128 << 10), &0x00ba_b10c_u64.to_le_bytes()),
        ("zfs_member", -(384 << 10), &0x00ba_b10c_u64.to_le_bytes()),
        ("gpt", 512, b"EFI PART"),
        ("gpt", 4096, b"EFI PART"),
        ("gpt", -512, b"EFI PART"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (index, (name, offset, bytes)) in cases.iter().enumerate() {
        let path = sparse(folder.path(), &index.to_string(), SIZE);
        put(&path, *offset, bytes);
        assert_eq!(names(&path), [*name], "{name} at {offset}");
        // One byte further is something else.
        let path = sparse(folder.path(), "shifted", SIZE);
        put(&path, *offset + 1, bytes);
        if *name != "gpfs" {
            assert_eq!(names(&path), Vec::<&str>::new(), "{name} at {offset} + 1");
        }
    }
}

#[test]
fn sizes_that_are_no_multiple() {
    let folder = tempfile::tempdir().unwrap();
    // 3 sectors more than whole 256 KiB: ZFS and RAID 0.90 count down to whole pieces.
    let size = SIZE + 3 * 512;
    for (name, offset) in [("zfs_member", SIZE - (256 << 10) + (128 << 10)), ("linux_raid_member", SIZE - (64 << 10))] {
        let path = sparse(folder.path(), name, size);
        let bytes: &[u8] =
            if name == "zfs_member" { &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0] } else { &[0xfc, 0x4e, 0x2b, 0xa9] };
        put(&path, i64::try_from(offset).unwrap(), bytes);
        assert_eq!(names(&path), [name]);
    }
}

#[test]
fn a_partition_table_is_no_data_but_said() {
    let mut disk = vec![0; 4096];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(signatures(&mut Cursor::new(&disk), 4096).unwrap(), [], "an empty table");
    disk[446 + 4] = 0x83;
    let found = signatures(&mut Cursor::new(&disk), 4096).unwrap();
    assert_eq!((found.len(), found[0].name, found[0].bears), (1, "dos", Bears::PartitionTable));
    assert!(!found[0].is_data());
    disk[446] = 0x33;
    assert_eq!(signatures(&mut Cursor::new(&disk), 4096).unwrap(), [], "boot code that ends alike");
}

#[test]
fn several_at_once_and_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = sparse(folder.path(), "disk", SIZE);
    assert_eq!(names(&path), Vec::<&str>::new());
    put(&path, 4096 - 10, b"SWAPSPACE2");
    put(&path, 512, b"EFI PART");
    put(&path, -(128 << 10), &0x00ba_b10c_u64.to_le_bytes());
    assert_eq!(names(&path), ["gpt", "swap", "zfs_member"]);
}

#[test]
fn devices_of_any_size() {
    for size in [0_u64, 1, 511, 512, 4095, 4096, 65535, 65536, 262_144, 524_287] {
        let length = usize::try_from(size).unwrap();
        assert_eq!(signatures(&mut Cursor::new(vec![0xff; length]), size).unwrap(), [], "{size}");
        // Said to be longer than it is.
        assert_eq!(signatures(&mut Cursor::new(vec![0xff; length]), size + (1 << 30)).unwrap(), [], "{size} and more");
    }
}

/// What the makers' own tools write. A tool that is not installed is named, not passed over in silence.
#[test]
fn by_the_makers_own_tools() {
    let tools: &[(&str, &[&str], &str)] = &[
        ("mkfs.ext2", &["-q", "-F"], "ext"),
        ("mkfs.ext4", &["-q", "-F"], "ext"),
        ("mkfs.xfs", &["-q"], "xfs"),
        ("mkfs.btrfs", &["-q"], "btrfs"),
        ("mkfs.vfat", &[], "vfat"),
        ("mkfs.ntfs", &["-F", "-q"], "ntfs"),
        ("mkfs.exfat", &[], "exfat"),
        ("mkfs.f2fs", &["-q"], "f2fs"),
        ("mkfs.minix", &[], "minix"),
        ("mkswap", &["-q"], "swap"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut ran = Vec::new();
    for (tool, arguments, name) in tools {
        let path = sparse(folder.path(), tool, 512 << 20);
        match Command::new(tool).args(*arguments).arg(&path).output() {
            Ok(output) => {
                assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
                assert_eq!(names(&path), [*name], "{tool}");
                ran.push(*tool);
            }
            Err(error) => println!("{tool} did not run: {error}"),
        }
    }
    println!("ran: {}", ran.join(", "));
    // Every Linux has it.
    assert!(ran.contains(&"mkswap"));
}

/// libblkid agrees that there is something, wherever it knows the mark without a checksum.
#[test]
fn libblkid_says_the_same_of_what_it_checks_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let cases: &[(&str, i64, &[u8])] = &[
        ("crypto_LUKS", 0, b"LUKS\xba\xbe\0\x01"),
        ("DM_snapshot_cow", 0, b"SnAp"),
        ("ceph_bluestore", 0, b"bluestore block device"),
        ("VMFS_volume_member", 0x10_0000, b"\x0d\xd0\x01\xc0"),
        ("lsi_mega_raid_member", -512, b"$XIDE$"),
        ("nvidia_raid_member", -1024, b"NVIDIA  "),
        ("isw_raid_member", -1024, b"Intel Raid ISM Cfg Sig. 1.3.00"),
        ("drbd", -4096 + 60, &0x8374_026b_u32.to_be_bytes()),
        ("adaptec_raid_member", -512, b"\x37\xfc\x4d\x1e"),
    ];
    for (name, offset, bytes) in cases {
        let path = sparse(folder.path(), name, SIZE);
        put(&path, *offset, bytes);
        if *name == "adaptec_raid_member" {
            put(&path, -512 + 256, b"DPTM");
        }
        assert_eq!(names(&path), [*name]);
        match Command::new("blkid").args(["-p", "-o", "value", "-s", "TYPE"]).arg(&path).output() {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), *name),
            Err(error) => println!("blkid did not run: {error}"),
        }
    }
}
