//! The engine on a behaviour model of a node: what a kernel does when it works, when it refuses, hangs, or pretends; and a crash at
//! every place where one can happen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

mod apply;
mod crash;
mod hand;
mod journal;
mod model;
mod properties;
mod quarantine;
mod shared;
mod undo;

use std::path::Path;

use virt_tailor::prep::engine::{Engine, EngineError, Progress, Unguarded};
use virt_tailor::prep::journal::Request;
use virt_tailor::prep::steps::{Bind, PinPower};
use virt_tailor::prep::{Owner, Step};

use hand::ModelHands;
use model::Model;

const BOOT: &str = "11111111-2222-3333-4444-555555555555";
const GPU: &str = "0000:01:00.0";
const AUDIO: &str = "0000:01:00.1";
const NIC: &str = "0000:02:00.0";

/// An engine on a model, without guards.
type TestEngine = Engine<ModelHands, Unguarded>;

fn engine(model: &Model, state: &Path) -> TestEngine {
    Engine::open(state, BOOT, model.hands(), Unguarded).unwrap().0
}

fn owner(name: &str) -> Owner {
    name.parse().unwrap()
}

fn bind(address: &str) -> Step {
    Step::Bind(Bind { address: address.parse().unwrap(), driver: "vfio-pci".to_owned() })
}

fn pin(address: &str) -> Step {
    Step::PinPower(PinPower { address: address.parse().unwrap() })
}

/// A request for functions that make one ownership unit.
fn request(name: &str, unit: &str, devices: &[&str], steps: Vec<Step>) -> Request {
    Request {
        owner: owner(name),
        purpose: "example.com/device".to_owned(),
        devices: devices.iter().map(|device| device.parse().unwrap()).collect(),
        unit: vec![unit.to_owned()],
        domain: devices.iter().map(|device| format!("function {device}")).chain([unit.to_owned()]).collect(),
        steps,
    }
}

/// The GPU and its audio function.
fn gpu(name: &str) -> Request {
    request(name, "IOMMU group 1", &[GPU, AUDIO], vec![pin(GPU), pin(AUDIO), bind(GPU), bind(AUDIO)])
}

fn quiet(_: Progress<'_>) {}

fn reasons(error: EngineError) -> Vec<String> {
    match error {
        EngineError::Refused { reasons } => reasons,
        other => panic!("not a refusal: {other}"),
    }
}

/// A state folder that only we may enter.
fn state() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    // In memory, where there is such a place: thousands of these are synced to the disk for nothing.
    let state = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new()).unwrap();
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    state
}
