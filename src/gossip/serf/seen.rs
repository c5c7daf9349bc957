//! Which user events and queries were seen: a ring of the last 512 times.

use crate::wire::serf::LTime;

/// Times that are remembered.
pub(super) const SLOTS: u64 = 512;
/// Different things of one time that are remembered; a hostile member can send no more.
const PER_TIME: usize = 1024;

/// A ring of times, with what was seen at each.
#[derive(Debug)]
pub(super) struct Seen<T> {
    ring: Vec<Option<(LTime, Vec<T>)>>,
    /// What is older than this is ignored.
    pub(super) min: LTime,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Seen { ring: Vec::new(), min: 0 }
    }
}

impl<T: PartialEq> Seen<T> {
    /// Whether something of time `ltime` is new at clock `now`; then it is remembered.
    pub(super) fn is_new(&mut self, now: LTime, ltime: LTime, what: T) -> bool {
        if ltime < self.min || now > SLOTS && ltime < now - SLOTS {
            return false;
        }
        if self.ring.is_empty() {
            self.ring.resize_with(SLOTS as usize, || None);
        }
        let slot = &mut self.ring[(ltime % SLOTS) as usize];
        match slot {
            Some((time, seen)) if *time == ltime => {
                if seen.contains(&what) || seen.len() >= PER_TIME {
                    return false;
                }
                seen.push(what);
            }
            _ => *slot = Some((ltime, vec![what])),
        }
        true
    }

    /// Everything that is remembered, equal times together.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LTime, &T)> {
        self.ring.iter().flatten().flat_map(|(time, seen)| seen.iter().map(|what| (*time, what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_the_old_are_not_new() {
        let mut seen = Seen::default();
        assert!(seen.is_new(1, 1, "a"));
        assert!(!seen.is_new(1, 1, "a"));
        assert!(seen.is_new(1, 1, "b"));
        assert!(!seen.is_new(600, 87, "c"));
        assert!(seen.is_new(600, 513, "a"), "takes the slot of time 1");
        assert_eq!(seen.iter().map(|(time, what)| (time, *what)).collect::<Vec<_>>(), [(513, "a")]);
        seen.min = 700;
        assert!(!seen.is_new(600, 699, "d"));
    }
}
