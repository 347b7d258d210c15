//! `virt-tailor node release`: devices back, before the agent is uninstalled or while it runs.

use std::io;

use serde_json::json;

use crate::agent::{DeviceId, Selection, Taken, cgroups_of_pods, still_running};
use crate::cli::node::Release;
use crate::commands::agent::admin;
use crate::commands::{Failure, output};
use crate::config::node::Effective;
use crate::prep::Owner;
use crate::prep::journal::{Holding, JournalError};

use super::session::Session;
use super::show;

/// Gives back what was named.
pub(super) fn run(args: &Release) -> Result<(), Failure> {
    let selection = match (&args.resource, &args.device) {
        (Some(resource), _) => Selection::Resource(resource.clone()),
        (_, Some(device)) => Selection::Device(device.clone()),
        _ => Selection::All,
    };
    let session = Session::at(&args.place)?;
    let taken = match session.engine(Effective::default()) {
        Ok(engine) => {
            let ledger = engine.ledger();
            let running = cgroups_of_pods(&session.root);
            let mut taken = Vec::new();
            for owner in in_order(ledger.holdings.iter().filter(|(owner, holding)| fits(&selection, owner, holding))) {
                if let Some(why) = still_running(&owner, running.as_ref()) {
                    taken.push(Taken { owner: owner.as_str().to_owned(), stays: Some(why.to_owned()) });
                    continue;
                }
                let stays = engine.undo(&owner, &mut show::progress).err().map(|error| error.to_string());
                if let Some(id) = DeviceId::of_owner(&owner).filter(|_| stays.is_none()) {
                    let _ = std::fs::remove_file(args.place.state_dir.join(format!("promises/{id}.json")));
                }
                taken.push(Taken { owner: owner.as_str().to_owned(), stays });
            }
            taken
        }
        // The agent has the journal: it does it.
        Err(Failure::Journal(held @ JournalError::Held { .. })) => {
            match admin::ask(&args.place.state_dir, &selection) {
                Ok(taken) => taken,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                    return Err(held.into());
                }
                Err(error) => return Err(Failure::Read { path: args.place.state_dir.join(admin::SOCKET), error }),
            }
        }
        Err(other) => return Err(other),
    };
    let text = if args.json {
        format!("{:#}\n", json!(taken))
    } else if taken.is_empty() {
        nothing(&selection)
    } else {
        let gone = taken.iter().filter(|one| one.stays.is_none());
        gone.map(|one| format!("everything of {} is as it was\n", one.owner)).collect()
    };
    output::write(text.as_bytes(), None)?;
    let open: Vec<String> =
        taken.iter().filter_map(|one| one.stays.as_ref().map(|why| format!("{}: {why}", one.owner))).collect();
    if open.is_empty() { Ok(()) } else { Err(Failure::NodeRefused(open)) }
}

/// Nothing fits: is there nothing, or was it called by another name?
fn nothing(selection: &Selection) -> String {
    match selection {
        Selection::All => "there is nothing to give back\n".to_owned(),
        Selection::Resource(name) | Selection::Device(name) => {
            format!("nothing on this node is held for {name:?}: node status lists ids, addresses and resources\n")
        }
    }
}

/// What resources make comes last: what is made of it goes first.
fn in_order<'a>(fitting: impl Iterator<Item = (&'a Owner, &'a Holding)>) -> Vec<Owner> {
    let mut owners: Vec<Owner> = fitting.map(|(owner, _)| owner.clone()).collect();
    owners.sort_by_key(|owner| owner.as_str().starts_with("resource/"));
    owners
}

fn fits(selection: &Selection, owner: &Owner, holding: &Holding) -> bool {
    match selection {
        Selection::All => true,
        Selection::Resource(name) => holding.request.purpose == *name,
        Selection::Device(name) => {
            let primary = holding.request.devices.first().map(ToString::to_string);
            DeviceId::of_owner(owner).is_some_and(|id| id.as_str() == name || primary.as_ref() == Some(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_nothing_is_named() {
        assert_eq!(nothing(&Selection::All), "there is nothing to give back\n");
        let said = "nothing on this node is held for \"zz\": node status lists ids, addresses and resources\n";
        assert_eq!(nothing(&Selection::Device("zz".to_owned())), said);
        assert_eq!(nothing(&Selection::Resource("zz".to_owned())), said);
    }
}
