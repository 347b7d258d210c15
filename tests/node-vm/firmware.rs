//! What the firmware leaves on a display, as the kernel shows it.
//!
//! Debian's kernel has efifb, not simpledrm: its platform device hangs below the PCI function whose BAR it lies in, and its range
//! in `/proc/iomem` bears its name.

use crate::device::Device;
use crate::machine::Firmware;
use crate::vm::Vm;

const PLATFORM: &str = "/sys/bus/platform/devices/efi-framebuffer.0";
const CONSOLES: &str = "/sys/class/vtconsole";

/// The first BAR of a function: begin and end.
fn first_bar(vm: &Vm, bdf: &str) -> (u64, u64) {
    let text = vm.read(&format!("/sys/bus/pci/devices/{bdf}/resource")).unwrap();
    let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
    let mut words = text.split_whitespace().map(number);
    (words.next().unwrap(), words.next().unwrap())
}

/// The range of that name in `/proc/iomem`.
fn range(vm: &Vm, name: &str) -> Option<(u64, u64)> {
    let text = vm.read("/proc/iomem").unwrap();
    let line = text.lines().find(|line| line.ends_with(&format!(" : {name}")))?;
    let (begin, end) = line.trim().split_once(" : ")?.0.split_once('-')?;
    Some((u64::from_str_radix(begin, 16).unwrap(), u64::from_str_radix(end, 16).unwrap()))
}

/// The names of the virtual terminals' back ends, and which of them is bound.
fn consoles(vm: &Vm) -> Vec<(String, bool)> {
    let of = |name: &String, file: &str| vm.read(&format!("{CONSOLES}/{name}/{file}")).unwrap();
    vm.names(CONSOLES).iter().map(|name| (of(name, "name"), of(name, "bind") == "1")).collect()
}

fn a_framebuffer_on(display: Device, boot_vga: Option<&str>) {
    let vm = Vm::builder().firmware(Firmware::Ovmf).no_coldplug().with(display).boot();
    let bdf = vm.bdf("display");
    assert_eq!(vm.read(&format!("/sys/bus/pci/devices/{bdf}/boot_vga")).as_deref(), boot_vga);
    assert_eq!(vm.driver(&bdf), None);
    assert_eq!(vm.link(&format!("{PLATFORM}/driver")).as_deref(), Some("efi-framebuffer"));
    let place = vm.run(&format!("readlink -f {PLATFORM}")).ok();
    assert!(place.ends_with(&format!("/{bdf}/efi-framebuffer.0")), "{place}");
    let (bar, framebuffer) = (first_bar(&vm, &bdf), range(&vm, "efifb").expect("efifb in /proc/iomem"));
    assert!(bar.0 <= framebuffer.0 && framebuffer.1 <= bar.1, "{framebuffer:x?} in {bar:x?}");
    assert_eq!(vm.read("/proc/fb").as_deref(), Some("0 EFI VGA"));
    let both = |dummy, fb| vec![("(S) dummy device".to_owned(), dummy), ("(M) frame buffer device".to_owned(), fb)];
    assert_eq!(consoles(&vm), both(false, true));

    // Away with it by hand, and back: the console and the driver, on the same platform device.
    vm.run(&format!("echo 0 >{CONSOLES}/vtcon1/bind")).ok();
    assert_eq!(consoles(&vm), both(true, false));
    vm.run("echo efi-framebuffer.0 >/sys/bus/platform/drivers/efi-framebuffer/unbind").ok();
    assert_eq!(range(&vm, "efifb"), None);
    assert_eq!(consoles(&vm), [("(S) dummy device".to_owned(), true)]);
    vm.run("echo efi-framebuffer.0 >/sys/bus/platform/drivers/efi-framebuffer/bind").ok();
    assert_eq!(range(&vm, "efifb"), Some(framebuffer));
    assert_eq!(consoles(&vm), both(false, true));

    // A driver for the display takes the framebuffer's platform device away, and nothing brings that back.
    vm.run("modprobe bochs").ok();
    assert_eq!(vm.driver(&bdf).as_deref(), Some("bochs-drm"));
    assert_eq!(vm.link(&format!("{PLATFORM}/driver")), None);
    assert_eq!((range(&vm, "efifb"), vm.run(&format!("test -e {PLATFORM}")).code), (None, 1));
}

#[test]
#[ignore = "needs QEMU, OVMF and a Debian kernel: tests/run"]
fn a_framebuffer_on_a_vga_display() {
    a_framebuffer_on(Device::vga("display"), Some("1"));
}

#[test]
#[ignore = "needs QEMU, OVMF and a Debian kernel: tests/run"]
fn a_framebuffer_on_a_display_that_is_not_vga() {
    a_framebuffer_on(Device::bochs_display("display"), None);
}
