//! What the kernel says of devices that come, go or change their driver: then the node is looked at now, and not in half a minute.
//!
//! A message is `add@/devices/…` and then a line `KEY=value` each, with zero bytes between them (kernel: lib/kobject_uevent.c). Devices
//! are in no network namespace, so they are heard in every one. Only who may administer the network can say such a thing, and it is
//! believed no further than to look.

use std::io;
use std::os::fd::AsRawFd as _;

use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::unix::AsyncFd;

/// The kernel's own group; what udev makes of it goes to another.
const KERNEL: u32 = 1;
/// Longest message (kernel: include/linux/kobject.h, `UEVENT_BUFFER_SIZE`), and its head.
const LONGEST: usize = 2048 + 512;
/// Whose devices can be given away.
const SUBSYSTEMS: [&[u8]; 2] = [b"SUBSYSTEM=pci", b"SUBSYSTEM=mdev"];

/// The kernel's messages, if they can be had.
#[derive(Debug)]
pub(super) struct Uevents(Option<AsyncFd<Socket>>);

impl Uevents {
    /// Listens from now on; must be called in a runtime.
    pub(super) fn listen() -> Self {
        match open() {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::warn!(reason = %error, "the kernel does not say which devices come and go: they are looked for twice a minute");
                Self(None)
            }
        }
    }

    /// Waits until something was said of a device of interest, or may have been. May be dropped half way.
    pub(super) async fn news(&mut self) {
        loop {
            let Some(socket) = &self.0 else { return std::future::pending().await };
            let Ok(mut ready) = socket.readable().await else {
                self.0 = None;
                continue;
            };
            match read(socket.get_ref()) {
                Ok(true) => return,
                Ok(false) => (),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => (),
                // More came than fits: what it was is lost, that something was is not.
                Err(Errno::ENOBUFS) => return,
                Err(error) => {
                    tracing::warn!(reason = %error, "the kernel's messages on devices cannot be read any more");
                    drop(ready);
                    self.0 = None;
                }
            }
        }
    }

    /// Passes over what has come: it is about to be looked for anyway.
    pub(super) fn pass_over(&self) {
        let Some(socket) = &self.0 else { return };
        while matches!(read(socket.get_ref()), Ok(_) | Err(Errno::EINTR | Errno::ENOBUFS)) {}
    }
}

#[expect(deprecated, reason = "its successor is unsafe; the descriptor is ours alone, and stays open as long as this")]
fn open() -> io::Result<AsyncFd<Socket>> {
    let mut socket = Socket::new(NETLINK_KOBJECT_UEVENT)?;
    // Bits of groups, of which this is the first.
    socket.bind(&SocketAddr::new(0, KERNEL))?;
    AsyncFd::new(socket)
}

/// Reads one message: whether it is about a device of interest.
fn read(socket: &Socket) -> Result<bool, Errno> {
    let mut buffer = [0; LONGEST];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
    Ok(concerns(&buffer[..length]))
}

fn concerns(message: &[u8]) -> bool {
    message.split(|byte| *byte == 0).any(|line| SUBSYSTEMS.contains(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_messages_count() {
        let said = |subsystem: &str| {
            format!(
                "add@/devices/pci0000:00/x\0ACTION=add\0DEVPATH=/devices/pci0000:00/x\0SUBSYSTEM={subsystem}\0SEQNUM=7\0"
            )
        };
        for (subsystem, counts) in [("pci", true), ("mdev", true), ("net", false), ("pcix", false), ("", false)] {
            assert_eq!(concerns(said(subsystem).as_bytes()), counts, "{subsystem}");
        }
        assert!(!concerns(b"libudev\0\xfe\xed\xca\xfe SUBSYSTEM=pci"));
    }
}
