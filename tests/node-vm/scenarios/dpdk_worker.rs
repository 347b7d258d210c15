//! A worker of a cluster in VMs, whose old way is kernel arguments, module options, and a udev rule that is broken in two.

use virt_tailor::kubevirt::cloudinit::original_user_data;

use super::{Imported, POD, fitted, hand_over, import, vmi, with_settings};
use crate::bind::looks;
use crate::cluster::Node;
use crate::device::Device;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::vm::Vm;

/// A worker of a cluster in VMs: kernel arguments, module options, a udev rule that is broken in two. The NIC is an igb here, its functions'
/// driver igbvf, which stands for iavf; it makes fewer functions, and the node has two CPUs.
#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn a_dpdk_worker_from_its_old_files_and_back() {
    let vm = Vm::builder().memory_mib(2560).with(Device::igb("nic")).boot();
    let pf = vm.bdf("nic");
    let number = || vm.read(&format!("/sys/bus/pci/devices/{pf}/sriov_numvfs")).unwrap();
    let as_it_was = (looks(&vm, &pf), number());

    let Imported { node_config, .. } = import(
        &vm,
        "dpdk-worker",
        &[
            ("8086:10ed", "8086:10ca"),
            ("blacklist=ixgbevf", "blacklist=igbvf"),
            ("ID_NET_DRIVER}==\"ixgbe\"", "ID_NET_DRIVER}==\"igb\""),
            ("options ixgbe ", "options igb "),
            ("sriov_numvfs}=\"8\"", "sriov_numvfs}=\"4\""),
            ("isolated: 2-7", "isolated: \"1\""),
            ("reserved: 0-1", "reserved: \"0\""),
        ],
    );
    let node = Node::start(&vm, &with_the_port(&node_config, &pf), "");
    let resource = "example.com/vf";
    node.offered(resource, 4);
    assert_eq!(number(), "4");

    node.pod(POD, "default", "virt-launcher-ocp-worker-0-x");
    let given = node.allocate(POD, resource, 2);
    let functions: Vec<String> = given.env("PCI_RESOURCE_EXAMPLE_COM_VF").split(',').map(str::to_owned).collect();
    assert_eq!(functions.len(), 2);
    node.prestart(POD);
    let unused: Vec<String> = vm
        .names(&format!("/sys/bus/pci/devices/{pf}"))
        .into_iter()
        .filter_map(|name| {
            let function =
                name.starts_with("virtfn").then(|| vm.link(&format!("/sys/bus/pci/devices/{pf}/{name}")))??;
            (!functions.contains(&function)).then_some(function)
        })
        .collect();
    for function in &functions {
        assert_eq!(vm.driver(function).as_deref(), Some("vfio-pci"));
        assert!(given.nodes().contains(&format!("/dev/vfio/{}", vm.group(function).unwrap())));
        hand_over(&vm, function);
    }
    // No driver of the host has the others, which is what keeping igbvf away was for.
    assert_eq!(unused.iter().map(|function| vm.driver(function)).collect::<Vec<_>>(), [None, None]);

    let low = 64 << 20;
    let launcher = Launcher::start(&vm, POD, Mode::Session { uid: 107, memlock: low });
    let sidecar = node.sidecar(POD, "--cloud-init --agent required");
    let vmi = vmi("ocp-worker-0", "dpdk-worker-dpdk", &[], &[("vf0", resource), ("vf1", resource)]);
    // Where the guest's own manifests expect them.
    let at = "hostDevices:\n- {device: vf0, address: \"0000:10:00.0\"}\n- {device: vf1, address: \"0000:11:00.0\"}\n";
    let vmi = with_settings(vmi, at);
    // virt-launcher asks for the guest's disk first.
    let owner = "#cloud-config\nhostname: ocp-worker-0\n";
    let user_data = sidecar.cloud_init(&vmi, owner);
    assert_eq!(original_user_data(user_data.as_bytes()).unwrap(), owner.as_bytes());
    for line in [
        "'options vfio-pci ids=8086:10ca'",
        "'blacklist igbvf'",
        "deny 'igbvf'",
        "load 'vfio-pci' 'ids=8086:10ca'",
        "hugepages 2048 1024",
        "hugepages 1048576 2 hugepagesz=1G hugepages=2",
        "memlock infinity unlimited",
        "wanted=' intel_iommu=on iommu=pt'$wanted",
    ] {
        assert!(user_data.lines().any(|one| one.contains(line)), "{line}: {user_data}");
    }

    let xml = kubevirt_domain("worker", 128, &[("hostdevice-vf0", &functions[0]), ("hostdevice-vf1", &functions[1])]);
    let limit = |pid: u32| -> u64 {
        vm.run(&format!("prlimit --pid {pid} --memlock --noheadings --output HARD"))
            .ok()
            .trim()
            .parse()
            .unwrap_or(u64::MAX)
    };
    assert_eq!(limit(launcher.daemon_pid()), low);
    let fitted = fitted(&node, &sidecar, &vmi, &xml);
    assert!(fitted.contains("<iommu model=\"intel\"") && fitted.contains("intremap=\"on\""), "{fitted}");
    // 128 MiB of guest for each of two functions, and a GiB.
    let need = 2 * (128_u64 << 20) + (1 << 30);
    assert!(limit(launcher.daemon_pid()) >= need);
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    for (alias, at) in [("ua-hostdevice-vf0", "0000:10:00.0"), ("ua-hostdevice-vf1", "0000:11:00.0")] {
        assert_eq!(launcher.in_the_guest("worker", alias), at);
    }
    assert_eq!(limit(launcher.qemu("worker")), need);
    for function in &functions {
        assert_eq!(vm.driver(function).as_deref(), Some("vfio-pci"));
    }

    launcher.destroy("worker");
    node.remove(POD);
    node.until("the functions are free", || {
        functions.iter().all(|function| vm.driver(function).is_none()).then_some(())
    });
    node.end_agent("TERM");
    assert_eq!(number(), "4", "they last as long as they are offered");
    vm.run("virt-tailor node release --all").ok();
    assert_eq!((looks(&vm, &pf), number()), as_it_was);
}

/// As the NodeConfig's remarks say: the resource that makes the functions is filled in and put among the resources, in the place of the one
/// for functions that something else makes; and who may have the steps around a VM is named.
#[track_caller]
fn with_the_port(config: &str, port: &str) -> String {
    assert!(config.contains("Take this one out if the one of kind sriov at the end makes these functions"), "{config}");
    let (head, rest) = config.split_once("  resources:\n").expect("resources");
    let (_, rest) = rest.split_once("  profiles:\n").expect("profiles");
    let (profiles, unplaced) = rest.split_once("\n# Fill in, take the \"# \" away").expect("what is to be filled in");
    let lines = unplaced.lines().skip(1).take_while(|line| !line.starts_with("# - module:"));
    let resource: String = lines.map(|line| format!("  {}\n", line.strip_prefix("# ").unwrap())).collect();
    let resource = resource.replace("0000:00:00.0", port).replace("fill-in", "box");
    format!("{head}  resources:\n{resource}  profiles:\n{}\n", profiles.replace("fill-in", "default"))
}
