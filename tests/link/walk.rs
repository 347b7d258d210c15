//! The walk: what is found, and what a pod can make of its folders.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use virt_tailor::link::walk::{Found, Look, Pods};

use crate::node::{Node, full, listen, uid};

const NAME: &str = "virt-tailor-hook-sidecar-0-0123456789abcdef.sock";

fn look(node: &Node, number: u32) -> Found {
    let pods = Pods::open(&node.kubelet()).unwrap();
    pods.look(&uid(number), Look { known: None, arm: &mut |_: &OwnedFd| {} }).unwrap()
}

fn found(node: &Node) -> usize {
    look(node, 1).sockets.len()
}

fn was_called(listener: &UnixListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    match listener.accept() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            false
        }
    }
}

#[test]
fn a_socket_is_found_in_both_layouts() {
    for folder in ["", "hook-sidecar-0", "hook-sidecar-12"] {
        let node = Node::new();
        let own = node.pod(1).join(folder);
        fs::create_dir_all(&own).unwrap();
        assert_eq!(found(&node), 0);
        let listener = listen(&own, NAME);
        let found = look(&node, 1);
        assert_eq!((found.sockets.len(), found.crowded), (1, false), "{folder}");
        assert!(found.sockets[0].stream.is_some() && was_called(&listener));
        // It is not connected to twice.
        let pods = Pods::open(&node.kubelet()).unwrap();
        let known = Some(found.sockets[0].file);
        let again = pods.look(&uid(1), Look { known, arm: &mut |_: &OwnedFd| {} }).unwrap();
        assert!(again.sockets[0].stream.is_none() && !was_called(&listener));
        drop(listener);
        // The file is there still, and nobody listens.
        assert_eq!(look(&node, 1).sockets.len(), 0);
    }
}

/// Nobody waits for it, and it counts: it may be the pod's sidecar, or an impostor.
#[test]
fn a_socket_whose_queue_is_full_is_one() {
    let node = Node::new();
    let (listener, waiting) = full(&node.pod(1), NAME);
    let found = look(&node, 1);
    assert!(found.sockets.len() == 1 && found.sockets[0].stream.is_none());
    drop((listener.accept().unwrap(), waiting));
    assert!(look(&node, 1).sockets[0].stream.is_some());
}

#[test]
fn every_folder_on_the_way_is_told_before_it_is_read() {
    let node = Node::new();
    fs::create_dir(node.pod(1).join("hook-sidecar-0")).unwrap();
    let pods = Pods::open(&node.kubelet()).unwrap();
    let count = |number| {
        let mut told = 0;
        pods.look(&uid(number), Look { known: None, arm: &mut |_: &OwnedFd| told += 1 }).unwrap();
        told
    };
    assert_eq!(count(1), 5);
    assert_eq!(count(2), 0);
    fs::create_dir_all(node.kubelet().join("pods").join(uid(2)).join("volumes")).unwrap();
    assert_eq!(count(2), 2);
    let mut uids = pods.uids().unwrap();
    uids.sort();
    assert_eq!(uids, [uid(1), uid(2)]);
    // Whatever somebody makes up leads nowhere.
    for wrong in ["", "..", ".", "../pods", "a/b", "0F9C2A7E-0000-4222-8333-000000000001"] {
        let mut told = 0;
        let found = pods.look(wrong, Look { known: None, arm: &mut |_: &OwnedFd| told += 1 }).unwrap();
        assert_eq!((found.sockets.len(), told), (0, 0), "{wrong}");
    }
}

#[test]
fn what_is_no_socket_of_ours_is_left_alone() {
    let node = Node::new();
    let volume = node.pod(1);
    let outside = node.path("outside");
    fs::create_dir(&outside).unwrap();
    let foreign = listen(&outside, NAME);
    // A link in place of the socket, of a sidecar's folder, and one that goes up.
    symlink(outside.join(NAME), volume.join("virt-tailor-link.sock")).unwrap();
    symlink(&outside, volume.join("hook-sidecar-0")).unwrap();
    symlink("/proc/self/root", volume.join("hook-sidecar-1")).unwrap();
    symlink("..", volume.join("hook-sidecar-2")).unwrap();
    symlink(format!("/proc/{}/fd/0", std::process::id()), volume.join("virt-tailor-fd.sock")).unwrap();
    // Nobody writes to the FIFO: opening it in earnest would hang.
    mkfifo(&volume.join("virt-tailor-fifo.sock"), Mode::S_IRWXU).unwrap();
    mkfifo(&volume.join("hook-sidecar-3"), Mode::S_IRWXU).unwrap();
    File::create(volume.join("virt-tailor-file.sock")).unwrap();
    fs::create_dir(volume.join("virt-tailor-folder.sock")).unwrap();
    File::create(volume.join("hook-sidecar-4")).unwrap();
    // Somebody else's, and where nobody looks.
    fs::create_dir_all(volume.join("hook-sidecar-5/deeper")).unwrap();
    fs::create_dir(volume.join("other")).unwrap();
    let others = [
        listen(&volume, "shim.sock"),
        listen(&volume, "virt-tailor-"),
        listen(&volume.join("hook-sidecar-5"), "hook.sock"),
        listen(&volume.join("hook-sidecar-5/deeper"), NAME),
        listen(&volume.join("other"), NAME),
    ];
    assert_eq!(found(&node), 0);
    assert!(!was_called(&foreign) && !others.iter().any(was_called));
    // And the right one among all of it is found.
    let _right = listen(&volume.join("hook-sidecar-5"), NAME);
    assert_eq!(found(&node), 1);
}

#[test]
fn a_link_in_place_of_the_volume_is_not_followed() {
    let node = Node::new();
    let volume = node.pod(1);
    let outside = node.path("outside");
    fs::create_dir(&outside).unwrap();
    let foreign = listen(&outside, NAME);
    fs::remove_dir(&volume).unwrap();
    symlink(&outside, &volume).unwrap();
    assert_eq!(found(&node), 0);
    assert!(!was_called(&foreign));
}

#[test]
fn ten_thousand_entries_cost_no_more_than_sixty_four() {
    let node = Node::new();
    let volume = node.pod(1);
    for number in 0..5000 {
        File::create(volume.join(format!("virt-tailor-{number}.sock"))).unwrap();
        fs::create_dir(volume.join(format!("litter-{number}"))).unwrap();
    }
    for number in 0..100 {
        fs::create_dir(volume.join(format!("hook-sidecar-{number}"))).unwrap();
    }
    let mut told = 0;
    let pods = Pods::open(&node.kubelet()).unwrap();
    let found = pods.look(&uid(1), Look { known: None, arm: &mut |_: &OwnedFd| told += 1 }).unwrap();
    assert!(found.crowded);
    assert!(told <= 4 + 64, "{told}");
    // Spread over folders it is no more.
    let node = Node::new();
    let volume = node.pod(1);
    let listeners: Vec<_> = (0..80)
        .map(|number| {
            let own = volume.join(format!("hook-sidecar-{number}"));
            fs::create_dir(&own).unwrap();
            listen(&own, NAME)
        })
        .collect();
    let found = look(&node, 1);
    assert!(found.crowded);
    assert!(listeners.iter().filter(|listener| was_called(listener)).count() <= 2);
}

#[test]
fn two_are_two() {
    let node = Node::new();
    let volume = node.pod(1);
    fs::create_dir(volume.join("hook-sidecar-0")).unwrap();
    let _one = listen(&volume, "virt-tailor-a.sock");
    let _two = listen(&volume.join("hook-sidecar-0"), "virt-tailor-b.sock");
    let _three = listen(&volume.join("hook-sidecar-0"), "virt-tailor-c.sock");
    assert_eq!(found(&node), 2);
}

#[test]
fn folders_that_are_swapped_meanwhile_lead_nowhere() {
    let node = Node::new();
    let volume = node.pod(1);
    let outside = node.path("outside");
    fs::create_dir(&outside).unwrap();
    let foreign = listen(&outside, NAME);
    let own = volume.join("hook-sidecar-0");
    fs::create_dir(&own).unwrap();
    let right = listen(&own, NAME);
    right.set_nonblocking(true).unwrap();
    // A folder and a link, and a socket and a link, change places all the time.
    symlink(&outside, volume.join("swap-folder")).unwrap();
    symlink(outside.join(NAME), own.join("swap-socket")).unwrap();
    let over = AtomicBool::new(false);
    let (swaps, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = |one: &std::path::Path, other: &std::path::Path| {
                // The folder may be the link just now; then the sockets are not swapped.
                let _ = renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE);
            };
            while !over.load(Ordering::Relaxed) {
                exchange(&volume.join("hook-sidecar-0"), &volume.join("swap-folder"));
                exchange(&volume.join("hook-sidecar-0").join(NAME), &volume.join("hook-sidecar-0/swap-socket"));
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut looks = 0;
        while looks < 3000 || swaps.load(Ordering::Relaxed) < 1000 {
            looks += 1;
            if found(&node) > 0 {
                hits.fetch_add(1, Ordering::Relaxed);
            }
            while right.accept().is_ok() {}
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(!was_called(&foreign));
    // Both ways were taken, or the swapping would show nothing.
    assert!(hits.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_look_keeps_no_descriptor() {
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let node = Node::new();
    let volume = node.pod(1);
    fs::create_dir(volume.join("hook-sidecar-0")).unwrap();
    mkfifo(&volume.join("virt-tailor-fifo.sock"), Mode::S_IRWXU).unwrap();
    let before = count();
    for _ in 0..2000 {
        found(&node);
    }
    // Other tests run beside this one.
    assert!(count() < before + 500);
}

#[test]
fn a_tmpfs_for_the_volume_is_allowed_and_no_other_mount() {
    let node = Node::new();
    let volume = node.pod(1);
    // In a mount namespace of this thread alone. Without root there is nothing to try.
    let outcome = std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            if unshare(CloneFlags::CLONE_NEWNS).is_err() {
                return None;
            }
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            // Kubelet's way for medium Memory.
            mount(Some("tmpfs"), &volume, Some("tmpfs"), MsFlags::empty(), none).unwrap();
            let own = volume.join("hook-sidecar-0");
            fs::create_dir(&own).unwrap();
            let _right = listen(&own, NAME);
            let in_tmpfs = found(&node);
            // Nobody but an attacker mounts anything further down.
            mount(Some("tmpfs"), &own, Some("tmpfs"), MsFlags::empty(), none).unwrap();
            let _wrong = listen(&own, NAME);
            Some((in_tmpfs, found(&node)))
        });
        tried.join().unwrap()
    });
    match outcome {
        Some(outcome) => assert_eq!(outcome, (1, 0)),
        None => println!("not tried: no mount namespace without root"),
    }
}
