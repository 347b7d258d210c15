//! Whatever the user data is: no panic, and no byte of it lost.

use proptest::prelude::*;
use virt_tailor::config::Guest;
use virt_tailor::kubevirt::cloudinit::{Merged, merge_user_data, original_user_data, pre_cloud_init_iso};

use crate::golden::guest;

fn wanted() -> Guest {
    guest("guest: {denyModules: [iavf]}")
}

fn keeps(user_data: &[u8]) -> Result<(), TestCaseError> {
    match merge_user_data(user_data, &wanted()) {
        Ok(Merged::Changed(merged)) => {
            prop_assert_eq!(merge_user_data(merged.as_bytes(), &wanted()), Ok(Merged::Unchanged));
            let original = original_user_data(user_data).unwrap();
            prop_assert_eq!(original_user_data(merged.as_bytes()).unwrap(), original);
        }
        Ok(Merged::Unchanged) => prop_assert!(original_user_data(user_data).unwrap().len() < user_data.len()),
        Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
    }
    Ok(())
}

/// Texts near to what people write.
fn texts() -> impl Strategy<Value = String> {
    let header = prop::sample::select(vec![
        "",
        "#cloud-config\n",
        "#!/bin/sh\r\n",
        "## template: jinja\n#cloud-config\n",
        "MIME-Version: 1.0\n",
        "Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n",
        "Content-Type: multipart/mixed; boundary=\"virt-tailor-0\"\nMIME-Version: 1.0\nX-Virt-Tailor: base64 3\n",
        "\u{feff}#cloud-config\n",
    ]);
    let piece = prop::sample::select(vec![
        "\n",
        "\r\n",
        "--b",
        "--b--",
        "--virt-tailor-0",
        "--virt-tailor-0--",
        "\n\n",
        "bootcmd:",
        "- a",
        "'",
        "\"",
        ": ",
        "\t",
        "\u{2028}",
        "ü",
        "AAAA",
        "X-Virt-Tailor: verbatim 2",
    ]);
    (header, prop::collection::vec(piece, 0..24)).prop_map(|(header, pieces)| header.to_owned() + &pieces.concat())
}

proptest! {
    #[test]
    fn bytes_are_kept_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        keeps(&bytes)?;
    }

    #[test]
    fn texts_are_kept_or_refused(text in texts()) {
        keeps(text.as_bytes())?;
    }

    #[test]
    fn scripts_of_any_bytes_of_text_are_kept(text in any::<String>()) {
        let script = format!("#!{text}");
        let Merged::Changed(merged) = merge_user_data(script.as_bytes(), &wanted()).unwrap() else {
            panic!("not merged");
        };
        prop_assert_eq!(original_user_data(merged.as_bytes()).unwrap(), script.into_bytes());
    }

    #[test]
    fn any_json_is_answered(text in any::<String>(), user_data in any::<String>()) {
        let _ = pre_cloud_init_iso(text.as_bytes(), text.as_bytes(), &wanted());
        let json = serde_json::json!({"UserData": user_data, "x": 1}).to_string();
        if let Ok((_, merged)) = pre_cloud_init_iso(b"", json.as_bytes(), &wanted()) {
            let merged: serde_json::Value = serde_json::from_slice(&merged).unwrap();
            let original = original_user_data(merged["UserData"].as_str().unwrap().as_bytes()).unwrap();
            prop_assert_eq!(original, user_data.into_bytes());
        }
    }
}
