//! A worker of a cluster in VMs, whose old way is kernel arguments, module options, and a udev rule that is broken in two.

use virt_tailor::kubevirt::cloudinit::original_user_data;

use super::{Imported, POD, fitted, hand_over, import, vmi, with_settings};
use crate::bind::looks;
use crate::cluster::Node;
use crate::device::Device;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::vm::Vm;

/// A worker of a cluster in VMs: kernel arguments, module options, a udev rule that is broken in two. The NIC is an igb here, its functions'
/// driver igbvf, which stands for iavf; it makes fewer functions, and the node has two CPUs and little memory: its pages are fewer and small.
#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn a_dpdk_worker_from_its_old_files_and_back() {
    let vm = Vm::builder().memory_mib(2560).cpus(2).with(Device::igb("nic")).boot();
    let pf = vm.bdf("nic");
    let number = || vm.read(&format!("/sys/bus/pci/devices/{pf}/sriov_numvfs")).unwrap();
    let pages = || vm.read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages").unwrap();
    let isolated = || vm.read("/sys/fs/cgroup/cpuset.cpus.isolated").unwrap();
    let as_it_was = (looks(&vm, &pf), number(), pages(), isolated());

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
            ("hugepages=1024", "hugepages=96"),
            ("size: 1G\n      count: 2", "size: 2M\n      count: 32"),
        ],
    );
    let node = Node::start(&vm, &with_the_port(&node_config, &pf), "");
    let resource = "example.com/vf";
    node.offered(resource, 4);
    assert_eq!(number(), "4");
    // Both steps of import, as kubelet would count them.
    assert_eq!(pages(), "128");

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

    // As kubelet does, which hands all controllers down to its pods.
    vm.run(&format!(
        "cd /sys/fs/cgroup; for level in . kubepods kubepods/besteffort kubepods/besteffort/pod{POD}; do
           mkdir -p $level; echo +cpuset >$level/cgroup.subtree_control || exit 1
         done"
    ))
    .ok();
    let low = 64 << 20;
    let launcher = Launcher::start(&vm, POD, Mode::Session { uid: 107, memlock: low });
    let sidecar = node.sidecar(POD, "--cloud-init --agent required");
    let vmi = vmi("ocp-worker-0", "dpdk-worker-dpdk", &[], &[("vf0", resource), ("vf1", resource)]);
    // Where the guest's own manifests expect them.
    let at = "hostDevices:\n- {device: vf0, address: \"0000:10:00.0\"}\n- {device: vf1, address: \"0000:11:00.0\"}\n";
    let mut vmi = with_settings(vmi, at);
    // The steps around a VM, by the name that import has given them.
    vmi["metadata"]["annotations"]["virt-tailor.io/node-profiles"] = "dpdk-worker-node".into();
    // virt-launcher asks for the guest's disk first.
    let owner = "#cloud-config\nhostname: ocp-worker-0\n";
    let user_data = sidecar.cloud_init(&vmi, owner);
    assert_eq!(original_user_data(user_data.as_bytes()).unwrap(), owner.as_bytes());
    for line in [
        "'options vfio-pci ids=8086:10ca'",
        "'blacklist igbvf'",
        "deny 'igbvf'",
        "load 'vfio-pci' 'ids=8086:10ca'",
        "hugepages 2048 128",
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
    assert_eq!(isolated(), "1", "the VM's CPU, as long as it runs");

    launcher.destroy("worker");
    node.remove(POD);
    node.until("the functions are free", || {
        functions.iter().all(|function| vm.driver(function).is_none()).then_some(())
    });
    node.until("the CPU is everybody's again", || (isolated() == as_it_was.3).then_some(()));
    node.end_agent("TERM");
    assert_eq!((number(), pages()), ("4".to_owned(), "128".to_owned()), "they last as long as they are offered");
    vm.run("virt-tailor node release --all").ok();
    assert_eq!((looks(&vm, &pf), number(), pages(), isolated()), as_it_was);
}

/// As the NodeConfig's remarks say: the resource that makes the functions is filled in and put among the resources, in the place of the one
/// for functions that something else makes, whose prepare steps it gets; and who may have the steps around a VM is named.
#[track_caller]
fn with_the_port(config: &str, port: &str) -> String {
    assert!(config.contains("Take this one out if the one of kind sriov at the end makes these functions"), "{config}");
    assert!(config.contains("its prepare steps go to that one"), "{config}");
    let (head, rest) = config.split_once("  resources:\n").expect("resources");
    let (old, rest) = rest.split_once("  profiles:\n").expect("profiles");
    let (_, prepare) = old.split_once("    prepare:\n").expect("steps");
    let (profiles, unplaced) = rest.split_once("\n# Fill in, take the \"# \" away").expect("what is to be filled in");
    let lines = unplaced.lines().skip(1).take_while(|line| !line.starts_with("# - module:"));
    let resource: String = lines.map(|line| format!("  {}\n", line.strip_prefix("# ").unwrap())).collect();
    // The node's name is known, for import was run there.
    let resource = resource.replace("fill-in", &format!("\"{port}\""));
    let profiles = profiles.replace("fill-in", "default");
    format!("{head}  resources:\n{resource}    prepare:\n{prepare}  profiles:\n{profiles}\n")
}
