//! A node with systemd as PID 1.

use crate::machine::Init;
use crate::vm::Vm;

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn units_can_be_stopped_and_started_over_dbus() {
    let vm = Vm::builder().init(Init::Systemd).boot();
    assert_eq!(vm.read("/proc/1/comm").as_deref(), Some("systemd"));
    // Neither a container nor half a system, as far as systemd is concerned.
    assert_eq!(vm.run("systemd-detect-virt --container").stdout.trim(), "none");

    vm.run(
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/toy.service
         systemctl daemon-reload && systemctl start toy",
    )
    .ok();
    let state = || vm.run("systemctl is-active toy").stdout.trim().to_owned();
    assert_eq!(state(), "active");
    let main = vm.run("systemctl show --value --property MainPID toy").ok();

    let manager = "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager";
    let job = vm.run(&format!("busctl call {manager} StopUnit ss toy.service replace")).ok();
    assert!(job.starts_with("o \"/org/freedesktop/systemd1/job/"), "{job}");
    // The answer is the job; its end comes later.
    vm.run("while systemctl is-active -q toy || systemctl list-jobs | grep -q toy; do sleep 0.1; done").ok();
    assert_eq!(state(), "inactive");
    assert_eq!(vm.read(&format!("/proc/{main}/comm")), None);

    vm.run(&format!("busctl call {manager} StartUnit ss toy.service replace")).ok();
    vm.run("until systemctl is-active -q toy; do sleep 0.1; done").ok();
    assert_ne!(vm.run("systemctl show --value --property MainPID toy").ok(), main);

    // Who holds what, by unit: the agent is one, and what it runs belongs to it.
    let own = vm.run("cat /proc/self/cgroup").ok();
    assert!(own.ends_with("/vt-agent.service"), "{own}");
    let timer = vm.run("systemd-run --on-active=1000 --unit=vt-net /bin/true && systemctl is-active vt-net.timer");
    assert_eq!(timer.ok(), "active");
}
