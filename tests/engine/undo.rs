//! Putting the node back.

use virt_tailor::prep::engine::{Engine, EngineError, Guard};
use virt_tailor::prep::journal::Request;
use virt_tailor::prep::{Step, Trouble};

use crate::model::{Fault, Model};
use crate::{AUDIO, BOOT, GPU, NIC, bind, engine, gpu, owner, quiet, reasons, request};

#[test]
fn whatever_was_there_comes_back() {
    let befores = [
        (Some("nouveau"), "(null)"),
        (None, "(null)"),
        (Some("vfio-pci"), "(null)"),
        (Some("vfio-pci"), "vfio-pci"),
        (None, "nouveau"),
        (Some("nouveau"), "nouveau"),
    ];
    for (driver, driver_override) in befores {
        let (model, state) = (Model::new(), crate::state());
        model.set(GPU, driver, driver_override);
        let before = model.picture();
        let engine = engine(&model, state.path());
        for _ in 0..3 {
            engine.apply(&gpu("vm"), &mut quiet).unwrap();
            assert_eq!(model.driver(GPU).as_deref(), Some("vfio-pci"));
            engine.undo(&owner("vm"), &mut quiet).unwrap();
            assert_eq!(model.picture(), before, "{driver:?} {driver_override}");
        }
        assert!(engine.ledger().is_empty());
    }
}

#[test]
fn who_has_nothing_has_nothing_to_undo() {
    let (model, state) = (Model::new(), crate::state());
    assert!(!engine(&model, state.path()).undo(&owner("nobody"), &mut quiet).unwrap().changed);
    assert_eq!(model.writes(), Vec::<String>::new());
}

#[test]
fn an_undo_goes_on_past_a_failure_and_can_be_asked_again() {
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    let engine = engine(&model, state.path());
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    model.fault("sys/bus/pci/drivers_probe", Fault::Pretend);
    model.fault("sys/bus/pci/drivers/snd_hda_intel/bind", Fault::Errno(nix::libc::ENODEV, u32::MAX));
    let error = engine.undo(&owner("vm"), &mut quiet).unwrap_err();
    assert_eq!(
        error.to_string(),
        "vm is not gone from this node; not undone: bind 0000:01:00.1 to vfio-pci (cannot write \"0000:01:00.1\" to \
         /sys/bus/pci/drivers/snd_hda_intel/bind: No such device (os error 19): the driver does not know the device, or its firmware or hardware does not answer; 0000:01:00.1 is bound to none and not to snd_hda_intel)"
    );
    // The GPU and the power switches are back all the same.
    assert_eq!(model.driver(GPU).as_deref(), Some("nouveau"));
    assert_eq!(model.driver(AUDIO), None);
    // What failed keeps others away …
    let held = reasons(engine.apply(&gpu("other"), &mut quiet).unwrap_err());
    assert_eq!(held, ["IOMMU group 1 belongs to vm", "driver of 0000:01:00.1 belongs to vm"]);
    // … until it is undone.
    model.mend();
    engine.undo(&owner("vm"), &mut quiet).unwrap();
    assert_eq!(model.picture(), before);
    assert!(engine.ledger().is_empty());
}

#[test]
fn what_was_unplugged_is_not_missed() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&request("vm", "IOMMU group 2", &[NIC], vec![bind(NIC)]), &mut quiet).unwrap();
    model.unplug(NIC);
    engine.undo(&owner("vm"), &mut quiet).unwrap();
    assert!(engine.ledger().is_empty());
}

/// Somebody still uses the device.
struct InUse;

impl Guard for InUse {
    fn before_plan(&self, _: &Request) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    fn before_step(&self, _: &Request, _: &Step) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    fn before_undo(&self, _: &Request) -> Result<Vec<String>, Trouble> {
        Ok(vec!["/dev/vfio/1 is open in process 4711 (qemu-system-x86)".to_owned()])
    }
}

#[test]
fn nothing_is_taken_from_who_uses_it() {
    let (model, state) = (Model::new(), crate::state());
    let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), InUse).unwrap();
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    let writes = model.writes();
    let error = engine.undo(&owner("vm"), &mut quiet).unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    assert_eq!(model.writes(), writes);
    assert_eq!(engine.ledger().holdings.len(), 1);
}
