//! What a VF may do on the wire: MAC, VLAN, rates, spoof check, trust, link state, as its PF's driver enforces them.
//!
//! All that the kernel reports is kept and comes back, whoever changed it meanwhile, a guest's driver above all: what one tenant had must
//! not reach the next. So there is such a step for every VF, also where nothing is asked for.

use serde::{Deserialize, Serialize};

use crate::base::PciAddress;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;
use crate::prep::vf::{self, Rate, VfAttributes, VfSetting, Vlan, VlanProtocol};

/// Set a VF's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetVf {
    /// The PF.
    pub pf: PciAddress,
    /// Which of its VFs, from 0.
    pub index: u32,
    /// What is asked for; the rest stays.
    #[serde(flatten)]
    pub set: VfAttributes,
}

/// A VF as its PF's driver reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfState {
    /// The PF's network interface.
    pub interface: Option<String>,
    /// Whether that is up.
    pub up: bool,
    /// The VF's attributes; `None`: there is no such VF, or nobody to ask for it.
    pub attributes: Option<VfAttributes>,
    /// Whether there is such a VF, whoever has the PF's interface.
    #[serde(default)]
    pub there: bool,
}

impl Kind for SetVf {
    type State = VfState;

    fn describe(&self) -> String {
        let all: Vec<String> =
            self.set.changes_from(&VfAttributes::default()).iter().map(ToString::to_string).collect();
        if all.is_empty() {
            return format!("keep what VF {} of {} is on the wire, to put it back", self.index, self.pf);
        }
        format!("set VF {} of {}: {}", self.index, self.pf, all.join(", "))
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("attributes of VF {} of {}", self.index, self.pf)).of(self.pf)
    }

    fn observe(&self, root: &Root) -> Result<VfState, Trouble> {
        let there = root.has(format!("sys/bus/pci/devices/{}/virtfn{}", self.pf, self.index));
        let nothing = |interface| Ok(VfState { interface, up: false, attributes: None, there });
        let Some((name, interface)) = vf::interface_of(root, self.pf)? else {
            return nothing(None);
        };
        let report = match vf::read(root, interface, self.index) {
            Ok(report) => report,
            // Nobody asked for anything: what cannot be kept is no reason to refuse.
            Err(_) if self.keeps_only() => return nothing(Some(name)),
            Err(error) => {
                return Err(Trouble::io(format_args!("cannot ask {name} ({}) for its VFs", self.pf), &error));
            }
        };
        Ok(VfState { interface: Some(name), up: report.up, attributes: report.attributes, there })
    }

    fn wanted(&self, now: &VfState) -> Result<VfState, Trouble> {
        if self.keeps_only() {
            return Ok(now.clone());
        }
        self.check()?;
        let Some(name) = &now.interface else { return Err(Trouble::new(vf::no_interface(self.pf))) };
        let Some(attributes) = &now.attributes else {
            return Err(Trouble::new(format!("{name} ({}) has no VF {}: make it first", self.pf, self.index)));
        };
        if !now.up {
            // Drivers differ: some take it and forget it, some refuse (i40e, ice: the VSI has to be there).
            return Err(Trouble::new(format!(
                "{name} ({}) is down, and its VFs cannot be set up like that: ip link set {name} up",
                self.pf
            )));
        }
        Ok(VfState { attributes: Some(self.set.over(attributes)), ..now.clone() })
    }

    fn foreseen(&self, now: &VfState) -> Option<VfState> {
        let new = VfState { attributes: Some(VfAttributes::default()), ..now.clone() };
        now.attributes.is_none().then_some(new)
    }

    fn moves(&self, from: &VfState, to: &VfState, attempt: u32) -> Vec<Action> {
        let mut changes = changes(from, to);
        // One that is refused ends the movement, so each time another one comes first; the last time only refused ones are left.
        let attempt = attempt as usize;
        if attempt > 0 && attempt >= changes.len() {
            return Vec::new();
        }
        changes.rotate_left(attempt);
        changes.into_iter().map(|setting| Action::SetVf { pf: self.pf, index: self.index, setting }).collect()
    }

    fn undone(&self, original: &VfState, _wanted: &VfState, now: &VfState) -> VfState {
        // A VF that is gone took everything along. One that only cannot be asked for, for its PF's interface is in some pod now, did not.
        let attributes = original.attributes.clone().filter(|_| now.there || now.attributes.is_some());
        VfState { attributes, ..now.clone() }
    }

    fn reached(&self, goal: &VfState, now: &VfState) -> Reached {
        if goal.attributes.is_some() && now.attributes.is_none() && now.interface.is_none() {
            return Reached::No(vf::no_interface(self.pf));
        }
        if goal.attributes.is_some() && now.attributes.is_none() {
            return Reached::No(format!("{} has no VF {}", self.pf, self.index));
        }
        let left = changes(now, goal);
        let list = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match left.as_slice() {
            [] => Reached::Yes,
            // Some drivers do not take "no MAC" (EINVAL); the VF then keeps the last one until it is given another.
            [VfSetting::Mac(mac)] if mac.is_zero() => Reached::Enough(format!(
                "VF {} of {} keeps its MAC: the driver cannot take one away",
                self.index, self.pf
            )),
            _ => Reached::No(format!("VF {} of {} is still without {list}", self.index, self.pf)),
        }
    }
}

impl SetVf {
    /// Whether nothing is asked for: what there is is only kept.
    fn keeps_only(&self) -> bool {
        self.set == VfAttributes::default()
    }

    /// Values no driver takes.
    fn check(&self) -> Result<(), Trouble> {
        let VfAttributes { mac, vlan, rate, .. } = &self.set;
        let what = match (mac, vlan, rate) {
            (Some(mac), ..) if mac.is_multicast() => format!("{mac} is a MAC for many"),
            (_, Some(Vlan { id: 4095.., .. }), _) => "a VLAN's number is 0 to 4094".to_owned(),
            (_, Some(Vlan { qos: 8.., .. }), _) => "a VLAN's priority is 0 to 7".to_owned(),
            (_, Some(Vlan { id: 0, qos, protocol }), _) if *qos > 0 || *protocol != VlanProtocol::Customer => {
                "a priority or a kind of tag goes with a VLAN".to_owned()
            }
            (.., Some(Rate { min, max })) if *max > 0 && min > max => {
                format!("its least rate, {min} Mbit/s, is above its greatest, {max} Mbit/s")
            }
            _ => return Ok(()),
        };
        Err(Trouble::new(format!("VF {} of {}: {what}", self.index, self.pf)))
    }
}

/// What has to be changed to get from one to the other.
fn changes(from: &VfState, to: &VfState) -> Vec<VfSetting> {
    match (&from.attributes, &to.attributes) {
        (Some(from), Some(to)) => to.changes_from(from),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prep::vf::{LinkState, Mac};

    fn step() -> SetVf {
        let set = VfAttributes {
            mac: Some("52:54:00:00:00:01".parse().unwrap()),
            vlan: Some(Vlan { id: 100, ..Vlan::default() }),
            ..VfAttributes::default()
        };
        SetVf { pf: "0000:3b:00.0".parse().unwrap(), index: 1, set }
    }

    fn state() -> VfState {
        let attributes = VfAttributes {
            mac: Some(Mac::default()),
            vlan: Some(Vlan::default()),
            rate: Some(Rate::default()),
            spoof_check: Some(true),
            trust: Some(false),
            link_state: Some(LinkState::Auto),
        };
        VfState { interface: Some("eth0".to_owned()), up: true, attributes: Some(attributes), there: true }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn there_and_back() {
        let (original, wanted) = (state(), step().wanted(&state()).unwrap());
        assert_eq!(
            told(&step().moves(&original, &wanted, 0)),
            ["set VLAN 100 qos 0 of VF 1 of 0000:3b:00.0", "set MAC 52:54:00:00:00:01 of VF 1 of 0000:3b:00.0"]
        );
        // The guest's driver, trusted by somebody, changed more.
        let mut now = wanted.clone();
        now.attributes.as_mut().unwrap().trust = Some(true);
        let goal = step().undone(&original, &wanted, &now);
        assert_eq!(
            told(&step().moves(&now, &goal, 0)),
            [
                "set VLAN 0 qos 0 of VF 1 of 0000:3b:00.0",
                "set MAC 00:00:00:00:00:00 of VF 1 of 0000:3b:00.0",
                "set trust off of VF 1 of 0000:3b:00.0"
            ]
        );
        assert_eq!(step().reached(&goal, &original), Reached::Yes);
    }

    #[test]
    fn one_refusal_does_not_keep_the_rest_from_coming_back() {
        let mut now = step().wanted(&state()).unwrap();
        now.attributes.as_mut().unwrap().trust = Some(true);
        let goal = state();
        // A driver that takes no zero MAC.
        let mut rounds = 0;
        for attempt in 0.. {
            let moves = step().moves(&now, &goal, attempt);
            if moves.is_empty() {
                break;
            }
            rounds += 1;
            for action in moves {
                let Action::SetVf { setting, .. } = action else { panic!("{action}") };
                let attributes = now.attributes.as_mut().unwrap();
                match setting {
                    VfSetting::Mac(_) => break,
                    VfSetting::Vlan(vlan) => attributes.vlan = Some(vlan),
                    VfSetting::Trust(on) => attributes.trust = Some(on),
                    other => panic!("{other}"),
                }
            }
        }
        assert!(rounds <= 3, "{rounds}");
        assert!(matches!(step().reached(&goal, &now), Reached::Enough(_)), "{now:?}");
    }

    #[test]
    fn what_cannot_be_is_refused_before_anything_is_written() {
        let refused = |step: SetVf, now: VfState| step.wanted(&now).unwrap_err().message;
        assert!(refused(step(), VfState { up: false, ..state() }).ends_with("ip link set eth0 up"));
        assert!(refused(step(), VfState { attributes: None, ..state() }).contains("has no VF 1"));
        assert!(refused(step(), VfState { interface: None, ..state() }).contains("no network interface"));
        let with = |set| SetVf { set, ..step() };
        let none = VfAttributes::default;
        for (set, what) in [
            (VfAttributes { mac: Some(Mac([1, 0, 0, 0, 0, 0])), ..none() }, "MAC for many"),
            (VfAttributes { vlan: Some(Vlan { id: 4095, ..Vlan::default() }), ..none() }, "0 to 4094"),
            (VfAttributes { vlan: Some(Vlan { id: 1, qos: 8, ..Vlan::default() }), ..none() }, "0 to 7"),
            (VfAttributes { vlan: Some(Vlan { id: 0, qos: 1, ..Vlan::default() }), ..none() }, "goes with a VLAN"),
            (VfAttributes { rate: Some(Rate { min: 5, max: 4 }), ..none() }, "above its greatest"),
        ] {
            assert!(refused(with(set), state()).contains(what), "{what}");
        }
    }

    #[test]
    fn a_vf_that_is_gone_needs_no_undo() {
        let now = VfState { attributes: None, there: false, ..state() };
        let goal = step().undone(&state(), &state(), &now);
        assert_eq!(step().reached(&goal, &now), Reached::Yes);
    }

    #[test]
    fn a_vf_whose_pf_is_in_a_pod_still_needs_it() {
        let now = VfState { interface: None, up: false, attributes: None, there: true };
        let goal = step().undone(&state(), &state(), &now);
        assert_eq!(step().moves(&now, &goal, 0), []);
        let Reached::No(why) = step().reached(&goal, &now) else { unreachable!() };
        assert!(why.contains("no network interface"), "{why}");
    }

    #[test]
    fn a_vf_nothing_is_asked_for_comes_back_too() {
        let step = SetVf { set: VfAttributes::default(), ..step() };
        assert_eq!(step.describe(), "keep what VF 1 of 0000:3b:00.0 is on the wire, to put it back");
        for there in [
            state(),
            VfState { up: false, ..state() },
            VfState { attributes: None, ..state() },
            VfState { interface: None, up: false, attributes: None, there: false },
        ] {
            assert_eq!(step.wanted(&there).unwrap(), there);
            assert_eq!(step.moves(&there, &there, 0), []);
            assert_eq!(step.reached(&there, &there), Reached::Yes);
        }
        // The guest's driver gave it an address of its own.
        let mut now = state();
        now.attributes.as_mut().unwrap().mac = Some("52:54:00:00:00:02".parse().unwrap());
        let goal = step.undone(&state(), &state(), &now);
        assert_eq!(told(&step.moves(&now, &goal, 0)), ["set MAC 00:00:00:00:00:00 of VF 1 of 0000:3b:00.0"]);
    }

    #[test]
    fn it_is_written_flat() {
        let text = serde_json::to_string(&step()).unwrap();
        assert_eq!(
            text,
            r#"{"pf":"0000:3b:00.0","index":1,"mac":"52:54:00:00:00:01","vlan":{"id":100,"qos":0,"protocol":"802.1Q"}}"#
        );
        assert_eq!(serde_json::from_str::<SetVf>(&text).unwrap(), step());
    }
}
