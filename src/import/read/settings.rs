//! Small files of settings: sysctl.d(5), drop-ins of CRI-O, limits.d(5).

use crate::import::action::Action;
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::{Reading, lines};

/// `key = value`.
pub(super) fn sysctl(place: &Place, text: &str, reading: &mut Reading<'_>) {
    for (line, text) in lines(text) {
        let place = place.line(line);
        match text.trim_start_matches('-').split_once('=') {
            Some((key, value)) => {
                let path = format!("/proc/sys/{}", key.trim().replace('.', "/"));
                reading.found(&place, text, Action::Write { path, value: value.trim().to_owned() });
            }
            None => reading.unclear(&place, text, "this is no key = value"),
        }
    }
}

/// `[crio.runtime] default_ulimits = ["memlock=-1:-1"]`.
pub(super) fn crio(place: &Place, text: &str, reading: &mut Reading<'_>) {
    for (line, text) in lines(text) {
        let place = place.line(line);
        if text.starts_with('[') || text.starts_with(']') || text.starts_with('"') {
            reading.idle += 1;
        } else if text.starts_with("default_ulimits") {
            let action = if text.contains("memlock") {
                Action::Memlock
            } else {
                let why = "it raises no limit of locked memory, which VFIO and DPDK need (there is no memlock in it); a memlock step does";
                Action::Told(Verdict::never(why))
            };
            reading.found(&place, text, action);
        } else {
            let why = "a setting of the container runtime, which no device and no VM needs: left as it is";
            reading.found(&place, text, Action::Told(Verdict::aside(why)));
        }
    }
}

/// `* hard memlock unlimited`: for who logs in, not for pods.
pub(super) fn limits(place: &Place, text: &str, reading: &mut Reading<'_>) {
    for (line, text) in lines(text) {
        let place = place.line(line);
        if text.split_whitespace().any(|word| word == "memlock") {
            let why = "these limits are for who logs in (pam_limits), and pods do not; a memlock step raises that of the VM's QEMU";
            reading.found(&place, text, Action::Told(Verdict::never(why)));
        } else {
            let why = "limits of who logs in: left as they are";
            reading.found(&place, text, Action::Told(Verdict::aside(why)));
        }
    }
}
