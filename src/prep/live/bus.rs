//! One connection to the host's D-Bus, one call at a time.
//!
//! zbus does the wire format; the rest of it, with its runtime, would make the program 0.5 MB larger for six kinds of call, and rustbus
//! builds on libraries of 2022. What is left to do is a socket, three lines of text and a header (D-Bus Specification, "Message
//! Protocol" and "Authentication Protocol"). Every read has a deadline.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, LE, to_bytes};
use zbus::{Type, Variant};

use crate::host::Root;
use crate::prep::trouble::Trouble;

/// The bus, and systemd's own socket where there is no bus.
const BUS: &str = "run/dbus/system_bus_socket";
const SYSTEMD: &str = "run/systemd/private";
/// Longer than systemd takes to stop what does not want to end; the engine's deadline comes later.
const PATIENCE: Duration = Duration::from_secs(95);
/// The specification's own limit is 128 MiB; nothing we ask for comes near this.
const LARGEST: u32 = 16 << 20;

/// What stands before every message: byte order, type, flags, version, length of the body, serial, fields.
type Header<'a> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Variant<'a>)>);

const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Numbers of header fields.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Whether there is somebody between us and who is called.
    routed: bool,
    signals: VecDeque<(String, Body)>,
}

/// What a message carries.
#[derive(Debug)]
pub(super) struct Body(Data<'static, 'static>);

impl Body {
    /// Its arguments.
    pub(super) fn read<'a, T: Deserialize<'a> + Type>(&'a self) -> Result<T, BusError> {
        self.0.deserialize().map(|(value, _)| value).map_err(|error| BusError::Broken(error.to_string()))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    /// An error for an answer.
    #[error("{text} ({name})")]
    Refused {
        /// `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// In words.
        text: String,
    },
    /// No bus, or not in time.
    #[error("D-Bus: {0}")]
    Lost(#[from] io::Error),
    /// Nonsense.
    #[error("D-Bus: {0}")]
    Broken(String),
}

impl From<BusError> for Trouble {
    fn from(error: BusError) -> Self {
        let errno = match &error {
            BusError::Lost(error) => error.raw_os_error(),
            _ => None,
        };
        Self { message: error.to_string(), errno }
    }
}

/// Whom to call, and what for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// Of the arguments: `ss`.
    pub(super) signature: &'a str,
}

impl Bus {
    /// The host's system bus, else systemd's own socket.
    pub(super) fn open(root: &Root) -> Result<Self, Trouble> {
        let mut why = Vec::new();
        for (path, routed) in [(BUS, true), (SYSTEMD, false)] {
            match UnixStream::connect(root.path(path)) {
                Ok(stream) => return Self::greet(stream, routed).map_err(Trouble::from),
                Err(error) => why.push(format!("{}: {error}", root.path(path).display())),
            }
        }
        Err(Trouble::new(format!(
            "this node's systemd cannot be reached ({}): is the host's /run here?",
            why.join("; ")
        )))
    }

    /// Says who we are: the kernel vouches for it (EXTERNAL).
    fn greet(stream: UnixStream, routed: bool) -> Result<Self, BusError> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut bus = Self { stream, serial: 0, routed, signals: VecDeque::new() };
        let user: String =
            rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        bus.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            let mut byte = [0];
            bus.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        if !line.starts_with(b"OK ") {
            return Err(BusError::Broken(format!(
                "it does not let us in: {}",
                String::from_utf8_lossy(&line).trim_end()
            )));
        }
        bus.stream.write_all(b"BEGIN\r\n")?;
        if routed {
            let name = "org.freedesktop.DBus";
            let hello = Method {
                destination: name,
                path: "/org/freedesktop/DBus",
                interface: name,
                member: "Hello",
                signature: "",
            };
            bus.call(hello, &())?;
        }
        Ok(bus)
    }

    /// Whether calls go through a bus.
    pub(super) fn is_routed(&self) -> bool {
        self.routed
    }

    /// Calls, and waits for the answer.
    pub(super) fn call<B: Serialize + Type>(&mut self, method: Method<'_>, body: &B) -> Result<Body, BusError> {
        let wrong = |error: &dyn std::fmt::Display| BusError::Broken(error.to_string());
        self.serial += 1;
        // Nothing is written for no arguments; a unit would be a byte.
        let body = match method.signature {
            "" => Vec::new(),
            _ => to_bytes(Context::new(LE, 0), body).map_err(|error| wrong(&error))?.bytes().to_vec(),
        };
        let length = u32::try_from(body.len()).map_err(|error| wrong(&error))?;
        let mut message = head(method, self.routed, self.serial, length);
        message.extend(body);
        self.stream.write_all(&message)?;
        loop {
            match self.receive()? {
                Received::Answer { to, body } if to == self.serial => return Ok(body),
                Received::Refusal { to, name, body } if to == self.serial => {
                    let text = body.read::<(String,)>().map_or_else(|_| "refused".to_owned(), |(text,)| text);
                    return Err(BusError::Refused { name, text });
                }
                Received::Signal { member, body } => self.signals.push_back((member, body)),
                _ => (),
            }
        }
    }

    /// The next signal.
    pub(super) fn signal(&mut self) -> Result<(String, Body), BusError> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            if let Received::Signal { member, body } = self.receive()? {
                return Ok((member, body));
            }
        }
    }

    fn receive(&mut self) -> Result<Received, BusError> {
        let mut start = [0; 16];
        self.stream.read_exact(&mut start)?;
        let (endian, number): (_, fn([u8; 4]) -> u32) = match start[0] {
            b'l' => (LE, u32::from_le_bytes),
            b'B' => (BE, u32::from_be_bytes),
            other => return Err(BusError::Broken(format!("a message begins with {other:#x}"))),
        };
        let at = |at: usize| number([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        let (body, fields) = (at(4), at(12));
        if body > LARGEST || fields > LARGEST {
            return Err(BusError::Broken(format!("a message of {body} bytes and {fields} of header")));
        }
        let mut rest = vec![0; (fields as usize).next_multiple_of(8) + body as usize];
        self.stream.read_exact(&mut rest)?;
        let body = rest.split_off((fields as usize).next_multiple_of(8));
        let head = Data::new([&start[..], &rest].concat(), Context::new(endian, 0));
        let parsed: Result<(Header<'_>, usize), _> = head.deserialize();
        let ((_, kind, .., fields), _) = parsed.map_err(|error| BusError::Broken(error.to_string()))?;
        let body = Body(Data::new(body, Context::new(endian, 0)));
        let text = |number: u8| {
            fields.iter().find_map(|(field, value)| match value {
                Variant::Str(text) if *field == number => Some(text.to_string()),
                _ => None,
            })
        };
        let to = fields.iter().find_map(|(field, value)| match value {
            Variant::U32(serial) if *field == field::REPLY_SERIAL => Some(*serial),
            _ => None,
        });
        Ok(match (kind, to) {
            (RETURN, Some(to)) => Received::Answer { to, body },
            (ERROR, Some(to)) => Received::Refusal { to, name: text(field::ERROR_NAME).unwrap_or_default(), body },
            (SIGNAL, _) => Received::Signal { member: text(field::MEMBER).unwrap_or_default(), body },
            _ => Received::Other,
        })
    }
}

/// What stands before a call's arguments. By hand, for a list of arguments has a signature without the parentheses that a structure has,
/// and zbus keeps them apart only in its own messages.
fn head(method: Method<'_>, routed: bool, serial: u32, body: u32) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut field = |number: u8, kind: u8, text: &str| {
        fields.resize(usize::next_multiple_of(fields.len(), 8), 0);
        fields.extend([number, 1, kind, 0]);
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
        fields.extend(if kind == b'g' { &length[..1] } else { &length });
        fields.extend(text.as_bytes());
        fields.push(0);
    };
    field(field::PATH, b'o', method.path);
    field(field::INTERFACE, b's', method.interface);
    field(field::MEMBER, b's', method.member);
    if routed {
        field(field::DESTINATION, b's', method.destination);
    }
    if !method.signature.is_empty() {
        field(field::SIGNATURE, b'g', method.signature);
    }
    let mut head = vec![b'l', CALL, 0, 1];
    let length = u32::try_from(fields.len()).unwrap_or(u32::MAX);
    head.extend([body, serial, length].map(u32::to_le_bytes).concat());
    head.extend(fields);
    head.resize(head.len().next_multiple_of(8), 0);
    head
}

/// A message that came.
enum Received {
    Answer { to: u32, body: Body },
    Refusal { to: u32, name: String, body: Body },
    Signal { member: String, body: Body },
    Other,
}

#[cfg(test)]
mod tests;
