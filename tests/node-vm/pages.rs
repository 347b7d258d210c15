//! Huge pages on two NUMA nodes, the memory of one of which is in pieces.

use serde_json::{Value, json};

use crate::binary::fragment;
use crate::hands::Remote;
use crate::vm::{Job, Vm};

fn add(count: u64, numa: u32) -> Value {
    json!([{ "step": "addHugepages", "kib": 2048, "count": count, "numa": numa }])
}

/// Memory of a node that is free, in MiB, and how much of that is in pieces of 2 MiB and more (proc_buddyinfo(5)).
fn free(vm: &Vm, node: u32) -> (u64, u64) {
    let text = vm.read("/proc/buddyinfo").unwrap();
    let (mut all, mut large) = (0, 0);
    for line in text.lines().filter(|line| line.starts_with(&format!("Node {node},"))) {
        for (order, count) in line.split_whitespace().skip(4).enumerate() {
            let kib = (count.parse::<u64>().unwrap() * 4) << order;
            all += kib;
            large += if order >= 9 { kib } else { 0 };
        }
    }
    (all >> 10, large >> 10)
}

/// Fills a node but for `spare` MiB and gives every other page back.
fn fragmented<'vm>(vm: &'vm Vm, node: u32, spare: u64, locked: &str) -> Job<'vm> {
    let mib = free(vm, node).0 - spare;
    let job = vm.spawn(&format!("exec /vt/fragment {node} {mib} {locked}"));
    vm.run_within(240, &format!("until grep -qs . /proc/{0}/stat && [ \"$(awk '/^VmRSS/ {{ print $2 }}' /proc/{0}/status)\" -gt {1} ]; do sleep 0.2; done", job.pid(), mib * 1024 / 3)).ok();
    while job.so_far().stdout.trim() != "fragmented" {
        assert!(job.finished().is_none(), "{:?}", job.finished());
        vm.run("sleep 0.2").ok();
    }
    job
}

fn end(vm: &Vm, job: &Job<'_>) {
    vm.run(&format!("kill -9 {0}; while [ -e /proc/{0} ]; do sleep 0.1; done", job.pid())).ok();
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn huge_pages_are_shared_and_found_in_pieces_of_memory() {
    // Most of the memory is where the kernel keeps nothing of its own: what it cannot move would be a matter of luck.
    let vm = Vm::builder().memory_mib(2048).numa(2).kernel_arg("movablecore=1280M").boot();
    vm.put("fragment", &std::fs::read(fragment()).unwrap());
    vm.run("chmod +x /vt/fragment").ok();
    let engine = Remote::new(&vm);
    let pages = |node: u32| {
        vm.read(&format!("/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages")).unwrap()
    };

    vm.run("echo 3 >/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages").ok();
    engine.apply("vm-1", add(8, 1)).unwrap();
    engine.apply("vm-2", add(4, 1)).unwrap();
    assert_eq!((pages(0), pages(1)), ("0".to_owned(), "15".to_owned()));
    for owner in ["vm-1", "vm-2"] {
        assert!(!engine.apply(owner, add(if owner == "vm-1" { 8 } else { 4 }, 1)).unwrap().changed);
    }
    engine.undo("vm-1");
    assert_eq!(pages(1), "7");
    // Whoever asks again gets nothing of what others have given back.
    assert!(!engine.apply("vm-2", add(4, 1)).unwrap().changed);
    assert_eq!(pages(1), "7");
    // Nobody has so many: what could be had goes back, others keep theirs.
    let (refused, actions) = engine.apply_told("vm-3", add(5000, 1));
    let refused = refused.unwrap_err().to_string();
    println!("{refused}");
    assert!(refused.contains("5000 huge pages of 2048 KiB were asked for on NUMA node 1 and "), "{refused}");
    assert_eq!(actions.iter().filter(|action| action.ends_with("node1/compact")).count(), 3, "{actions:#?}");
    assert_eq!(pages(1), "7");
    engine.undo("vm-2");
    assert_eq!(pages(1), "3");

    // Pages that somebody has are not of the pool any more, and go once they are let go; asking twice takes no more.
    engine.apply("vm-3", add(4, 1)).unwrap();
    vm.run("mount -t hugetlbfs none /mnt && fallocate -l 12M /mnt/held").ok();
    engine.undo("vm-3");
    engine.undo("vm-3");
    assert_eq!(pages(1), "6");
    vm.run("rm /mnt/held && umount /mnt").ok();
    assert_eq!(pages(1), "3");

    // In pieces that can be moved: the kernel finds some by itself, and all of them once it has compacted.
    let job = fragmented(&vm, 0, 60, "");
    let (all, large) = free(&vm, 0);
    println!("node 0, movable: {all} MiB free, {large} of them in pieces of 2 MiB");
    assert!(large < 128 && all > 256, "{all} {large}");
    let (mut applied, mut actions) = engine.apply_told("vm-4", add(64, 0));
    // Seldom the kernel gives compaction up too early (35 of 64, once in dozens of runs): whoever asks again has them.
    for _ in 0..2 {
        if applied.is_err() {
            println!("{applied:?}");
            assert_eq!(pages(0), "0", "all or nothing");
            engine.undo("vm-4");
            (applied, actions) = engine.apply_told("vm-4", add(64, 0));
        }
    }
    println!("{} actions: {actions:#?}", actions.len());
    applied.unwrap();
    assert_eq!((pages(0), pages(1)), ("64".to_owned(), "3".to_owned()));
    engine.undo("vm-4");
    assert_eq!(pages(0), "0");
    end(&vm, &job);

    // In pieces that cannot be moved: as many as were asked for are not to be had, and none stays.
    vm.run("echo 0 >/proc/sys/vm/compact_unevictable_allowed").ok();
    let job = fragmented(&vm, 0, 60, "locked");
    let (all, large) = free(&vm, 0);
    println!("node 0, locked: {all} MiB free, {large} of them in pieces of 2 MiB");
    assert!(large < 128 && all > 256, "{all} {large}");
    let (refused, actions) = engine.apply_told("vm-5", add(100, 0));
    let refused = refused.unwrap_err().to_string();
    println!("{refused}\n{actions:#?}");
    assert!(refused.contains("100 huge pages of 2048 KiB were asked for on NUMA node 0 and "), "{refused}");
    assert_eq!(actions.iter().filter(|action| action.ends_with("node0/compact")).count(), 3, "{actions:#?}");
    assert_eq!((pages(0), pages(1)), ("0".to_owned(), "3".to_owned()));

    // Locked at first, and movable by the time our first compaction begins: then it does what the kernel's own did not.
    vm.run("grep drop_pagecache /proc/vmstat >/tmp/dropped").ok();
    let helper = vm.spawn("while grep -qxf /tmp/dropped /proc/vmstat; do sleep 0.05; done; echo 1 >/proc/sys/vm/compact_unevictable_allowed");
    let (applied, actions) = engine.apply_told("vm-6", add(100, 0));
    println!("{actions:#?}");
    applied.unwrap();
    assert_eq!(helper.wait(30).code, 0);
    assert!(actions.iter().any(|action| action.ends_with("node0/compact")), "{actions:#?}");
    assert_eq!((pages(0), pages(1)), ("100".to_owned(), "3".to_owned()));
    engine.undo("vm-6");
    assert_eq!((pages(0), pages(1)), ("0".to_owned(), "3".to_owned()));
    end(&vm, &job);
}
