//! The rules, one by one, and in random order.

use proptest::prelude::*;

use super::*;

const UID: &str = "1f2e3d4c-0a1b-4c5d-8e9f-001122334455";

fn id() -> DeviceId {
    "0000:01:00.0-00000000".parse().unwrap()
}

fn pod() -> PodName {
    PodName { namespace: "vms".to_owned(), name: "virt-launcher-a-xyz".to_owned() }
}

/// A look at second `at` with an answer that counts.
fn look(at: u64, listed: bool) -> Look {
    let pods = if listed { [(id(), pod())].into() } else { BTreeMap::new() };
    let uids = if listed { [(pod(), [UID.to_owned()].into())].into() } else { BTreeMap::new() };
    let asked = Moment(at * 1000);
    let kubelet = Some(Answer { asked, counts: true, pods, uids, ..Answer::default() });
    Look { at: asked, kubelet, cgroups: Some(BTreeSet::new()), ..Look::default() }
}

fn run(looks: &[Look], policy: Release) -> Vec<bool> {
    let mut tenancy = Tenancy::begin(Moment(0));
    let mut free = Vec::new();
    for look in looks {
        let (next, verdict) = tenancy.after(&id(), policy, look);
        free.push(matches!(verdict, Verdict::Free { .. }));
        tenancy = next;
    }
    free
}

#[test]
fn two_answers_ten_seconds_apart() {
    let looks = [look(1, true), look(2, false), look(11, false), look(12, false)];
    assert_eq!(run(&looks, Release::Restore), [false, false, false, true]);
    let again = [look(1, true), look(2, false), look(11, true), look(12, false), look(21, false), look(22, false)];
    assert_eq!(run(&again, Release::Restore), [false, false, false, false, false, true]);
}

#[test]
fn what_does_not_count_does_not_count() {
    let mut not = look(13, false);
    not.kubelet.as_mut().unwrap().counts = false;
    let none = Look { kubelet: None, ..look(14, false) };
    assert_eq!(run(&[look(1, true), look(2, false), not, none], Release::Restore), [false; 4]);
}

#[test]
fn what_two_pods_are_said_to_have_is_used_and_nobodys() {
    let mut both = look(1, true);
    both.kubelet.as_mut().unwrap().contested.insert(id());
    let (tenancy, verdict) = Tenancy::begin(Moment(0)).after(&id(), Release::Restore, &both);
    assert!(matches!(verdict, Verdict::Used(_)));
    assert_eq!((tenancy.pod, tenancy.uids.len(), tenancy.seen), (None, 0, true));
}

#[test]
fn holders_and_control_groups_keep_it() {
    let held = Look { held: [(id(), BTreeSet::new())].into(), ..look(20, false) };
    let group = Look { cgroups: Some([UID.to_owned()].into()), ..look(21, false) };
    let unseen = Look { cgroups: None, ..look(22, false) };
    let blind = Look { blind: true, ..look(23, false) };
    let looks = [look(1, true), look(2, false), held, group, unseen, blind, look(24, false)];
    assert_eq!(run(&looks, Release::Restore), [false, false, false, false, false, false, true]);
}

#[test]
fn a_promise_that_kubelet_never_names_lapses() {
    let looks = [look(1, false), look(30, false), look(59, false), look(60, false)];
    assert_eq!(run(&looks, Release::Restore), [false, false, false, true]);
}

#[test]
fn an_answer_to_an_older_question_says_nothing() {
    let tenancy = Tenancy::begin(Moment(50_000));
    let (tenancy, _) = tenancy.after(&id(), Release::Restore, &look(50, false));
    assert_eq!(tenancy.absent, None);
}

#[test]
fn policies() {
    let idle = Release::AfterIdle("30s".parse().unwrap());
    let looks = [look(1, true), look(2, false), look(12, false), look(41, false), look(42, false)];
    assert_eq!(run(&looks, idle), [false, false, false, false, true]);
    let mut tenancy = Tenancy::begin(Moment(0));
    for look in &looks[..3] {
        let (next, verdict) = tenancy.after(&id(), Release::Keep, look);
        tenancy = next;
        assert_eq!(verdict == Verdict::Free { restore: false }, look.at == Moment(12_000));
    }
}

#[test]
fn without_a_pod_to_look_for_it_takes_longer() {
    let unknown = |at, listed| {
        let mut look = look(at, listed);
        look.kubelet.as_mut().unwrap().uids.clear();
        look
    };
    let looks = [unknown(1, true), unknown(2, false), unknown(13, false), unknown(61, false), unknown(62, false)];
    assert_eq!(run(&looks, Release::Restore), [false, false, false, false, true]);
}

/// One thing that happens: so many seconds later, who says what.
#[derive(Debug, Clone)]
struct Event {
    later: u64,
    listed: bool,
    answers: bool,
    counts: bool,
    held: bool,
    cgroup: bool,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..20_u64, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let event = event.prop_map(|(later, listed, answers, counts, held, cgroup)| Event {
        later,
        listed,
        answers,
        counts,
        held,
        cgroup,
    });
    proptest::collection::vec(event, 0..40)
}

fn seen(event: &Event, at: u64) -> Look {
    let mut look = look(at, event.listed);
    if let Some(answer) = &mut look.kubelet {
        answer.counts = event.counts;
    }
    if !event.answers {
        look.kubelet = None;
    }
    if event.held {
        look.held.insert(id(), [UID.to_owned()].into());
    }
    if event.cgroup {
        look.cgroups = Some([UID.to_owned()].into());
    }
    look
}

proptest! {
    /// Whatever order things come in: what is held or named is never let go, nor what a pod is left of, nor anything on the strength of
    /// one answer; and once nothing of it is left, it goes.
    #[test]
    fn never_too_early_and_always_in_the_end(events in events()) {
        let mut tenancy = Tenancy::begin(Moment(0));
        let (mut at, mut known, mut silent_since) = (1, false, None);
        for event in &events {
            at += event.later;
            let look = seen(event, at);
            let listed = event.answers && event.listed;
            known |= listed || event.held;
            if listed {
                silent_since = None;
            } else if event.answers && event.counts {
                silent_since = silent_since.or(Some(at));
            }
            let (next, verdict) = tenancy.after(&id(), Release::Restore, &look);
            if verdict == (Verdict::Free { restore: true }) {
                prop_assert!(!event.held && !listed, "{event:?}");
                prop_assert!(!known || !event.cgroup, "{event:?}");
                prop_assert!(silent_since.is_some_and(|since| at >= since + 10), "{event:?} since {silent_since:?}");
                prop_assert!(known || at >= 60);
            }
            tenancy = next;
        }
        let mut free = false;
        for _ in 0..8 {
            at += 10;
            let (next, verdict) = tenancy.after(&id(), Release::Restore, &look(at, false));
            (tenancy, free) = (next, free || verdict == (Verdict::Free { restore: true }));
        }
        prop_assert!(free);
    }
}
