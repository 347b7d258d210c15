//! Against messages recorded from a real bus (dbus-daemon 1.16), and some that are written by hand after the specification.

use std::thread::{JoinHandle, spawn};

use super::*;

const HELLO: &str = "6c01000100000000010000006d00000001016f00150000002f6f72672f667265656465736b746f702f444275730000000201730014\
                     0000006f72672e667265656465736b746f702e4442757300000000030173000500000048656c6c6f0000000601730014000000\
                     6f72672e667265656465736b746f702e4442757300000000";
const NAMED: &str = "6c02010109000000010000003d00000006017300040000003a312e3000000000050175000100000008016700017300000701730014\
                     0000006f72672e667265656465736b746f702e4442757300000000040000003a312e3000";
/// The signal that a bus sends right after its answer to the first call.
const ACQUIRED: &str = "6c04010109000000020000008d00000001016f00150000002f6f72672f667265656465736b746f702f444275730000000201730014\
                        0000006f72672e667265656465736b746f702e4442757300000000030173000c0000004e616d65416371756972656400000000\
                        06017300040000003a312e3000000000080167000173000007017300140000006f72672e667265656465736b746f702e444275\
                        7300000000040000003a312e3000";
const ASKED: &str = "6c01000111000000020000007f00000001016f00150000002f6f72672f667265656465736b746f702f444275730000000201730014\
                     0000006f72672e667265656465736b746f702e4442757300000000030173000c0000004765744e616d654f776e657200000000\
                     06017300140000006f72672e667265656465736b746f702e444275730000000008016700017300000c0000006f72672e6e6f62\
                     6f64792e7800";
const NO_OWNER: &str = "6c0301013d000000030000007500000006017300040000003a312e300000000004017300290000006f72672e66726565646573\
                        6b746f702e444275732e4572726f722e4e616d654861734e6f4f776e6572000000000000000501750002000000080167000173\
                        000007017300140000006f72672e667265656465736b746f702e444275730000000038000000436f756c64206e6f7420676574\
                        206f776e6572206f66206e616d6520276f72672e6e6f626f64792e78273a206e6f2073756368206e616d6500";
const NAMES: &str = "6c02010129000000040000003d00000006017300040000003a312e3000000000050175000300000008016700026173000701730014\
                     0000006f72672e667265656465736b746f702e444275730000000025000000140000006f72672e667265656465736b746f702e\
                     4442757300000000040000003a312e3000";
/// The text `hi` in answer to call 1, the other byte order.
const BIG_ENDIAN: &str = "42020101000000070000004d0000000f0501750000000001080167000173000000000002686900";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn line(stream: &mut UnixStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// A bus that answers each call with what it is given, and tells what it was asked.
fn fake(answers: &[&[&str]]) -> (UnixStream, JoinHandle<Vec<Vec<u8>>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let answers: Vec<Vec<u8>> =
        answers.iter().map(|parts| parts.iter().flat_map(|part| bytes(part)).collect()).collect();
    let bus = spawn(move || {
        assert!(line(&mut theirs).starts_with("\0AUTH EXTERNAL "));
        theirs.write_all(b"OK 9d083bc21369c9ab0bed45416b01c5b0\r\n").unwrap();
        assert_eq!(line(&mut theirs), "BEGIN\r\n");
        let mut calls = Vec::new();
        for answer in answers {
            let mut call = vec![0; 16];
            theirs.read_exact(&mut call).unwrap();
            let number = |at: usize| u32::from_le_bytes(call[at..at + 4].try_into().unwrap()) as usize;
            let mut rest = vec![0; number(12).next_multiple_of(8) + number(4)];
            theirs.read_exact(&mut rest).unwrap();
            call.extend(rest);
            calls.push(call);
            theirs.write_all(&answer).unwrap();
        }
        calls
    });
    (ours, bus)
}

fn method<'a>(member: &'a str, signature: &'a str) -> Method<'a> {
    let name = "org.freedesktop.DBus";
    Method { destination: name, path: "/org/freedesktop/DBus", interface: name, member, signature }
}

#[test]
fn calls_are_what_a_bus_takes_and_its_answers_are_read() {
    let (stream, fake) = fake(&[&[NAMED, ACQUIRED], &[NO_OWNER], &[NAMES]]);
    let mut bus = Bus::greet(stream, true).unwrap();
    let error = bus.call(method("GetNameOwner", "s"), &("org.nobody.x",)).unwrap_err();
    let BusError::Refused { name, .. } = &error else { panic!("{error}") };
    assert_eq!(name, "org.freedesktop.DBus.Error.NameHasNoOwner");
    assert_eq!(
        Trouble::from(error),
        Trouble::new(
            "Could not get owner of name 'org.nobody.x': no such name (org.freedesktop.DBus.Error.NameHasNoOwner)"
        )
    );
    let (names,): (Vec<String>,) = bus.call(method("ListNames", ""), &()).unwrap().read().unwrap();
    assert_eq!(names, ["org.freedesktop.DBus", ":1.0"]);
    // It came between two answers, and was kept.
    let (signal, body) = bus.signal().unwrap();
    assert_eq!((&*signal, body.read::<(String,)>().unwrap()), ("NameAcquired", (":1.0".to_owned(),)));
    drop(bus);
    let calls = fake.join().unwrap();
    assert_eq!(calls[0], bytes(HELLO));
    assert_eq!(calls[1], bytes(ASKED));
    assert_eq!(calls.len(), 3);
}

#[test]
fn systemd_itself_is_called_without_a_destination() {
    let (stream, fake) = fake(&[&[BIG_ENDIAN]]);
    let mut bus = Bus::greet(stream, false).unwrap();
    let body = bus.call(method("GetNameOwner", "s"), &("x",)).unwrap();
    assert_eq!(body.read::<(String,)>().unwrap(), ("hi".to_owned(),));
    assert!(body.read::<(u32, u64)>().is_err());
    let calls = fake.join().unwrap();
    // Path, interface and member are told; the bus itself is no address.
    assert_eq!(calls[0].windows(20).filter(|window| window == b"org.freedesktop.DBus").count(), 1);
}

#[test]
fn a_list_of_arguments_is_no_structure() {
    let method = Method { signature: "ssa(sv)a(sa(sv))", ..method("StartTransientUnit", "") };
    let head = head(method, true, 7, 0);
    assert_eq!(head.len() % 8, 0);
    let wanted = b"\x08\x01g\0\x10ssa(sv)a(sa(sv))\0";
    assert!(head.windows(wanted.len()).any(|window| window == wanted));
    let head = Data::new(head, Context::new(LE, 0));
    let parsed: (Header<'_>, usize) = head.deserialize().unwrap();
    let (_, kind, _, _, body, serial, fields) = parsed.0;
    assert_eq!((kind, body, serial, fields.len()), (CALL, 0, 7, 5));
}

/// What is made of an answer to the first call.
fn outcome(answer: &[u8]) -> BusError {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(answer).unwrap();
    drop(theirs.shutdown(std::net::Shutdown::Write));
    ours.set_nonblocking(false).unwrap();
    let _ = ours.flush();
    let mut bus = Bus { stream: ours, serial: 0, routed: true, signals: VecDeque::new() };
    bus.call(method("Hello", ""), &()).unwrap_err()
}

#[test]
fn nonsense_and_silence_are_errors() {
    assert!(matches!(outcome(b"HTTP/1.1 400 Bad Request\r\n"), BusError::Broken(why) if why.contains("0x48")));
    let mut huge = bytes(NAMED);
    huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(outcome(&huge), BusError::Broken(why) if why.contains("a message of 4294967295 bytes")));
    let whole = bytes(NAMED);
    for cut in [0, 1, 15, 16, 40, whole.len() - 1] {
        let error = outcome(&whole[..cut]);
        assert!(matches!(&error, BusError::Lost(why) if why.kind() == io::ErrorKind::UnexpectedEof), "{cut}: {error}");
    }
    // The length of its fields is wrong.
    let mut odd = whole.clone();
    odd[12..16].copy_from_slice(&0x30_u32.to_le_bytes());
    assert!(matches!(outcome(&odd), BusError::Broken(_) | BusError::Lost(_)));
    // An answer to somebody else's call, and then nothing.
    let mut other = whole;
    let at = bytes(NAMED).windows(8).position(|window| window == bytes("0501750001000000")).unwrap();
    other[at + 4] = 9;
    assert!(matches!(outcome(&other), BusError::Lost(_)));
}

#[test]
fn who_is_not_let_in_says_so() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
    let error = Bus::greet(ours, true).unwrap_err();
    assert_eq!(error.to_string(), "D-Bus: it does not let us in: REJECTED EXTERNAL");
    let timeout = BusError::Lost(io::Error::from(nix::errno::Errno::EAGAIN));
    assert_eq!(Trouble::from(timeout).errno, Some(nix::errno::Errno::EAGAIN as i32));
}

#[test]
fn a_node_without_systemd_names_both_places() {
    let tree = tempfile::tempdir().unwrap();
    let error = Bus::open(&Root::new(tree.path())).unwrap_err().message;
    assert!(error.contains("run/dbus/system_bus_socket") && error.contains("run/systemd/private"), "{error}");
}
