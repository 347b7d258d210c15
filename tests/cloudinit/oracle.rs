//! The real cloud-init as a judge: it must find every part of the user as before, and ours besides.
//!
//! `cargo test --test cloudinit -- --ignored`, with cloud-init's Python package where `python3` finds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use serde_json::Value;
use virt_tailor::kubevirt::cloudinit::{Merged, Reboot, cloud_config, merge_user_data};

use crate::golden::{cases, inputs};

fn python(arguments: &[&Path]) -> String {
    let output = Command::new("python3").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What cloud-init makes of each of the files.
fn processed(files: &[PathBuf]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cloudinit/oracle.py");
    let mut arguments = vec![script.as_path()];
    arguments.extend(files.iter().map(PathBuf::as_path));
    serde_json::from_str(&python(&arguments)).unwrap()
}

fn without(mut config: Value, key: &str) -> Value {
    config.as_object_mut().unwrap().remove(key);
    config
}

#[test]
#[ignore = "needs cloud-init"]
fn cloud_init_finds_all_of_the_users_parts_as_before_and_ours() {
    let folder = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    let mut files = Vec::new();
    let mut scripts = Vec::new();
    for case in cases() {
        let (user_data, guest) = inputs(&case);
        let Ok(Merged::Changed(merged)) = merge_user_data(&user_data, &guest) else {
            continue;
        };
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        for (kind, text) in [("before", user_data.as_slice()), ("after", merged.as_bytes())] {
            let file = folder.path().join(format!("{name}.{kind}"));
            fs::write(&file, text).unwrap();
            files.push(file);
        }
        names.push(name);
        let part = cloud_config(&guest, Reboot::Once).unwrap();
        scripts.push(serde_saphyr::from_str::<Value>(&part).unwrap()["bootcmd"][0].clone());
    }
    assert!(names.len() > 20);
    let results = processed(&files);
    for ((name, results), script) in names.iter().zip(results.chunks(2)).zip(scripts) {
        let [before, after] = results else { panic!("two results") };
        let (mut parts, mut parts_after) =
            (before["parts"].as_array().unwrap().clone(), after["parts"].as_array().unwrap().clone());
        let ours = parts_after.pop().unwrap();
        assert_eq!(
            (ours["kind"].as_str(), ours["name"].as_str()),
            (Some("text/cloud-config"), Some("virt-tailor.cfg")),
            "{name}"
        );
        // Empty user data is a part too, and one whose form it does not know it calls by another name outside a message.
        for parts in [&mut parts, &mut parts_after] {
            parts.retain(|part| part["payload"] != "");
        }
        for part in parts.iter_mut().chain(&mut parts_after) {
            if part["kind"] == "text/x-not-multipart" {
                part["kind"] = "text/plain".into();
            }
        }
        let readable = |parts: &[Value]| -> Vec<String> {
            let decode = |part: &Value| {
                base64::engine::general_purpose::STANDARD.decode(part["payload"].as_str().unwrap()).unwrap()
            };
            parts
                .iter()
                .map(|part| format!("{} {} {:?}", part["kind"], part["name"], String::from_utf8_lossy(&decode(part))))
                .collect()
        };
        assert_eq!(readable(&parts_after), readable(&parts), "{name}");
        // No key of the user is touched, and our boot command stands before the user's.
        assert_eq!(without(after["config"].clone(), "bootcmd"), without(before["config"].clone(), "bootcmd"), "{name}");
        let mut commands = vec![script];
        commands.extend(before["config"]["bootcmd"].as_array().cloned().unwrap_or_default());
        assert_eq!(after["config"]["bootcmd"], Value::Array(commands), "{name}");
    }
}

#[test]
#[ignore = "needs cloud-init"]
fn cloud_inits_schema_takes_our_part_and_a_shell_what_it_makes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("schema.py");
    fs::write(&main, "import sys\nfrom cloudinit.cmd.main import main\nsys.exit(main(['cloud-init', 'schema', '--config-file', sys.argv[1]]))\n").unwrap();
    let file = folder.path().join("part");
    let (_, guest) = inputs(&cases().into_iter().find(|case| case.ends_with("cloud-config")).unwrap());
    fs::write(&file, cloud_config(&guest, Reboot::Once).unwrap()).unwrap();
    let said = python(&[&main, &file]);
    assert!(said.contains("Valid"), "{said}");
    let shell = processed(std::slice::from_ref(&file))[0]["bootcmd"].as_str().unwrap().to_owned();
    fs::write(&file, shell).unwrap();
    assert!(Command::new("sh").arg("-n").arg(&file).status().unwrap().success());
}
