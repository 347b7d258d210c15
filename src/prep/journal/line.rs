//! One line: a checksum, a blank, JSON.

use super::event::Event;

/// A line of the file, its end included.
pub(super) fn write(event: &Event) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(event)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

/// The event of a line without its end; otherwise what is wrong with it.
pub(super) fn read(line: &str) -> Result<Event, String> {
    let (sum, json) = line.split_once(' ').ok_or("it has no checksum")?;
    let sum = u32::from_str_radix(sum, 16).map_err(|_| "it has no checksum")?;
    if sum != crc32fast::hash(json.as_bytes()) {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}
