//! A domain of any size, as KubeVirt would write one.

use std::fmt::Write as _;

/// Root ports that fit on bus 0 beside what q35 has there: slots 2 to 0x1e with eight functions each.
const MAX_BUSES: usize = 29 * 8;

/// A domain of at least so many bytes (and few more): assigned devices in groups of eight functions, each group behind a root port of its
/// own, and SCSI disks. Aliases and addresses are unique, and the addresses are such as libvirt takes. From about 1.5 MB on there are
/// no more buses, so only disks are added.
pub(crate) fn big_domain(bytes: usize) -> String {
    let (mut hostdevs, mut ports, mut disks) = (String::new(), String::new(), String::new());
    let fixed = HEAD.len() + MIDDLE.len() + TAIL.len();
    let mut group = 0;
    while fixed + hostdevs.len() + ports.len() + disks.len() < bytes {
        if group < MAX_BUSES {
            port(group, &mut ports);
            (0..8).for_each(|function| hostdev(group, function, &mut hostdevs));
        }
        (0..8).for_each(|n| disk(group * 8 + n, &mut disks));
        group += 1;
    }
    [HEAD, &hostdevs, MIDDLE, &ports, &disks, TAIL].concat()
}

fn port(group: usize, out: &mut String) {
    let (index, slot, function) = (group + 1, group / 8 + 2, group % 8);
    write!(
        out,
        "\t\t<controller type=\"pci\" index=\"{index}\" model=\"pcie-root-port\">\n\
         \t\t\t<address type=\"pci\" domain=\"0x0000\" bus=\"0x00\" slot=\"0x{slot:02x}\" function=\"0x{function:x}\"></address>\n\
         \t\t\t<target></target>\n\t\t</controller>\n"
    )
    .unwrap();
}

fn hostdev(group: usize, function: usize, out: &mut String) {
    let (bus, host_bus, host_slot) = (group + 1, group / 32 + 0x10, group % 32);
    let multifunction = if function == 0 { " multifunction=\"on\"" } else { "" };
    write!(
        out,
        "\t\t<hostdev type=\"pci\" managed=\"no\" mode=\"subsystem\">\n\t\t\t<source>\n\
         \t\t\t\t<address domain=\"0x0000\" bus=\"0x{host_bus:02x}\" slot=\"0x{host_slot:02x}\" function=\"0x{function:x}\"></address>\n\
         \t\t\t</source>\n\
         \t\t\t<address type=\"pci\" domain=\"0x0000\" bus=\"0x{bus:02x}\" slot=\"0x00\" function=\"0x{function:x}\"{multifunction}>\
         </address>\n\
         \t\t\t<alias name=\"ua-hostdevice-dev{group}-{function}\"></alias>\n\t\t</hostdev>\n"
    )
    .unwrap();
}

fn disk(n: usize, out: &mut String) {
    let name = disk_name(n);
    write!(
        out,
        "\t\t<disk device=\"disk\" type=\"file\">\n\
         \t\t\t<source file=\"/var/run/kubevirt-private/vmi-disks/data-{n}/disk.img\"></source>\n\
         \t\t\t<target bus=\"scsi\" dev=\"{name}\"></target>\n\
         \t\t\t<driver error_policy=\"stop\" name=\"qemu\" type=\"raw\" discard=\"unmap\"></driver>\n\
         \t\t\t<alias name=\"ua-data-{n}\"></alias>\n\
         \t\t\t<address type=\"drive\" bus=\"0\" controller=\"0\" target=\"0\" unit=\"{n}\"></address>\n\t\t</disk>\n"
    )
    .unwrap();
}

/// sda … sdz, sdaa …
fn disk_name(mut n: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + u8::try_from(n % 26).unwrap()));
        if n < 26 {
            break;
        }
        n = n / 26 - 1;
    }
    letters.push('d');
    letters.push('s');
    letters.iter().rev().collect()
}

const HEAD: &str = "<domain type=\"kvm\" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">
\t<name>default_big</name>
\t<memory unit=\"b\">17179869184</memory>
\t<os>
\t\t<type arch=\"x86_64\" machine=\"q35\">hvm</type>
\t\t<smbios mode=\"sysinfo\"></smbios>
\t</os>
\t<devices>
\t\t<emulator>/usr/bin/qemu-system-x86_64</emulator>
\t\t<channel type=\"unix\">
\t\t\t<target name=\"org.qemu.guest_agent.0\" type=\"virtio\"></target>
\t\t</channel>
";

const MIDDLE: &str = "\t\t<controller type=\"usb\" index=\"0\" model=\"none\"></controller>
\t\t<controller type=\"scsi\" index=\"0\" model=\"virtio-non-transitional\">
\t\t\t<address type=\"pci\" domain=\"0x0000\" bus=\"0x00\" slot=\"0x01\" function=\"0x0\"></address>
\t\t</controller>
\t\t<controller type=\"pci\" index=\"0\" model=\"pcie-root\"></controller>
";

const TAIL: &str = "\t</devices>
\t<metadata>
\t\t<kubevirt xmlns=\"http://kubevirt.io\">
\t\t\t<uid></uid>
\t\t</kubevirt>
\t</metadata>
\t<features>
\t\t<acpi></acpi>
\t</features>
\t<cpu mode=\"host-passthrough\">
\t\t<topology sockets=\"1\" cores=\"8\" threads=\"2\"></topology>
\t</cpu>
\t<vcpu placement=\"static\">16</vcpu>
</domain>";
