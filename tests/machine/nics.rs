use virt_tailor::host::nics::{LinkKind, Nics, Role, Source};

use crate::{Tree, address};

const NIC: &str = "0000:02:00.0";
const OTHER: &str = "0000:03:00.0";

const DEV: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

/// A network device of a PCI function.
fn nic(name: &str, index: u32, function: &str, more: &str) -> String {
    let folder = format!("devices/pci0000:00/{function}/net/{name}");
    format!(
        "[sys/class/net]\n{name} -> ../../{folder}\n[sys/bus/pci/devices]\n{function} -> ../../../devices/pci0000:00/{function}\n\
         [sys/devices/pci0000:00/{function}]\nclass = 0x020000\ndriver -> ../../../bus/pci/drivers/ixgbe\n[sys/{folder}]\nifindex = {index}\n\
         flags = 0x1003\naddress = 52:54:00:00:00:0{index}\nmtu = 1500\ncarrier = 1\ndevice -> ../../../{function}\n{more}\n"
    )
}

fn made_up(name: &str, index: u32, more: &str) -> String {
    format!(
        "[sys/class/net]\n{name} -> ../../devices/virtual/net/{name}\n[sys/devices/virtual/net/{name}]\nifindex = {index}\nflags = 0x1003\nmtu = 1500\n{more}\n"
    )
}

/// The tree with PID 1's list of devices.
fn tree(text: &str, names: &[&str]) -> Tree {
    let lines: String = names.iter().map(|name| format!("{name:>6}:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n")).collect();
    Tree::new(text).with("proc/1/net/dev", &format!("{DEV}{lines}"))
}

fn roles(tree: &Tree, function: &str) -> Vec<Role> {
    Nics::read(&tree.root()).unwrap().roles(address(function))
}

#[test]
fn an_idle_nic_has_no_role() {
    let tree = tree(&nic("eth0", 2, NIC, ""), &["eth0"]);
    let nics = Nics::read(&tree.root()).unwrap();
    let [link] = nics.links.as_slice() else { panic!("{nics:?}") };
    assert_eq!((link.name.as_str(), link.index, link.mtu, link.up, link.carrier), ("eth0", 2, 1500, true, Some(true)));
    assert_eq!(
        (link.kind.clone(), link.driver.as_deref(), link.function()),
        (LinkKind::Hardware, Some("ixgbe"), Some(address(NIC)))
    );
    assert_eq!(link.mac.as_deref(), Some("52:54:00:00:00:02"));
    assert_eq!((nics.visible, nics.source), (true, Source::Text));
    assert_eq!(nics.roles(address(NIC)), []);
}

#[test]
fn addresses_and_routes_from_the_texts() {
    let zero = "0".repeat(32);
    let tree = tree(&(nic("eth0", 2, NIC, "") + &nic("eth1", 3, OTHER, "")), &["eth0", "eth1"])
        .with("proc/1/net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
        .with("proc/1/net/fib_trie", "Local:\n  |-- 192.0.2.2\n     /32 host LOCAL\n  |-- 203.0.113.7\n     /32 host LOCAL\n  |-- 127.0.0.1\n     /32 host LOCAL\n")
        .with("proc/1/net/if_inet6", "fe8000000000000000fc00fffe000001 03 40 20 80     eth1\nfd000000000000000000000000000002 03 40 00 82     eth1\n")
        .with("proc/1/net/ipv6_route", &format!("{zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth1\n"));
    let link = |name: &str| name.to_owned();
    assert_eq!(
        roles(&tree, NIC),
        [
            Role::Address { link: link("eth0"), address: "192.0.2.2".parse().unwrap(), prefix: 24 },
            Role::DefaultRoute { link: link("eth0"), v6: false },
            Role::Route { link: link("eth0"), destination: "192.0.2.0".parse().unwrap(), prefix: 24 },
        ]
    );
    assert_eq!(
        roles(&tree, OTHER),
        [
            Role::Address { link: link("eth1"), address: "fd00::2".parse().unwrap(), prefix: 64 },
            Role::DefaultRoute { link: link("eth1"), v6: true },
        ]
    );
    let nics = Nics::read(&tree.root()).unwrap();
    assert_eq!(nics.unplaced, ["203.0.113.7".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn ports_children_and_virtual_functions() {
    let text =
        nic("eth0", 2, NIC, "master -> ../../../../virtual/net/bond0\nupper_bond0 -> ../x\nupper_eth0.5 -> ../x")
            + &format!("[sys/devices/pci0000:00/{NIC}]\nvirtfn0 -> ../x\nvirtfn1 -> ../y\n")
            + &made_up("bond0", 3, "uevent = DEVTYPE=bond\nlower_eth0 -> ../x")
            + &made_up("eth0.5", 4, "uevent = DEVTYPE=vlan\nlower_eth0 -> ../x");
    let tree = tree(&text, &["eth0", "bond0", "eth0.5"]);
    let link = || "eth0".to_owned();
    assert_eq!(
        roles(&tree, NIC),
        [
            Role::Port { link: link(), master: "bond0".to_owned() },
            Role::Child { link: link(), child: "eth0.5".to_owned() },
            Role::VirtualFunctions { count: 2 },
        ]
    );
    let nics = Nics::read(&tree.root()).unwrap();
    let bond = nics.link("bond0").unwrap();
    assert_eq!(
        (&bond.kind, bond.lower.as_slice()),
        (&LinkKind::Virtual("bond".to_owned()), ["eth0".to_owned()].as_slice())
    );
}

#[test]
fn a_nic_whose_device_is_in_a_pod() {
    let function = |driver: &str, class: &str| {
        format!(
            "[sys/bus/pci/devices]\n{NIC} -> ../../../devices/pci0000:00/{NIC}\n[sys/devices/pci0000:00/{NIC}]\nclass = {class}\ndriver -> ../../../bus/pci/drivers/{driver}\n"
        )
    };
    let there = tree(&(function("mlx5_core", "0x020000") + &made_up("lo", 1, "")), &["lo"]);
    assert_eq!(roles(&there, NIC), [Role::Elsewhere { driver: "mlx5_core".to_owned() }]);
    for (driver, class) in [
        ("vfio-pci", "0x020000"),
        ("mlx5_vfio_pci", "0x020000"),
        ("uio_pci_generic", "0x020000"),
        ("igb_uio", "0x020000"),
        ("nvme", "0x010802"),
    ] {
        let tree = tree(&(function(driver, class) + &made_up("lo", 1, "")), &["lo"]);
        assert_eq!(roles(&tree, NIC), [], "{driver}");
    }
}

#[test]
fn a_virtual_function_knows_its_physical_one() {
    let text = nic("eth0v0", 2, NIC, "") + &format!("[sys/devices/pci0000:00/{NIC}]\nphysfn -> ../{OTHER}\n");
    let nics = Nics::read(&tree(&text, &["eth0v0"]).root()).unwrap();
    assert_eq!(nics.links[0].physical_function, Some(address(OTHER)));
}

#[test]
fn another_namespace_in_sysfs_says_nothing() {
    // Another name, and the same names with other numbers.
    let by_name = tree(&nic("eth0", 2, NIC, ""), &["eth0", "eth7"]);
    let by_number = tree(&nic("eth0", 2, NIC, ""), &["eth0"])
        .with("proc/1/net/dev_mcast", "9    eth0            1     0     01005e000001\n");
    for tree in [by_name, by_number] {
        let nics = Nics::read(&tree.root()).unwrap();
        assert!(!nics.visible);
        assert_eq!(nics.roles(address(NIC)), [Role::Unknown]);
    }
}

#[test]
fn a_root_file_system_over_the_network() {
    let tree = tree(&nic("eth0", 2, NIC, ""), &["eth0"])
        .with("proc/1/mountinfo", "30 1 0:40 / / rw - nfs4 server:/export rw\n");
    assert_eq!(roles(&tree, NIC), [Role::NetworkRoot { link: "eth0".to_owned() }]);
}
