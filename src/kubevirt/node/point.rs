//! Where in a VM's life a hook is called.

use std::fmt;

/// KubeVirt's hook points on a node (KubeVirt: staging/src/kubevirt.io/api/plugin/v1alpha1/types.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Before the domain is defined; again at each reconciliation until the VM runs.
    PreVmStart,
    /// Once, when it runs.
    PostVmStart,
    /// Before a shutdown is asked for; again every few seconds. Not if the guest shuts down by itself.
    PreVmStop,
    /// The VM is over and its domain gone. Lost if its object is gone, too.
    PostVmStop,
    /// Before a migration, on the node it leaves.
    PreMigrationSource,
    /// Before a migration, on the node it comes to.
    PreMigrationTarget,
    /// After it, there.
    PostMigrationTarget,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::PreVmStart,
        Self::PostVmStart,
        Self::PreVmStop,
        Self::PostVmStop,
        Self::PreMigrationSource,
        Self::PreMigrationTarget,
        Self::PostMigrationTarget,
    ];

    /// The point of a name; `None` if KubeVirt has learnt a new one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == name)
    }

    /// As KubeVirt names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreVmStart => "PreVMStart",
            Self::PostVmStart => "PostVMStart",
            Self::PreVmStop => "PreVMStop",
            Self::PostVmStop => "PostVMStop",
            Self::PreMigrationSource => "PreMigrationSource",
            Self::PreMigrationTarget => "PreMigrationTarget",
            Self::PostMigrationTarget => "PostMigrationTarget",
        }
    }

    /// Whether an error here would keep a VM from stopping, or its rests from being cleaned up.
    pub fn is_stop(self) -> bool {
        matches!(self, Self::PreVmStop | Self::PostVmStop)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
