//! Where lines are written. Owned by the log thread.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crs_config::{Log, LogLevel};
use syslog::{Facility, Formatter3164, LogFormat, Severity};

use super::file::LogFile;
use super::line::Line;

const SYSLOG_SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

pub(super) struct Sinks {
    json: bool,
    file: Option<LogFile>,
    syslog: Option<Syslog>,
}

impl Sinks {
    pub(super) fn open(config: &Log) -> Result<Sinks, String> {
        let syslog = if config.syslog { Some(Syslog::open(&config.syslog_facility)?) } else { None };
        Ok(Sinks { json: config.json, file: LogFile::open(config)?, syslog })
    }

    pub(super) fn write(&mut self, line: &Line) {
        let text = if self.json { line.to_json() } else { line.to_text() };
        let indent = if self.json { "" } else { "    " };
        self.raw(&format!("{indent}{text}\n"));
        if let Some(file) = &mut self.file {
            file.write(&text);
        }
        if let Some(syslog) = &mut self.syslog {
            syslog.write(line, &text);
        }
    }

    /// To the console alone. A closed console is no reason to end.
    pub(super) fn raw(&mut self, text: &str) {
        let mut console = std::io::stdout().lock();
        _ = console.write_all(text.as_bytes()).and_then(|()| console.flush());
    }

    pub(super) fn reopen(&mut self) {
        if let Some(file) = &mut self.file {
            file.reopen();
        }
    }
}

/// The local syslog daemon; a restarted one is found again.
struct Syslog {
    socket: Option<UnixDatagram>,
    formatter: Formatter3164,
}

impl Syslog {
    fn open(facility: &str) -> Result<Syslog, String> {
        let word = facility.to_ascii_lowercase();
        let facility = word
            .parse::<Facility>()
            .map_err(|()| format!("Syslog setup failed: invalid syslog facility: {facility}"))?;
        let formatter =
            Formatter3164 { facility, hostname: None, process: "crs".to_owned(), pid: std::process::id() };
        let socket = connect().ok_or("Syslog setup failed: no syslog daemon listens on /dev/log")?;
        Ok(Syslog { socket: Some(socket), formatter })
    }

    fn write(&mut self, line: &Line, text: &str) {
        let severity = match line.level {
            LogLevel::Error => Severity::LOG_ERR,
            LogLevel::Warn => Severity::LOG_WARNING,
            LogLevel::Info => Severity::LOG_INFO,
            LogLevel::Debug | LogLevel::Trace => Severity::LOG_DEBUG,
        };
        // In one piece: the formatter writes in several, and each would become a message.
        let mut packet = Vec::new();
        if self.formatter.format(&mut packet, severity, text).is_err() {
            return;
        }
        let sent = self.socket.as_ref().is_some_and(|socket| socket.send(&packet).is_ok());
        if !sent {
            self.socket = connect();
            if let Some(socket) = &self.socket {
                _ = socket.send(&packet);
            }
        }
    }
}

fn connect() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    // A daemon that does not read must not stop the log.
    socket.set_nonblocking(true).ok()?;
    SYSLOG_SOCKETS.iter().any(|path| socket.connect(Path::new(path)).is_ok()).then_some(socket)
}
