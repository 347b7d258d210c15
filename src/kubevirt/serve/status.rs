//! From error to gRPC status: the one place. The message is one complete line, for it is all that a user sees.

use tonic::{Code, Status};

use crate::kubevirt::cloudinit::CloudInitError;
use crate::kubevirt::hook::{HookError, one_line};

/// What our lines begin with, as several sidecars may serve one VM.
const NAME: &str = "virt-tailor: ";

/// The status of an error.
pub(super) fn status(error: &HookError) -> Status {
    of_line(code(error), error)
}

/// A status in our words.
pub(super) fn of_line(code: Code, error: &dyn std::fmt::Display) -> Status {
    Status::new(code, one_line(&format!("{NAME}{error}")))
}

/// Whether a message is in our words.
pub(super) fn is_ours(message: &str) -> bool {
    message.starts_with(NAME)
}

fn code(error: &HookError) -> Code {
    match error {
        HookError::NoDomain
        | HookError::NoVmi
        | HookError::Domain(_)
        | HookError::VmiNotText { .. }
        | HookError::Vmi(_)
        | HookError::DomainType { .. }
        | HookError::Request(_) => Code::InvalidArgument,
        HookError::CloudInit(CloudInitError::Json { .. } | CloudInitError::Field { .. }) => Code::InvalidArgument,
        // The request is right by itself; the domain, or the machine, would have to be another.
        HookError::Refused(_) | HookError::CloudInit(_) => Code::FailedPrecondition,
        HookError::TooLong { .. } => Code::ResourceExhausted,
        HookError::NotServed { .. } => Code::Unimplemented,
        HookError::Agent { passes: true, .. } => Code::Unavailable,
        HookError::Agent { passes: false, .. } => Code::FailedPrecondition,
        HookError::Bug(_) => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::config::{Place, Problem, Problems, Source};
    use crate::domain::{Domain, Refusal};
    use crate::kubevirt::cloudinit::Document;

    use super::*;

    fn problems(count: usize) -> Problems {
        let source = Arc::new(Source::Annotation { key: "virt-tailor.io/profiles".to_owned(), path: String::new() });
        let problem = |n| Problem {
            place: Place::whole(&source),
            message: format!("no profile is called \"gpu{n}\"\nbut two lines"),
        };
        Problems((0..count).map(problem).collect())
    }

    #[test]
    fn every_error_is_one_line_with_its_code() {
        let not_a_domain = Domain::parse("<network/>").unwrap_err();
        let refusal = Refusal { problems: vec!["one\r\nthing".to_owned(), "another\u{2028}thing".to_owned()] };
        let table = [
            (HookError::NoDomain, Code::InvalidArgument, "virt-tailor: the call brings no domain XML"),
            (HookError::NoVmi, Code::InvalidArgument, "virt-tailor: the call brings no VirtualMachineInstance"),
            (
                HookError::Domain(not_a_domain),
                Code::InvalidArgument,
                "virt-tailor: the domain XML of the call: the root element is <network>, not a libvirt <domain>",
            ),
            (
                HookError::VmiNotText { at: 7 },
                Code::InvalidArgument,
                "virt-tailor: the VirtualMachineInstance of the call is not UTF-8 text (byte 7)",
            ),
            (
                HookError::DomainType { found: "xen\n".to_owned() },
                Code::InvalidArgument,
                "virt-tailor: the call brings a domain of type \"xen\\n\": only libvirt's are known",
            ),
            (
                HookError::Request(problems(1)),
                Code::InvalidArgument,
                "virt-tailor: annotation virt-tailor.io/profiles: no profile is called \"gpu0\"\\nbut two lines",
            ),
            (HookError::Refused(refusal), Code::FailedPrecondition, "virt-tailor: one thing; another thing"),
            (
                HookError::TooLong { what: "the domain", bytes: 5_000_000, instead: "make it shorter" },
                Code::ResourceExhausted,
                "virt-tailor: the domain has 5000000 bytes; KubeVirt receives 4193280 at most: make it shorter",
            ),
            (
                HookError::CloudInit(CloudInitError::BootcmdIsNoList),
                Code::FailedPrecondition,
                "virt-tailor: cloud-init: bootcmd in the user data is not a list, so cloud-init runs no boot command at all: write a list or leave the key out",
            ),
            (
                HookError::CloudInit(CloudInitError::Field {
                    document: Document::Data,
                    field: "UserData",
                    what: "is not a string",
                }),
                Code::InvalidArgument,
                "virt-tailor: cloud-init: cloudInitData: UserData is not a string",
            ),
            (
                HookError::NotServed { what: "PreCloudInitIso", instead: "start the sidecar with --cloud-init" },
                Code::Unimplemented,
                "virt-tailor: PreCloudInitIso is not served: start the sidecar with --cloud-init",
            ),
            (
                HookError::Bug("index\n\tout of bounds".to_owned()),
                Code::Internal,
                "virt-tailor: this is a mistake of virt-tailor, please report it: index out of bounds",
            ),
        ];
        for (error, code, line) in table {
            let status = status(&error);
            assert_eq!((status.code(), status.message()), (code, line));
        }
    }

    #[test]
    fn a_line_has_an_end() {
        let status = status(&HookError::Request(problems(100)));
        assert!(status.message().len() <= 4096, "{}", status.message().len());
        assert!(status.message().ends_with(" … (all of it is in the sidecar's log)"), "{}", status.message());
        // A word without blanks is cut too, at a character.
        let word = "ä".repeat(5000);
        let line = one_line(&word);
        assert!(line.len() <= 4096 && line.starts_with("ää"), "{}", line.len());
    }
}
