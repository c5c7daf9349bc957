//! Reads the captured bytes under `tests/data/wire` for the tests of this crate.

use std::path::PathBuf;

/// One numbered case of a file.
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) frames: Vec<Frame>,
    pub(crate) notes: Vec<String>,
}

/// A whole datagram or stream.
pub(crate) struct Frame {
    /// `client` or `server` of a stream; empty for a datagram.
    pub(crate) side: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn hex(s: &str) -> Vec<u8> {
    let digits: Vec<u8> = s.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[allow(clippy::disallowed_methods)]
pub(crate) fn read(name: &str) -> Vec<Case> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/data/wire", name].iter().collect();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let (tag, rest) = line.split_at(line.len().min(1));
        let rest = rest.trim_start();
        match (tag, cases.last_mut()) {
            ("#", _) => {
                cases.push(Case { title: rest.to_owned(), frames: Vec::new(), notes: Vec::new() });
            }
            ("<", Some(case)) => {
                let (side, body) = match rest.split_once(' ') {
                    Some((side, body)) => (side, body),
                    None => ("", rest),
                };
                case.frames.push(Frame { side: side.to_owned(), bytes: hex(body) });
            }
            ("=", Some(case)) => case.notes.push(rest.to_owned()),
            _ => {}
        }
    }
    assert!(!cases.is_empty(), "{name} holds no case");
    cases
}

/// The ring that opens every captured sealed frame.
pub(crate) fn keyring() -> crate::wire::keyring::Keyring {
    let mut ring = crate::wire::keyring::Keyring::default();
    ring.install(&(0..32).collect::<Vec<u8>>()).unwrap();
    ring.install(&(0..16).collect::<Vec<u8>>()).unwrap();
    ring
}

/// A byte string as the notes print it.
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(s) if s.chars().all(|c| (' '..='~').contains(&c) || c == '\n') => {
            format!("'{}'", s.replace('\n', "\\n"))
        }
        _ => format!("raw:{}", to_hex(bytes)),
    }
}
