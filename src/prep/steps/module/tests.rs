use super::*;
use crate::prep::kind::Kind as _;

pub(super) fn one(name: &str, busy: bool) -> Loaded {
    let parameters = [("debug".to_owned(), "1".to_owned())].into();
    let busy = busy.then(|| "it is in use (1 references)".to_owned());
    Loaded { parameters, busy, ..Loaded::new(name.to_owned()) }
}

pub(super) fn driving(name: &str, needed: Option<&str>) -> Loaded {
    let driven = Driven { device: "0000:01:00.0".to_owned(), needed: needed.map(str::to_owned) };
    Loaded { drives: vec![driven], ..one(name, false) }
}

pub(super) fn state(loaded: &[Loaded]) -> ModuleState {
    ModuleState { built_in: false, loaded: loaded.to_vec(), needs: Vec::new(), shown: BTreeMap::new() }
}

pub(super) fn told(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

/// A root with these files below `sys/module`.
pub(super) fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let tree = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = tree.path().join("sys/module").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = Root::new(tree.path());
    (tree, root)
}

#[test]
fn who_uses_whom_is_read() {
    let (_tree, root) = tree(&[
        ("kvm/refcnt", "2\n"),
        ("kvm/holders/kvm_intel", ""),
        ("kvm/parameters/halt_poll_ns", "200000\n"),
        ("kvm/parameters/odd", "(null)\n"),
        ("kvm_intel/refcnt", "0\n"),
        ("pci_stub/parameters/ids", "\n"),
    ]);
    let now = ModuleState::observe(&root, "kvm").unwrap();
    assert_eq!(now.loaded.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["kvm_intel", "kvm"]);
    assert_eq!(now.loaded[1].busy.as_deref(), Some("it is used by module kvm_intel and 1 more references"));
    assert_eq!(now.loaded[1].parameters, [("halt_poll_ns".to_owned(), "200000".to_owned())].into());
    assert!(ModuleState::observe(&root, "pci-stub").unwrap().built_in);
}

#[test]
fn vfios_modules_stay() {
    let idle = state(&[one("vfio_pci", false), one("irqbypass", false)]);
    let step = UnloadModule { module: "irqbypass".to_owned() };
    assert_eq!(
        step.wanted(&idle).unwrap_err().message,
        "module irqbypass cannot be unloaded: vfio_pci is one of VFIO's, and takes devices from VMs when it goes"
    );
}

#[test]
fn a_device_that_the_node_needs_keeps_its_driver() {
    let needed = state(&[driving("igb", Some("the default route leads over eth0"))]);
    let step = UnloadModule { module: "igb".to_owned() };
    assert_eq!(
        step.wanted(&needed).unwrap_err().message,
        "module igb cannot be unloaded: module igb stays loaded: it drives 0000:01:00.0, and the default route leads over eth0"
    );
    // Nobody needs it: a GPU's driver is unloaded in order to take the GPU.
    let idle = state(&[driving("igb", None)]);
    assert_eq!(told(&step.moves(&idle, &step.wanted(&idle).unwrap(), 0)), ["unload module igb"]);
    assert_eq!(step.moves(&needed, &state(&[]), 0), []);
}
