//! What a VM needs of the node's agent: found out by fitting its domain once for trial.

use crate::config::{AutoOff, AutoOffSize, DomainProfile, resolve};
use crate::domain::{Domain, LibvirtMode, lock_need};
use crate::link::{Errand, Memlock};

use super::{Fitted, Hook, Seen, asked, guarded, view};

impl Hook {
    /// What the agent must do for a call to be answered; none if no agent could change the answer: it is an error, or of a migration
    /// target. A VM that by its profile can need nothing is only fitted if an agent has to be there all the same (`required`).
    pub fn errand(&self, domain: &[u8], vmi: &[u8], required: bool) -> Option<Errand> {
        guarded(|| self.needed(domain, vmi, required).map(Ok).transpose()).ok().flatten()
    }

    fn needed(&self, domain: &[u8], vmi: &[u8], required: bool) -> Option<Errand> {
        let view = view(vmi).ok()?;
        let profile = resolve(&asked(&self.options, view.annotations), &self.options.profiles).ok()?;
        if !required && profile.node_profiles.is_empty() && !may_lock(&profile.spec) {
            return Some(Errand::default());
        }
        let fit = |lock| self.fitted(domain, vmi, lock, &mut Seen::default()).ok();
        let Fitted { outcome, profile, node, .. } = fit(true).or_else(|| fit(false))?;
        let profile = profile?;
        let mut errand = Errand { node_profiles: profile.node_profiles.clone(), node, ..Errand::default() };
        // A VM that asks for nothing locks nothing, and neither is anything to be locked for where libvirt is root itself.
        if profile.spec == DomainProfile::default() || self.options.libvirt == LibvirtMode::System {
            return Some(errand);
        }
        let domain = Domain::parse(outcome.bytes.clone()).ok()?;
        let need = lock_need(domain.document(), &profile.spec.memory);
        errand.lock_is_asked = need.asked.is_some() && !is_auto(&profile.spec);
        errand.memlock = need.asked.map(memlock);
        // Companions are what is left out without the lock.
        if wants_companions(&profile.spec) && fit(false)?.outcome.bytes != outcome.bytes {
            errand.memlock = errand.memlock.max(need.of_devices.map(Memlock::Bytes));
        }
        Some(errand)
    }
}

fn wants_companions(spec: &DomainProfile) -> bool {
    spec.host_devices.iter().any(|device| device.companions == Some(AutoOff::Auto))
}

/// Whether anything could make more memory lock than KubeVirt grants.
fn may_lock(spec: &DomainProfile) -> bool {
    spec.memory.locked.is_some() || spec.memory.hard_limit.is_some() || wants_companions(spec)
}

/// Whether a limit is whatever is needed: from KubeVirt 1.8.3 on that is granted without us.
fn is_auto(spec: &DomainProfile) -> bool {
    spec.memory.locked.is_none_or(|locked| !locked.is_on()) && spec.memory.hard_limit == Some(AutoOffSize::Auto)
}

fn memlock(limit: Option<u64>) -> Memlock {
    limit.map_or(Memlock::Unlimited, Memlock::Bytes)
}
