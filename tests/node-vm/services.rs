//! Units of systemd are held back and come back.

use serde_json::{Value, json};

use crate::hands::{Remote, observe};
use crate::machine::Init;
use crate::vm::Vm;

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn units_are_held_for_two_owners_and_come_back_as_they_were() {
    let vm = Vm::builder().init(Init::Systemd).boot();
    vm.run(
        "mkdir -p /run/systemd/system; cd /run/systemd/system
         printf '[Service]\\nExecStart=/bin/sleep infinity\\nExecStop=/bin/touch /run/asked\\n' >/usr/lib/systemd/system/toy.service
         printf '[Unit]\\nRequires=toy.service\\nAfter=toy.service\\n[Service]\\nExecStart=/bin/sleep infinity\\n' >/usr/lib/systemd/system/onlooker.service
         printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/admin.service
         printf '[Socket]\\nListenStream=/run/admin.sock\\nService=admin.service\\n' >/etc/systemd/system/admin.socket
         printf '[Unit]\\nBindsTo=admin.socket\\nAfter=admin.socket\\n[Service]\\nExecStart=/bin/sleep infinity\\n' >/usr/lib/systemd/system/listener.service
         printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/usr/lib/systemd/system/idle.service
         ln -s /usr/lib/systemd/system/toy.service /etc/systemd/system/display-manager.service
         systemctl daemon-reload && systemctl start admin.socket && systemctl start toy onlooker admin listener",
    )
    .ok();
    let state = |unit: &str| vm.run(&format!("systemctl is-active {unit}")).stdout.trim().to_owned();
    let shown = |unit: &str| vm.run(&format!("systemctl show -p LoadState,UnitFileState,ActiveState {unit}")).ok();
    let before: Vec<String> = ["toy", "onlooker", "admin", "listener", "idle"].map(shown).to_vec();
    let engine = Remote::new(&vm);

    let toy = json!({ "step": "stopService", "unit": "toy", "maxHold": 3600 });
    engine.apply("vm-1", json!([toy])).unwrap();
    engine.apply("vm-2", json!([toy])).unwrap();
    assert_eq!((state("toy"), state("onlooker")), ("inactive".to_owned(), "inactive".to_owned()));
    // It was stopped in its own way, nobody can start it, and systemd would bring it back.
    vm.run("test -e /run/asked; ! systemctl start toy").ok();
    assert_eq!(state("virt-tailor-return-toy.service.timer"), "active");
    let name = observe(&vm, &json!({ "step": "stopService", "unit": "display-manager" })).unwrap()["name"].clone();
    assert_eq!(name, "toy.service");
    engine.undo("vm-1");
    assert_eq!(state("toy"), "inactive");
    assert_eq!(engine.undo("vm-2").notes, Vec::<String>::new());
    assert_ne!(state("virt-tailor-return-toy.service.timer"), "active");

    // What did not run is kept from running; what lies in /etc is stopped and cannot be masked.
    engine.apply("vm-3", json!([{ "step": "stopService", "unit": "idle.service" }])).unwrap();
    let applied = engine.apply("vm-4", json!([{ "step": "stopService", "unit": "admin" }])).unwrap();
    assert!(applied.notes[0].contains("its file lies in /etc"), "{:?}", applied.notes);
    vm.run("! systemctl start idle").ok();
    // Nor does anybody at its socket start it.
    vm.run("! busybox nc local:/run/admin.sock </dev/null").ok();
    assert_eq!((state("admin"), state("admin.socket")), ("inactive".to_owned(), "inactive".to_owned()));
    engine.undo("vm-3");
    engine.undo("vm-4");
    assert_eq!(state("admin.socket"), "active");
    assert_eq!(["toy", "onlooker", "admin", "listener", "idle"].map(shown).to_vec(), before);

    let refused = engine.apply("vm-5", json!([{ "step": "stopService", "unit": "onloker" }])).unwrap_err().to_string();
    assert!(refused.contains("no unit onloker.service on this node, did you mean \"onlooker.service\"?"), "{refused}");

    // The safety net: nobody takes it back, and systemd does; with what stopped along.
    let soon = json!({ "step": "stopService", "unit": "toy", "maxHold": 15 });
    engine.apply("vm-6", json!([soon])).unwrap();
    assert_eq!((state("toy"), state("onlooker")), ("inactive".to_owned(), "inactive".to_owned()));
    vm.run("until systemctl is-active -q toy && systemctl is-active -q onlooker; do sleep 0.2; done").ok();
    assert_eq!(["toy", "onlooker", "admin", "listener", "idle"].map(shown).to_vec(), before);
    engine.undo("vm-6");
    assert_eq!(["toy", "onlooker", "admin", "listener", "idle"].map(shown).to_vec(), before);

    // What a socket starts comes back behind its socket, and is left so by an undo after that.
    let soon = json!({ "step": "stopService", "unit": "admin", "maxHold": 10 });
    engine.apply("vm-7", json!([soon])).unwrap();
    assert_eq!((state("admin"), state("admin.socket")), ("inactive".to_owned(), "inactive".to_owned()));
    vm.run("until systemctl is-active -q admin && systemctl is-active -q admin.socket; do sleep 0.2; done").ok();
    let pid = vm.run("systemctl show -p MainPID admin").ok();
    engine.undo("vm-7");
    assert_eq!(vm.run("systemctl show -p MainPID admin").ok(), pid);
    assert_eq!(["toy", "onlooker", "admin", "listener", "idle"].map(shown).to_vec(), before);

    // One that is gone for good meanwhile holds up nothing.
    engine.apply("vm-8", json!([{ "step": "stopService", "unit": "onlooker", "maxHold": 600 }])).unwrap();
    vm.run("mv /usr/lib/systemd/system/onlooker.service /run; systemctl daemon-reload").ok();
    let notes = engine.undo("vm-8").notes;
    assert!(notes[0].contains("onlooker.service did not start again"), "{notes:?}");
    assert_ne!(state("virt-tailor-return-onlooker.service.timer"), "active");
    vm.run("mv /run/onlooker.service /usr/lib/systemd/system/; systemctl daemon-reload; systemctl start onlooker").ok();

    // The same when we are killed in the middle of it: right after the stop, and after the mask.
    vm.run("mkfifo /run/orders").ok();
    for orders in [&["stopUnit"][..], &["stopUnit", "maskUnit"]] {
        let hand = vm.spawn("exec 3<>/run/orders; exec virt-tailor node hand <&3");
        let order = |order: Value| vm.run(&format!("echo '{order}' >/run/orders")).ok();
        let start = ["toy.service", "onlooker.service"];
        order(json!({ "act": { "do": "returnAfter", "unit": "toy.service", "seconds": 12, "start": start } }));
        for name in orders {
            order(json!({ "act": { "do": name, "unit": "toy.service" } }));
        }
        let until = if orders.len() == 1 { "inactive" } else { "masked" };
        vm.run(&format!("until systemctl show -p ActiveState,LoadState toy | grep -q '={until}'; do sleep 0.05; done"))
            .ok();
        vm.run(&format!("kill -9 {0}; while [ -e /proc/{0} ]; do sleep 0.05; done", hand.pid())).ok();
        vm.run("until systemctl is-active -q toy && systemctl is-active -q onlooker; do sleep 0.2; done").ok();
        vm.run("while systemctl is-active -q virt-tailor-return-toy.service.timer; do sleep 0.1; done").ok();
        assert_eq!(["toy", "onlooker", "admin", "listener", "idle"].map(shown).to_vec(), before, "{orders:?}");
    }

    // In the agent's container, which has nothing of the node but what is mounted there: the node's systemctl is what systemd will call.
    vm.run(
        "mkdir -p /run/box/proc /run/box/sys /run/box/dev /run/box/run/dbus; cd /run/box; cp /usr/local/bin/virt-tailor .
         for place in proc sys dev run/dbus; do mount --rbind /$place $place; done",
    )
    .ok();
    let hand = vm.spawn("exec 3<>/run/orders; exec chroot /run/box /virt-tailor node hand <&3");
    let order = |order: Value| vm.run(&format!("echo '{order}' >/run/orders")).ok();
    let timer = "virt-tailor-return-toy.service.timer";
    order(json!({ "act": { "do": "returnAfter", "unit": "toy.service", "seconds": 600 } }));
    vm.run(&format!("until systemctl is-active -q {timer}; do sleep 0.1; done")).ok();
    order(json!({ "act": { "do": "cancelReturn", "unit": "toy.service" } }));
    vm.run(&format!("while systemctl is-active -q {timer}; do sleep 0.1; done; kill -9 {}", hand.pid())).ok();
}
