//! Bytes → document → a hook's usual edits → bytes: a captured domain, and big ones to show that time grows with size.
//!
//! `cargo bench --bench xml`

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark, and criterion's own items")]

#[path = "../common/big_domain.rs"]
mod big_domain;
#[path = "../common/usual_edits.rs"]
mod usual_edits;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use virt_tailor::xml::{Document, Limits};

fn sample() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kubevirt/gpu-workstation.pass2.xml")).unwrap()
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("sample");
    let bytes = sample();
    let limits = Limits::default();
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("parse", |b| b.iter(|| Document::parse(black_box(bytes.as_slice()), &limits).unwrap()));
    group.bench_function("parse, edit, render", |b| {
        b.iter(|| usual_edits::edited(black_box(bytes.as_slice())));
    });
    group.finish();
}

fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse, edit, render");
    group.sample_size(30);
    for kib in [256, 512, 1024, 2048] {
        let bytes = big_domain::big_domain(kib * 1024).into_bytes();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(format!("{kib} KiB")), &bytes, |b, bytes| {
            b.iter(|| usual_edits::edited(black_box(bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, steps, sizes);
criterion_main!(benches);
