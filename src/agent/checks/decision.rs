//! What a result makes of a check: pure deciders, fed with `now`.

use std::time::Duration;

use crs_types::CheckStatus;
use tokio::time::Instant;

/// The shortest `deregister_critical_service_after`; shorter ones are raised, as Consul does.
pub(crate) const DEREGISTER_AFTER_MIN: Duration = Duration::from_secs(60);
/// The shortest time between two runs; shorter ones are raised, as Consul does.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What to do with a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// It counts: status and output become the check's.
    Take,
    /// Not often enough in a row yet; the check stays as it is.
    NotYet {
        /// Results of this kind in a row.
        seen: u32,
        /// How many it takes.
        needed: u32,
    },
}

/// Counts results in a row. Warnings count as good ones (Consul's rule).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streak {
    good: u32,
    bad: u32,
}

impl Streak {
    /// Takes a result into account.
    pub(crate) fn observe(
        &mut self,
        status: &CheckStatus,
        success_before_passing: u32,
        failures_before_critical: u32,
    ) -> Decision {
        let (seen, needed) = match status {
            CheckStatus::Passing | CheckStatus::Warning => {
                self.bad = 0;
                self.good = self.good.saturating_add(1);
                (self.good, success_before_passing)
            }
            CheckStatus::Critical | CheckStatus::Other(_) => {
                self.good = 0;
                self.bad = self.bad.saturating_add(1);
                (self.bad, failures_before_critical)
            }
        };
        if seen >= needed { Decision::Take } else { Decision::NotYet { seen, needed } }
    }
}

/// When a TTL check that was last reported at `reported` turns critical.
pub(crate) fn ttl_deadline(reported: Instant, ttl: Duration) -> Instant {
    reported + ttl
}

/// What an expired TTL check says.
pub(crate) fn ttl_expired_output(last_output: &str) -> String {
    if last_output.is_empty() {
        "TTL expired".to_owned()
    } else {
        format!("TTL expired (last output before timeout follows): {last_output}")
    }
}

/// Since when the check is critical, after a result.
pub(crate) fn critical_since(before: Option<Instant>, status: &CheckStatus, now: Instant) -> Option<Instant> {
    match status {
        CheckStatus::Critical => before.or(Some(now)),
        _ => None,
    }
}

/// Whether the service of a check is to be removed: critical for longer than allowed. Zero never removes.
pub(crate) fn is_overdue(critical_since: Option<Instant>, after: Duration, now: Instant) -> bool {
    !after.is_zero()
        && critical_since.is_some_and(|since| now.duration_since(since) > after.max(DEREGISTER_AFTER_MIN))
}

/// What is kept of a TTL check's output: the beginning, and how much there was.
pub(crate) fn clip_ttl_output(output: String, max_bytes: usize) -> String {
    if max_bytes == 0 || output.len() <= max_bytes {
        return output;
    }
    let total = output.len();
    let mut end = max_bytes;
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ... (captured {max_bytes} of {total} bytes)", &output[..end])
}

/// Keeps the last bytes of an output and counts all of them.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: std::collections::VecDeque<u8>,
    max_bytes: usize,
    total: u64,
}

impl Tail {
    /// Keeps at most so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Tail { kept: std::collections::VecDeque::new(), max_bytes, total: 0 }
    }

    /// Takes more output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(self.max_bytes)..];
        let excess = (self.kept.len() + bytes.len()).saturating_sub(self.max_bytes);
        self.kept.drain(..excess);
        self.kept.extend(bytes);
    }

    /// How much was written in all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// What was kept, as text.
    pub(crate) fn text(&self) -> String {
        let (front, back) = self.kept.as_slices();
        let bytes = [front, back].concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What was kept; a shortened output says so first, in Consul's words.
    pub(crate) fn labelled(&self) -> String {
        let text = self.text();
        if self.total > self.max_bytes as u64 {
            format!("Captured {} of {} bytes\n...\n{text}", self.kept.len(), self.total)
        } else {
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_count_in_a_row_only() {
        let mut streak = Streak::default();
        let (pass, fail) = (CheckStatus::Passing, CheckStatus::Critical);
        assert_eq!(streak.observe(&fail, 3, 2), Decision::NotYet { seen: 1, needed: 2 });
        assert_eq!(streak.observe(&pass, 3, 2), Decision::NotYet { seen: 1, needed: 3 });
        assert_eq!(streak.observe(&fail, 3, 2), Decision::NotYet { seen: 1, needed: 2 });
        assert_eq!(streak.observe(&fail, 3, 2), Decision::Take);
        assert_eq!(streak.observe(&pass, 3, 2), Decision::NotYet { seen: 1, needed: 3 });
        assert_eq!(streak.observe(&CheckStatus::Warning, 3, 2), Decision::NotYet { seen: 2, needed: 3 });
        assert_eq!(streak.observe(&pass, 3, 2), Decision::Take);
        assert_eq!(streak.observe(&pass, 3, 2), Decision::Take);
    }

    #[test]
    fn without_thresholds_every_result_counts() {
        let mut streak = Streak::default();
        assert_eq!(streak.observe(&CheckStatus::Critical, 0, 0), Decision::Take);
        assert_eq!(streak.observe(&CheckStatus::Passing, 0, 0), Decision::Take);
    }

    #[test]
    fn a_service_goes_when_its_check_was_critical_for_longer_than_allowed() {
        let start = Instant::now();
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let mut since = critical_since(None, &CheckStatus::Critical, start);
        since = critical_since(since, &CheckStatus::Critical, start + minute);
        assert_eq!(since, Some(start), "a second failure does not start the time anew");
        assert!(!is_overdue(since, hour, start + hour));
        assert!(is_overdue(since, hour, start + hour + minute));
        assert!(!is_overdue(since, Duration::ZERO, start + hour), "zero never removes");
        assert!(!is_overdue(since, Duration::from_secs(1), start + minute), "a minute at least");
        assert!(is_overdue(since, Duration::from_secs(1), start + minute + Duration::from_millis(1)));
        assert_eq!(critical_since(since, &CheckStatus::Warning, start + hour), None);
    }

    #[test]
    fn outputs_are_bounded() {
        let mut tail = Tail::new(4);
        tail.push(b"ab");
        assert_eq!(tail.labelled(), "ab");
        tail.push(b"cdefgh");
        tail.push(b"i");
        assert_eq!(tail.labelled(), "Captured 4 of 9 bytes\n...\nfghi");
        let mut none = Tail::new(0);
        none.push(b"abc");
        assert_eq!((none.text().as_str(), none.total()), ("", 3));
        assert_eq!(clip_ttl_output("abcdef".into(), 3), "abc ... (captured 3 of 6 bytes)");
        assert_eq!(clip_ttl_output("aé".into(), 2), "a ... (captured 2 of 3 bytes)");
        assert_eq!(clip_ttl_output("abc".into(), 3), "abc");
    }

    #[test]
    fn an_expired_ttl_repeats_the_last_word() {
        assert_eq!(ttl_expired_output(""), "TTL expired");
        assert_eq!(ttl_expired_output("ok"), "TTL expired (last output before timeout follows): ok");
    }
}
