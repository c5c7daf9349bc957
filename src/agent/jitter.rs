//! Chance for spreading things in time. Its quality does not matter, only that processes differ.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A part of the duration: from nothing up to the whole.
pub(crate) fn part_of(duration: Duration) -> Duration {
    static STATE: OnceLock<AtomicU64> = OnceLock::new();
    let state = STATE.get_or_init(|| AtomicU64::new(uuid::Uuid::new_v4().as_u64_pair().0));
    // SplitMix64.
    let mut z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    duration.mul_f64((z >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_differ_and_stay_within() {
        let whole = Duration::from_secs(10);
        let parts: std::collections::HashSet<Duration> = (0..100).map(|_| part_of(whole)).collect();
        assert!(parts.len() > 90 && parts.iter().all(|part| *part < whole));
        assert_eq!(part_of(Duration::ZERO), Duration::ZERO);
    }
}
