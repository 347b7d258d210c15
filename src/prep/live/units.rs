//! systemd's units, over D-Bus (systemd: org.freedesktop.systemd1(5)).

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, Type, Variant};

use super::bus::{Body, Bus, BusError, Method};
use crate::base::did_you_mean;
use crate::host::Root;
use crate::prep::trouble::Trouble;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// Where units' files are (systemd.unit(5)).
const FOLDERS: [&str; 4] = ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
/// Where systemd's tool is: most distributions; those without merged folders; NixOS.
const SYSTEMCTL: [&str; 3] = ["usr/bin/systemctl", "bin/systemctl", "run/current-system/sw/bin/systemctl"];
/// How exactly a timer fires: nobody waits for it to the second.
const ACCURACY_MICROS: u64 = 1_000_000;

/// What systemd says of a unit.
#[derive(Debug)]
pub(crate) struct Unit {
    properties: HashMap<String, OwnedVariant>,
}

impl Unit {
    pub(crate) fn text(&self, name: &str) -> String {
        match self.properties.get(name).map(|value| &**value) {
            Some(Variant::Str(text)) => text.to_string(),
            _ => String::new(),
        }
    }

    /// The texts of a list.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.properties.get(name).map(|value| &**value) {
            Some(Variant::Array(list)) => list
                .iter()
                .filter_map(|item| if let Variant::Str(text) = item { Some(text.to_string()) } else { None })
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// A connection to systemd.
#[derive(Debug)]
pub(crate) struct Units(Bus);

impl Units {
    pub(crate) fn open(root: &Root) -> Result<Self, Trouble> {
        Bus::open(root).map(Self)
    }

    fn call<B: serde::Serialize + Type>(&mut self, member: &str, signature: &str, body: &B) -> Result<Body, BusError> {
        self.0.call(Method { destination: SYSTEMD, path: MANAGER_PATH, interface: MANAGER, member, signature }, body)
    }

    /// Everything about a unit; one that is not there has `LoadState` `not-found`.
    pub(crate) fn unit(&mut self, name: &str) -> Result<Unit, Trouble> {
        let failed = |error: BusError| Trouble::new(format!("unit {name}: {error}"));
        let path: OwnedObjectPath =
            self.call("LoadUnit", "s", &(name,)).and_then(|body| body.read()).map_err(failed)?;
        let get = Method {
            destination: SYSTEMD,
            path: path.as_str(),
            interface: "org.freedesktop.DBus.Properties",
            member: "GetAll",
            signature: "s",
        };
        let body = self.0.call(get, &("org.freedesktop.systemd1.Unit",)).map_err(failed)?;
        Ok(Unit { properties: body.read().map_err(failed)? })
    }

    /// Starts or stops, and waits until that is done.
    fn job(&mut self, member: &str, name: &str) -> Result<(), Trouble> {
        let what = if member == "StartUnit" { "started" } else { "stopped" };
        let failed = |error: BusError| Trouble::new(format!("unit {name} was not {what}: {error}"));
        self.call("Subscribe", "", &()).map_err(failed)?;
        if self.0.is_routed() {
            let rule = "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
            let bus = "org.freedesktop.DBus";
            let add = Method {
                destination: bus,
                path: "/org/freedesktop/DBus",
                interface: bus,
                member: "AddMatch",
                signature: "s",
            };
            self.0.call(add, &(rule,)).map_err(failed)?;
        }
        let job: OwnedObjectPath =
            self.call(member, "ss", &(name, "replace")).and_then(|body| body.read()).map_err(failed)?;
        loop {
            let (signal, body) = self.0.signal().map_err(failed)?;
            if signal != "JobRemoved" {
                continue;
            }
            let (_, removed, _, result): (u32, OwnedObjectPath, String, String) = body.read().map_err(failed)?;
            if removed != job {
                continue;
            }
            return match &*result {
                "done" | "skipped" => Ok(()),
                result => Err(Trouble::new(format!(
                    "unit {name} was not {what}: its job ended with {result:?} (systemctl status {name} tells more)"
                ))),
            };
        }
    }

    fn reload(&mut self, name: &str) -> Result<(), Trouble> {
        self.call("Reload", "", &())
            .map(drop)
            .map_err(|error| Trouble::new(format!("unit {name}: systemd was not reloaded: {error}")))
    }
}

/// `, did you mean "x"?` among the units whose files are there. systemd itself would read every one of them for that, and answer nobody
/// else meanwhile.
pub(crate) fn close_to(root: &Root, name: &str) -> String {
    let names: Vec<String> = FOLDERS.iter().flat_map(|folder| root.names(folder).unwrap_or_default()).collect();
    did_you_mean(name, names.iter().map(String::as_str))
}

/// One that does not start is no failure here: others wait for their turn, and what does not run afterwards is seen, and said.
pub(super) fn start(root: &Root, name: &str) -> Result<(), Trouble> {
    let _ = Units::open(root)?.job("StartUnit", name);
    Ok(())
}

pub(super) fn stop(root: &Root, name: &str) -> Result<(), Trouble> {
    Units::open(root)?.job("StopUnit", name)
}

pub(super) fn mask(root: &Root, name: &str) -> Result<(), Trouble> {
    let mut units = Units::open(root)?;
    let failed = |error: BusError| Trouble::new(format!("unit {name} was not masked: {error}"));
    // Until the next boot, and nothing that is there is replaced.
    units.call("MaskUnitFiles", "asbb", &(vec![name], true, false)).map_err(failed)?;
    units.reload(name)
}

pub(super) fn unmask(root: &Root, name: &str) -> Result<(), Trouble> {
    let mut units = Units::open(root)?;
    let failed = |error: BusError| Trouble::new(format!("unit {name} was not unmasked: {error}"));
    units.call("UnmaskUnitFiles", "asb", &(vec![name], true)).map_err(failed)?;
    units.reload(name)
}

/// The timer that starts a unit again. An `@` would make it an instance of a template, a backslash an escape.
pub(crate) fn timer(name: &str) -> String {
    format!("virt-tailor-return-{}.timer", name.replace(['@', '\\'], "_"))
}

/// A value of a transient unit's property.
type Property<'a> = (&'a str, Variant<'a>);

pub(super) fn return_after(root: &Root, name: &str, start: &[String], seconds: u64) -> Result<(), Trouble> {
    let mut units = Units::open(root)?;
    let timer = timer(name);
    let service = format!("{}.service", timer.trim_end_matches(".timer"));
    // One of a plan that was cut short would be in the way.
    cancel(&mut units, &timer)?;
    let Some(systemctl) = systemctl(root) else {
        return Err(Trouble::new(format!(
            "no timer was set that would start {name} again: this node has no systemctl"
        )));
    };
    let run = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        (format!("/{systemctl}"), words, true)
    };
    let mut exec = vec![run(&["systemctl", "unmask", "--runtime", name])];
    if !start.is_empty() {
        let start: Vec<&str> = ["systemctl", "start"].into_iter().chain(start.iter().map(String::as_str)).collect();
        exec.push(run(&start));
    }
    let micros = seconds.saturating_mul(1_000_000);
    let what = format!("Starts {name} again, should virt-tailor not do so");
    // One that failed would stay, and be in the way of the next (systemd.unit(5), since systemd 236).
    let gone = || ("CollectMode", Variant::from("inactive-or-failed"));
    let timing: Vec<Property<'_>> = vec![
        ("Description", Variant::from(what.as_str())),
        ("TimersMonotonic", Variant::from(vec![("OnActiveSec".to_owned(), micros)])),
        ("AccuracyUSec", Variant::from(ACCURACY_MICROS)),
        ("RemainAfterElapse", Variant::from(false)),
        gone(),
    ];
    let running: Vec<Property<'_>> = vec![
        ("Description", Variant::from(what.as_str())),
        ("Type", Variant::from("oneshot")),
        ("ExecStart", Variant::from(exec)),
        gone(),
    ];
    let units_beside = vec![(service.as_str(), running)];
    units
        .call("StartTransientUnit", "ssa(sv)a(sa(sv))", &(timer.as_str(), "fail", timing, units_beside))
        .map(drop)
        .map_err(|error| Trouble::new(format!("no timer was set that would start {name} again: {error}")))
}

/// Where systemd will find its tool. In a container it is the host's file that counts, seen through the host's first process; a link there
/// that begins with `/` leads into the container's own files, so that there is one is enough.
fn systemctl(root: &Root) -> Option<&'static str> {
    let there = |path: &str| root.seen().iter().any(|root| root.has(path));
    let linked = || matches!(root.of_first().link("run/current-system"), Ok(Some(_)));
    SYSTEMCTL.into_iter().find(|path| there(path) || (path.starts_with("run/current-system/") && linked()))
}

pub(super) fn cancel_return(root: &Root, name: &str) -> Result<(), Trouble> {
    cancel(&mut Units::open(root)?, &timer(name))
}

fn cancel(units: &mut Units, timer: &str) -> Result<(), Trouble> {
    if matches!(&*units.unit(timer)?.text("ActiveState"), "inactive" | "failed" | "") {
        return Ok(());
    }
    match units.call("StopUnit", "ss", &(timer, "replace")) {
        Err(BusError::Refused { name, .. }) if name == NO_SUCH_UNIT => Ok(()),
        Err(error) => Err(Trouble::new(format!("unit {timer} was not stopped: {error}"))),
        Ok(_) => {
            // It is transient, and gone once its job is done.
            for _ in 0..100 {
                if matches!(&*units.unit(timer)?.text("ActiveState"), "inactive" | "failed") {
                    return Ok(());
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Err(Trouble::new(format!("unit {timer} does not stop")))
        }
    }
}
