//! The journal's file: torn, damaged, held, open to others, grown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;
use virt_tailor::prep::journal::{Journal, JournalError};

use crate::model::Model;
use crate::{BOOT, engine, gpu, owner, quiet};

/// A state folder in which `vm` has the GPU.
fn held(model: &Model) -> TempDir {
    let state = crate::state();
    engine(model, state.path()).apply(&gpu("vm"), &mut quiet).unwrap();
    state
}

fn open(state: &Path) -> Result<(), JournalError> {
    Journal::open(state, BOOT).map(drop)
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let whole = held(&Model::new());
    let bytes = fs::read(whole.path().join("journal")).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in last + 1..bytes.len() {
        let state = crate::state();
        fs::write(state.path().join("journal"), &bytes[..cut]).unwrap();
        let (journal, opened) = Journal::open(state.path(), BOOT).unwrap();
        assert!(opened.torn, "{cut}");
        assert_eq!(journal.ledger().records.len(), 4);
        drop(journal);
        assert_eq!(fs::read(state.path().join("journal")).unwrap(), &bytes[..last]);
    }
}

#[test]
fn damage_before_the_end_stops_everything() {
    let state = held(&Model::new());
    let path = state.path().join("journal");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = open(state.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is lost");
    // Another boot has nothing to do with it.
    let (journal, _) = Journal::open(state.path(), "another").unwrap();
    assert!(journal.ledger().is_empty());
}

#[test]
fn another_format_is_refused_and_gone_with_its_boot() {
    let state = crate::state();
    let path = state.path().join("journal");
    let json = serde_json::json!({ "opened": { "format": 2, "boot": BOOT } }).to_string();
    fs::write(&path, format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))).unwrap();
    let error = open(state.path()).unwrap_err().to_string();
    assert!(error.contains("line 1, cannot be read: its format is 2, and this virt-tailor knows 1"), "{error}");
    assert!(
        error.ends_with("a reboot of the node puts back whatever was done to it; remove the file after that"),
        "{error}"
    );
    let (journal, _) = Journal::open(state.path(), "another").unwrap();
    assert!(journal.ledger().is_empty());
}

#[test]
fn one_process_at_a_time() {
    let state = crate::state();
    let (journal, _) = Journal::open(state.path(), BOOT).unwrap();
    let error = open(state.path()).unwrap_err();
    let path = state.path().join("lock").display().to_string();
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!("{path} is held by another virt-tailor (process {pid}): one at a time may change a node")
    );
    // Reading needs no lock.
    assert!(Journal::peek(state.path(), BOOT).unwrap().is_some());
    drop(journal);
    open(state.path()).unwrap();
}

#[test]
fn a_folder_that_others_may_write_is_refused() {
    let state = crate::state();
    for mode in [0o775, 0o757] {
        fs::set_permissions(state.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = open(state.path()).unwrap_err();
        let own = nix::unistd::geteuid().as_raw();
        assert!(error.to_string().ends_with(&format!("chown {own} and chmod 700 it")), "{error}");
        assert!(matches!(error, JournalError::Open { .. }));
    }
    let link = state.path().join("link");
    std::os::unix::fs::symlink("/tmp", &link).unwrap();
    assert!(matches!(open(&link).unwrap_err(), JournalError::Open { .. }));
}

/// As kubelet makes it.
#[test]
fn a_folder_that_others_may_only_read_is_closed_to_them() {
    let state = crate::state();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755)).unwrap();
    open(state.path()).unwrap();
    assert_eq!(fs::metadata(state.path()).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn it_does_not_grow_without_end() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    for _ in 0..200 {
        engine.apply(&gpu("vm"), &mut quiet).unwrap();
        engine.undo(&owner("vm"), &mut quiet).unwrap();
    }
    let size = fs::metadata(state.path().join("journal")).unwrap().len();
    assert!(size < 512 << 10, "{size}");
}

#[test]
fn what_is_read_back_is_what_was_written() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    let ledger = engine.ledger();
    assert_eq!(Journal::peek(state.path(), BOOT).unwrap().unwrap(), ledger);
    drop(engine);
    assert_eq!(Journal::open(state.path(), BOOT).unwrap().0.ledger(), &ledger);
    assert_eq!(Journal::peek(state.path(), "another").unwrap(), None);
}
