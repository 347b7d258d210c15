//! A mutation, bytes to bytes, with a resolved profile: a captured domain, and big ones to show that time grows with size.
//!
//! `cargo bench --bench mutate`

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark, and criterion's own items")]

#[path = "../common/big_domain.rs"]
mod big_domain;
#[path = "../common/usual_profile.rs"]
mod usual_profile;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn sample(c: &mut Criterion) {
    let bytes =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kubevirt/gpu-workstation.pass2.xml")).unwrap();
    let profile = usual_profile::resolved(true);
    let mut group = c.benchmark_group("mutate");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("sample of 7 KB", |b| b.iter(|| usual_profile::mutated(black_box(&bytes), &profile)));
    let fitted = usual_profile::mutated(&bytes, &profile);
    group.bench_function("sample of 7 KB, right already", |b| {
        b.iter(|| usual_profile::mutated(black_box(&fitted), &profile))
    });
    group.finish();
}

fn sizes(c: &mut Criterion) {
    let profile = usual_profile::resolved(false);
    let mut group = c.benchmark_group("mutate");
    group.sample_size(30);
    for kib in [256, 512, 1024, 2048] {
        let bytes = big_domain::big_domain(kib * 1024).into_bytes();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(format!("{kib} KiB")), &bytes, |b, bytes| {
            b.iter(|| usual_profile::mutated(black_box(bytes), &profile));
        });
    }
    group.finish();
}

criterion_group!(benches, sample, sizes);
criterion_main!(benches);
