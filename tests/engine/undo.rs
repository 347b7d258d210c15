//! Putting the node back.

use std::sync::{Arc, Mutex};

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
        // As `driverctl --noprobe` leaves it: for the next time.
        (Some("nouveau"), "vfio-pci"),
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

/// What the node says can change under us: what stands in the way of a step, and who uses the devices.
#[derive(Debug, Clone, Default)]
struct Node(Arc<Mutex<(Vec<String>, Vec<String>)>>);

impl Guard for Node {
    fn before_plan(&self, _: &Request) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    fn before_step(&self, _: &Request, _: &Step) -> Result<Vec<String>, Trouble> {
        Ok(self.0.lock().unwrap().0.clone())
    }

    fn before_undo(&self, _: &Request) -> Result<Vec<String>, Trouble> {
        Ok(self.0.lock().unwrap().1.clone())
    }
}

#[test]
fn what_was_put_back_behind_our_back_is_not_taken_again_unasked() {
    let (model, state, node) = (Model::new(), crate::state(), Node::default());
    let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), node.clone()).unwrap();
    let request = request("vm", "IOMMU group 2", &[NIC], vec![bind(NIC)]);
    let before = model.picture();
    engine.apply(&request, &mut quiet).unwrap();
    model.set(NIC, Some("igb"), "(null)");
    let writes = model.writes();
    node.0.lock().unwrap().0 = vec!["0000:02:00.0 has the default route (enp2s0)".to_owned()];
    let error = engine.apply(&request, &mut quiet).unwrap_err();
    assert!(error.to_string().contains("has the default route"), "{error}");
    // Given up, there was nothing to undo: nothing but what undoes has been written since.
    assert!(
        !model.writes()[writes.len()..].iter().any(|write| write.contains("driver/unbind")),
        "{:?}",
        model.writes()
    );
    assert_eq!(model.picture(), before);
}

#[test]
fn a_plan_made_again_for_a_vm_that_runs_takes_nothing_from_it_when_it_fails() {
    let (model, state, node) = (Model::new(), crate::state(), Node::default());
    let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), node.clone()).unwrap();
    let before = model.picture();
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    // Its sound went back to the host, and does not come again; the GPU is in use.
    model.set(AUDIO, Some("snd_hda_intel"), "(null)");
    let user = "/dev/vfio/1 is open in process 4711 (qemu-system-x86)";
    *node.0.lock().unwrap() = (vec!["no".to_owned()], vec![user.to_owned()]);
    let error = engine.apply(&gpu("vm"), &mut quiet).unwrap_err();
    assert!(matches!(&error, EngineError::Failed { left, .. } if left.len() == 1 && left[0].why == user), "{error}");
    assert_eq!(model.driver(GPU).as_deref(), Some("vfio-pci"));
    // The VM goes: all of it comes back.
    *node.0.lock().unwrap() = Default::default();
    engine.undo(&owner("vm"), &mut quiet).unwrap();
    assert_eq!(model.picture(), before);
    assert!(engine.ledger().is_empty());
}
