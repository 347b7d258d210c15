//! What KubeVirt takes over from libvirt after the first define: the devices, and of them all but its own NICs.

use super::schema::DOMAIN;
use super::value::{self, Value};
use super::write;
use super::{ReduceError, Release};
use crate::xml::Document;

/// How KubeVirt calls the NICs that only hold places for hot-plugged ones.
const PLACEHOLDER: &str = "placeholder-";

/// `<devices>` for the next pass: those of `dumped`, but the NICs as they were in `sent`, without placeholders.
///
/// `dumped` may have its devices in any order; here they come in libvirt's.
pub(in crate::kubevirt) fn devices(
    dumped: &Document,
    sent: &Document,
    release: Release,
) -> Result<String, ReduceError> {
    let mut devices = devices_of(value::read_root(dumped, &DOMAIN, release)?);
    let mut before = devices_of(value::read_root(sent, &DOMAIN, release)?);
    if let (Some(now), Some(then)) = (list(&mut devices, "interface"), list(&mut before, "interface")) {
        then.retain(|nic| !is_placeholder(nic));
        std::mem::swap(now, then);
    }
    if let Some(controllers) = list(&mut devices, "controller") {
        grouped(controllers, |controller| {
            (controller.attribute("type").to_owned(), controller.attribute("index").parse().unwrap_or(0))
        });
    }
    if let Some(disks) = list(&mut devices, "disk") {
        grouped(disks, |disk| {
            let target = disk.child("target");
            let of = |name| target.map_or("", |target| target.attribute(name));
            (of("bus").to_owned(), disk_index(of("dev")).unwrap_or(0))
        });
    }
    Ok(write::fragment("devices", &devices, release))
}

fn devices_of(mut domain: Value) -> Value {
    list(&mut domain, "devices").and_then(Vec::pop).unwrap_or_else(|| Value::new(&super::schema::DEVICES))
}

fn list<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Vec<Value>> {
    let at = value.shape.children.iter().position(|child| child.name == name)?;
    value.children.get_mut(at)
}

fn is_placeholder(nic: &Value) -> bool {
    nic.child("alias").is_some_and(|alias| alias.attribute("name").starts_with(PLACEHOLDER))
}

/// libvirt's way to insert: behind the last of the same kind, but before those of the kind with a greater number.
pub(in crate::kubevirt) fn grouped<T>(list: &mut Vec<T>, key: impl Fn(&T) -> (String, u64)) {
    let mut kinds: Vec<String> = Vec::new();
    let mut keyed: Vec<((usize, u64), T)> = Vec::with_capacity(list.len());
    for value in list.drain(..) {
        let (kind, number) = key(&value);
        let rank = kinds.iter().position(|known| *known == kind).unwrap_or(kinds.len());
        if rank == kinds.len() {
            kinds.push(kind);
        }
        keyed.push(((rank, number), value));
    }
    keyed.sort_by_key(|(key, _)| *key);
    list.extend(keyed.into_iter().map(|(_, value)| value));
}

/// The number of a disk's name: `vda` is 0, `sdab` is 27.
pub(in crate::kubevirt) fn disk_index(name: &str) -> Option<u64> {
    let letters = ["ubd", "fd", "hd", "vd", "sd", "xvd"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let letters = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    letters
        .bytes()
        .try_fold(0_u64, |so_far, letter| {
            let value = u64::from(letter.is_ascii_lowercase().then(|| letter - b'a')?);
            so_far.checked_mul(26)?.checked_add(value + 1)
        })?
        .checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::disk_index;

    #[test]
    fn disks_are_numbered_by_their_letters() {
        assert_eq!(
            ["vda", "sdz", "sdaa", "hdb1", "vd", "nvme0"].map(disk_index),
            [Some(0), Some(25), Some(26), Some(1), None, None]
        );
    }
}
