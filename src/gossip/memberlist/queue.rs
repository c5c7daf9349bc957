//! Rumors that wait to be sent a limited number of times.

use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tells the owner of a rumor that it went out its full number of times, or was replaced by a newer one.
pub type Token = u64;

/// Least sent first, then the longest, then the newest.
type Key = (u32, Reverse<usize>, Reverse<u64>);

#[derive(Debug)]
struct Rumor {
    about: Option<Arc<str>>,
    bytes: Bytes,
    token: Option<Token>,
}

/// What packets have room for: see [`Queue::take`].
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes each rumor costs beside its own.
    pub overhead: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Rumors in all.
    pub count: usize,
    /// After so many sendings a rumor is done.
    pub transmits: u32,
}

/// A queue of rumors.
#[derive(Debug, Default)]
pub struct Queue {
    rumors: BTreeMap<Key, Rumor>,
    about: BTreeMap<Arc<str>, Key>,
    next: u64,
    finished: Vec<Token>,
}

/// How often a rumor is sent in a pool of `n`.
pub fn transmit_limit(mult: u32, n: usize) -> u32 {
    mult * ((n + 1) as f64).log10().ceil() as u32
}

impl Queue {
    /// How many rumors wait.
    pub fn len(&self) -> usize {
        self.rumors.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.rumors.is_empty()
    }

    /// Adds a rumor; one about the same member before it is replaced.
    pub fn push(&mut self, about: Option<Arc<str>>, bytes: Bytes, token: Option<Token>) {
        if let Some(name) = &about
            && let Some(old) = self.about.remove(name)
            && let Some(rumor) = self.rumors.remove(&old)
        {
            self.finished.extend(rumor.token);
        }
        self.next += 1;
        let key = (0, Reverse(bytes.len()), Reverse(self.next));
        if let Some(name) = &about {
            self.about.insert(name.clone(), key);
        }
        self.rumors.insert(key, Rumor { about, bytes, token });
    }

    /// Takes rumors that fit into `room`, which shrinks, and counts them as sent.
    pub fn take(&mut self, room: &mut Room, out: &mut Vec<Bytes>) {
        if self.rumors.is_empty() {
            return;
        }
        let mut tier = 0;
        let mut sent = Vec::new();
        while room.count > 0 {
            let Some(&(next, ..)) =
                self.rumors.range((tier, Reverse(usize::MAX), Reverse(u64::MAX))..).next().map(|(k, _)| k)
            else {
                break;
            };
            tier = next;
            let Some(free) = room.bytes.checked_sub(room.overhead).filter(|free| *free > 0) else { break };
            let fitting = (tier, Reverse(free), Reverse(u64::MAX))..=(tier, Reverse(0), Reverse(0));
            let Some(key) = self.rumors.range(fitting).next().map(|(key, _)| *key) else {
                tier += 1;
                continue;
            };
            let Some(rumor) = self.rumors.remove(&key) else { break };
            room.bytes -= rumor.bytes.len() + room.overhead;
            room.count -= 1;
            out.push(rumor.bytes.clone());
            sent.push((key, rumor));
        }
        for ((transmits, len, id), rumor) in sent {
            let key = (transmits + 1, len, id);
            if transmits + 1 >= room.transmits {
                if let Some(name) = &rumor.about {
                    self.about.remove(name);
                }
                self.finished.extend(rumor.token);
            } else {
                if let Some(name) = &rumor.about {
                    self.about.insert(name.clone(), key);
                }
                self.rumors.insert(key, rumor);
            }
        }
    }

    /// Drops the most sent rumors until at most `max` are left.
    pub fn prune(&mut self, max: usize) {
        while self.rumors.len() > max {
            let Some((_, rumor)) = self.rumors.pop_last() else { break };
            if let Some(name) = &rumor.about {
                self.about.remove(name);
            }
            self.finished.extend(rumor.token);
        }
    }

    /// Tokens of rumors that are done.
    pub fn finished(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(bytes: usize, transmits: u32) -> Room {
        Room { overhead: 2, bytes, count: 127, transmits }
    }

    fn take(q: &mut Queue, bytes: usize) -> Vec<Bytes> {
        let mut out = Vec::new();
        q.take(&mut room(bytes, 2), &mut out);
        out
    }

    #[test]
    fn least_sent_then_longest_then_newest() {
        let mut q = Queue::default();
        q.push(Some("a".into()), Bytes::from_static(b"aaaa"), None);
        q.push(Some("b".into()), Bytes::from_static(b"bb"), Some(7));
        q.push(None, Bytes::from_static(b"cc"), None);
        assert_eq!(take(&mut q, 6), ["aaaa"]);
        assert_eq!(take(&mut q, 8), ["cc", "bb"]);
        assert_eq!(take(&mut q, 14), ["aaaa", "cc", "bb"]);
        assert!(q.is_empty());
        assert_eq!(q.finished(), [7]);
    }

    #[test]
    fn news_about_a_member_replace_older_ones() {
        let mut q = Queue::default();
        q.push(Some("a".into()), Bytes::from_static(b"old"), Some(1));
        assert_eq!(take(&mut q, 100), ["old"]);
        q.push(Some("a".into()), Bytes::from_static(b"new"), None);
        assert_eq!((q.len(), q.finished()), (1, vec![1]));
        assert_eq!(take(&mut q, 100), ["new"]);
    }

    #[test]
    fn the_most_sent_are_dropped_first() {
        let mut q = Queue::default();
        q.push(None, Bytes::from_static(b"old"), None);
        take(&mut q, 100);
        q.push(None, Bytes::from_static(b"new"), None);
        q.prune(1);
        assert_eq!(take(&mut q, 100), ["new"]);
    }

    #[test]
    fn the_limit_grows_with_the_pool() {
        assert_eq!([1, 9, 10, 99, 1000].map(|n| transmit_limit(4, n)), [4, 4, 8, 8, 16]);
    }
}
