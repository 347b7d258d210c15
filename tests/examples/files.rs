//! Reading what stands in `examples/`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A scenario: its folder, and the sample it is made from (`pci-passthrough`: the sample without its card).
pub(crate) const SCENARIOS: [(&str, &str); 5] = [
    ("dpdk-worker", "dpdk-worker"),
    ("gpu-workstation", "gpu-workstation"),
    ("low-latency-nic", "sfc-onload"),
    ("pci-passthrough", "plain"),
    ("vgpu-desktop", "vgpu-desktop"),
];

/// A file or folder of `examples`.
pub(crate) fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
pub(crate) fn documents(path: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The only document of a YAML file.
pub(crate) fn document(path: &Path) -> Value {
    let [one] = <[Value; 1]>::try_from(documents(path)).unwrap();
    one
}

/// Every file of `examples` whose name ends so, in order.
pub(crate) fn all(end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![example("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // What import is given is somebody else's.
            if path.is_dir() && !path.ends_with("before") {
                folders.push(path);
            } else if path.is_file() && path.to_str().unwrap().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every document of every YAML file, with its path.
pub(crate) fn objects() -> Vec<(PathBuf, Value)> {
    let of = |path: PathBuf| documents(&path).into_iter().map(move |object| (path.clone(), object));
    all(".yaml").into_iter().flat_map(of).collect()
}

/// What a VM's hook annotation asks for; none if there is no such annotation.
pub(crate) fn hooks(vm: &Value) -> Vec<Value> {
    let annotation = &vm["spec"]["template"]["metadata"]["annotations"]["hooks.kubevirt.io/hookSidecars"];
    annotation.as_str().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

/// The arguments of a sidecar.
pub(crate) fn arguments(hook: &Value) -> Vec<String> {
    serde_json::from_value(hook["args"].clone()).unwrap()
}
