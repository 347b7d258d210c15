use super::*;

fn state(active: &str, file: &str, returning: bool) -> ServiceState {
    ServiceState {
        name: "gdm.service".to_owned(),
        load: if file == "masked-runtime" { "masked" } else { "loaded" }.to_owned(),
        active: active.to_owned(),
        sub: if active == "active" { "running" } else { "dead" }.to_owned(),
        file: file.to_owned(),
        dependants: Vec::new(),
        triggers: Vec::new(),
        returning,
        close: String::new(),
    }
}

fn step() -> StopService {
    StopService { unit: "display-manager".to_owned(), max_hold: Some(600) }
}

fn told(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

#[test]
fn it_is_stopped_by_its_own_name_and_comes_back() {
    let original = state("active", "enabled", false);
    let wanted = step().wanted(&original).unwrap();
    assert_eq!(
        told(&step().moves(&original, &wanted, 0)),
        [
            "have gdm.service started again in 600 s, come what may",
            "stop gdm.service",
            "mask gdm.service until the next boot"
        ]
    );
    assert_eq!(step().reached(&wanted, &state("inactive", "masked-runtime", true)), Reached::Yes);
    assert_eq!(
        told(&step().moves(&wanted, &original, 0)),
        ["unmask gdm.service", "start gdm.service", "no longer have gdm.service started by time"]
    );
    assert_eq!(step().effect().key, "unit display-manager.service");
}

#[test]
fn what_rests_is_kept_from_starting() {
    for active in ["inactive", "failed"] {
        let original = ServiceState { triggers: vec!["gdm.socket".to_owned()], ..state(active, "enabled", false) };
        let wanted = step().wanted(&original).unwrap();
        let by_time = "have gdm.service started again in 600 s, come what may";
        let moves = step().moves(&original, &wanted, 0);
        assert_eq!(told(&moves), [by_time, "stop gdm.socket", "mask gdm.service until the next boot"]);
        assert!(
            matches!(&moves[0], Action::ReturnAfter { start, .. } if *start == ["gdm.socket"]),
            "it did not run: {moves:?}"
        );
        assert_eq!(
            told(&step().moves(&wanted, &step().undone(&original, &wanted, &wanted), 0)),
            ["unmask gdm.service", "start gdm.socket", "no longer have gdm.service started by time"]
        );
        // Whoever could start it nevertheless keeps it.
        let started = state("active", "enabled", true);
        let goal = step().undone(&original, &wanted, &started);
        assert_eq!(
            told(&step().moves(&started, &goal, 1)),
            ["start gdm.socket", "no longer have gdm.service started by time"]
        );
    }
    // There is nothing to hold.
    let masked = state("inactive", "masked", false);
    assert_eq!(step().wanted(&masked).unwrap(), masked);
    let missing = ServiceState {
        load: "not-found".to_owned(),
        close: ", did you mean \"gdm.service\"?".to_owned(),
        ..state("inactive", "", false)
    };
    assert_eq!(
        step().wanted(&missing).unwrap_err().message,
        "there is no unit display-manager.service on this node, did you mean \"gdm.service\"?"
    );
}

#[test]
fn what_somebody_started_meanwhile_stays() {
    let original = state("active", "enabled", false);
    let held = ServiceState { triggers: vec!["gdm.path".to_owned()], ..state("inactive", "masked-runtime", true) };
    let goal = step().undone(&original, &step().wanted(&original).unwrap(), &held);
    assert_eq!(
        told(&step().moves(&held, &goal, 0)),
        ["unmask gdm.service", "start gdm.service", "no longer have gdm.service started by time"]
    );
}

#[test]
fn no_device_waits_for_what_does_not_start_again() {
    let original = ServiceState { dependants: vec!["remote.service".to_owned()], ..state("active", "enabled", false) };
    let gone = ServiceState { load: "not-found".to_owned(), ..state("inactive", "", false) };
    let why = |now: &ServiceState| match step().reached(&original, now) {
        Reached::Enough(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        why(&gone),
        "gdm.service remote.service did not start again: systemctl status gdm.service remote.service tells why"
    );
    assert_eq!(why(&state("failed", "enabled", false)), why(&gone));
    // But it is tried.
    assert_eq!(told(&step().moves(&gone, &original, 1)), ["start gdm.service", "start remote.service"]);
    assert!(matches!(step().reached(&original, &state("inactive", "masked-runtime", false)), Reached::No(_)));
}

#[test]
fn a_socket_starts_before_its_service() {
    let original = ServiceState { triggers: vec!["gdm.socket".to_owned()], ..state("active", "enabled", false) };
    let started_by_somebody = state("active", "enabled", false);
    assert_eq!(
        told(&step().moves(&started_by_somebody, &original, 0)),
        ["stop gdm.service", "start gdm.socket", "start gdm.service"]
    );
    // Once is enough.
    assert_eq!(told(&step().moves(&started_by_somebody, &original, 1)), ["start gdm.socket"]);
}

#[test]
fn what_stopped_with_it_comes_back_with_it() {
    let original = ServiceState { dependants: vec!["remote.service".to_owned()], ..state("active", "enabled", false) };
    let wanted = step().wanted(&original).unwrap();
    let back = told(&step().moves(&wanted, &original, 0));
    assert_eq!(back[1..3], ["start gdm.service", "start remote.service"]);
    let Reached::Enough(why) = step().reached(&original, &state("active", "enabled", false)) else { unreachable!() };
    assert_eq!(why, "remote.service did not start again: systemctl status remote.service tells why");
}

#[test]
fn what_would_start_it_is_stopped_first_and_started_first() {
    let original = ServiceState { triggers: vec!["gdm.socket".to_owned()], ..state("active", "enabled", false) };
    let wanted = step().wanted(&original).unwrap();
    assert_eq!(told(&step().moves(&original, &wanted, 0))[1..3], ["stop gdm.socket", "stop gdm.service"]);
    let back = told(&step().moves(&wanted, &original, 0));
    assert_eq!(back[..3], ["unmask gdm.service", "start gdm.socket", "start gdm.service"]);
    let held = ServiceState { triggers: original.triggers.clone(), ..state("inactive", "masked-runtime", true) };
    assert_eq!(
        step().reached(&wanted, &held),
        Reached::No("gdm.socket, which starts gdm.service, still runs".to_owned())
    );
    assert_eq!(
        step().reached(&original, &state("active", "enabled", false)),
        Reached::Enough("gdm.socket did not start again: systemctl status gdm.socket tells why".to_owned())
    );
}

#[test]
fn one_that_was_started_again_is_stopped_again_once() {
    let wanted = step().wanted(&state("active", "enabled", false)).unwrap();
    let again = state("active", "masked-runtime", true);
    assert_eq!(told(&step().moves(&again, &wanted, 1)), ["stop gdm.service"]);
    assert_eq!(step().moves(&again, &wanted, 2), []);
    assert!(matches!(step().reached(&wanted, &state("inactive", "enabled", true)), Reached::Enough(_)));
}

#[test]
fn a_node_without_systemd_says_so() {
    let error = step().observe(&Root::new("/nonexistent")).unwrap_err();
    assert!(error.message.contains("systemd cannot be reached"), "{error}");
}
