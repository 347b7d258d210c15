//! QEMU's monitor: one command, one answer; events in between are kept.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    /// Greets the monitor at the other end.
    pub(crate) fn greet(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut qmp = Self { stream: BufReader::new(stream), events: Vec::new() };
        qmp.read()?;
        qmp.call(&json!({ "execute": "qmp_capabilities" }))?
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(qmp)
    }

    /// Runs one command: what it returns, or the monitor's error.
    pub(crate) fn call(&mut self, command: &Value) -> std::io::Result<Result<Value, Value>> {
        writeln!(self.stream.get_mut(), "{command}")?;
        loop {
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(Ok(value.take()));
            }
            if let Some(error) = answer.get_mut("error") {
                return Ok(Err(error.take()));
            }
            self.events.push(answer);
        }
    }

    /// Whether an event of this name about this device has come, waiting for it for a time.
    pub(crate) fn event(&mut self, name: &str, device: &str, wait: Duration) -> std::io::Result<bool> {
        let is_it = |event: &Value| event["event"] == name && event["data"]["device"] == device;
        let begin = std::time::Instant::now();
        while !self.events.iter().any(is_it) {
            if begin.elapsed() > wait {
                return Ok(false);
            }
            // An answer to a command drags every event before it along.
            std::thread::sleep(Duration::from_millis(50));
            let _ = self.call(&json!({ "execute": "query-status" }))?;
        }
        Ok(true)
    }

    fn read(&mut self) -> std::io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}
