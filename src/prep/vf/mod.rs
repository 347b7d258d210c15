//! What a PF's driver keeps for each of its VFs: MAC, VLAN, rates, spoof check, trust, link state.
//!
//! [`VfAttributes`] are what is asked for or reported, [`VfSetting`] is one change; `netlink` carries both to and from the kernel.

mod change;
mod mac;
mod netlink;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(super) use change::{change, interface_of, no_interface};
pub use mac::{Mac, MacError};
pub(super) use netlink::read;

/// The attributes of one VF; `None` is "not asked for", or "not reported".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VfAttributes {
    /// The administrative MAC; all zeros: the VF chooses its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The VLAN whose tag the PF adds and strips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Least and greatest transmit rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Whether frames with a foreign source are dropped. One that cannot be asked reads as off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spoof_check: Option<bool>,
    /// Whether the VF may change its MAC and go promiscuous. One that cannot be asked reads as off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<bool>,
    /// The link as the VF sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_state: Option<LinkState>,
}

/// A VLAN tag. Number 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// 0–4095.
    pub id: u16,
    /// Priority, 0–7.
    #[serde(default)]
    pub qos: u8,
    /// The kind of tag.
    #[serde(default)]
    pub protocol: VlanProtocol,
}

/// Kinds of VLAN tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanProtocol {
    /// A customer's tag.
    #[default]
    #[serde(rename = "802.1Q")]
    Customer,
    /// A provider's tag, around customers'.
    #[serde(rename = "802.1ad")]
    Provider,
}

/// Transmit rates in Mbit/s. 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rate {
    /// Guaranteed.
    pub min: u32,
    /// Limit.
    pub max: u32,
}

/// The link as the VF sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkState {
    /// The PF's.
    Auto,
    /// Up, whatever the PF's is: VFs reach each other.
    Enable,
    /// Down.
    Disable,
}

/// One change: what one request to the driver carries, so that a refusal can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VfSetting {
    /// See [`VfAttributes::mac`].
    Mac(Mac),
    /// See [`VfAttributes::vlan`].
    Vlan(Vlan),
    /// See [`VfAttributes::rate`].
    Rate(Rate),
    /// See [`VfAttributes::spoof_check`].
    SpoofCheck(bool),
    /// See [`VfAttributes::trust`].
    Trust(bool),
    /// See [`VfAttributes::link_state`].
    LinkState(LinkState),
}

impl VfAttributes {
    /// These, and where they say nothing, those.
    #[must_use]
    pub fn over(&self, those: &Self) -> Self {
        Self {
            mac: self.mac.or(those.mac),
            vlan: self.vlan.or(those.vlan),
            rate: self.rate.or(those.rate),
            spoof_check: self.spoof_check.or(those.spoof_check),
            trust: self.trust.or(those.trust),
            link_state: self.link_state.or(those.link_state),
        }
    }

    /// The changes that lead from `now` to these, in the order that drivers want: a VLAN may reset what comes after it.
    pub fn changes_from(&self, now: &Self) -> Vec<VfSetting> {
        fn change<T: Copy + PartialEq>(
            to: Option<T>,
            now: Option<T>,
            setting: fn(T) -> VfSetting,
        ) -> Option<VfSetting> {
            to.filter(|_| to != now).map(setting)
        }
        [
            change(self.vlan, now.vlan, VfSetting::Vlan),
            change(self.mac, now.mac, VfSetting::Mac),
            change(self.rate, now.rate, VfSetting::Rate),
            change(self.spoof_check, now.spoof_check, VfSetting::SpoofCheck),
            change(self.trust, now.trust, VfSetting::Trust),
            change(self.link_state, now.link_state, VfSetting::LinkState),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl VfSetting {
    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mac(_) => "MAC",
            Self::Vlan(_) => "VLAN",
            Self::Rate(_) => "transmit rate",
            Self::SpoofCheck(_) => "spoof check",
            Self::Trust(_) => "trust",
            Self::LinkState(_) => "link state",
        }
    }
}

impl fmt::Display for VfSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = |on: bool| if on { "on" } else { "off" };
        write!(f, "{} ", self.name())?;
        match self {
            Self::Mac(mac) => write!(f, "{mac}"),
            Self::Vlan(Vlan { id, qos, protocol }) => {
                let protocol = if *protocol == VlanProtocol::Provider { " 802.1ad" } else { "" };
                write!(f, "{id} qos {qos}{protocol}")
            }
            Self::Rate(Rate { min, max }) => write!(f, "{min} to {max} Mbit/s"),
            Self::SpoofCheck(on) | Self::Trust(on) => f.write_str(switch(*on)),
            Self::LinkState(LinkState::Auto) => f.write_str("auto"),
            Self::LinkState(LinkState::Enable) => f.write_str("enable"),
            Self::LinkState(LinkState::Disable) => f.write_str("disable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_changed_and_in_order() {
        let now = VfAttributes {
            mac: Some(Mac::default()),
            vlan: Some(Vlan::default()),
            trust: Some(false),
            ..VfAttributes::default()
        };
        let asked = VfAttributes {
            mac: Some("52:54:00:00:00:01".parse().unwrap()),
            vlan: Some(Vlan { id: 7, ..Vlan::default() }),
            ..VfAttributes::default()
        };
        let names: Vec<String> = asked.over(&now).changes_from(&now).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["VLAN 7 qos 0", "MAC 52:54:00:00:00:01"]);
        assert_eq!(now.changes_from(&now), []);
    }
}
