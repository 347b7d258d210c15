//! Kernel modules built against the kernel's headers: two builds of a toy driver, the kernel's own mdev samples, and one on a PCI card.
//!
//! | folder below `target/node-vm/modules` | what is in it |
//! |---|---|
//! | `a`, `b` | `vt_toy.ko` (version A or B, a driver for QEMU's `pci-testdev`) and `vt_toy_user.ko`, which holds it |
//! | `mdev` | parents of mediated devices: `mtty.ko`, `mdpy.ko` from the kernel's `samples/vfio-mdev`, which are no PCI functions; and `vt_vgpu.ko`, a driver for QEMU's `edu`, whose shares a VM can be started with |
//!
//! The guest has these folders under the same paths. A and the samples are also where `modprobe` finds them, as the
//! distribution's own modules are; B is the out-of-tree build.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::device::Device;
use crate::hands::Remote;
use crate::kernel::{Kernel, cache};
use crate::vm::Vm;

const KBUILD: &str = include_str!("modules/Kbuild");
const TOY: &str = include_str!("modules/vt_toy.c");
const USER: &str = include_str!("modules/vt_toy_user.c");
const VGPU: &str = include_str!("modules/vt_vgpu.c");

/// The folder with `a`, `b` and `mdev`, built if what is there is of other sources or for another kernel. Call it before the
/// machine boots.
pub(crate) fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let (kernel, folder) = (Kernel::unpacked(), cache().join("modules"));
        let mut hasher = DefaultHasher::new();
        (KBUILD, TOY, USER, VGPU, &kernel.version).hash(&mut hasher);
        let stamp = format!("{:016x}", hasher.finish());
        let lock = File::create(cache().join("modules.lock")).unwrap();
        lock.lock().unwrap();
        let installed = kernel.folder.join("lib/modules").join(&kernel.version).join("updates");
        // The folder may have gone without what was installed, as when only the kernel is copied from another clone.
        let there = folder.join("b/vt_toy.ko").exists();
        if !there || fs::read_to_string(installed.join("stamp")).ok().as_ref() != Some(&stamp) {
            build(&kernel, &folder);
            install(&kernel, &folder, &installed);
            fs::write(installed.join("stamp"), &stamp).unwrap();
        }
        folder
    })
}

fn build(kernel: &Kernel, folder: &Path) {
    for (name, version) in [("a", "A"), ("b", "B")] {
        let to = folder.join(name);
        fs::create_dir_all(&to).unwrap();
        for (file, text) in [("Kbuild", KBUILD), ("vt_toy.c", TOY), ("vt_toy_user.c", USER)] {
            fs::write(to.join(file), text).unwrap();
        }
        make(kernel, &to, version);
    }
    let to = folder.join("mdev");
    fs::create_dir_all(&to).unwrap();
    for file in ["mtty.c", "mdpy.c", "mdpy-defs.h"] {
        fs::copy(kernel.folder.join("samples/vfio-mdev").join(file), to.join(file)).unwrap();
    }
    fs::write(to.join("vt_vgpu.c"), VGPU).unwrap();
    fs::write(to.join("Kbuild"), "obj-m := mtty.o mdpy.o vt_vgpu.o\n").unwrap();
    make(kernel, &to, "");
}

fn make(kernel: &Kernel, folder: &Path, version: &str) {
    let output = Command::new("make")
        .arg("-C")
        .arg(kernel.headers())
        .arg(format!("M={}", folder.display()))
        .arg(format!("VT_TOY_VERSION={version}"))
        // The headers name the compiler that built the kernel, which is this release's; type information needs pahole.
        .args(["CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"])
        .env_remove("MAKEFLAGS")
        .output()
        .expect("make");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "make: {}\n{out}{err}", output.status);
}

fn install(kernel: &Kernel, folder: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for module in ["a/vt_toy.ko", "a/vt_toy_user.ko", "mdev/mtty.ko", "mdev/mdpy.ko", "mdev/vt_vgpu.ko"] {
        let from = folder.join(module);
        fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
    }
    let mut depmod = Command::new("depmod");
    depmod.arg("-b").args([&kernel.folder, Path::new(&kernel.version)]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    assert!(depmod.status().expect("depmod (kmod)").success());
}

#[test]
#[ignore = "needs QEMU, a Debian kernel and its headers: tests/run"]
fn modules_of_our_own_can_be_loaded_and_swapped() {
    let folder = built().display();
    let vm = Vm::builder().with(Device::qemu("toy", "pci-testdev")).with(Device::qemu("toy2", "pci-testdev")).boot();
    let toy = vm.bdf("toy");
    assert_eq!(vm.driver(&toy).as_deref(), Some("vt_toy"));
    assert_eq!(vm.read("/sys/module/vt_toy/version").as_deref(), Some("A"));

    // Busy by a module, then by an open file.
    vm.run("modprobe vt_toy_user").ok();
    assert_eq!(vm.names("/sys/module/vt_toy/holders"), ["vt_toy_user"]);
    assert_ne!(vm.run("rmmod vt_toy").code, 0);
    vm.run("rmmod vt_toy_user; exec 3</dev/vt_toy; ! rmmod vt_toy").ok();

    vm.run(&format!("rmmod vt_toy && insmod {folder}/b/vt_toy.ko answer=7")).ok();
    assert_eq!(vm.read("/sys/module/vt_toy/version").as_deref(), Some("B"));
    assert_eq!(vm.read("/sys/module/vt_toy/parameters/answer").as_deref(), Some("7"));
    assert_eq!(vm.driver(&toy).as_deref(), Some("vt_toy"));

    vm.run("modprobe mtty").ok();
    let parent = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1";
    let free = vm.read(&format!("{parent}/available_instances"));
    let uuid = "6c2f6f7e-8a0f-4d2e-9a55-0f3d6c1b2a90";
    vm.run(&format!("echo {uuid} >{parent}/create")).ok();
    assert_eq!(vm.link(&format!("/sys/bus/mdev/devices/{uuid}/driver")).as_deref(), Some("mtty"));
    assert_ne!(vm.read(&format!("{parent}/available_instances")), free);
    vm.run(&format!("echo 1 >/sys/bus/mdev/devices/{uuid}/remove")).ok();
    assert_eq!(vm.read(&format!("{parent}/available_instances")), free);

    // Where the administrator has a command for a module, the node's modprobe runs it; that it may mean "never" is said.
    vm.run(
        "mkdir -p /etc/modprobe.d; cd /etc/modprobe.d
         echo 'install ifb touch /run/installed && modprobe --ignore-install ifb $CMDLINE_OPTS' >ifb.conf
         echo 'install dummy /bin/false' >dummy.conf",
    )
    .ok();
    let engine = Remote::new(&vm);
    let load = |module: &str, parameters: &[&str]| json!([{ "step": "loadModule", "module": module, "parameters": parameters }]);
    engine.apply("vm", load("ifb", &["numifbs=3"])).unwrap();
    vm.run("test -e /run/installed; test -e /sys/class/net/ifb2").ok();
    engine.undo("vm");
    vm.run("! test -e /sys/module/ifb").ok();
    let refused = engine.apply("vm", load("dummy", &[])).unwrap_err().to_string();
    assert!(refused.contains("module dummy: modprobe.d has an install command for it"), "{refused}");
}
