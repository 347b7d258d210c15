//! Device-mapper devices: whose each is.

/// A device-mapper device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "dm")]
pub enum Dm {
    /// A logical volume, or an inner part of one.
    Lvm {
        /// Volume group.
        group: String,
        /// Logical volume.
        volume: String,
    },
    /// A disk with several paths.
    Multipath {
        /// The map's name.
        name: String,
    },
    /// An encrypted device.
    Crypt {
        /// The map's name.
        name: String,
    },
    /// Something else: a partition of a map, BIOS RAID, VDO, Stratis.
    Other {
        /// The map's name.
        name: String,
        /// The map's uuid; its beginning says what it is.
        uuid: String,
    },
}

/// A device-mapper device by its uuid, whose beginning names the program that made it (lvm2: lib/misc/lvm-string.h, UUID_PREFIX;
/// multipath-tools: libmultipath/defaults.h; cryptsetup: lib/utils_dm.h).
pub(super) fn dm(name: String, uuid: String) -> Dm {
    if uuid.starts_with("LVM-") {
        let (group, volume) = lvm_names(&name);
        Dm::Lvm { group, volume }
    } else if uuid.starts_with("mpath-") {
        Dm::Multipath { name }
    } else if uuid.starts_with("CRYPT-") {
        Dm::Crypt { name }
    } else {
        Dm::Other { name, uuid }
    }
}

/// Volume group and volume in a map's name: joined by one dash, dashes inside doubled (lvm2: lib/misc/lvm-string.c, dm_build_dm_name).
fn lvm_names(name: &str) -> (String, String) {
    let bytes = name.as_bytes();
    let mut at = 0;
    while let Some(found) = name.get(at..).and_then(|rest| rest.find('-')) {
        let dash = at + found;
        if bytes.get(dash + 1) == Some(&b'-') {
            at = dash + 2;
            continue;
        }
        let undouble = |part: &str| part.replace("--", "-");
        return (undouble(&name[..dash]), undouble(&name[dash + 1..]));
    }
    (name.to_owned(), String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_group_and_volume_in_a_name() {
        for (name, group, volume) in [
            ("vg-root", "vg", "root"),
            ("my--vg-my--lv", "my-vg", "my-lv"),
            ("a---b", "a-", "b"),
            ("vg-pool_tdata", "vg", "pool_tdata"),
        ] {
            assert_eq!(lvm_names(name), (group.to_owned(), volume.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_map_by_its_uuid() {
        let kind = |uuid: &str| dm("m".to_owned(), uuid.to_owned());
        assert!(matches!(kind("LVM-abc"), Dm::Lvm { .. }));
        assert!(matches!(kind("mpath-3600"), Dm::Multipath { .. }));
        assert!(matches!(kind("CRYPT-LUKS2-1-m"), Dm::Crypt { .. }));
        assert!(matches!(kind("part1-mpath-3600"), Dm::Other { .. }));
    }
}
