//! Making a plan.

use virt_tailor::prep::Step;
use virt_tailor::prep::engine::{Applied, EngineError, How};
use virt_tailor::prep::journal::HoldingPhase;
use virt_tailor::prep::steps::CheckDisks;

use crate::model::{Fault, Model};
use crate::{AUDIO, GPU, NIC, bind, engine, gpu, owner, pin, quiet, reasons, request};

#[test]
fn everything_is_made_and_read_back() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    let applied = engine.apply(&gpu("vm"), &mut quiet).unwrap();
    assert_eq!(applied, Applied { changed: true, notes: Vec::new() });
    assert_eq!([GPU, AUDIO, NIC].map(|device| model.driver(device).unwrap()), ["vfio-pci", "vfio-pci", "igb"]);
    assert_eq!(engine.ledger().holdings[&owner("vm")].phase, HoldingPhase::Ready);
}

#[test]
fn asking_again_changes_nothing() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    let writes = model.writes();
    assert_eq!(engine.apply(&gpu("vm"), &mut quiet).unwrap(), Applied::default());
    assert_eq!(model.writes(), writes);
}

#[test]
fn what_has_drifted_is_made_again() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    model.set(GPU, Some("nouveau"), "(null)");
    assert!(engine.apply(&gpu("vm"), &mut quiet).unwrap().changed);
    assert_eq!(model.driver(GPU).unwrap(), "vfio-pci");
}

#[test]
fn a_device_has_one_owner() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&gpu("first"), &mut quiet).unwrap();
    let writes = model.writes();
    let error = engine.apply(&gpu("second"), &mut quiet).unwrap_err();
    assert_eq!(
        reasons(error),
        [
            "IOMMU group 1 belongs to first",
            "driver of 0000:01:00.0 belongs to first",
            "driver of 0000:01:00.1 belongs to first"
        ]
    );
    assert_eq!(model.writes(), writes);
}

#[test]
fn an_owner_with_something_has_to_give_it_back_first() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    let other = request("vm", "IOMMU group 2", &[NIC], vec![bind(NIC)]);
    let error = engine.apply(&other, &mut quiet).unwrap_err();
    assert_eq!(reasons(error), ["vm already has something else (example.com/device): undo that first"]);
}

#[test]
fn a_failure_undoes_what_was_done() {
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    let engine = engine(&model, state.path());
    model.fault(&format!("sys/bus/pci/devices/{AUDIO}/driver/unbind"), Fault::Errno(nix::libc::EBUSY, u32::MAX));
    let error = engine.apply(&gpu("vm"), &mut quiet).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bind 0000:01:00.1 to vfio-pci failed: cannot write \"0000:01:00.1\" to /sys/bus/pci/devices/0000:01:00.1/driver/unbind: \
         Device or resource busy (os error 16); 0000:01:00.1 is bound to snd_hda_intel and not to vfio-pci"
    );
    assert_eq!(model.picture(), before);
    assert!(engine.ledger().is_empty());
}

#[test]
fn a_driver_that_is_busy_for_a_moment_is_asked_again() {
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    let engine = engine(&model, state.path());
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    // drivers_probe reports success although nobody bound; the driver's own file tells that it is busy.
    model.fault("sys/bus/pci/drivers_probe", Fault::Pretend);
    model.fault("sys/bus/pci/drivers/snd_hda_intel/bind", Fault::Errno(nix::libc::EBUSY, 2));
    engine.undo(&owner("vm"), &mut quiet).unwrap();
    assert_eq!(model.picture(), before);
}

#[test]
fn success_without_effect_is_a_failure() {
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    let engine = engine(&model, state.path());
    model.fault(&format!("sys/bus/pci/devices/{GPU}/power/control"), Fault::Pretend);
    let error = engine.apply(&request("vm", "g", &[GPU], vec![pin(GPU), bind(GPU)]), &mut quiet).unwrap_err();
    assert!(
        matches!(&error, EngineError::Failed { what, left, .. } if what == "keep 0000:01:00.0 awake" && left.is_empty()),
        "{error}"
    );
    model.mend();
    assert_eq!(model.picture(), before);
}

#[test]
fn a_plan_shows_every_write_and_makes_none() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    let plan = engine.plan(&gpu("vm")).unwrap();
    let planned: Vec<String> =
        plan.steps.iter().flat_map(|step| step.actions.iter().map(ToString::to_string)).collect();
    assert_eq!(model.writes(), Vec::<String>::new());
    assert!(engine.ledger().is_empty());
    let mut made = Vec::new();
    engine
        .apply(&gpu("vm"), &mut |progress| {
            if let virt_tailor::prep::engine::Progress::Action(action) = progress {
                made.push(action.to_string());
            }
        })
        .unwrap();
    assert_eq!(planned, made);
    let again = engine.plan(&gpu("vm")).unwrap();
    assert!(again.steps.iter().all(|step| step.how == How::Already), "{again:?}");
}

fn check(address: &str) -> Step {
    Step::CheckDisks(CheckDisks { address: address.parse().unwrap(), may_hold_data: false })
}

#[test]
fn a_look_is_not_written_down() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    let request = request("vm", "IOMMU group 2", &[NIC], vec![pin(NIC), check(NIC), bind(NIC)]);
    engine.apply(&request, &mut quiet).unwrap();
    let steps: Vec<String> = engine.ledger().records.values().map(|record| record.step.describe()).collect();
    assert_eq!(steps, ["keep 0000:02:00.0 awake", "bind 0000:02:00.0 to vfio-pci"]);
    // Asked again, and undone, it is in nobody's way.
    assert!(!engine.apply(&request, &mut quiet).unwrap().changed);
    engine.undo(&owner("vm"), &mut quiet).unwrap();
    assert!(engine.ledger().is_empty());
}

#[test]
fn what_a_look_refuses_is_refused_before_anything_is_done() {
    let (model, state) = (Model::new(), crate::state());
    // A disk whose device file cannot be opened: whether it is in use is not known.
    let sys = model.root().path("sys");
    let disk = sys.join("devices/pci0000:00").join(NIC).join("nvme/nvme0/nvme0n1");
    std::fs::create_dir_all(&disk).unwrap();
    std::fs::write(disk.join("dev"), "259:0\n").unwrap();
    std::fs::write(disk.join("size"), "2048\n").unwrap();
    std::fs::create_dir_all(sys.join("class/block")).unwrap();
    let link = format!("../../devices/pci0000:00/{NIC}/nvme/nvme0/nvme0n1");
    std::os::unix::fs::symlink(link, sys.join("class/block/nvme0n1")).unwrap();
    let before = model.picture();
    let engine = engine(&model, state.path());
    let request = request("vm", "IOMMU group 2", &[NIC], vec![pin(NIC), check(NIC), bind(NIC)]);
    let words =
        format!("cannot read {}: No such file or directory (os error 2)", model.root().path("dev/nvme0n1").display());
    assert_eq!(engine.plan(&request).unwrap().refused, std::slice::from_ref(&words));
    assert_eq!(reasons(engine.apply(&request, &mut quiet).unwrap_err()), [words]);
    assert_eq!((model.writes(), model.picture()), (Vec::new(), before));
    assert!(engine.ledger().is_empty());
}
