//! Lock-delay: after a session was invalidated, the keys it held cannot be locked for a while, so that a holder that
//! only lost touch has time to notice. Kept by every server from what it applies; only the leader asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Keys that may not be locked yet.
#[derive(Debug, Default)]
pub(crate) struct LockDelays(Mutex<HashMap<Arc<str>, Instant>>);

impl LockDelays {
    /// From `now` on, these keys stay unlocked for so long.
    pub(crate) fn begin(&self, now: Instant, delayed: &[(Arc<str>, Duration)]) {
        if delayed.is_empty() {
            return;
        }
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, deadline| *deadline > now);
        until.extend(delayed.iter().map(|(key, delay)| (key.clone(), now + *delay)));
    }

    /// Whether the key has to wait.
    pub(crate) fn blocks(&self, now: Instant, key: &str) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(key).is_some_and(|deadline| *deadline > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delayed_key_can_be_locked_when_its_time_is_over() {
        let (delays, now) = (LockDelays::default(), Instant::now());
        delays.begin(now, &[("k".into(), Duration::from_secs(15))]);
        assert!(delays.blocks(now, "k"));
        assert!(delays.blocks(now + Duration::from_secs(14), "k"));
        assert!(!delays.blocks(now + Duration::from_secs(15), "k"));
        assert!(!delays.blocks(now, "other"));
        delays.begin(now + Duration::from_secs(20), &[("j".into(), Duration::from_secs(1))]);
        assert_eq!(delays.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}
