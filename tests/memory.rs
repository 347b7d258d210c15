//! Peak heap of parsing, editing and rendering a domain: below eight times the input.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]
#![expect(unsafe_code, reason = "a global allocator, to count")]

#[path = "common/big_domain.rs"]
mod big_domain;
#[path = "common/usual_edits.rs"]
mod usual_edits;
#[path = "common/usual_profile.rs"]
mod usual_profile;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counted. `realloc` is left to the default (allocate, copy, free), so that both blocks count.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches no memory of the blocks.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and the block came from `System.alloc` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Peak heap above what is live now (the input itself is not counted, its copy in the document is), in bytes.
fn peak_of(work: impl FnOnce() -> Vec<u8>) -> usize {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    drop(work());
    PEAK.load(Ordering::Relaxed) - before
}

// The only test of this crate: another one would allocate beside it.
#[test]
fn peak_stays_below_eight_times_the_input() {
    let profile = usual_profile::resolved(false);
    for kib in [256, 1024, 3072] {
        let input = big_domain::big_domain(kib * 1024);
        let edits = peak_of(|| usual_edits::edited(input.as_bytes()));
        let mutation = peak_of(|| usual_profile::mutated(input.as_bytes(), &profile));
        for (what, peak) in [("edits", edits), ("a mutation", mutation)] {
            let tenths = peak * 10 / input.len();
            println!("{what}, {kib} KiB: peak {peak} bytes, {}.{} times the input", tenths / 10, tenths % 10);
            assert!(peak < 8 * input.len(), "{what}, {kib} KiB: {}.{} times the input", tenths / 10, tenths % 10);
        }
    }
}
