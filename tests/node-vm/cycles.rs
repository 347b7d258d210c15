//! Pods that come and go, more of them at a time than there are devices: nothing is lost, and nothing is left.

use crate::bind::looks;
use crate::cluster::Node;
use crate::device::Device;
use crate::vm::Vm;

const DEVICES: usize = 8;
/// Pods at a time: two wait for what others give back.
const WORKERS: usize = 10;

/// One worker: pods one after the other. Each second device goes back to the host before the next one gets it, the others go from VM to VM
/// or, when kubelet has named nobody for long enough, back.
const WORKER: &str = r#"
n=$1 cycles=$2
kubelet() { kubelet-double /var/lib/kubelet "$@"; }
die() { echo "worker $n, cycle $i: $*"; exit 1; }
try() { tries=0; until "$@" >/tmp/said.$n; do tries=$((tries + 1)); [ $tries -lt 300 ] || die "$* $(cat /tmp/said.$n)"; sleep 0.3; done; }
for i in $(seq $cycles); do
  uid=$(printf '%08d-%04d-4000-8000-000000000000' $n $i)
  kubelet pod $uid default virt-launcher-$n-$i >/dev/null
  try kubelet allocate $uid compute example.com/rng 1
  bdf=$(sed 's/.*"PCI_RESOURCE_EXAMPLE_COM_RNG":"\([^"]*\)".*/\1/' /tmp/said.$n)
  mkdir /tmp/owned.$bdf || die "$bdf belongs to two"
  try kubelet prestart $uid compute
  cd /sys/bus/pci/devices/$bdf
  [ "$(basename $(readlink driver))" = vfio-pci ] || die "$bdf has $(readlink driver)"
  [ -c /dev/vfio/$(basename $(readlink iommu_group)) ] || die "no node of $bdf"
  if [ $((i % 2)) = 1 ]; then
    virt-tailor node release --device $bdf >/tmp/said.$n 2>&1 || die "$(cat /tmp/said.$n)"
    [ "$(basename $(readlink driver))" = virtio-pci ] || die "$bdf is not back"
  fi
  rmdir /tmp/owned.$bdf
  kubelet remove $uid >/dev/null
done
echo "$i cycles"
"#;

/// Two hundred by hand (`VIRT_TAILOR_CYCLES=200`), some in CI.
#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn more_pods_than_devices() {
    let cycles: usize = std::env::var("VIRT_TAILOR_CYCLES").map_or(30, |number| number.parse().unwrap());
    let each = cycles.div_ceil(WORKERS);
    let names: Vec<String> = (0..DEVICES).map(|index| format!("rng{index}")).collect();
    let machine = names.iter().fold(Vm::builder(), |machine, name| {
        machine.with(Device::qemu(name, "virtio-rng-pci").option("disable-legacy", "on"))
    });
    let vm = machine.boot();
    let all: Vec<String> = names.iter().map(|name| vm.bdf(name)).collect();
    let picture = || all.iter().map(|bdf| looks(&vm, bdf)).collect::<Vec<_>>();
    let before = picture();
    let config = "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {name: box}\nspec:\n  resources:\n\
                  \x20 - {name: example.com/rng, selector: {vendor: \"1af4\", device: \"1044\"}}\n";
    let node = Node::start(&vm, config, "");
    node.offered("example.com/rng", DEVICES);
    vm.put("worker.sh", WORKER.as_bytes());
    let began = std::time::Instant::now();
    let workers: Vec<_> = (0..WORKERS).map(|n| vm.spawn(&format!("exec sh /vt/worker.sh {n} {each}"))).collect();
    for worker in workers {
        let output = worker.wait(3000);
        assert_eq!(output.clone().ok(), format!("{each} cycles"), "{output:?}\nthe agent:\n{}", node.log());
    }
    println!("{} cycles in {:?}", each * WORKERS, began.elapsed());
    node.until("every device is the host's again", || (picture() == before).then_some(()));
    node.offered("example.com/rng", DEVICES);
    node.until("nothing is left", || {
        (vm.run("virt-tailor node status").ok() == "nothing on this node is changed").then_some(())
    });
    assert_eq!(node.end_agent("TERM").code, 0);
    assert_eq!(vm.names("/var/lib/virt-tailor/promises"), [""; 0], "no promise is left");
}
