//! How long a suspicion lasts: long when one member alone says so, shorter with every other that agrees (Lifeguard).

use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// A suspicion that runs.
#[derive(Debug)]
pub struct Suspicion {
    start: Time,
    min: Duration,
    max: Duration,
    wanted: u32,
    confirmed: u32,
    from: Vec<Arc<str>>,
    /// When it becomes a death.
    pub deadline: Time,
    /// The incarnation that is suspected.
    pub incarnation: u32,
}

/// The shortest suspicion in a pool of `n`.
pub fn min_timeout(mult: u32, n: usize, interval: Duration) -> Duration {
    // three decimals, as memberlist rounds
    let scale = (n.max(1) as f64).log10().max(1.0);
    interval.mul_f64(f64::from(mult) * (scale * 1000.0).floor() / 1000.0)
}

impl Suspicion {
    /// A suspicion that `from` raised. `wanted` independent others bring it down to `min`.
    pub fn new(now: Time, from: &str, wanted: u32, min: Duration, max: Duration, incarnation: u32) -> Self {
        let span = if wanted < 1 { min } else { max };
        let from = vec![Arc::from(from)];
        Suspicion { start: now, min, max, wanted, confirmed: 0, from, deadline: now + span, incarnation }
    }

    /// Another member says so too. True if that was news, which is worth passing on.
    pub fn confirm(&mut self, from: &str) -> bool {
        if self.confirmed >= self.wanted || self.from.iter().any(|f| **f == *from) {
            return false;
        }
        self.from.push(Arc::from(from));
        self.confirmed += 1;
        let part = f64::from(self.confirmed + 1).ln() / f64::from(self.wanted + 1).ln();
        let span = self.max.as_secs_f64() - part * (self.max.as_secs_f64() - self.min.as_secs_f64());
        let span = Duration::from_millis((span.max(0.0) * 1000.0).floor() as u64).max(self.min);
        self.deadline = self.start + span;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_bring_it_down_by_the_logarithm() {
        let (min, max) = (Duration::from_secs(2), Duration::from_secs(30));
        let mut s = Suspicion::new(Time::ZERO, "me", 3, min, max, 1);
        let mut spans = vec![s.deadline.since(Time::ZERO).as_millis()];
        for (from, news) in
            [("me", false), ("foo", true), ("bar", true), ("bar", false), ("baz", true), ("qux", false)]
        {
            assert_eq!(s.confirm(from), news, "{from}");
            spans.push(s.deadline.since(Time::ZERO).as_millis());
        }
        assert_eq!(spans, [30_000, 30_000, 16_000, 7_810, 7_810, 2_000, 2_000]);
    }

    #[test]
    fn in_a_pool_of_two_there_is_nobody_to_wait_for() {
        let s = Suspicion::new(Time::ZERO, "me", 0, Duration::from_secs(4), Duration::from_secs(24), 1);
        assert_eq!(s.deadline, Time::ZERO + Duration::from_secs(4));
        assert_eq!(min_timeout(4, 1, Duration::from_secs(1)), Duration::from_secs(4));
        assert_eq!(min_timeout(4, 1000, Duration::from_secs(1)), Duration::from_secs(12));
    }
}
