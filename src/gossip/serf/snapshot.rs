//! The snapshot file: lines that say whom we knew and which events we saw, so that a restart can rejoin.

use super::member::{Member, MemberStatus};
use crate::wire::serf::LTime;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// Members that one file may name.
const MAX_ALIVE: usize = 65_536;

/// What a file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Members that were alive, by name.
    pub alive: BTreeMap<String, SocketAddr>,
    /// The member clock.
    pub clock: LTime,
    /// The last user event.
    pub event_clock: LTime,
    /// The last query.
    pub query_clock: LTime,
}

impl Snapshot {
    /// Reads a file. Lines that make no sense are passed over and counted: a file whose end was lost still serves.
    pub fn replay(text: &str, rejoin_after_leave: bool) -> (Snapshot, usize) {
        let mut s = Snapshot::default();
        let mut odd = 0;
        for line in text.lines() {
            let known = match line.split_once(": ") {
                Some(("alive", rest)) => match rest.rsplit_once(' ') {
                    Some((name, addr)) if s.alive.len() < MAX_ALIVE => {
                        addr.parse().map(|addr| s.alive.insert(name.to_owned(), addr)).is_ok()
                    }
                    _ => false,
                },
                Some(("not-alive", name)) => {
                    s.alive.remove(name);
                    true
                }
                Some(("clock", n)) => set(&mut s.clock, n),
                Some(("event-clock", n)) => set(&mut s.event_clock, n),
                Some(("query-clock", n)) => set(&mut s.query_clock, n),
                Some(("coordinate", _)) => true,
                _ if line == "leave" => {
                    if !rejoin_after_leave {
                        s = Snapshot::default();
                    }
                    true
                }
                _ => line.is_empty() || line.starts_with('#'),
            };
            odd += usize::from(!known);
        }
        (s, odd)
    }

    /// The whole file for this state, to take the place of one that grew.
    pub fn compact<'a>(members: impl Iterator<Item = &'a Member>, clocks: [LTime; 3]) -> String {
        let mut out = String::new();
        for m in members.filter(|m| m.status == MemberStatus::Alive) {
            let _ = writeln!(out, "alive: {} {}", m.name(), m.addr());
        }
        for (name, clock) in ["clock", "event-clock", "query-clock"].into_iter().zip(clocks) {
            let _ = writeln!(out, "{name}: {clock}");
        }
        out
    }
}

fn set(clock: &mut LTime, text: &str) -> bool {
    text.parse().map(|n| *clock = n).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "alive: s1 127.77.1.1:7946\nclock: 1\nevent-clock: 1\nquery-clock: 4\nalive: a b 127.0.0.1:1\n\
                        not-alive: s3\nclock: 10\nalive: s3 127.0.0.1:2\nnot-alive: s3\n# end\nalive: torn 127.0";

    #[test]
    fn a_file_of_serf_is_read_with_its_torn_end() {
        let (s, odd) = Snapshot::replay(FILE, false);
        assert_eq!(s.alive.keys().collect::<Vec<_>>(), ["a b", "s1"]);
        assert_eq!((s.clock, s.event_clock, s.query_clock, odd), (10, 1, 4, 1));
    }

    #[test]
    fn who_left_does_not_rejoin_unless_told_to() {
        let text = format!("{FILE}\nleave\n");
        assert_eq!(Snapshot::replay(&text, false).0, Snapshot::default());
        assert_eq!(Snapshot::replay(&text, true).0.alive.len(), 2);
    }
}
