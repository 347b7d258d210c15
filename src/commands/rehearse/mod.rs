//! `virt-tailor rehearse`: virt-launcher played against a real sidecar process.

mod folder;
mod libvirt;
mod process;
mod show;
mod signals;
mod start;
mod trouble;
mod virsh;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::cli::Rehearse;
use crate::kubevirt::launcher::{Client, Collect, CollectError, Vmi, dial};
use crate::kubevirt::serve::ServeError;

use super::{Failure, input, tell};
use folder::Folder;
use libvirt::Libvirt;
use process::Process;
use show::{Step, say};
use signals::Signals;
use start::Start;

pub(super) use process::end_with_rehearsal;
pub(super) use trouble::Trouble;

/// How long a sidecar may take from its answer to Shutdown until it is gone.
const END: Duration = Duration::from_secs(5);
/// The exit codes of ours that say that a request is wrong.
const OF_A_REQUEST: [i32; 3] = [64, 65, 66];

/// Rehearses a start.
pub(super) fn run(args: &Rehearse) -> Result<(), Failure> {
    let path = args.inputs.vmi.as_deref().ok_or(Trouble::NoVmi)?;
    let vmi = Vmi::parse(&input::text(path)?).map_err(|error| Failure::Vmi { path: path.to_owned(), error })?;
    let domain = input::domain(&args.inputs)?.document().source().to_vec();
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(async {
        // Signals first: from here on nothing of ours can be left behind.
        let signals = Signals::new().map_err(ServeError::Runtime)?;
        let folder = Folder::new()?;
        tokio::select! {
            biased;
            signal = signals.first() => Err(Trouble::Stopped(signal).into()),
            outcome = rehearse(args, &folder, &vmi, domain) => outcome,
        }
    });
    // A sidecar that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn rehearse(args: &Rehearse, folder: &Folder, vmi: &Vmi, domain: Vec<u8>) -> Result<(), Failure> {
    let step = Step::begin("collecting the sidecar");
    let mut process = None;
    let client = match &args.socket {
        Some(socket) => running(args, socket).await?,
        None => {
            let process = process.insert(Process::start(args, folder)?);
            collect(args, process).await?
        }
    };
    step.end_unjudged();
    say(&format!(
        "KubeVirt {}, {}",
        args.release,
        if args.connect.is_some() { "a real libvirt" } else { "no libvirt" }
    ))?;
    say(&format!("Info: {} serves {}; {} is used", client.name, client.hook_points.join(", "), client.version))?;
    let libvirt = match &args.connect {
        Some(uri) => Libvirt::Virsh { uri, folder: folder.path() },
        None => Libvirt::StandIn,
    };
    let start = Start {
        client: &client,
        vmi,
        libvirt,
        release: args.release,
        limit: Duration::from_secs(args.sync_limit),
        has_defined: Cell::new(false),
    };
    // A VM that does not start has its sidecar killed with the pod: then nothing is to be seen of its end.
    let outcome = match start.run(domain).await {
        Ok(()) => end(&client, process.as_mut()).await,
        failed => failed,
    };
    for warning in process.iter().flat_map(Process::warnings) {
        tell(format_args!("warning: the sidecar logs: {warning}"));
    }
    outcome
}

/// The sidecar that runs already: its socket, or the folder that virt-launcher would look at.
async fn running(args: &Rehearse, socket: &Path) -> Result<Client, Failure> {
    let unreachable = |why: String| Trouble::Unreachable { path: socket.display().to_string(), why };
    if socket.is_dir() {
        return Ok(one(looking(args, socket).run(|| None).await.map_err(Trouble::Pod)?)?);
    }
    let connection = dial(socket).await.map_err(|error| unreachable(error.to_string()))?;
    Ok(looking(args, socket).ask(socket.to_owned(), connection).await.map_err(Trouble::Pod)?)
}

async fn collect(args: &Rehearse, process: &mut Process) -> Result<Client, Failure> {
    let collect = looking(args, &process.sockets);
    let found = collect.run(|| process.ended().map(|status| status.to_string())).await;
    match found {
        Ok(found) => Ok(one(found)?),
        Err(CollectError::Ended(how)) => {
            let code = process.ended().and_then(|status| status.code()).filter(|code| OF_A_REQUEST.contains(code));
            let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Failure::UNAVAILABLE);
            let words = process.last_words();
            let message = if words.is_empty() { how } else { words };
            Err(Trouble::Sidecar { message, code }.into())
        }
        Err(error) => Err(Trouble::Pod(error).into()),
    }
}

fn looking(args: &Rehearse, folder: &Path) -> Collect {
    Collect {
        folder: folder.to_owned(),
        wanted: 1,
        limit: Duration::from_secs(args.qemu_timeout),
        release: args.release,
    }
}

fn one(found: Vec<Client>) -> Result<Client, Trouble> {
    found.into_iter().next().ok_or(Trouble::Pod(CollectError::Timeout(None)))
}

/// Shutdown, and the end of the process: the pod completes only then.
async fn end(client: &Client, process: Option<&mut Process>) -> Result<(), Failure> {
    if client.version == "v1alpha3" && client.wants("Shutdown") {
        let step = Step::begin("Shutdown");
        client.shutdown().await.map_err(|error| Trouble::End(format!("Shutdown: {error}")))?;
        step.end_unjudged();
    } else {
        return say("Shutdown: the sidecar is not told that the VM has ended");
    }
    let Some(process) = process else {
        return say("Shutdown: answered");
    };
    let step = Step::begin("the sidecar's end");
    let ended = process.wait(END).await;
    step.end_unjudged();
    match ended {
        Some(status) if status.success() => say("Shutdown: answered, and the sidecar has ended"),
        Some(status) => Err(Trouble::End(format!("the sidecar ended with {status}")).into()),
        None => Err(Trouble::End(format!("the sidecar still runs {} s after Shutdown", END.as_secs())).into()),
    }
}
