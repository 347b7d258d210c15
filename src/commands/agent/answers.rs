//! kubelet's answers as values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::agent::{Answer, DeviceId, Moment, PodName, uids_of};
use crate::host::Root;
use crate::kubelet::PodDevices;

use super::Own;

/// What kubelet's list says of our devices.
pub(super) fn answer(list: &[PodDevices], asked: Moment, own: &Own, ours: &BTreeSet<String>, root: &Root) -> Answer {
    let counts = match own {
        Own::NoPod => true,
        Own::Unknown => false,
        Own::Pod { namespace, name } => list.iter().any(|pod| pod.namespace == *namespace && pod.name == *name),
    };
    let (mut pods, mut contested) = (BTreeMap::new(), BTreeSet::new());
    for pod in list {
        let ids = pod.devices.iter().filter(|(resource, _)| ours.contains(resource)).flat_map(|(_, ids)| ids);
        for id in ids.filter_map(|id| id.parse::<DeviceId>().ok()) {
            let name = PodName { namespace: pod.namespace.clone(), name: pod.name.clone() };
            if pods.insert(id.clone(), name.clone()).is_some_and(|other| other != name) {
                contested.insert(id);
            }
        }
    }
    let names: BTreeSet<PodName> = pods.values().cloned().collect();
    Answer { asked, counts, pods, contested, uids: uids_of(root, &names) }
}

/// How long kubelet may take to read its own state after a start before it is said that its answers do not count.
const UNCOUNTED: Duration = Duration::from_secs(60);

/// Since when kubelet's answers have not counted: a wrong name of our own pod looks like a kubelet that has just started, and for good.
#[derive(Debug, Default)]
pub(super) struct Uncounted {
    since: Option<Moment>,
    told: bool,
}

impl Uncounted {
    /// Takes an answer in; gives the name that was looked for in vain when that is to be said: once, until one counts again.
    pub(super) fn after(&mut self, answer: &Answer, own: &Own) -> Option<String> {
        if answer.counts {
            *self = Self::default();
            return None;
        }
        // That none is known was said at the start.
        let Own::Pod { namespace, name } = own else { return None };
        let since = *self.since.get_or_insert(answer.asked);
        let due = !self.told && answer.asked.since(since) >= UNCOUNTED;
        self.told |= due;
        due.then(|| format!("{namespace}/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::Tree;

    #[test]
    fn a_name_that_is_never_found_is_said_once() {
        let own = Own::Pod { namespace: "virt-tailor".to_owned(), name: "agent-x".to_owned() };
        let mut uncounted = Uncounted::default();
        let mut said = |second: u64, counts, own: &Own| {
            let answer = Answer { asked: Moment(second * 1000), counts, ..Answer::default() };
            uncounted.after(&answer, own)
        };
        let name = || Some("virt-tailor/agent-x".to_owned());
        assert_eq!([5, 64].map(|at| said(at, false, &own)), [None, None]);
        assert_eq!([65, 66, 500].map(|at| said(at, false, &own)), [name(), None, None]);
        // One that counts, and it begins anew.
        assert_eq!(said(501, true, &own), None);
        assert_eq!([510, 569, 570].map(|at| said(at, false, &own)), [None, None, name()]);
        assert_eq!(said(600, true, &own), None);
        assert_eq!([610, 700].map(|at| said(at, false, &Own::Unknown)), [None, None]);
    }

    #[test]
    fn it_counts_once_it_names_us() {
        let id = "0000:01:00.0-00000001";
        let pod = |namespace: &str, name: &str, devices: Vec<(String, Vec<String>)>| PodDevices {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            devices,
        };
        let gpu = ("example.com/gpu".to_owned(), vec![id.to_owned()]);
        let other = ("other.com/gpu".to_owned(), vec!["0000:02:00.0-00000001".to_owned()]);
        let list = [pod("vms", "launcher", vec![gpu, other]), pod("virt-tailor", "agent-x", Vec::new())];
        let tree = Tree::new().folder("var/log/pods/vms_launcher_uid-1");
        let own = |name: &str| Own::Pod { namespace: "virt-tailor".to_owned(), name: name.to_owned() };
        let ours = ["example.com/gpu".to_owned()].into();
        let said = |own: &Own| answer(&list, Moment(5), own, &ours, &tree.root());
        assert!(said(&own("agent-x")).counts && said(&Own::NoPod).counts);
        assert!(!said(&own("agent-y")).counts && !said(&Own::Unknown).counts);
        let said = said(&own("agent-x"));
        assert!(said.contested.is_empty());
        let named = PodName { namespace: "vms".to_owned(), name: "launcher".to_owned() };
        assert_eq!(said.pods, [(id.parse().unwrap(), named.clone())].into());
        assert_eq!(said.uids[&named], ["uid-1".to_owned()].into());
        // Whoever comes twice is one; whoever else has the same makes it nobody's.
        let twice = || list.iter().chain(&list).cloned().collect::<Vec<_>>();
        let contested = |list: &[PodDevices]| answer(list, Moment(5), &Own::NoPod, &ours, &tree.root()).contested;
        assert!(contested(&twice()).is_empty());
        let mut others = twice();
        others[2].name = "launcher-2".to_owned();
        assert_eq!(contested(&others), [id.parse().unwrap()].into());
    }
}
