//! kubelet's side of the device plugin protocol as a program, for a machine without Kubernetes.
//!
//! `kubelet-double ROOT serve` stands for kubelet at ROOT (`/var/lib/kubelet`) until it is killed. `kubelet-double ROOT COMMAND ...` asks
//! the one that serves, prints one line of JSON, and exits with 1 if that has an `error`:
//!
//! ```text
//! wait RESOURCE [SECONDS [DEVICES]]           until it is registered, with so many healthy devices (1)
//! devices RESOURCE                            what is known of it
//! pod UID NAMESPACE NAME                      a pod exists
//! allocate UID CONTAINER RESOURCE COUNT       admission; COUNT devices with the plugin's advice
//! allocate UID CONTAINER RESOURCE ids=A,B     the same with these
//! prestart UID CONTAINER                      PreStartContainer, as before a container is created
//! pods                                        who has what
//! remove UID                                  the pod is gone
//! stop | start | restart                      kubelet is killed, starts, both
//! ```
//!
//! `kubelet-double define FOLDER VMI DOMAIN` is what virt-launcher asks of the sidecar whose socket is in a folder; prints the domain.
//! `kubelet-double cloud-init FOLDER VMI DATA` is the same before it writes the disk of cloud-init; prints the data.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "what it is for")]
#![allow(unreachable_pub, missing_docs, dead_code, reason = "shared with the tests")]

mod double;
mod launcher;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::Mutex;

use double::{Given, Kind, Kubelet};

/// Where commands are taken, below ROOT.
const CONTROL: &str = "kubelet-double.sock";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, folder, vmi, document] = arguments.as_slice()
        && ["define", "cloud-init"].contains(&command.as_str())
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            match command.as_str() {
                "define" => launcher::define(folder.as_ref(), vmi.as_ref(), document.as_ref()).await,
                _ => launcher::cloud_init(folder.as_ref(), vmi.as_ref(), document.as_ref()).await,
            }
        });
        return match answer {
            Ok(document) => {
                std::io::stdout().write_all(&document).unwrap();
                ExitCode::SUCCESS
            }
            Err(why) => {
                println!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    let [root, command @ ..] = arguments.as_slice() else {
        println!("kubelet-double ROOT serve|COMMAND ...");
        return ExitCode::from(2);
    };
    let root = Path::new(root);
    if command == ["serve"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(root));
        return ExitCode::SUCCESS;
    }
    let mut control = UnixStream::connect(root.join(CONTROL)).expect("no kubelet-double serves there");
    writeln!(control, "{}", command.join(" ")).unwrap();
    let mut answer = String::new();
    BufReader::new(control).read_line(&mut answer).unwrap();
    print!("{answer}");
    let failed = serde_json::from_str::<Value>(&answer).map_or(true, |answer| answer.get("error").is_some());
    ExitCode::from(u8::from(failed))
}

async fn serve(root: &Path) {
    std::fs::create_dir_all(root).unwrap();
    let control = root.join(CONTROL);
    let _ = std::fs::remove_file(&control);
    let listener = UnixListener::bind(control).unwrap();
    // Whoever waits for an answer keeps the kubelet it asked: another one may start meanwhile.
    let kubelet = Arc::new(Mutex::new(Arc::new(Kubelet::start(root, Kind::default()))));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let kubelet = Arc::clone(&kubelet);
        tokio::spawn(async move {
            let (read, mut write) = stream.into_split();
            let mut line = String::new();
            let mut read = tokio::io::BufReader::new(read);
            if read.read_line(&mut line).await.is_err() {
                return;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let answer = match words.as_slice() {
                ["stop"] | ["start"] | ["restart"] => {
                    let mut kubelet = kubelet.lock().await;
                    kubelet.stop().await;
                    if words != ["stop"] {
                        *kubelet = Arc::new(kubelet.next());
                    }
                    Ok(json!({}))
                }
                words => {
                    let kubelet = Arc::clone(&*kubelet.lock().await);
                    answer(&kubelet, words).await
                }
            };
            let answer = answer.unwrap_or_else(|error| json!({"error": error}));
            let _ = write.write_all(format!("{answer}\n").as_bytes()).await;
        });
    }
}

async fn answer(kubelet: &Kubelet, words: &[&str]) -> Result<Value, String> {
    match *words {
        ["wait", resource, ref rest @ ..] => {
            let seconds = rest.first().map_or(Ok(10), |word| word.parse()).map_err(|_| "SECONDS is no number")?;
            let devices = rest.get(1).map_or(Ok(1), |word| word.parse()).map_err(|_| "DEVICES is no number")?;
            let is = |known: &double::Known| !known.stopped && known.lists > 0 && known.healthy.len() >= devices;
            let known = kubelet.wait(resource, Duration::from_secs(seconds), is).await?;
            Ok(shown(&known))
        }
        ["devices", resource] => Ok(shown(&kubelet.known(resource))),
        ["pod", uid, namespace, name] => {
            kubelet.add_pod(uid, namespace, name);
            Ok(json!({}))
        }
        ["allocate", uid, container, resource, what] => {
            let given = match what.strip_prefix("ids=") {
                Some(ids) => {
                    let ids: Vec<String> = ids.split(',').map(str::to_owned).collect();
                    kubelet.admit_ids(uid, container, resource, &ids).await?
                }
                None => {
                    let count = what.parse().map_err(|_| "COUNT is no number")?;
                    kubelet.admit(uid, container, resource, count).await?
                }
            };
            Ok(given_shown(&given))
        }
        ["prestart", uid, container] => kubelet.start_container(uid, container).await.map(|()| json!({})),
        ["pods"] => {
            let pod = |(uid, pod): (String, double::Pod)| {
                let containers: serde_json::Map<String, Value> = pod
                    .containers
                    .iter()
                    .map(|(name, resources)| {
                        let resources: serde_json::Map<String, Value> =
                            resources.iter().map(|(resource, given)| (resource.clone(), given_shown(given))).collect();
                        (name.clone(), resources.into())
                    })
                    .collect();
                json!({"uid": uid, "namespace": pod.namespace, "name": pod.name, "containers": containers})
            };
            Ok(kubelet.pods().into_iter().map(pod).collect())
        }
        ["remove", uid] => {
            kubelet.remove_pod(uid);
            Ok(json!({}))
        }
        _ => Err(format!("no such command: {}", words.join(" "))),
    }
}

fn shown(known: &double::Known) -> Value {
    json!({
        "healthy": known.healthy, "unhealthy": known.unhealthy, "numa": known.numa, "stopped": known.stopped,
        "registrations": known.registrations, "lists": known.lists,
    })
}

fn given_shown(given: &Given) -> Value {
    let envs: std::collections::BTreeMap<_, _> = given.response.envs.iter().collect();
    let nodes: Vec<Value> = given
        .response
        .devices
        .iter()
        .map(|node| json!({"host": node.host_path, "container": node.container_path, "permissions": node.permissions}))
        .collect();
    json!({"ids": given.ids, "envs": envs, "nodes": nodes})
}
