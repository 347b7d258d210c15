//! What several owners want at once.

use virt_tailor::prep::engine::How;

use crate::model::Model;
use crate::{GPU, NIC, bind, engine, owner, pin, quiet, request};

#[test]
fn the_last_of_them_puts_the_node_back() {
    let orders = [["a", "b"], ["b", "a"]];
    for order in orders {
        let (model, state) = (Model::new(), crate::state());
        let before = model.picture();
        let engine = engine(&model, state.path());
        engine.apply(&request("a", "IOMMU group 1", &[GPU], vec![pin(NIC), bind(GPU)]), &mut quiet).unwrap();
        let second = request("b", "IOMMU group 2", &[NIC], vec![pin(NIC), bind(NIC)]);
        assert_eq!(engine.plan(&second).unwrap().steps[0].how, How::Join { owners: vec![owner("a")] });
        engine.apply(&second, &mut quiet).unwrap();
        let control = format!("sys/bus/pci/devices/{NIC}/power/control");
        engine.undo(&owner(order[0]), &mut quiet).unwrap();
        assert_eq!(model.root().text(&control).unwrap().as_deref(), Some("on"));
        engine.undo(&owner(order[1]), &mut quiet).unwrap();
        assert_eq!(model.picture(), before, "{order:?}");
        assert!(engine.ledger().is_empty());
    }
}

#[test]
fn a_failure_of_one_leaves_what_the_other_has() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&request("a", "IOMMU group 1", &[GPU], vec![pin(NIC), bind(GPU)]), &mut quiet).unwrap();
    model.set(NIC, None, "(null)");
    model.unplug(NIC);
    let error = engine.apply(&request("b", "IOMMU group 2", &[NIC], vec![bind(NIC)]), &mut quiet).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bind 0000:02:00.0 to vfio-pci failed: there is no PCI function 0000:02:00.0 on this node"
    );
    assert_eq!(engine.ledger().holdings.keys().collect::<Vec<_>>(), [&owner("a")]);
    assert_eq!(model.driver(GPU).as_deref(), Some("vfio-pci"));
}
