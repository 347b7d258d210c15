//! One start, from the first call to the last define.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::timeout;

use super::libvirt::{Board, Libvirt};
use super::show::{Step, changes, host_devices, say};
use super::{Failure, Trouble};
use crate::commands::tell;
use crate::domain::Domain;
use crate::kubevirt::launcher::{Client, CloudInit, CloudInitSource, Release, Vmi};
use crate::kubevirt::readback::add_ports;
use crate::kubevirt::reduce::reduce_for;

/// What a start needs.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) client: &'a Client,
    pub(super) vmi: &'a Vmi,
    pub(super) libvirt: Libvirt<'a>,
    pub(super) release: Release,
    /// How long virt-handler waits for all of it.
    pub(super) limit: Duration,
    /// Whether any answer is defined in libvirt.
    pub(super) has_defined: Cell<bool>,
}

impl Start<'_> {
    /// Plays it, within virt-handler's limit.
    pub(super) async fn run(&self, domain: Vec<u8>) -> Result<(), Failure> {
        let begin = Instant::now();
        let late = || Trouble::Late { seconds: begin.elapsed().as_secs_f64(), limit: self.limit.as_secs() };
        let outcome = timeout(self.limit, self.passes(domain)).await.unwrap_or_else(|_| Err(late().into()));
        if outcome.is_err() && self.has_defined.get() {
            tell(format_args!(
                "warning: an earlier pass is defined in libvirt already: KubeVirt will start that domain, half made, at its next \
                 attempt, without asking any hook"
            ));
        }
        outcome?;
        if begin.elapsed() > self.limit {
            return Err(late().into());
        }
        Ok(())
    }

    async fn passes(&self, domain: Vec<u8>) -> Result<(), Failure> {
        self.cloud_init().await?;
        let read = Domain::parse(domain.clone()).map_err(Failure::Bug)?;
        if read.is_migration_target() {
            self.ask(&domain, "the only pass").await?;
            return say("This is a migration target: KubeVirt throws the answer away, only an error would matter.");
        }
        let board = Board::of(&read);
        self.libvirt.knows(board)?;
        if board == Board::Other {
            let answer = self.ask(&domain, "the only pass").await?;
            self.define(&answer, board).await?;
            return last(&answer);
        }
        let placeholders = placeholders(&read);
        let mut answer = self.ask(&domain, "pass 1").await?;
        let mut pass = 1;
        let mut next = if placeholders > 0 {
            let sent = self.read_back(&domain, &answer).await?;
            say(&format!(
                "  libvirt assigns addresses; of the answer KubeVirt keeps the devices, as its structs know them, and drops \
                 {placeholders} placeholder NICs"
            ))?;
            answer = self.ask(sent.as_bytes(), "pass 2").await?;
            pass = 2;
            self.define(&answer, board).await?;
            self.reduced(&answer)?
        } else {
            // What is read back here is nowhere documented; addresses there must be, or ports would be given away twice.
            self.read_back(self.reduced(&answer)?.as_bytes(), &answer).await?
        };
        if self.release.adds_ports() {
            let ports = add_ports(&next, placeholders).map_err(|error| Trouble::Sync(error.to_string()))?;
            next = ports.domain;
            if ports.added > 0 || self.release.always_asks_again() {
                say(&format!(
                    "  KubeVirt takes the answer over, as its structs know it, and adds {} root ports",
                    ports.added
                ))?;
                answer = self.ask(next.as_bytes(), &format!("pass {}", pass + 1)).await?;
                self.define(&answer, board).await?;
            }
        }
        last(&answer)
    }

    /// One call, judged as KubeVirt would.
    async fn ask(&self, sent: &[u8], name: &str) -> Result<Vec<u8>, Failure> {
        if !self.client.wants("OnDefineDomain") {
            say(&format!("OnDefineDomain, {name}: the sidecar does not want to be asked"))?;
            return Ok(sent.to_vec());
        }
        // A sidecar that names the hook point twice is called twice, the second time with its own answer.
        let mut answer = sent.to_vec();
        for _ in 0..self.client.times("OnDefineDomain") {
            let step = Step::begin(format!("OnDefineDomain, {name}"));
            answer = self.client.define(&answer, &self.vmi.json()).await.map_err(Trouble::Sync)?;
            step.end();
            if answer.is_empty() {
                return Err(Trouble::Sync("EOF".to_owned()).into());
            }
            self.reduced(&answer)?;
        }
        say(&format!("OnDefineDomain, {name}: {}", changes(sent, &answer)))?;
        Ok(answer)
    }

    /// What is read back of an answer.
    async fn read_back(&self, sent: &[u8], answer: &[u8]) -> Result<String, Failure> {
        let step = Step::begin("define and read back");
        let read = self.libvirt.read_back(sent, answer, self.release.structs()).await?;
        self.has_defined.set(true);
        step.end();
        Ok(read)
    }

    /// Defines an answer that nobody reads back.
    async fn define(&self, answer: &[u8], board: Board) -> Result<(), Failure> {
        let step = Step::begin("define");
        self.libvirt.accepts(answer, board, self.release.structs()).await?;
        self.has_defined.set(true);
        step.end();
        Ok(())
    }

    /// What KubeVirt's structs keep of an answer; it reads every one.
    fn reduced(&self, answer: &[u8]) -> Result<String, Failure> {
        let reduced = reduce_for(answer, self.release.structs());
        Ok(reduced.map_err(|error| Trouble::Sync(format!("failed to unmarshal the hook's domain: {error}")))?)
    }

    async fn cloud_init(&self) -> Result<(), Failure> {
        if !self.client.wants("PreCloudInitIso") {
            return Ok(());
        }
        if self.client.version == "v1alpha1" {
            return say("PreCloudInitIso: v1alpha1 has none, the sidecar is not asked");
        }
        let brought = match self.vmi.cloud_init() {
            CloudInitSource::Given(brought) => brought,
            CloudInitSource::Elsewhere => {
                return say(
                    "PreCloudInitIso: the user data is in a Secret, which is not here; the sidecar is not asked",
                );
            }
            CloudInitSource::None => {
                return Err(Trouble::Crash(
                    "The sidecar offers PreCloudInitIso and the VM has no cloud-init volume: start the sidecar without --cloud-init",
                )
                .into());
            }
        };
        let step = Step::begin("PreCloudInitIso");
        let answer = self.client.pre_cloud_init_iso(brought.clone(), &self.vmi.json()).await.map_err(Trouble::Sync)?;
        step.end();
        let before = user_data(&brought).unwrap_or_default();
        let after = user_data(&answer)
            .map_err(|error| Trouble::Sync(format!("the hook's cloud-init data cannot be read: {error}")))?;
        // Never shown: there are passwords in it.
        say(match before == after {
            true => "PreCloudInitIso: the user data stays as it is",
            false => "PreCloudInitIso: the user data is changed",
        })
    }
}

/// The user data that KubeVirt takes from an answer: of `cloudInitData` if that has user data and metadata, or else of
/// `cloudInitNoCloudSource`, which older hooks answer alone.
fn user_data(answer: &CloudInit) -> Result<String, serde_json::Error> {
    let data: Value = serde_json::from_slice(&answer.data)?;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let has = |name: &str| data.get(name).is_some_and(|metadata| !metadata.is_null());
    let user_data = text(&data, "UserData");
    if !user_data.is_empty() && (has("NoCloudMetaData") || has("ConfigDriveMetaData")) {
        return Ok(user_data);
    }
    Ok(text(&serde_json::from_slice(&answer.no_cloud_source)?, "userData"))
}

fn last(answer: &[u8]) -> Result<(), Failure> {
    say("The VM would be started with the last answer, word for word.")?;
    for device in host_devices(answer) {
        say(&format!("  {device}"))?;
    }
    Ok(())
}

fn placeholders(domain: &Domain) -> usize {
    let document = domain.document();
    let Some(devices) = document.child(document.root(), "devices") else {
        return 0;
    };
    let is_placeholder = |nic: &_| {
        let alias = document.child(*nic, "alias").and_then(|alias| document.attribute(alias, "name"));
        alias.is_some_and(|alias| alias.starts_with("placeholder-"))
    };
    document.children_named(devices, "interface").filter(is_placeholder).count()
}
