//! The marks, after libblkid's (util-linux: libblkid/src/superblocks and libblkid/src/partitions; the file is named where it is not called like
//! the mark). Where libblkid asks for more than the mark, we do not: a false alarm can be acknowledged, lost data cannot.

use super::Bears::{self, Encrypted, FileSystem, PartitionTable, Raid, Swap, Volume};

/// A mark: name, place and bytes.
pub(super) struct Mark {
    pub(super) bears: Bears,
    pub(super) name: &'static str,
    pub(super) at: At,
    pub(super) bytes: &'static [u8],
}

/// Where a mark is, in bytes.
#[derive(Clone, Copy)]
pub(super) enum At {
    /// From the start.
    Start(u64),
    /// At one of these.
    Starts(&'static [u64]),
    /// Back from the end.
    End(u64),
    /// At one of these back from the end.
    Ends(&'static [u64]),
    /// Linux RAID 0.90: the last whole 64 KiB but one.
    Md090,
    /// Linux RAID 1.0: near the end.
    Md10,
}

const fn mark(bears: Bears, name: &'static str, at: At, bytes: &'static [u8]) -> Mark {
    Mark { bears, name, at, bytes }
}

/// Swap's mark ends the first page, and pages are 4 to 64 KiB.
const PAGE_ENDS: At = At::Starts(&[0xff6, 0x1ff6, 0x3ff6, 0x7ff6, 0xfff6]);
/// LVM's label is in one of the first four sectors, its type 24 bytes in.
const LVM_TYPES: At = At::Starts(&[0x18, 0x218, 0x418, 0x618]);
/// LUKS2's second header, at the sizes the first may have (luks.c).
const LUKS_SECONDS: At =
    At::Starts(&[0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000]);
/// UFS's superblock is at 0, 8, 64 or 256 KiB, its mark 0x55c in.
const UFS: At = At::Starts(&[0x55c, 0x255c, 0x1_055c, 0x4_055c]);
/// Volume descriptors of optical media: from 32 KiB, one each 2 KiB, the name at byte 1 (iso9660.c, udf.c).
const DESCRIPTORS: At = At::Starts(&[0x8001, 0x8801, 0x9001, 0x9801, 0xa001]);

pub(super) const MARKS: &[Mark] = &[
    mark(FileSystem, "ext", At::Start(0x438), b"\x53\xef"),
    mark(FileSystem, "xfs", At::Start(0), b"XFSB"),
    mark(FileSystem, "xfs_external_log", At::Start(0), b"\xfe\xed\xba\xbe"),
    mark(FileSystem, "btrfs", At::Start(0x1_0040), b"_BHRfS_M"),
    mark(FileSystem, "vfat", At::Start(0x52), b"FAT32   "),
    mark(FileSystem, "vfat", At::Start(0x36), b"FAT16   "),
    mark(FileSystem, "vfat", At::Start(0x36), b"FAT12   "),
    mark(FileSystem, "vfat", At::Starts(&[0x36, 0x52]), b"MSDOS"),
    mark(FileSystem, "vfat", At::Starts(&[0x36, 0x52]), b"MSWIN"),
    mark(FileSystem, "vfat", At::Starts(&[0x36, 0x52]), b"FAT     "),
    mark(FileSystem, "exfat", At::Start(3), b"EXFAT   "),
    mark(FileSystem, "ntfs", At::Start(3), b"NTFS    "),
    mark(FileSystem, "ReFS", At::Start(0), b"\0\0\0ReFS\0"),
    mark(FileSystem, "hpfs", At::Start(0x2000), b"\x49\xe8\x95\xf9"),
    mark(FileSystem, "f2fs", At::Start(0x400), b"\x10\x20\xf5\xf2"),
    mark(FileSystem, "nilfs2", At::Start(0x406), b"\x34\x34"),
    mark(FileSystem, "squashfs", At::Start(0), b"hsqs"),
    mark(FileSystem, "squashfs", At::Start(0), b"sqsh"),
    mark(FileSystem, "erofs", At::Start(0x400), b"\xe2\xe1\xf5\xe0"),
    mark(FileSystem, "cramfs", At::Start(0), b"\x45\x3d\xcd\x28"),
    mark(FileSystem, "cramfs", At::Start(0), b"\x28\xcd\x3d\x45"),
    mark(FileSystem, "romfs", At::Start(0), b"-rom1fs-"),
    mark(FileSystem, "iso9660", DESCRIPTORS, b"CD001"),
    mark(FileSystem, "iso9660", At::Start(0x8009), b"CDROM"),
    mark(FileSystem, "udf", DESCRIPTORS, b"NSR02"),
    mark(FileSystem, "udf", DESCRIPTORS, b"NSR03"),
    mark(FileSystem, "udf", DESCRIPTORS, b"BEA01"),
    mark(FileSystem, "jfs", At::Start(0x8000), b"JFS1"),
    mark(FileSystem, "reiserfs", At::Starts(&[0x2034, 0x1_0034]), b"ReIsErFs"),
    mark(FileSystem, "reiserfs", At::Start(0x1_0034), b"ReIsEr2Fs"),
    mark(FileSystem, "reiserfs", At::Start(0x1_0034), b"ReIsEr3Fs"),
    mark(FileSystem, "reiser4", At::Start(0x1_0000), b"ReIsEr4"),
    // gfs.c: one mark for GFS and GFS2.
    mark(FileSystem, "gfs2", At::Start(0x1_0000), b"\x01\x16\x19\x70"),
    mark(FileSystem, "ocfs2", At::Starts(&[0x400, 0x800, 0x1000, 0x2000]), b"OCFSV2"),
    mark(FileSystem, "ocfs", At::Start(0x2000), b"OracleCFS"),
    // bcache.c has both.
    mark(
        FileSystem,
        "bcachefs",
        At::Start(0x1018),
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    mark(FileSystem, "apfs", At::Start(0x20), b"NXSB"),
    mark(FileSystem, "hfsplus", At::Start(0x400), b"H+"),
    mark(FileSystem, "hfsplus", At::Start(0x400), b"HX"),
    mark(FileSystem, "hfs", At::Start(0x400), b"BD"),
    mark(FileSystem, "ufs", UFS, b"\x54\x19\x01\x00"),
    mark(FileSystem, "ufs", UFS, b"\x00\x01\x19\x54"),
    mark(FileSystem, "ufs", UFS, b"\x19\x01\x54\x19"),
    mark(FileSystem, "ufs", UFS, b"\x19\x54\x01\x19"),
    mark(FileSystem, "vxfs", At::Start(0x400), b"\xf5\xfc\x01\xa5"),
    mark(FileSystem, "zonefs", At::Start(0), b"SFOZ"),
    mark(FileSystem, "ubifs", At::Start(0), b"\x31\x18\x10\x06"),
    mark(Volume, "ubi", At::Start(0), b"UBI#"),
    mark(FileSystem, "befs", At::Starts(&[0x20, 0x220]), b"BFS1"),
    mark(FileSystem, "befs", At::Starts(&[0x20, 0x220]), b"1SFB"),
    mark(FileSystem, "minix", At::Start(0x410), b"\x7f\x13"),
    mark(FileSystem, "minix", At::Start(0x410), b"\x8f\x13"),
    mark(FileSystem, "minix", At::Start(0x410), b"\x68\x24"),
    mark(FileSystem, "minix", At::Start(0x410), b"\x78\x24"),
    mark(FileSystem, "minix", At::Start(0x418), b"\x5a\x4d"),
    // netware.c.
    mark(FileSystem, "nss", At::Start(0x1000), b"SPB5"),
    mark(Swap, "swap", PAGE_ENDS, b"SWAP-SPACE"),
    mark(Swap, "swap", PAGE_ENDS, b"SWAPSPACE2"),
    // swap.c: a hibernated system.
    mark(Swap, "swsuspend", PAGE_ENDS, b"S1SUSPEND"),
    mark(Swap, "swsuspend", PAGE_ENDS, b"S2SUSPEND"),
    mark(Swap, "swsuspend", PAGE_ENDS, b"ULSUSPEND"),
    mark(Swap, "swsuspend", PAGE_ENDS, b"LINHIB0001"),
    mark(Swap, "swsuspend", PAGE_ENDS, b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"),
    // lvm.c, down to DM_integrity.
    mark(Volume, "LVM2_member", LVM_TYPES, b"LVM2 001"),
    mark(Volume, "LVM1_member", At::Start(0), b"HM\x01\x00"),
    mark(Volume, "LVM1_member", At::Start(0), b"HM\x02\x00"),
    mark(Volume, "DM_snapshot_cow", At::Start(0), b"SnAp"),
    mark(Volume, "DM_verity_hash", At::Start(0), b"verity\0\0"),
    mark(Volume, "DM_integrity", At::Start(0), b"integrt\0"),
    mark(Volume, "bcache", At::Start(0x1018), b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf7\x7f\x48\xba\x6d\x81"),
    // bluestore.c.
    mark(Volume, "ceph_bluestore", At::Start(0), b"bluestore block device"),
    // vdo.c.
    mark(Volume, "vdo", At::Start(0), b"dmvdo001"),
    // stratis.c: the name is 4 bytes into sectors 1 and 9.
    mark(Volume, "stratis", At::Starts(&[0x204, 0x1204]), b"!Stra0tis\x86\xff\x02^\x41rh"),
    // drbdmanage.c, drbdproxy_datalog.c.
    mark(Volume, "drbdmanage_control_volume", At::Start(0), b"$DRBDmgr=q"),
    mark(Volume, "drbdproxy_datalog", At::Start(0), b"DRBDdlh*"),
    // Oracle ASM (blkid of Oracle Linux; oracleasm: include/linux/oracleasm/disk.h).
    mark(Volume, "oracleasm", At::Start(0x20), b"ORCLDISK"),
    // vmfs.c.
    mark(FileSystem, "VMFS", At::Start(0x20_0000), b"\x5e\xf1\xab\x2f"),
    mark(Volume, "VMFS_volume_member", At::Start(0x10_0000), b"\x0d\xd0\x01\xc0"),
    // luks.c.
    mark(Encrypted, "crypto_LUKS", At::Start(0), b"LUKS\xba\xbe"),
    mark(Encrypted, "crypto_LUKS", LUKS_SECONDS, b"SKUL\xba\xbe"),
    // bitlocker.c.
    mark(Encrypted, "BitLocker", At::Start(3), b"-FVE-FS-"),
    // cs_fvault2.c.
    mark(Encrypted, "cs_fvault2", At::Start(88), b"CS"),
    // linux_raid.c: in either byte order for 0.90, little-endian for 1.x.
    mark(Raid, "linux_raid_member", At::Md090, b"\xfc\x4e\x2b\xa9"),
    mark(Raid, "linux_raid_member", At::Md090, b"\xa9\x2b\x4e\xfc"),
    mark(Raid, "linux_raid_member", At::Md10, b"\xfc\x4e\x2b\xa9"),
    mark(Raid, "linux_raid_member", At::Starts(&[0, 0x1000]), b"\xfc\x4e\x2b\xa9"),
    // ddf_raid.c (SNIA DDF), isw_raid.c (Intel), lsi_raid.c, nvidia_raid.c, adaptec_raid.c.
    mark(Raid, "ddf_raid_member", At::Ends(&[0x200, 0x200 * 257]), b"\xde\x11\xde\x11"),
    mark(Raid, "ddf_raid_member", At::Ends(&[0x200, 0x200 * 257]), b"\x11\xde\x11\xde"),
    mark(Raid, "isw_raid_member", At::Ends(&[0x400, 0x2000]), b"Intel Raid ISM Cfg Sig. "),
    mark(Raid, "lsi_mega_raid_member", At::End(0x200), b"$XIDE$"),
    mark(Raid, "nvidia_raid_member", At::End(0x400), b"NVIDIA"),
    mark(Raid, "adaptec_raid_member", At::End(0x200), b"\x37\xfc\x4d\x1e"),
    // partitions/gpt.c: the second sector, of 512 or 4096 bytes, and a copy in the last.
    mark(PartitionTable, "gpt", At::Starts(&[0x200, 0x1000]), b"EFI PART"),
    mark(PartitionTable, "gpt", At::Ends(&[0x200, 0x1000]), b"EFI PART"),
    // partitions/mac.c, sun.c, bsd.c, sgi.c.
    mark(PartitionTable, "mac", At::Start(0x200), b"PM\0\0"),
    mark(PartitionTable, "sun", At::Start(0x1fc), b"\xda\xbe"),
    mark(PartitionTable, "bsd", At::Starts(&[0x200, 0x40, 0x80]), b"\x57\x45\x56\x82"),
    mark(PartitionTable, "sgi", At::Start(0), b"\x0b\xe5\xa9\x41"),
];
