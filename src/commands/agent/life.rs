//! What goes on side by side until the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::agent::{Status, look_around};
use crate::base::held_back;
use crate::cli::agent as cli;
use crate::commands::Failure;
use crate::host::Root;
use crate::kubelet::{PodResources, Pods};
use crate::link::names::Names;
use crate::link::{dial, find};
use crate::prep::journal::JournalError;

use super::health::{Health, Stage};
use super::uevents::Uevents;
use super::{LiveAgent, Own, admin, answers, features, hooks, http, serve, watch as config};

/// How often kubelet is asked and the node looked at while somebody has something.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// What asks for a look sooner, a pod among them, gets one this often at most.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// How often the node's devices are looked at though the kernel says nothing of them: a mount or a route may have let one go.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// What comes so soon after a message of the kernel's is of the same change: one function comes with its slot, its driver and its group.
const SETTLE: Duration = Duration::from_millis(20);
/// Whatever the kernel says, the node is looked at for a third of the time at most, and not more often than this.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// How often memory locks are asserted, as long as there are any.
const LOCK_EVERY: Duration = Duration::from_secs(1);
/// How long plans under way may take at the end.
const LINGER: Duration = Duration::from_secs(10);

/// Starts, and serves until a signal comes. A probe is answered from the beginning: `start` may take minutes.
pub(super) async fn live(
    args: &cli::Agent,
    agent: &LiveAgent,
    root: &Root,
    own: Own,
    known: Option<String>,
    start: impl FnOnce(&Health) -> Result<(), JournalError> + Send + 'static,
) -> Result<(), Failure> {
    let (stop, stopped) = watch::channel(false);
    let failed = |error| Failure::Read { path: "signals".into(), error };
    let take_over = || Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?));
    let (mut term, mut int) = held_back(take_over).map_err(failed)?;
    let health = Arc::new(Health::new());
    let listener = match args.metrics {
        Some(address) => Some(
            http::listen(address)
                .await
                .map_err(|error| Failure::Read { path: format!("the address {address}").into(), error })?,
        ),
        None => None,
    };
    let signals = async {
        tokio::select! {
            _ = term.recv() => (),
            _ = int.recv() => (),
            () = over(stopped.clone()) => return,
        }
        tracing::info!("ending; nothing is undone");
        health.enter(Stage::Ending);
        stop.send_replace(true);
    };
    let probes = async {
        if let Some(listener) = listener {
            http::serve(listener, agent, &health, stopped.clone()).await;
        }
    };
    let work = async {
        let served = match started(start, &health, &stopped).await {
            Ok(true) => serve_all(args, agent, root, own, known, &health, &stopped).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        stop.send_replace(true);
        served
    };
    let ((), (), served) = tokio::join!(signals, probes, work);
    served?;
    let end = Instant::now() + LINGER;
    while !agent.is_idle() && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Starts; tells whether that went through before the end came.
async fn started(
    start: impl FnOnce(&Health) -> Result<(), JournalError> + Send + 'static,
    health: &Arc<Health>,
    stopped: &watch::Receiver<bool>,
) -> Result<bool, JournalError> {
    let ours = Arc::clone(health);
    let mut starting = tokio::task::spawn_blocking(move || start(&ours));
    let outcome = tokio::select! {
        outcome = &mut starting => outcome,
        // It is taken up by the next agent, as after a crash.
        () = over(stopped.clone()) => match timeout(LINGER, starting).await {
            Ok(outcome) => outcome,
            Err(_) => return Ok(false),
        },
    };
    match outcome {
        Ok(outcome) => outcome.map(|()| !*stopped.borrow()),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Serves until the end has come.
async fn serve_all(
    args: &cli::Agent,
    agent: &LiveAgent,
    root: &Root,
    own: Own,
    known: Option<String>,
    health: &Health,
    stopped: &watch::Receiver<bool>,
) -> Result<(), Failure> {
    let admin = admin::listen(&args.place.state_dir)
        .map_err(|error| Failure::Write { path: args.place.state_dir.join(admin::SOCKET), error })?;
    health.enter(Stage::Serving);
    let plugins = args.kubelet_root.join("device-plugins");
    tokio::join!(
        serve::resources(agent, &plugins, stopped.clone()),
        looks(agent, PodResources::of(&args.kubelet_root), own, root, stopped.clone()),
        refreshes(agent, health, &args.features_dir, root, stopped.clone()),
        config::follow(args, agent, root, known, stopped.clone()),
        locks(agent, stopped.clone()),
        links(args, agent, root, stopped.clone()),
        hooks::serve(args, agent, root, stopped.clone()),
        admin::serve(admin, agent, stopped.clone()),
    );
    Ok(())
}

/// Ready when the end has come.
pub(super) async fn over(mut stopped: watch::Receiver<bool>) {
    // Whoever would say so is gone: that is the end, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Asks kubelet, looks around, and gives back what is free.
async fn looks(agent: &LiveAgent, kubelet: PodResources, own: Own, root: &Root, stopped: watch::Receiver<bool>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = Status::default();
    let mut silent = false;
    let mut uncounted = answers::Uncounted::default();
    loop {
        let wanted = tokio::select! {
            _ = ticks.tick() => false,
            () = agent.look_wanted() => true,
            () = over(stopped.clone()) => return,
        };
        if wanted || agent.has_anything() {
            let asked = agent.now();
            let answer = match kubelet.list().await {
                Ok(list) => {
                    let ours = agent.resources().borrow().clone();
                    silent = false;
                    let answer = answers::answer(&list, asked, &own, &ours, root);
                    if let Some(pod) = uncounted.after(&answer, &own) {
                        tracing::warn!(
                            pod,
                            "kubelet has not named this agent's own pod for a minute, so nothing is given back: is --own-pod right?"
                        );
                    }
                    agent.hear(&answer);
                    Some(answer)
                }
                Err(error) => {
                    if !std::mem::replace(&mut silent, true) {
                        tracing::warn!(reason = %error, "kubelet does not say which pod has what: nothing is given back meanwhile");
                    }
                    None
                }
            };
            let (ours, root) = (agent.clone(), root.clone());
            let look = move || ours.look(&look_around(&root, asked, answer, &ours.watched()));
            if tokio::task::spawn_blocking(look).await.is_err() {
                tracing::error!("a look around failed: this is a mistake of ours, please report it");
            }
        }
        let status = agent.status();
        if status != shown {
            if let Err(error) = agent.write_status(&status) {
                tracing::warn!(reason = %error, "the status cannot be written");
            }
            shown = status;
        }
        sleep(LOOK_AT_MOST_EVERY).await;
    }
}

/// Looks at the node's devices again and again.
async fn refreshes(
    agent: &LiveAgent,
    health: &Health,
    features: &std::path::Path,
    root: &Root,
    stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval(REFRESH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut uevents = Uevents::listen();
    let mut rested = tokio::time::Instant::now();
    loop {
        let news = async {
            sleep_until(rested).await;
            uevents.news().await;
        };
        let heard = tokio::select! {
            _ = ticks.tick() => false,
            () = news => {
                sleep(SETTLE).await;
                true
            }
            () = over(stopped.clone()) => return,
        };
        uevents.pass_over();
        let began = tokio::time::Instant::now();
        let ours = agent.clone();
        // What could not be made is tried again in a while, and not because of what trying it has stirred up.
        let refresh = move || if heard { ours.refresh_for_news() } else { ours.refresh() };
        let refreshed = tokio::task::spawn_blocking(refresh).await;
        let refreshed = refreshed.unwrap_or_else(|_| Err("a mistake of ours, please report it".to_owned()));
        health.look_went(refreshed.is_ok());
        if let Err(reason) = refreshed {
            tracing::error!(reason, "the node cannot be looked at");
        }
        let (agent, root, features) = (agent.clone(), root.clone(), features.to_owned());
        let told = tokio::task::spawn_blocking(move || features::tell(&features, &root, &agent.status())).await;
        if let Ok(Err(error)) = told {
            tracing::debug!(reason = %error, "no features for Node Feature Discovery");
        }
        rested = tokio::time::Instant::now() + (began.elapsed() * 2).clamp(REFRESH_AT_MOST_EVERY, REFRESH_EVERY);
        // However much the kernel has to say, everything is tried now and then.
        if !heard {
            ticks.reset();
        }
    }
}

/// Asserts memory locks.
async fn locks(agent: &LiveAgent, stopped: watch::Receiver<bool>) {
    let mut ticks = interval(LOCK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            () = over(stopped.clone()) => return,
        }
        if agent.has_locks() {
            let agent = agent.clone();
            let _ = tokio::task::spawn_blocking(move || agent.hold_locks()).await;
        }
    }
}

/// kubelet knows what a pod is called, where it has the API for it.
struct Kubelet(std::path::PathBuf);

impl Names for Kubelet {
    async fn name_of(&self, uid: &str) -> Option<(String, String)> {
        let name = Pods::find(&self.0)?.name_of(uid).await.ok()??;
        Some((name.namespace, name.name))
    }
}

/// Answers sidecars.
async fn links(args: &cli::Agent, agent: &LiveAgent, root: &Root, stopped: watch::Receiver<bool>) {
    let places = || find::Places {
        kubelet_root: args.kubelet_root.clone(),
        pod_logs: root.path("var/log/pods"),
        node: args.configuration.node_name.clone().unwrap_or_default(),
        ping: dial::PING,
    };
    let errands = Arc::new(agent.errands());
    loop {
        let names = Kubelet(args.kubelet_root.clone());
        let ended = find::run(places(), names, Arc::clone(&errands), over(stopped.clone())).await;
        let Err(error) = ended else { return };
        tracing::warn!(reason = %error, "sidecars cannot be looked for");
        tokio::select! {
            () = sleep(LOOK_EVERY) => (),
            () = over(stopped.clone()) => return,
        }
    }
}
