//! Signals by name, and sending them.

use std::io;

/// A signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(pub(crate) i32);

const NAMES: &[(&str, i32)] = &[
    ("SIGHUP", libc::SIGHUP),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGABRT", libc::SIGABRT),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGALRM", libc::SIGALRM),
    ("SIGTERM", libc::SIGTERM),
    ("SIGCHLD", libc::SIGCHLD),
    ("SIGCONT", libc::SIGCONT),
    ("SIGSTOP", libc::SIGSTOP),
    ("SIGTSTP", libc::SIGTSTP),
    ("SIGTTIN", libc::SIGTTIN),
    ("SIGTTOU", libc::SIGTTOU),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGIO", libc::SIGIO),
    ("SIGPIPE", libc::SIGPIPE),
];

impl Signal {
    pub(crate) const HUP: Signal = Signal(libc::SIGHUP);
    pub(crate) const INT: Signal = Signal(libc::SIGINT);
    pub(crate) const TERM: Signal = Signal(libc::SIGTERM);
    pub(crate) const KILL: Signal = Signal(libc::SIGKILL);

    /// `SIGHUP`, `hup`; empty, `SIGNULL` and `NIL` mean none.
    pub(crate) fn parse(text: &str) -> Result<Option<Signal>, String> {
        let upper = text.trim().to_ascii_uppercase();
        if matches!(upper.as_str(), "" | "SIGNULL" | "NIL" | "NONE") {
            return Ok(None);
        }
        let found = NAMES.iter().find(|(name, _)| *name == upper || name.strip_prefix("SIG") == Some(&upper));
        match found {
            Some((_, number)) => Ok(Some(Signal(*number))),
            None => {
                let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                Err(format!("unknown signal {text:?}: known are {}", known.join(", ")))
            }
        }
    }

    /// Sends it to a whole process group.
    pub(crate) fn send_group(self, leader: u32) -> io::Result<()> {
        let Ok(leader) = i32::try_from(leader) else { return Err(io::ErrorKind::InvalidInput.into()) };
        if leader <= 1 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // the only way to reach a group of processes; takes two numbers and touches no memory
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(-leader, self.0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}
