//! Every kind of outcome, word by word.

use std::path::Path;

use crate::run::Place;

/// Name, arguments, exit code. `~` in an argument stands for a blank.
const CASES: [(&str, &str, i32); 113] = [
    ("no-arguments", "", 64),
    ("help", "--help", 0),
    ("help-mutate", "mutate --help", 0),
    ("help-check", "check --help", 0),
    ("help-rehearse", "rehearse --help", 0),
    ("help-sidecar", "sidecar --help", 0),
    ("help-agent", "agent --help", 0),
    ("help-node", "node --help", 0),
    ("help-node-inspect", "node inspect --help", 0),
    ("help-node-plan", "node plan --help", 0),
    ("help-node-apply", "node apply --help", 0),
    ("help-node-undo", "node undo --help", 0),
    ("help-node-status", "node status --help", 0),
    ("help-node-recover", "node recover --help", 0),
    ("help-node-release", "node release --help", 0),
    ("help-schema", "schema --help", 0),
    ("help-completions", "completions --help", 0),
    ("help-man", "man --help", 0),
    ("check-nothing", "check", 64),
    ("rehearse-without-vmi", "rehearse --domain domain.xml", 64),
    ("rehearse-missing", "rehearse --domain nowhere.xml --vmi vmi.yaml", 66),
    ("sidecar-on-a-desk", "sidecar", 66),
    ("sidecar-profile-unknown", "sidecar --profile gpu-workstatoin", 64),
    ("schema-nothing", "schema", 64),
    ("node-nothing", "node", 64),
    ("node-verb-unknown", "node aply --resource example.com/gpu --owner trial", 64),
    ("node-apply-nothing", "node apply", 64),
    ("node-config-missing", "node plan --config nowhere.yaml --resource example.com/gpu --owner trial", 64),
    ("node-config-nowhere-said", "node plan --resource example.com/gpu --owner trial", 64),
    ("node-config-is-vm", "node plan --config vm.yaml --resource example.com/gpu --owner trial", 64),
    ("node-config-is-profile", "node plan --config mine.yaml --resource example.com/gpu --owner trial", 64),
    ("node-config-is-config-map", "node plan --config map.yaml --resource example.com/gpu --owner trial", 64),
    ("node-config-is-xml", "node plan --config domain.xml --resource example.com/gpu --owner trial", 64),
    ("node-config-folder", "node plan --config folder --resource example.com/gpu --owner trial", 66),
    (
        "node-resource-typo",
        "node plan --config node.yaml --node-name desk --resource example.com/gpuu --owner trial",
        64,
    ),
    (
        "node-resource-elsewhere",
        "node plan --config node.yaml --node-name other --resource example.com/gpu --owner trial",
        64,
    ),
    ("node-owner", "node plan --config node.yaml --resource example.com/gpu --owner a~b", 64),
    ("node-device", "node plan --config node.yaml --resource example.com/gpu --owner trial --device 0a:00", 64),
    ("node-root", "node status --host-root folder", 64),
    ("node-inspect-config-is-vm", "node inspect --config vm.yaml", 64),
    ("node-release-nothing", "node release", 64),
    ("agent-config-missing", "agent --config nowhere.yaml", 64),
    ("profile-is-node-config", "mutate --domain domain.xml --profile ./node.yaml", 64),
    ("profile-is-vm", "mutate --domain domain.xml --profile ./vm.yaml", 64),
    ("vmi-is-profile", "mutate --domain domain.xml --vmi mine.yaml", 64),
    ("unknown-command", "mutat --domain domain.xml", 64),
    ("unknown-option", "mutate --domain domain.xml --profil mine.yaml", 64),
    ("no-domain", "mutate --profile mine.yaml", 64),
    ("unknown-format", "mutate --domain domain.xml --changes=yaml", 64),
    ("diff-and-changes", "mutate --domain domain.xml --diff --changes", 64),
    ("unknown-mode", "mutate --domain domain.xml --libvirt user", 64),
    ("unknown-schema", "schema cluster-config", 64),
    ("mutate", "mutate --domain domain.xml --profile ./mine.yaml", 0),
    ("mutate-nothing-asked", "mutate --domain domain.xml", 0),
    ("mutate-notes", "mutate --domain domain.xml --set memory.hardLimit=auto --libvirt session", 0),
    ("mutate-session-by-vmi", "mutate --domain domain.xml --vmi vmi.yaml --set memory.hardLimit=auto --diff", 0),
    (
        "mutate-system-with-vmi",
        "mutate --domain domain.xml --vmi vmi.yaml --set memory.hardLimit=auto --libvirt system --diff",
        0,
    ),
    ("diff", "mutate --domain domain.xml --profile ./mine.yaml --diff", 0),
    ("diff-of-nothing", "mutate --domain right.xml --set devices.balloon=none --diff", 0),
    ("changes", "mutate --domain domain.xml --profile ./mine.yaml --set cpu.cache=passthrough --changes", 0),
    ("changes-of-nothing", "mutate --domain right.xml --set devices.balloon=none --changes", 0),
    ("changes-with-notes", "mutate --domain domain.xml --profile gpu-workstation --changes", 0),
    ("changes-json", "mutate --domain domain.xml --profile ./mine.yaml --set quirks=auto --changes=json", 0),
    ("migration-target", "mutate --domain target.xml --profile nowhere.yaml --diff", 0),
    ("profile-from-folder", "mutate --domain domain.xml --profile low-latency --profile-dir profiles.d --changes", 0),
    (
        "profile-stronger",
        "mutate --domain domain.xml --vmi vmi.yaml --profile mine.yaml --set viommu.eim=on --changes",
        0,
    ),
    ("profile-unknown", "mutate --domain domain.xml --profile gpu-workstatoin", 64),
    ("profile-typo", "mutate --domain domain.xml --profile typo.yaml", 64),
    ("profile-broken", "mutate --domain domain.xml --profile broken.yaml", 64),
    ("profile-broken-in-folder", "mutate --domain domain.xml --profile broken --profile-dir profiles.d", 64),
    ("profile-config-map", "mutate --domain domain.xml --profile map.yaml", 64),
    ("profile-latin1", "mutate --domain domain.xml --profile latin1.yaml", 64),
    ("profile-missing", "mutate --domain domain.xml --profile ./nowhere.yaml", 66),
    ("profile-folder", "mutate --domain domain.xml --profile ./folder", 66),
    ("profile-dir-missing", "mutate --domain domain.xml --profile-dir nowhere", 66),
    ("set-typo", "mutate --domain domain.xml --set viommu.modle=intel --set memory.locked=maybe --set nonsense", 64),
    ("set-contradiction", "mutate --domain domain.xml --set viommu.model=virtio --set viommu.eim=on", 64),
    ("vmi-missing", "mutate --domain domain.xml --vmi nowhere.yaml", 66),
    ("vmi-and-domain-from-input", "mutate --domain - --vmi -", 64),
    ("vmi-other-kind", "mutate --domain domain.xml --vmi pod.yaml", 64),
    ("vmi-broken", "mutate --domain domain.xml --vmi broken.yaml", 64),
    ("vmi-is-xml", "mutate --domain domain.xml --vmi domain.xml", 64),
    ("host-root-missing", "mutate --domain domain.xml --host-root nowhere", 66),
    ("host-root-empty", "mutate --domain domain.xml --host-root folder", 66),
    ("domain-missing", "mutate --domain nowhere.xml", 66),
    ("domain-folder", "mutate --domain folder", 66),
    ("domain-empty", "mutate --domain -", 65),
    ("domain-broken", "mutate --domain broken.xml", 65),
    ("domain-is-vm", "mutate --domain vm.yaml", 65),
    ("domain-latin1", "mutate --domain latin1.xml", 65),
    ("domain-network", "mutate --domain network.xml", 65),
    ("refused", "mutate --domain domain.xml --set hostDevices.gpu1.bootOrder=1", 65),
    (
        "refused-for-several-reasons",
        "mutate --domain domain.xml --set hostDevices.gpu1.bootOrder=1 --set features.hypervVendorId=x --set firmware.mmio64=64Gi --set hostDevices.net.bootOrder=2",
        65,
    ),
    ("refused-by-a-rule", "mutate --domain wrong.xml --set memory.locked=on", 65),
    ("output-in-missing-folder", "mutate --domain domain.xml -o nowhere/out.xml", 66),
    ("check", "check --domain domain.xml --profile mine.yaml", 0),
    ("check-notes", "check --domain domain.xml --profile gpu-workstation", 0),
    ("check-rules-alone", "check --domain wrong.xml", 65),
    ("check-refused", "check --domain domain.xml --set hostDevices.gpu1.bootOrder=1", 65),
    ("help-import", "import --help", 0),
    ("import-nothing", "import", 64),
    ("import-name", "import boot.conf --name My_Node", 64),
    ("import-host-without-check", "import boot.conf --host-root /", 64),
    ("import-missing", "import nowhere", 66),
    ("import-latin1", "import latin1.yaml", 65),
    ("import-broken", "import broken.yaml boot", 65),
    ("import", "import boot --name lab", 0),
    ("import-empty-folder", "import boot folder", 65),
    ("import-output", "import boot --name lab -o made", 0),
    ("import-strict", "import boot --strict", 65),
    ("import-unknown-file", "import domain.xml", 0),
    ("import-no-machine", "import boot --check-node --host-root folder --node-name x", 66),
    ("check-target", "check --domain target.xml --profile nowhere.yaml", 0),
];

#[test]
fn every_text_is_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli");
    let place = Place::new();
    let mut wrong = Vec::new();
    for (name, arguments, code) in CASES {
        let ran = place.run(arguments);
        if ran.code != code {
            wrong.push(format!("{name}: exit code {} instead of {code}: {}", ran.code, ran.err));
        }
        if code != 0 && !ran.out.is_empty() {
            wrong.push(format!("{name}: failed, and yet wrote {:?}", ran.out));
        }
        let shown = format!(
            "$ virt-tailor {arguments}\nexit code {}\n--- stdout\n{}--- stderr\n{}",
            ran.code, ran.out, ran.err
        );
        let path = folder.join(format!("{name}.txt"));
        if update {
            std::fs::write(&path, &shown).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&shown) {
            wrong.push(format!("{name}.txt should be:\n{shown}"));
        }
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert!(wrong.is_empty(), "{}\nif this is meant: UPDATE_GOLDEN=1 cargo test --test cli", wrong.join("\n"));
    assert_eq!(files, CASES.len(), "a text in {} belongs to no case", folder.display());
}

/// Who is not root is told so, whatever he asks that changes the node.
#[test]
fn who_is_not_root_is_told() {
    use std::os::unix::process::CommandExt as _;
    // Only root can become another user, and who is none need not.
    let is_root = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0).unwrap();
    for arguments in ["node undo --owner trial", "node release --all"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_virt-tailor"));
        command.args(arguments.split(' ')).args(["--state-dir", "/var/lib/virt-tailor-of-nobody"]);
        if is_root {
            command.uid(65534).gid(65534);
        }
        // The program may lie in a folder that nobody else enters.
        let Ok(output) = command.output() else { continue };
        assert_eq!(output.status.code(), Some(66));
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "virt-tailor: cannot make /var/lib/virt-tailor-of-nobody: Permission denied (os error 13): a node is changed by root alone, run it as root\n"
        );
    }
}

/// A node whose IOMMU is off: said first, and what to do about it.
#[test]
fn a_node_without_an_iommu_is_told() {
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(golden.join("inspect/iommu-off/host.txt")).unwrap();
    let host = crate::host_tree::unpack_text(&text);
    let boot = host.path().join("proc/sys/kernel/random");
    std::fs::create_dir_all(&boot).unwrap();
    std::fs::write(boot.join("boot_id"), "11111111-2222-3333-4444-555555555555\n").unwrap();
    place.write("here.yaml", &crate::run::NODE.replace("address: [\"0000:0a:00.0\"]", "vendor: \"10de\""));
    let mut shown = String::new();
    for command in [
        "node inspect --host-root HOST",
        "node plan --config here.yaml --node-name desk --resource example.com/gpu --owner trial --host-root HOST --state-dir state",
    ] {
        let ran = place.run(&command.replace("HOST", host.path().to_str().unwrap()));
        shown +=
            &format!("$ virt-tailor {command}\nexit code {}\n--- stdout\n{}--- stderr\n{}", ran.code, ran.out, ran.err);
    }
    let path = golden.join("cli-node/iommu-off.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &shown).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), shown);
}
