//! Logs: JSON, with what helps and without what is private.

use crate::rig::{Sidecar, sample, vmi};

#[tokio::test]
async fn a_call_is_told_and_its_secrets_are_not() {
    let sidecar = Sidecar::start(&["--verbose"]);
    let mut secret: serde_json::Value = serde_json::from_str(&sample("gpu-workstation.vmi.json")).unwrap();
    secret["spec"]["volumes"] = serde_json::json!([{"name": "c", "cloudInitNoCloud": {"userData": "hunter2"}}]);
    for pass in ["pass1", "pass2", "pass3", "target"] {
        let domain = sample(&format!("gpu-workstation.{pass}.xml")).replace("flightsim", "flight-hunter2");
        sidecar.define(domain, secret.to_string()).await.unwrap();
    }
    let broken = secret.to_string().replace("\"hunter2\"", "\"hunter2");
    sidecar.define(sample("plain.pass1.xml"), broken).await.unwrap_err();
    sidecar.define(sample("plain.pass1.xml"), vmi("plain", &[("virt-tailor.io/profiles", "x")])).await.unwrap_err();
    let log = sidecar.log();
    assert!(!log.contains("hunter2"), "{log}");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls: Vec<_> = lines
        .iter()
        .filter(|line| ["answered", "refused"].contains(&line["message"].as_str().unwrap_or_default()))
        .map(|line| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
            let span = &line["span"];
            assert!(line["ms"].as_f64().unwrap() > 0.0);
            assert_eq!((text(&span["point"]), text(&span["version"])), ("OnDefineDomain".into(), "v1alpha3".into()));
            format!("{} {} {}", text(&line["message"]), text(&span["vm"]), text(&span["pass"]))
        })
        .collect();
    let expected = [
        "answered desktops/flightsim 1",
        "answered desktops/flightsim 2",
        "answered desktops/flightsim 3",
        "answered unknown migration target",
        "refused unknown 1",
        "refused default/plain 1",
    ];
    assert_eq!(calls, expected);
    // There is no such host here; that is worth a note, and no more.
    assert!(log.contains("nothing is known about the host's devices: /nonexistent is no host root"), "{log}");
    let told = lines.iter().filter(|line| line["message"] == "changed").count() as u64;
    let counted: u64 = lines.iter().filter_map(|line| line["changes"].as_u64()).sum();
    assert!(told == counted && told > 0, "{told} {counted}");
}

#[tokio::test]
async fn values_of_qemus_environment_and_arguments_are_not_logged() {
    let sidecar = Sidecar::start(&["--verbose", "--set", "qemu.env.FROM_OPTION=hunter2"]);
    let asked = "qemu: {env: {TOKEN: hunter2}, args: [-object, 'secret,id=sec0,data=hunter2', -fw_cfg, 'name=opt/org.example/x,string=hunter2']}";
    let asking = vmi("plain", &[("virt-tailor.io/domain", asked)]);
    let answer = sidecar.define(sample("plain.pass1.xml"), asking.as_str()).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("hunter2").count(), 4, "{answer}");
    // And when another value was there.
    let other = answer.replace("hunter2", "hunter2-of-old");
    sidecar.define(other, asking.as_str()).await.unwrap();
    let wrong = vmi("plain", &[("virt-tailor.io/domain", "qemu: {env: {TOKEN: [hunter2]}}")]);
    let status = sidecar.define(sample("plain.pass1.xml"), wrong).await.unwrap_err();
    println!("{status}");
    let log = sidecar.log();
    for told in ["TOKEN", "FROM_OPTION", "secret,id=sec0,data=…", "name=opt/org.example/x,string=…"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}
