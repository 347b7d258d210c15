//! `virt-tailor node status`: what is changed now, and what the agent last said.

use serde_json::json;

use crate::agent::{STATUS, Status as Agent};
use crate::base::shown;
use crate::cli::node::Status;
use crate::commands::{Failure, output};

use super::session::Session;
use super::show;

/// Prints what the journal adds up to, and what was promised and refused.
pub(super) fn run(args: &Status) -> Result<(), Failure> {
    let session = Session::at(&args.place)?;
    let ledger = session.ledger()?;
    let agent = std::fs::read(args.place.state_dir.join(STATUS)).ok();
    let agent: Option<Agent> = agent.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // What it said in another boot is true no more.
    let agent = agent.filter(|agent| agent.boot == session.boot);
    let text = if args.json {
        let mut all = json!(ledger);
        if let (Some(all), Some(agent)) = (all.as_object_mut(), &agent) {
            all.insert("agent".to_owned(), json!(agent));
        }
        format!("{all:#}\n")
    } else {
        show::ledger(&ledger) + &agent.as_ref().map(of_agent).unwrap_or_default()
    };
    output::write(text.as_bytes(), None)
}

/// What the agent said, for people: promises, and what is in the way.
fn of_agent(agent: &Agent) -> String {
    let mut text = String::new();
    for (id, device) in &agent.devices {
        if device.promised.is_some() {
            let pod = device.pod.as_deref().map_or_else(String::new, |pod| format!(", pod {}", shown(pod)));
            text.push_str(&format!("promised: {id} ({}, {}{pod})\n", device.resource, device.value));
        }
        if let Some(why) = &device.unhealthy {
            text.push_str(&format!("not offered: {id} ({}): {}\n", device.resource, shown(why)));
        }
    }
    for (id, refused) in &agent.refused {
        text.push_str(&format!("refused: {id}, {} times: {}\n", refused.times, shown(&refused.reason)));
    }
    for (owner, why) in &agent.unmade {
        text.push_str(&format!("not made: {owner}: {}\n", shown(why)));
    }
    for problem in &agent.problems {
        text.push_str(&format!("configuration: {}\n", shown(problem)));
    }
    for (owner, task) in &agent.tasks {
        text.push_str(&format!("under way: {owner}: {}\n", shown(task)));
    }
    text
}
