//! What is answered at which point.

use tonic::Code;
use virt_tailor::kubevirt::node::{NotReady, Point};

use crate::rig::{Mood, Rig, UID, ours, vmi};

#[tokio::test]
async fn every_point_again_and_again() {
    let rig = Rig::new().await;
    for point in Point::ALL {
        for _ in 0..3 {
            rig.call(point.name(), ours()).await.unwrap();
        }
        let told = rig.model.told();
        let line = match point {
            Point::PreVmStart => format!("start vms/vm [\"example.com/gpu\"] [] {{\"{UID}\"}}"),
            Point::PreVmStop | Point::PostVmStop => format!("{point} vms/vm"),
            _ => {
                assert_eq!(told.len(), 0, "{point} needs nothing");
                continue;
            }
        };
        assert_eq!(told, vec![line; 3]);
    }
    for later in ["PostMigrationSource", "NodeReconcile", ""] {
        rig.call(later, ours()).await.unwrap();
    }
    assert_eq!(rig.model.told().len(), 0);
}

#[tokio::test]
async fn only_vms_of_ours() {
    let rig = Rig::new().await;
    rig.model.feels(Mood::Not(NotReady::NotYet("no".to_owned())));
    for point in Point::ALL {
        rig.call(point.name(), vmi("other.com/gpu", "").to_string()).await.unwrap();
        rig.call(point.name(), "{\"metadata\": {}}").await.unwrap();
    }
    assert_eq!(rig.model.told().len(), 0);
    // By the name of a profile alone.
    assert!(rig.call("PreVMStart", vmi("other.com/gpu", "quiet").to_string()).await.is_err());
    assert_eq!(rig.model.told(), [format!("start vms/vm [\"other.com/gpu\"] [\"quiet\"] {{\"{UID}\"}}")]);
    // One that runs has nothing to be prepared for.
    let mut running = vmi("example.com/gpu", "");
    running["status"]["phase"] = "Running".into();
    rig.call("PreVMStart", running.to_string()).await.unwrap();
    assert_eq!(rig.model.told().len(), 0);
}

#[tokio::test]
async fn a_start_waits_for_the_node() {
    let rig = Rig::new().await;
    let working = NotReady::Working { step: 2, of: 5, what: "stop the service\nirqbalance".to_owned() };
    let cases = [
        (
            working,
            Code::Unavailable,
            "virt-tailor: the node is still being prepared, step 2 of 5: stop the service\\nirqbalance",
        ),
        (NotReady::NotYet("not yet".to_owned()), Code::Unavailable, "virt-tailor: not yet"),
        (NotReady::Refused("never".to_owned()), Code::FailedPrecondition, "virt-tailor: never"),
    ];
    for (why, code, line) in cases {
        rig.model.feels(Mood::Not(why));
        let status = rig.call("PreVMStart", ours()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, line));
        for stop in ["PreVMStop", "PostVMStop", "PostVMStart", "PreMigrationTarget"] {
            rig.call(stop, ours()).await.unwrap();
        }
    }
    rig.model.feels(Mood::Well);
    rig.call("PreVMStart", ours()).await.unwrap();
}

#[tokio::test]
async fn a_panic_ends_one_answer() {
    let rig = Rig::new().await;
    rig.model.feels(Mood::Panics);
    let status = rig.call("PreVMStart", ours()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("virt-tailor: a mistake of virt-tailor"), "{status}");
    rig.call("PreVMStop", ours()).await.unwrap();
    rig.model.feels(Mood::Well);
    rig.call("PreVMStart", ours()).await.unwrap();
}
