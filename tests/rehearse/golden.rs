//! One rehearsal word for word. `UPDATE_GOLDEN=1` writes it anew.

use std::fs;
use std::path::PathBuf;

use crate::play::play;

#[test]
fn a_rehearsal_reads_like_this() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rehearse/gpu-workstation.txt");
    let arguments = [
        "--profile",
        "gpu-workstation",
        "--set",
        "viommu.model=intel",
        "--set",
        "hostDevices.gpu0.address=0000:10:00.0",
        "--set",
        "hostDevices.gpu0.functions.gpu0-audio=1",
        "--set",
        "hostDevices.gpu0.rom.bar=off",
    ];
    let played = play("gpu-workstation", &arguments);
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{played:?}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &played.out).unwrap();
    }
    assert_eq!(played.out, fs::read_to_string(&file).unwrap());
}
