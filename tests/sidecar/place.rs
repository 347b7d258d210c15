//! What can be seen in the folder of sockets.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::rig::{LONG, Sidecar, command, connect, entries, info, kill, within};

/// Looks as virt-launcher does: every entry, and one level deep into folders. What it would take for a socket must be one that answers.
fn look(folder: &Path, seen: &mut BTreeSet<String>) {
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
    for entry in list(folder) {
        let name = entry.file_name().into_string().unwrap();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            // One level deep there are folders only.
            for inner in list(&entry.path()) {
                let Ok(kind) = inner.file_type() else {
                    continue;
                };
                assert!(kind.is_dir(), "{:?} would be taken for a socket", inner.path());
                seen.insert("a folder in a folder".to_owned());
            }
            seen.insert("a folder".to_owned());
            continue;
        }
        assert!(kind.is_socket() && name.starts_with("virt-tailor-hook-sidecar-0-"), "{name}");
        match UnixStream::connect(entry.path()) {
            Ok(_) => {}
            // It was ended between our looking and connecting, and its name went first.
            Err(error) => assert!(!entry.path().exists(), "{name}: {error}"),
        }
        seen.insert("a socket".to_owned());
    }
}

#[test]
fn nothing_but_listening_sockets_is_ever_seen() {
    let folder = tempfile::tempdir().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            let mut looks = 0_u64;
            while !over.load(Ordering::Relaxed) {
                look(folder.path(), &mut seen);
                looks += 1;
            }
            (looks, seen)
        });
        for _ in 0..60 {
            let mut child = quiet(folder.path());
            within(LONG, || (!sockets(folder.path()).is_empty()).then_some(())).unwrap();
            kill("-TERM", child.id());
            assert_eq!(child.wait().unwrap().code(), Some(0));
        }
        over.store(true, Ordering::Relaxed);
        let (looks, seen) = watcher.join().unwrap();
        println!("{looks} looks saw {seen:?}");
        assert!(seen.contains("a socket"));
    });
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn what_happens_in_the_folder_is_this_and_nothing_else() {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let folder = tempfile::tempdir().unwrap();
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    watch
        .add_watch(folder.path(), AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE)
        .unwrap();
    let mut child = quiet(folder.path());
    within(LONG, || (entries(folder.path()).len() == 1 && sockets(folder.path()).len() == 1).then_some(())).unwrap();
    kill("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut seen = Vec::new();
    while let Ok(events) = watch.read_events() {
        for event in events {
            let name = event.name.unwrap().into_string().unwrap();
            let who = if name.starts_with(".virt-tailor-") && event.mask.contains(AddWatchFlags::IN_ISDIR) {
                "the private folder"
            } else if name.starts_with("virt-tailor-hook-sidecar-0-") && name.ends_with(".sock") {
                "the socket"
            } else {
                panic!("{name}: {:?}", event.mask)
            };
            seen.push((who, event.mask - AddWatchFlags::IN_ISDIR));
        }
    }
    // The socket is never made here: it comes in as a whole.
    let expected = [
        ("the private folder", AddWatchFlags::IN_CREATE),
        ("the socket", AddWatchFlags::IN_MOVED_TO),
        ("the private folder", AddWatchFlags::IN_DELETE),
        ("the socket", AddWatchFlags::IN_DELETE),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_hundred_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> = (0..100).map(|_| quiet(folder.path())).collect();
    within(3 * LONG, || (sockets(folder.path()).len() == 100).then_some(())).expect("not all of them serve");
    for name in sockets(folder.path()) {
        assert_eq!(info(connect(&folder.path().join(name)).await.unwrap()).await.versions.len(), 3);
    }
    for child in &children {
        kill("-TERM", child.id());
    }
    for child in &mut children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert!(entries(folder.path()).is_empty(), "{:?}", entries(folder.path()));
}

#[test]
fn what_a_killed_one_left_is_removed_and_nothing_else() {
    let mut sidecar = Sidecar::start(&[]);
    let folder = sidecar.hooks.clone();
    let left = sidecar.socket();
    sidecar.signal("-KILL");
    sidecar.ended();
    assert!(left.exists());
    // Killed half way.
    fs::create_dir_all(folder.join(".virt-tailor-0123456789abcdef/s")).unwrap();
    drop(UnixListener::bind(folder.join(".virt-tailor-0123456789abcdef/s/virt-tailor-x.sock")).unwrap());
    // Not ours.
    drop(UnixListener::bind(folder.join("hook.sock")).unwrap());
    fs::write(folder.join("virt-tailor-notes.sock"), "a file").unwrap();
    fs::create_dir(folder.join(".other")).unwrap();
    // Ours, and alive.
    let alive = UnixListener::bind(folder.join("virt-tailor-alive.sock")).unwrap();
    let mut child = quiet(&folder);
    let others = [".other", "hook.sock", "virt-tailor-alive.sock", "virt-tailor-notes.sock"];
    let fresh = within(LONG, || {
        let names = entries(&folder);
        let fresh = names.iter().find(|name| name.starts_with("virt-tailor-hook-") && !left.ends_with(name));
        fresh.cloned().filter(|_| names.len() == others.len() + 1)
    });
    assert!(fresh.is_some(), "{:?}", entries(&folder));
    assert!(!left.exists());
    kill("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(entries(&folder), others);
    drop(alive);
}

#[test]
fn a_long_path_works() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    let mut child = quiet(&deep);
    within(LONG, || (sockets(&deep).len() == 1).then_some(())).unwrap();
    kill("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(entries(&deep).is_empty());
}

fn quiet(folder: &Path) -> Child {
    command(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn sockets(folder: &Path) -> Vec<String> {
    entries(folder).into_iter().filter(|name| name.ends_with(".sock")).collect()
}
