//! To what a process belongs, by the name of its control group: a systemd unit, or a pod and its container.

/// To what a process belongs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Owner {
    /// A systemd unit of the machine.
    Unit {
        /// The unit: `gdm.service`, `session-2.scope`, `user@1000.service`.
        unit: String,
        /// Inside a user's own service manager, the unit there.
        #[serde(skip_serializing_if = "Option::is_none")]
        user_unit: Option<String>,
    },
    /// A Kubernetes pod.
    #[serde(rename_all = "camelCase")]
    Pod {
        /// The pod's uid; of a static pod, 32 digits without dashes.
        uid: String,
        /// The container's id, 64 digits.
        #[serde(skip_serializing_if = "Option::is_none")]
        container: Option<String>,
    },
    /// A container of something else than Kubernetes.
    Container {
        /// Its id, 64 digits.
        id: String,
    },
    /// None of these: a kernel thread, or a machine without systemd.
    Nobody,
}

/// The owner that the text of `/proc/<pid>/cgroup` tells.
///
/// The names are kubelet's (kubernetes: pkg/kubelet/cm/cgroup_manager_linux.go, both drivers) and the container runtimes', under
/// cgroup v2 (`0::/path`) and v1 (`4:memory:/path`). Inside another cgroup namespace a path begins with `/..`; it is searched all the same.
pub fn owner(cgroup: &str) -> Owner {
    let paths = || cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    if let Some(pod) = paths().find_map(pod) {
        return pod;
    }
    // An id alone says less than a unit, except where the unit is only the container's wrapping.
    if let Some(id) = paths().find_map(|path| parts(path).find_map(container_id)) {
        return Owner::Container { id };
    }
    // systemd's own hierarchy: on v2 the only one, on v1 that of this name.
    let systemd = cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        (controllers == "name=systemd").then_some(path)
    });
    systemd.into_iter().chain(paths()).find_map(unit).unwrap_or(Owner::Nobody)
}

/// The names in a path. containerd without its systemd driver writes slice, prefix and id as one, with colons.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', ':']).filter(|part| !part.is_empty())
}

fn pod(path: &str) -> Option<Owner> {
    let mut parts = parts(path);
    let uid = parts.find_map(pod_uid)?;
    Some(Owner::Pod { uid, container: parts.find_map(container_id) })
}

/// `pod<uid>`, or `…-pod<uid>.slice` where the dashes of the uid are underscores.
fn pod_uid(part: &str) -> Option<String> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match name.strip_prefix("pod") {
        Some(uid) => uid,
        None => name.rsplit_once("-pod")?.1,
    };
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let plain = uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'_');
    (plain && digits == 32).then(|| uid.replace('_', "-"))
}

/// `<id>`, `cri-containerd-<id>.scope`, `crio-<id>`, `docker-<id>.scope`, `libpod-<id>.scope`.
fn container_id(part: &str) -> Option<String> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let id = name.rsplit('-').next().unwrap_or(name);
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
}

/// The outermost service or scope, and of a user's manager the innermost below it.
fn unit(path: &str) -> Option<Owner> {
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let mut units = path.split('/').filter(is_unit);
    let unit = units.next()?.to_owned();
    let user_unit = units.next_back().filter(|_| unit.starts_with("user@")).map(str::to_owned);
    Some(Owner::Unit { unit, user_unit })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1f2e3d4c-0a1b-4c5d-8e9f-001122334455";
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn pods_under_both_drivers_and_both_versions() {
        let dashed = UID.replace('-', "_");
        for cgroup in [
            format!(
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{dashed}.slice/cri-containerd-{ID}.scope"
            ),
            format!("0::/kubepods.slice/kubepods-pod{dashed}.slice/crio-{ID}.scope/container"),
            format!(
                "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{dashed}.slice/cri-containerd-{ID}.scope"
            ),
            format!("0::/../../kubepods-besteffort-pod{dashed}.slice/cri-containerd-{ID}.scope"),
            format!("0::/kubepods/besteffort/pod{UID}/{ID}"),
            format!(
                "11:memory:/kubepods/burstable/pod{UID}/{ID}\n1:name=systemd:/kubepods/burstable/pod{UID}/{ID}\n0::/"
            ),
            format!(
                "1:name=systemd:/system.slice/containerd.service/kubepods-besteffort-pod{dashed}.slice:cri-containerd:{ID}"
            ),
        ] {
            let pod = Owner::Pod { uid: UID.to_owned(), container: Some(ID.to_owned()) };
            assert_eq!(owner(&cgroup), pod, "{cgroup}");
        }
        let sandbox = format!("0::/kubepods/pod{UID}");
        assert_eq!(owner(&sandbox), Owner::Pod { uid: UID.to_owned(), container: None });
        // A static pod: a hash instead of a uid.
        let hash = "00112233445566778899aabbccddeeff";
        let cgroup = format!("0::/kubepods.slice/kubepods-pod{hash}.slice/crio-{ID}.scope");
        assert_eq!(owner(&cgroup), Owner::Pod { uid: hash.to_owned(), container: Some(ID.to_owned()) });
    }

    #[test]
    fn units() {
        let unit =
            |unit: &str, user: Option<&str>| Owner::Unit { unit: unit.to_owned(), user_unit: user.map(str::to_owned) };
        assert_eq!(owner("0::/system.slice/gdm.service"), unit("gdm.service", None));
        assert_eq!(owner("4:cpu:/\n1:name=systemd:/system.slice/sshd.service/x\n0::/"), unit("sshd.service", None));
        let session = "0::/user.slice/user-1000.slice/session-2.scope";
        assert_eq!(owner(session), unit("session-2.scope", None));
        let shell = "0::/user.slice/user-1000.slice/user@1000.service/session.slice/org.gnome.Shell@wayland.service";
        assert_eq!(owner(shell), unit("user@1000.service", Some("org.gnome.Shell@wayland.service")));
        assert_eq!(owner("0::/system.slice/system-getty.slice/getty@tty1.service"), unit("getty@tty1.service", None));
    }

    #[test]
    fn neither() {
        for cgroup in ["", "0::/", "9:cpu:/\n0::/init", "0::/podium/x"] {
            assert_eq!(owner(cgroup), Owner::Nobody, "{cgroup}");
        }
        let podman = format!("0::/machine.slice/libpod-{ID}.scope/container");
        assert_eq!(owner(&podman), Owner::Container { id: ID.to_owned() });
    }
}
