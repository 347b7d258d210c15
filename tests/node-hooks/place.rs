//! The socket: where it is, when, and for whom.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use nix::unistd::geteuid;

use crate::rig::{PACE, Rig, ours};

#[tokio::test]
async fn there_as_long_as_there_is_a_folder() {
    let mut rig = Rig::in_folder("plugins/s.sock");
    let folder = rig.folder.path().join("plugins");
    rig.serve();
    tokio::time::sleep(PACE * 3).await;
    assert!(!folder.exists(), "the folder is KubeVirt's to make");
    fs::create_dir(&folder).unwrap();
    rig.is_served().await;
    assert_eq!(fs::metadata(&rig.socket).unwrap().permissions().mode() & 0o7777, 0o600);
    rig.call("PreVMStart", ours()).await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
    tokio::time::sleep(PACE * 3).await;
    fs::create_dir(&folder).unwrap();
    rig.is_served().await;
    rig.call("PreVMStart", ours()).await.unwrap();
    rig.end().await;
    assert!(!rig.socket.exists());
}

#[tokio::test]
async fn a_stale_one_is_replaced() {
    let mut rig = Rig::in_folder("s.sock");
    drop(UnixListener::bind(&rig.socket).unwrap());
    rig.serve();
    rig.is_served().await;
    rig.call("PostVMStop", ours()).await.unwrap();
    assert_eq!(rig.model.told(), ["PostVMStop vms/vm"]);
}

/// As whom to connect, and whether it is heard: a client's first words are answered with settings, or the line is dead.
async fn connects(rig: &Rig, uid: &'static str) -> bool {
    let client = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"connect: $!\"; $s->autoflush(1);
        $SIG{PIPE} = 'IGNORE'; alarm 20; print $s \"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\0\\0\\0\\4\\0\\0\\0\\0\\0\";
        my $n = sysread($s, my $b, 9); print defined $n && $n > 0 ? 'heard' : 'dead';";
    let ids = ["--reuid", uid, "--regid", uid, "--clear-groups", "perl", "-e", client];
    let mut command = Command::new("setpriv");
    command.args(ids).arg(&rig.socket);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    match String::from_utf8(done.stdout).unwrap().as_str() {
        "heard" => true,
        "dead" => false,
        other => panic!("{other:?} {}", String::from_utf8_lossy(&done.stderr)),
    }
}

#[tokio::test]
async fn only_root_is_heard() {
    if !geteuid().is_root() {
        // Nobody else can become somebody else.
        return;
    }
    let rig = Rig::new().await;
    // The mode alone would keep them out.
    fs::set_permissions(rig.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&rig.socket, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!connects(&rig, "65534").await);
    assert!(!connects(&rig, "107").await);
    assert!(connects(&rig, "0").await);
    rig.call("PreVMStart", ours()).await.unwrap();
}
