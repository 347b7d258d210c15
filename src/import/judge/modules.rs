//! Kernel modules and their parameters.

use crate::config::node::{
    HostPath, ModuleName, ModuleParameter, ModuleStep, PinOnly, PrepareStep, SetParameter, SwapModule,
};
use crate::import::action::IdsBy;
use crate::import::draft::{Key, Shape, add_step, load};
use crate::import::verdict::Verdict;

use super::known::{is_graphics, is_virtual_driver, vendor_of};
use super::{Judge, Told, parsed};

/// Where a build is looked for when the files name a place that is none of the node's.
const FOLDER: &str = "/opt";

impl Judge<'_> {
    pub(super) fn parameter(&mut self, module: &str, name: &str, value: &str, from: &str) -> Told {
        let module = module.replace('-', "_");
        let turned_on = |value: &str| matches!(value, "1" | "Y" | "y" | "on" | "");
        Ok(match (module.as_str(), name) {
            ("vfio", "enable_unsafe_noiommu_mode") => Verdict::never(
                "VFIO without an IOMMU is nothing that QEMU or KubeVirt take, and it would let a device write to all memory: turn the IOMMU on",
            ),
            ("vfio_iommu_type1", "allow_unsafe_interrupts") => {
                self.draft.unplaced.push(vec![
                    "- module: {parameter: {module: vfio_iommu_type1, name: allow_unsafe_interrupts, value: Y}}   # only where".to_owned(),
                    "  # `virt-tailor node inspect` says that interrupts are not remapped, and whoever has a VM is trusted".to_owned(),
                ]);
                Verdict::now(
                    "a module step can set it while it is needed. It is a risk, and not taken over: it stands in the NodeConfig as a remark",
                )
            }
            ("vfio_pci", "disable_idle_d3") if turned_on(value) => {
                self.draft.prepare.push(PrepareStep::Power(PinOnly::Pin));
                for wish in &mut self.draft.wishes {
                    if matches!(wish.shape, Shape::Pci | Shape::Sriov(_)) {
                        add_step(&mut wish.steps, PrepareStep::Power(PinOnly::Pin));
                    }
                }
                Verdict::now("a power step keeps the device of a VM awake, not every device that vfio-pci has")
            }
            ("vfio_pci", name) => {
                let step = load("vfio_pci", Some((name, value))).ok_or("this is no parameter of a module")?;
                self.draft.prepare.push(step);
                Verdict::now(
                    "a module step gives vfio-pci the parameter when it loads it; one that is loaded already keeps its own",
                )
            }
            ("ixgbe" | "igb" | "i40e" | "be2net" | "bnx2x", "max_vfs" | "num_vfs") => {
                let count: u64 = value
                    .split(',')
                    .next()
                    .unwrap_or_default()
                    .parse()
                    .map_err(|_| format!("{value:?} is no number"))?;
                let who = format!("a port of {module}");
                let vfs = crate::import::action::Vfs { count, interfaces: vec![who], ..Default::default() };
                return self.vfs(&vfs, from);
            }
            ("kvm", "ignore_msrs" | "report_ignored_msrs" | "halt_poll_ns" | "min_timer_period_us") => {
                let parameter = ModuleParameter { module: parsed("kvm")?, name: parsed(name)?, value: parsed(value)? };
                self.draft.prepare.push(PrepareStep::Module(ModuleStep::Parameter(SetParameter { parameter })));
                Verdict::now("a module step sets it while the device is away, and sets it back")
            }
            ("kvm" | "kvm_intel" | "kvm_amd", _) => Verdict::needs(
                format!("{}.{name}={value}", module.replace('_', "-")),
                "KVM reads it when it is loaded, and VMs keep it loaded",
            ),
            ("i915" | "xe", "enable_gvt" | "max_vfs" | "enable_guc") => Verdict::needs(
                format!("{module}.{name}={value}"),
                "the graphics driver reads it when it is loaded, which is at boot; what it makes is given to VMs by a resource of kind mdev",
            ),
            (graphics, "modeset" | "enable" | "fbdev") if is_graphics(graphics) => Verdict::now(
                "the host's driver keeps the card until a VM wants it, gives that one function up, and has it back",
            ),
            (graphics, name) if is_graphics(graphics) && name.starts_with("NVreg") => {
                Verdict::aside("a setting of the host's own driver: left as it is")
            }
            _ => {
                return Err(format!(
                    "nothing is known of parameter {name} of {module}: if it is needed for a VM alone, a module step can set it (module: {{parameter: …}})"
                ));
            }
        })
    }

    pub(super) fn load(
        &mut self,
        module: &str,
        folder: Option<&str>,
        parameters: &[(String, String)],
        from: &str,
    ) -> Told {
        let module = module.replace('-', "_");
        if folder.is_some() {
            return self.swap(&module, folder, parameters, None, from);
        }
        for (name, value) in
            parameters.iter().filter(|(name, _)| (module.as_str(), name.as_str()) != ("vfio_pci", "ids"))
        {
            self.parameter(&module, name, value, from)?;
        }
        if let Some((_, ids)) =
            parameters.iter().find(|(name, _)| (module.as_str(), name.as_str()) == ("vfio_pci", "ids"))
        {
            for ids in ids.split(',').filter_map(|ids| ids.split_once(':')) {
                let id = |text: &str| u16::from_str_radix(text, 16).map_err(|_| format!("{text:?} is no PCI id"));
                self.ids(id(ids.0)?, id(ids.1)?, IdsBy::Parameter, from);
            }
        }
        Ok(match module.as_str() {
            "vfio_virqfd" => Verdict::now("it is a part of vfio since Linux 6.2; what a bind needs is loaded for it"),
            name if name.starts_with("vfio") || name == "iommufd" => {
                Verdict::now("it is loaded when the first device is bound")
            }
            "mdev" | "kvmgt" | "vfio_mdev" | "nvidia_vgpu_vfio" => {
                let step = load(&module, None).ok_or("this is no name of a module")?;
                self.draft.prepare.push(step);
                Verdict::now("a module step loads it before the first mediated device is made")
            }
            "pci_stub" => Verdict::never(
                "pci-stub only held devices for others: a resource binds them to vfio-pci when a VM starts",
            ),
            name if is_graphics(name) => Verdict::aside("the host's own driver of a display: left as it is"),
            _ => {
                return Err(format!(
                    "what {module} is loaded for, is not known here: left to the node, unless a module step is given it"
                ));
            }
        })
    }

    pub(super) fn unload(&mut self, module: &str) -> Verdict {
        let module = module.replace('-', "_");
        if is_graphics(&module) || is_virtual_driver(&module) {
            return Verdict::now("the driver stays loaded, and gives up the one function that a VM is given");
        }
        if module.starts_with("vfio") {
            return Verdict::now("vfio's modules stay loaded: others may stand on them");
        }
        if vendor_of(&module).is_some() {
            return Verdict::now(
                "an exchange of the module takes it out when a VM starts, and puts it back; refused while the NIC is the node's uplink",
            );
        }
        Verdict::now("a driver gives up the one function that a VM is given: its module need not go")
    }

    pub(super) fn deny(&mut self, module: &str) -> Verdict {
        if is_virtual_driver(module) {
            self.draft.domain.denied.insert(module.to_owned());
            return Verdict::now(
                "functions of a resource of kind sriov are probed by no driver of the host; others keep theirs. In a guest: denyModules of the profile",
            );
        }
        if is_graphics(module) {
            return Verdict::now(
                "the host's driver keeps the card until a VM wants it, gives that one function up, and has it back",
            );
        }
        Verdict::now(
            "a driver gives up the one function that a VM is given, and keeps the others: it need not be kept away",
        )
    }

    /// A build of one's own for a module.
    pub(super) fn swap(
        &mut self,
        module: &str,
        folder: Option<&str>,
        parameters: &[(String, String)],
        vendor: Option<u16>,
        from: &str,
    ) -> Told {
        let name: ModuleName = parsed(module)?;
        let folder = folder.filter(|folder| folder.starts_with('/')).unwrap_or(FOLDER);
        let folder: HostPath = parsed(folder)?;
        let mut all = std::collections::BTreeMap::new();
        for (name, value) in parameters {
            all.insert(parsed(name)?, parsed(value)?);
        }
        let step =
            PrepareStep::Module(ModuleStep::Swap(SwapModule { swap: name, from: folder.clone(), parameters: all }));
        self.draft.folders.push(folder.clone());
        match vendor.or_else(|| vendor_of(module)) {
            Some(vendor) => {
                let known = self.draft.wishes.iter_mut().find(|wish| wish.vendor() == Some(vendor));
                let steps = match known {
                    Some(wish) => &mut wish.steps,
                    None => &mut self.draft.wish(Key::Vendor(vendor), Shape::Pci, from.to_owned()).steps,
                };
                add_step(steps, step);
            }
            None => self.draft.prepare.push(step),
        }
        Ok(Verdict::now(format!(
            "a module step exchanges {module} for the build below {folder} (lib/modules/<release>, unpacked there once) when a VM starts, and back; refused while the NIC is the node's uplink"
        )))
    }
}
