//! Text consoles and the firmware's framebuffer: taken from a display that is given away, and returned as far as the kernel lets them.
//!
//! Debian's kernel has efifb and no simpledrm, so the firmware's framebuffer is `efi-framebuffer.0`.

use serde_json::{Value, json};

use crate::device::Device;
use crate::hands::{Remote, observe};
use crate::machine::Firmware;
use crate::vm::Vm;

/// A machine that UEFI firmware has started with one display, without the display's own driver.
fn boot(display: Device) -> Vm {
    let vm = Vm::builder().no_coldplug().firmware(Firmware::Ovmf).with(display).boot();
    vm.run("modprobe vfio-pci").ok();
    vm
}

/// Everything a display needs to be given away.
fn steps(gpu: &str) -> Value {
    json!([
        { "step": "releaseConsoles" },
        { "step": "releaseFramebuffer", "gpu": gpu },
        { "step": "bind", "address": gpu, "driver": "vfio-pci" },
    ])
}

/// Every console driver with what it draws on and whether it has the consoles; the first word of each frame buffer; the driver of the
/// firmware's framebuffer; who claims its memory.
pub(crate) fn look(vm: &Vm) -> Vec<String> {
    let script = "for c in /sys/class/vtconsole/vtcon*; do echo $(cat $c/name) $(cat $c/bind); done; cat /proc/fb
        for d in /sys/bus/platform/devices/*-framebuffer.*; do test -e $d && echo ${d##*/} $(basename \"$(readlink $d/driver)\"); done
        grep -o 'efifb' /proc/iomem; true";
    vm.run(script).ok().lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn a_display_that_is_not_vga_comes_back_with_console_and_framebuffer() {
    let vm = boot(Device::bochs_display("gpu"));
    let (gpu, engine) = (vm.bdf("gpu"), Remote::new(&vm));
    let before = look(&vm);
    let consoles = ["(S) dummy device 0", "(M) frame buffer device 1", "0 EFI VGA"];
    assert_eq!(before, [&consoles[..], &["efi-framebuffer.0 efi-framebuffer", "efifb"]].concat());
    let state = observe(&vm, &steps(&gpu)[1]).unwrap();
    assert_eq!((&state["place"], &state["native"]), (&json!("onGpu"), &Value::Null), "{state}");

    engine.apply("vm", steps(&gpu)).unwrap();
    assert_eq!(vm.driver(&gpu).as_deref(), Some("vfio-pci"));
    // fbcon goes with the last frame buffer.
    assert_eq!(look(&vm), ["(S) dummy device 1", "efi-framebuffer.0"]);
    assert_eq!(engine.undo("vm").notes, [""; 0]);
    assert_eq!((look(&vm), vm.driver(&gpu)), (before, None));

    // With a driver of its own the kernel takes the firmware's framebuffer away for good.
    vm.run("modprobe bochs").ok();
    let native = look(&vm);
    assert_eq!(native, [consoles[0], consoles[1], "0 bochs-drmdrmfb"]);
    for _ in 0..3 {
        engine.apply("vm", steps(&gpu)).unwrap();
        assert_eq!((look(&vm), vm.driver(&gpu).as_deref()), (vec!["(S) dummy device 1".to_owned()], Some("vfio-pci")));
        assert_eq!(engine.undo("vm").notes, [""; 0]);
        assert_eq!((look(&vm), vm.driver(&gpu).as_deref()), (native.clone(), Some("bochs-drm")));
    }
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn of_a_vga_display_only_its_own_driver_brings_the_console_back() {
    let vm = boot(Device::vga("gpu"));
    let (gpu, engine) = (vm.bdf("gpu"), Remote::new(&vm));
    // Without vfio-pci in between, everything comes back.
    let before = look(&vm);
    let mut release = steps(&gpu);
    release.as_array_mut().unwrap().pop();
    engine.apply("vm", release).unwrap();
    assert_eq!(look(&vm), ["(S) dummy device 1", "efi-framebuffer.0"]);
    assert_eq!(engine.undo("vm").notes, [""; 0]);
    assert_eq!(look(&vm), before);

    // vfio-pci has the kernel remove the platform device, as any driver of a VGA-compatible display does.
    engine.apply("vm", steps(&gpu)).unwrap();
    assert_eq!(look(&vm), ["(S) dummy device 1"]);
    let notes = engine.undo("vm").notes;
    assert_eq!(
        notes,
        [
            "the firmware's framebuffer efi-framebuffer.0 does not come back: the kernel has removed it for another driver",
            "there is no frame buffer console vtcon1 any more",
        ]
    );
    vm.run("modprobe bochs").ok();
    assert_eq!(look(&vm), ["(S) dummy device 0", "(M) frame buffer device 1", "0 bochs-drmdrmfb"]);
}
