//! Pods that want to lead the agent astray, or to keep it busy, beside one that wants its VM.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::bind::by_address;
use crate::cluster::Node;
use crate::device::Device;
use crate::launcher::kubevirt_domain;
use crate::vm::Vm;

const GOOD: &str = "aaaaaaaa-0000-4000-8000-00000000000a";

/// Makes pods 10 to 59, of ten kinds: whose volume, folder or socket is a link to the good pod's; with a FIFO, somebody else's socket, a
/// file, hundreds of files in the socket's place; whose folder changes all the time; which floods whoever calls; which says nothing.
const CROWD: &str = r#"
set -e
name=virt-tailor-evil.sock good=$1
for n in $(seq 10 59); do
  uid=dddddddd-0000-4000-8000-0000000000$n
  empty=/var/lib/kubelet/pods/$uid/volumes/kubernetes.io~empty-dir own=hook-sidecar-sockets/hook-sidecar-0
  mkdir -p $empty /var/log/pods/default_evil-${n}_$uid /sys/fs/cgroup/kubepods/besteffort/pod$uid
  cd $empty
  case $((n % 10)) in
    0) ln -s $good/.. hook-sidecar-sockets;;
    1) mkdir hook-sidecar-sockets; ln -s $good $own;;
    2) mkdir -p $own; ln -s $good/*.sock $own/$name;;
    3) mkdir -p $own; mkfifo $own/$name;;
    4) mkdir -p $own; ln -s /var/lib/virt-tailor/agent.sock $own/$name;;
    5) mkdir -p $own; echo x >$own/$name;;
    6) mkdir -p $own; cd $own; seq -f virt-tailor-%g.sock 300 | xargs touch;;
    7) mkdir -p $own; (while :; do mv hook-sidecar-sockets away; ln -s $good/.. hook-sidecar-sockets; rm hook-sidecar-sockets; mv away hook-sidecar-sockets; sleep 0.1; done) 2>/dev/null & ;;
    8|9) mkdir -p $own; ln -s $PWD/$own /run/evil$n;;
  esac
done
exec python3 /vt/flood.py
"#;

/// Listens for pods 18, 19, 28 …: those with an 8 send zeros without end, the others nothing.
const FLOOD: &str = r"
import socket, threading
def serve(n):
    s = socket.socket(socket.AF_UNIX); s.bind('/run/evil%d/.s' % n); s.listen(8)
    import os; os.rename('/run/evil%d/.s' % n, '/run/evil%d/virt-tailor-evil.sock' % n)
    while True:
        peer, _ = s.accept()
        try:
            while n % 10 == 8: peer.sendall(bytes(65536))
            peer.recv(1 << 20); peer.recv(1)
        except OSError: pass
        peer.close()
all = [threading.Thread(target=serve, args=(n,)) for n in range(10, 60) if n % 10 >= 8]
for one in all: one.start()
";

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn hostile_pods_lead_nowhere_and_cost_little() {
    let vm = Vm::builder().with(Device::xhci("usb")).boot();
    let node = Node::start(&vm, &by_address(&vm, &[("usb", "")]), "");
    node.offered("example.com/usb", 1);
    node.pod(GOOD, "default", "virt-launcher-good-x");
    let sidecar = node.sidecar(GOOD, "");
    let linked =
        || node.log().lines().filter(|line| line.contains("\"linked\"")).map(str::to_owned).collect::<Vec<_>>();
    node.until("the good pod is linked", || (!linked().is_empty()).then_some(()));
    let agent = vm.run("pgrep -f 'virt-tailor agent'").ok();
    let figure = |field: &str| -> u64 {
        let said = vm.run(&format!("grep {field}: /proc/{agent}/status")).ok();
        said.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    };
    let before = figure("VmRSS");

    vm.put("flood.py", FLOOD.as_bytes());
    vm.put("crowd.sh", CROWD.as_bytes());
    let own =
        format!("/var/lib/kubelet/pods/{GOOD}/volumes/kubernetes.io~empty-dir/hook-sidecar-sockets/hook-sidecar-0");
    let crowd = vm.spawn(&format!("exec sh /vt/crowd.sh {own}"));
    node.until("the crowd is there", || {
        assert!(crowd.finished().is_none(), "{:?}", crowd.so_far());
        (vm.run("ls /run/evil*/virt-tailor-evil.sock | wc -l").ok() == "10").then_some(())
    });
    // Longer than a first message may take.
    thread::sleep(Duration::from_secs(15));
    let grown = figure("VmHWM").saturating_sub(before);
    println!("{grown} KiB more at most");
    assert!(grown < 16 << 10, "{grown} KiB");
    // Nobody is who he is not: of all of them one has a link, and hundreds of files are not read.
    let linked = linked();
    assert!(linked.iter().all(|line| line.contains("virt-launcher-good-x")), "{linked:?}");
    let log = node.log();
    let refused = |n: u32| log.contains(&format!("dddddddd-0000-4000-8000-0000000000{n}"));
    assert!([16, 18, 19].iter().all(|n| refused(*n)), "{log}");

    // And the good one gets what it wants.
    let given = node.allocate(GOOD, "example.com/usb", 1);
    node.prestart(GOOD);
    let usb = given.env("PCI_RESOURCE_EXAMPLE_COM_USB");
    assert_eq!(vm.driver(&usb).as_deref(), Some("vfio-pci"));
    let vmi = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": { "name": "good", "namespace": "default", "annotations": {
            "virt-tailor.io/domain": "hostDevices: [{device: usb, address: \"0000:06:00.0\"}]",
        } },
        "spec": { "domain": { "devices": { "hostDevices": [{ "name": "usb", "deviceName": "example.com/usb" }] } } },
        "status": { "nodeName": "box" },
    });
    let fitted = sidecar.define(&vmi, &kubevirt_domain("good", 64, &[("hostdevice-usb", &usb)])).unwrap();
    assert!(fitted.contains("bus=\"0x06\""), "{fitted}");
    // Whoever follows a link would have come into the good pod's folder once more, and made or left something there.
    assert_eq!(vm.names(&own).len(), 1);
    vm.run(&format!("pkill -f crowd.sh; kill -9 {}", crowd.pid())).ok();
    node.remove(GOOD);
    node.until("the device is the host's again", || (vm.driver(&usb).as_deref() == Some("xhci_hcd")).then_some(()));
    assert_eq!(node.end_agent("TERM").code, 0);
}
