//! What an admin has done before the bind.

use std::collections::BTreeMap;

use super::Compiler;
use crate::base::PciAddress;
use crate::config::node::{HoldService, ModuleStep, Numa, ParameterName, ParameterValue, PrepareStep, Resource};
use crate::prep::step::Step;
use crate::prep::steps::{
    AddHugepages, LoadModule, PinPower, ReleaseConsoles, ReleaseFramebuffer, SetParameter, SetResetMethods,
    StopService, SwapModule, UnloadModule, upstream,
};

/// The steps of a resource's `prepare`, in the order written.
pub(super) fn steps(compiler: &Compiler<'_>, resource: &Resource, device: PciAddress) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for wanted in &resource.prepare {
        match wanted {
            PrepareStep::Service(service) => steps.push(stop(compiler, service)?),
            PrepareStep::Consoles(_) => steps.push(Step::ReleaseConsoles(ReleaseConsoles {})),
            PrepareStep::Framebuffer(_) => steps.push(Step::ReleaseFramebuffer(ReleaseFramebuffer { gpu: device })),
            PrepareStep::Module(module) => steps.push(of_module(module)),
            PrepareStep::Hugepages(pages) => {
                let numa = match pages.numa {
                    None => None,
                    Some(Numa::Node(node)) => Some(u32::from(node)),
                    Some(Numa::Device) => compiler.site.pci.get(device).and_then(|device| device.function.numa_node),
                };
                let count = u64::from(pages.count);
                steps.push(Step::AddHugepages(AddHugepages { kib: pages.size.as_kib(), count, numa }));
            }
            PrepareStep::Power(_) => {
                let above = upstream(compiler.root, device).map_err(|trouble| trouble.message)?;
                let awake = above.into_iter().rev().chain([device]);
                steps.extend(awake.map(|address| Step::PinPower(PinPower { address })));
            }
            PrepareStep::Reset(methods) => {
                let methods = methods.clone();
                steps.push(Step::SetResetMethods(SetResetMethods { address: device, methods }));
            }
        }
    }
    Ok(steps)
}

/// A service by its own name: two resources that call one unit differently must meet in it, and what may never be stopped has aliases
/// too.
fn stop(compiler: &Compiler<'_>, service: &HoldService) -> Result<Step, String> {
    let planned = StopService::planned(compiler.root, service, &compiler.config.limits);
    Ok(Step::StopService(planned.map_err(|trouble| trouble.message)?))
}

fn of_module(step: &ModuleStep) -> Step {
    match step {
        ModuleStep::Load(step) => Step::LoadModule(LoadModule {
            module: step.load.as_str().to_owned(),
            parameters: parameters(&step.parameters),
        }),
        ModuleStep::Unload(step) => Step::UnloadModule(UnloadModule { module: step.unload.as_str().to_owned() }),
        ModuleStep::Swap(step) => Step::SwapModule(SwapModule {
            module: step.swap.as_str().to_owned(),
            from: step.from.as_path().to_owned(),
            parameters: parameters(&step.parameters),
        }),
        ModuleStep::Parameter(step) => Step::SetParameter(SetParameter {
            module: step.parameter.module.as_str().to_owned(),
            name: step.parameter.name.as_str().to_owned(),
            value: step.parameter.value.as_str().to_owned(),
        }),
    }
}

/// As modprobe takes them.
fn parameters(parameters: &BTreeMap<ParameterName, ParameterValue>) -> Vec<String> {
    parameters.iter().map(|(name, value)| format!("{}={}", name.as_str(), value.as_str())).collect()
}
