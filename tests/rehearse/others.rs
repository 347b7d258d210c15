//! Where KubeVirt would fail, and in which words.

use std::fs;
use std::time::Duration;

use tonic::Status;

use crate::fake::{Fake, Served, foreign};
use crate::play::{Played, play, sample};

/// Rehearses the plain sample against what serves in a folder.
fn against(served: &Served, arguments: &[&str]) -> Played {
    let mut all = vec!["--socket", served.folder().to_str().unwrap()];
    all.extend(arguments);
    play("plain", &all)
}

/// The words of a VMI's condition.
fn condition(fake: Fake) -> String {
    let played = against(&fake.serve(), &[]);
    assert_eq!(played.code, Some(65), "{played:?}");
    let line = played.err.lines().find(|line| line.contains("server error. command SyncVMI failed"));
    line.unwrap_or_else(|| panic!("{played:?}")).trim().to_owned()
}

fn answers(from: usize, bytes: impl Into<Vec<u8>>) -> Fake {
    Fake { answer: (from, Ok(bytes.into())), ..Fake::default() }
}

fn pass1() -> String {
    fs::read_to_string(sample("plain.pass1.xml")).unwrap()
}

#[test]
fn a_sidecar_that_changes_nothing_is_played_to_its_end() {
    let served = Fake::default().serve();
    let played = against(&served, &[]);
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{played:?}");
    assert!(played.out.contains("pass 2: nothing changes") && played.out.ends_with("Shutdown: answered\n"));
    // Its socket alone will do too.
    let played = play("plain", &["--socket", served.socket().to_str().unwrap()]);
    assert_eq!(played.code, Some(0), "{played:?}");
}

#[test]
fn answers_that_kubevirt_cannot_use_are_its_errors() {
    assert_eq!(condition(answers(1, "")), "server error. command SyncVMI failed: \"EOF\"");
    assert!(condition(answers(1, "<domain>")).contains("failed to unmarshal"));
    let typed = pass1().replace("<vcpu placement=\"static\">2<", "<vcpu placement=\"static\">two<");
    assert!(condition(answers(1, typed)).contains("\\\"two\\\""));
    // A later call is judged as the first; by then there is a domain that KubeVirt would start without asking again.
    assert_eq!(condition(answers(2, "")), "server error. command SyncVMI failed: \"EOF\"");
    assert!(against(&answers(2, "").serve(), &[]).err.contains("half made"));
    assert!(!against(&answers(1, "").serve(), &[]).err.contains("half made"));
    let refused = Fake { answer: (1, Err(Status::invalid_argument("no such profile"))), ..Fake::default() };
    assert_eq!(
        condition(refused),
        "server error. command SyncVMI failed: \"rpc error: code = InvalidArgument desc = no such profile\""
    );
}

#[test]
fn an_answer_of_more_than_four_mebibytes_is_not_received() {
    let words = condition(answers(1, vec![b' '; 4 << 20]));
    assert!(words.contains("code = ResourceExhausted desc = grpc: received message larger than max (41943"), "{words}");
}

#[test]
fn a_domain_that_libvirt_refuses_is_its_error() {
    let twice = pass1().replace(
        "<alias name=\"ua-default\">",
        "<address type=\"pci\" bus=\"0\" slot=\"0x1f\"/><alias name=\"ua-default\">",
    );
    assert_eq!(
        condition(answers(1, twice)),
        "server error. command SyncVMI failed: \"virError(Code=27, Domain=20, Message='XML error: Attempted double \
         use of PCI Address 0000:00:1f.0')\""
    );
}

#[test]
fn what_kubevirt_takes_for_not_ready_ends_at_the_time_limit() {
    let played = against(&foreign(), &["--qemu-timeout", "1"]);
    assert_eq!(played.code, Some(69), "{played:?}");
    assert!(played.err.contains("Failed to collect all expected sidecar hook sockets within given timeout"));
    let empty = tempfile::tempdir().unwrap();
    let played = play("plain", &["--socket", empty.path().to_str().unwrap(), "--qemu-timeout", "1"]);
    assert_eq!(played.code, Some(69), "{played:?}");
    assert_eq!(play("plain", &["--socket", "/nonexistent/x.sock"]).code, Some(69));
    // Where there is not even a file, older releases never look at the time.
    for (release, is_endless) in [("1.1", true), ("1.5", true), ("1.6", false)] {
        let socket = empty.path().to_str().unwrap();
        let played = play("plain", &["--socket", socket, "--qemu-timeout", "1", "--release", release]);
        assert_eq!(played.code, Some(69), "{played:?}");
        assert_eq!(played.err.contains("waits for the first one without end"), is_endless, "{played:?}");
    }
}

#[test]
fn whoever_names_a_hook_point_twice_is_called_twice() {
    let (double, single) = (Fake { points: &["OnDefineDomain"; 2], ..Fake::default() }, Fake::default());
    // The fourth call is the second pass's second, or there is none: only passes of a single one are counted.
    let refusal = |fake: Fake| Fake { answer: (4, Err(Status::internal("the fourth"))), ..fake };
    assert!(condition(refusal(double)).contains("the fourth"));
    assert_eq!(against(&refusal(single).serve(), &[]).code, Some(0));
}

/// Older hooks answer `cloudInitNoCloudSource` alone.
#[test]
fn cloud_init_is_taken_as_kubevirt_takes_it() {
    let offering = |data: &'static str, source: &'static str| Fake {
        points: &["OnDefineDomain", "PreCloudInitIso", "Shutdown"],
        cloud_init: Some((data, source)),
        ..Fake::default()
    };
    let against = |fake: Fake| play("dpdk-worker", &["--socket", fake.serve().folder().to_str().unwrap()]);
    for (data, source) in [
        ("{\"UserData\": \"new\", \"NoCloudMetaData\": {}}", ""),
        ("{}", "{\"userData\": \"new\"}"),
        ("{\"UserData\": \"without metadata\"}", "{\"userData\": \"new\"}"),
    ] {
        let played = against(offering(data, source));
        assert_eq!(played.code, Some(0), "{played:?}");
        assert!(played.out.contains("PreCloudInitIso: the user data is changed\n"), "{played:?}");
    }
    for (data, source) in [("", ""), ("{", "{}"), ("{}", "")] {
        let played = against(offering(data, source));
        assert_eq!(played.code, Some(65), "{played:?}");
        assert!(
            played.err.contains("server error. command SyncVMI failed: \"the hook's cloud-init data"),
            "{played:?}"
        );
    }
}

#[test]
fn info_that_is_late_or_of_another_age_fails_the_pod() {
    let late = Fake { info_takes: Duration::from_secs(3), ..Fake::default() }.serve();
    let played = against(&late, &[]);
    assert_eq!(played.code, Some(69), "{played:?}");
    assert!(played.err.contains("the virt-launcher pod would fail") && played.err.contains("DeadlineExceeded"));
    let old = Fake { versions: &["v0", "v2"], ..Fake::default() }.serve();
    let played = against(&old, &[]);
    assert_eq!(played.code, Some(69), "{played:?}");
    assert!(played.err.contains("does not expose a supported version"), "{played:?}");
}

#[test]
fn a_start_that_takes_too_long_is_given_up() {
    let slow = Fake { define_takes: Duration::from_secs(2), ..Fake::default() }.serve();
    let played = against(&slow, &["--sync-limit", "1"]);
    assert_eq!(played.code, Some(65), "{played:?}");
    assert!(played.err.contains("virt-handler waits 1 s"), "{played:?}");
}

#[test]
fn stray_files_beside_the_socket_are_only_slow() {
    let served = Fake::default().serve();
    for stray in ["lock", "hook-sidecar-0/a.log"] {
        fs::write(served.folder().join(stray), "x").unwrap();
    }
    let played = against(&served, &[]);
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{played:?}");
    // KubeVirt tries a connection for two seconds.
    assert!(played.collecting >= Duration::from_secs(2), "{played:?}");
    // Older releases look at files, and at no folder.
    let played = against(&served, &["--release", "1.5", "--qemu-timeout", "1"]);
    assert_eq!(played.code, Some(69), "{played:?}");
}

#[test]
fn nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = crate::play::command("plain.pass1.xml", "plain");
    command.env("TMPDIR", temporary.path());
    assert_eq!(crate::play::run(&mut command).code, Some(0));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}
