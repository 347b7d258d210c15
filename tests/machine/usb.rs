use virt_tailor::host::usb::Usb;

use crate::{Tree, address};

const FIRST: &str = "0000:00:14.0";
const SECOND: &str = "0000:03:00.0";

/// A controller with one root hub.
fn controller(function: &str, bus: u32) -> String {
    format!(
        "[sys/bus/pci/devices]\n{function} -> ../../../devices/pci0000:00/{function}\n[sys/devices/pci0000:00/{function}]\ndriver -> ../../../bus/pci/drivers/xhci_hcd\n\
         [sys/bus/usb/devices]\nusb{bus} -> ../../../devices/pci0000:00/{function}/usb{bus}\n[sys/devices/pci0000:00/{function}/usb{bus}]\nidVendor = 1d6b\nidProduct = 0002\nbDeviceClass = 09\n"
    )
}

/// A device with one interface; the path may lead over hubs.
fn device(function: &str, path: &str, name: &str, interface: (&str, &str, &str), more: &str) -> String {
    let folder = format!("devices/pci0000:00/{function}/{path}/{name}");
    let (class, subclass, protocol) = interface;
    format!(
        "[sys/bus/usb/devices]\n{name} -> ../../../{folder}\n{name}:1.0 -> ../../../{folder}/{name}:1.0\n[sys/{folder}]\nidVendor = 046d\nidProduct = c31c\nbDeviceClass = 00\nproduct = Thing\n\
         [sys/{folder}/{name}:1.0]\nbInterfaceClass = {class}\nbInterfaceSubClass = {subclass}\nbInterfaceProtocol = {protocol}\ndriver -> ../../x/usbhid\n{more}\n"
    )
}

const KEYS: &str = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe";

fn input(name: &str, folder: &str, keys: &str, relative: &str) -> String {
    format!(
        "[sys/class/input]\n{name} -> ../../{folder}/input/{name}\n[sys/{folder}/input/{name}]\nname = Some {name}\n[sys/{folder}/input/{name}/capabilities]\nkey = {keys}\nrel = {relative}\nabs = 0\n"
    )
}

#[test]
fn the_only_keyboard() {
    let hid = format!("devices/pci0000:00/{FIRST}/usb1/1-2/1-2:1.0/0003:046D:C31C.0001");
    let text = controller(FIRST, 1)
        + &controller(SECOND, 2)
        + &device(FIRST, "usb1", "1-2", ("03", "01", "01"), "")
        + &input("input5", &hid, KEYS, "0");
    let usb = Usb::read(&Tree::new(&text).root()).unwrap();
    assert!(usb.only_keyboards(address(FIRST)));
    assert!(!usb.only_keyboards(address(SECOND)));
    let [keyboard] = usb.inputs.as_slice() else { panic!("{usb:?}") };
    assert_eq!((keyboard.keyboard, keyboard.mouse, keyboard.ps2, keyboard.made_up), (true, false, false, false));
    assert_eq!(keyboard.functions, [address(FIRST)]);

    // A PS/2 keyboard besides; one that a program made up does not count.
    let ps2 = text.clone() + &input("input0", "devices/platform/i8042/serio0", KEYS, "0");
    assert!(!Usb::read(&Tree::new(&ps2).root()).unwrap().only_keyboards(address(FIRST)));
    let made_up = text.clone() + &input("input9", "devices/virtual", KEYS, "0");
    assert!(Usb::read(&Tree::new(&made_up).root()).unwrap().only_keyboards(address(FIRST)));
    // Another USB keyboard on the other controller, of which there is no driver.
    let second = |driver: &str| {
        text.clone()
            + &device(SECOND, "usb2", "2-1", ("03", "01", "01"), "").replace("driver -> ../../x/usbhid\n", driver)
    };
    let only = |text: &str| Usb::read(&Tree::new(text).root()).unwrap().only_keyboards(address(FIRST));
    assert!(!only(&second("")), "it may be one");
    assert!(only(&second("driver -> ../../x/usbhid\n")), "a driver found none");
}

#[test]
fn what_hangs_on_a_controller() {
    let stick = format!("devices/pci0000:00/{FIRST}/usb1/1-1/1-1.4/1-1.4:1.0/host6/target6:0:0/6:0:0:0/block/sdb");
    let net = format!("devices/pci0000:00/{FIRST}/usb1/1-3/1-3:1.0/net/eth9");
    let tty = format!("devices/pci0000:00/{FIRST}/usb1/1-3/1-3:1.0/ttyUSB0/tty/ttyUSB0");
    let text = controller(FIRST, 1)
        + &device(FIRST, "usb1", "1-1", ("09", "00", "01"), "")
        + &device(FIRST, "usb1/1-1", "1-1.4", ("08", "06", "50"), "")
        + &device(FIRST, "usb1", "1-3", ("ff", "00", "00"), "")
        + &format!(
            "[sys/class/block]\nsdb -> ../../{stick}\nsdb1 -> ../../{stick}/sdb1\n[sys/{stick}/sdb1]\npartition = 1\n"
        )
        + &format!(
            "[sys/class/net]\neth9 -> ../../{net}\n[sys/{net}]\nifindex = 9\n[sys/class/tty]\nttyUSB0 -> ../../{tty}\n[sys/{tty}]\ndev = 188:0\n"
        );
    let usb = Usb::read(&Tree::new(&text).root()).unwrap();
    let found: Vec<_> = usb
        .controller(address(FIRST))
        .unwrap()
        .devices
        .iter()
        .map(|device| (device.name.as_str(), device.disks.join(" "), device.nics.join(" "), device.ttys.join(" ")))
        .collect();
    let text = str::to_owned;
    assert_eq!(
        found,
        [
            ("1-1", text(""), text(""), text("")),
            ("1-1.4", text("sdb"), text(""), text("")),
            ("1-3", text(""), text("eth9"), text("ttyUSB0"))
        ]
    );
    assert!(!usb.only_keyboards(address(FIRST)), "there is none at all");
    assert_eq!(usb.controllers[0].driver.as_deref(), Some("xhci_hcd"));
}

#[test]
fn no_usb_at_all() {
    assert_eq!(Usb::read(&Tree::new("[sys]\nbus/\n").root()).unwrap(), Usb::default());
}
