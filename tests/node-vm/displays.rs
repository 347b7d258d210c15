//! Text consoles and the firmware's framebuffer.

use serde_json::json;

use crate::device::Device;
use crate::hands::{Remote, observe};
use crate::machine::Firmware;
use crate::vm::Vm;

fn look(vm: &Vm) -> String {
    vm.run("for c in /sys/class/vtconsole/vtcon*; do echo $c $(cat $c/name) bind=$(cat $c/bind); done
        for d in /sys/bus/platform/devices/*framebuffer*; do echo $d $(readlink $d/driver); done
        grep -iE 'fb|drm|framebuffer' /proc/iomem; cat /proc/fb; ls -l /sys/class/drm; cat /proc/cmdline; grep -E 'SYSFB|SIMPLEDRM|FB_EFI|DEFERRED' $(ls -d /work/wt/*/target/node-vm/kernel/boot/config-* | head -1)").stdout
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn probe() {
    for display in [Device::vga("gpu"), Device::bochs_display("gpu")] {
        let vm = Vm::builder().no_coldplug().firmware(Firmware::Ovmf).with(display).boot();
        let gpu = vm.bdf("gpu");
        println!("{gpu}\n{}", look(&vm));
        println!("{:?}", observe(&vm, &json!({ "step": "releaseConsoles" })));
        println!("{:?}", observe(&vm, &json!({ "step": "releaseFramebuffer", "gpu": gpu })));
        let engine = Remote::new(&vm);
        println!(
            "{:?}",
            engine.apply("vm", json!([{ "step": "releaseConsoles" }, { "step": "releaseFramebuffer", "gpu": gpu }]))
        );
        println!("{}", look(&vm));
        println!("{:?}", engine.undo("vm"));
        println!("{}", look(&vm));
    }
}
