//! What is measured, in the ten-second aggregates that Consul's API shows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of an aggregate.
const STEP: Duration = Duration::from_secs(10);

/// Counts, sums and bounds of what was added under one name in one step.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Aggregate {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_of_squares: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Aggregate {
    fn add(slot: &mut Option<Aggregate>, value: f64) {
        let old =
            slot.get_or_insert(Aggregate { count: 0, sum: 0.0, sum_of_squares: 0.0, min: value, max: value });
        old.count += 1;
        old.sum += value;
        old.sum_of_squares += value * value;
        old.min = old.min.min(value);
        old.max = old.max.max(value);
    }

    /// The mean of the values.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// How far they spread.
    pub fn stddev(&self) -> f64 {
        let n = self.count as f64;
        if self.count < 2 {
            return 0.0;
        }
        let variance = (n * self.sum_of_squares - self.sum * self.sum) / (n * (n - 1.0));
        variance.max(0.0).sqrt()
    }
}

/// One step.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// When it began, seconds since 1970.
    pub start_unix: u64,
    /// The last value of each.
    pub gauges: BTreeMap<String, f64>,
    /// How often, and how much.
    pub counters: BTreeMap<String, Aggregate>,
    /// How long, in milliseconds.
    pub samples: BTreeMap<String, Aggregate>,
}

impl Interval {
    /// When it began, as Consul prints it: `2026-11-21 01:53:40 +0000 UTC`.
    pub fn timestamp(&self) -> String {
        let text = crate::log::timestamp(Duration::from_secs(self.start_unix), 0);
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        format!("{date} {} +0000 UTC", time.trim_end_matches(['Z', '.']))
    }
}

#[derive(Default)]
struct Steps {
    current: Interval,
    finished: Option<Interval>,
    /// Since the start.
    totals: Interval,
}

/// Where values are added. Names come without prefix and host.
#[derive(Default)]
pub struct Metrics(Mutex<Steps>);

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Metrics {
    fn record(&self, add: impl Fn(&mut Interval)) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        steps.advance(unix_now());
        add(&mut steps.current);
        add(&mut steps.totals);
    }

    /// Sets a value.
    pub fn gauge(&self, name: &str, value: f64) {
        self.record(|step| _ = step.gauges.insert(name.to_owned(), value));
    }

    /// Counts.
    pub fn count(&self, name: &str, by: f64) {
        self.record(|step| add(&mut step.counters, name, by));
    }

    /// Adds a duration.
    pub fn sample(&self, name: &str, took: Duration) {
        self.record(|step| add(&mut step.samples, name, took.as_secs_f64() * 1000.0));
    }

    /// Everything since the start.
    pub fn totals(&self) -> Interval {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).totals.clone()
    }

    /// The last full step; the present one as long as there is none.
    pub fn last(&self) -> Interval {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        steps.advance(unix_now());
        steps.finished.clone().unwrap_or_else(|| steps.current.clone())
    }
}

fn add(map: &mut BTreeMap<String, Aggregate>, name: &str, value: f64) {
    let mut slot = map.remove(name);
    Aggregate::add(&mut slot, value);
    if let Some(slot) = slot {
        map.insert(name.to_owned(), slot);
    }
}

impl Steps {
    fn advance(&mut self, now_unix: u64) {
        let start = now_unix - now_unix % STEP.as_secs();
        if self.current.start_unix == start {
            return;
        }
        // Gauges keep their value until it is set again.
        let next = Interval { start_unix: start, gauges: self.current.gauges.clone(), ..Interval::default() };
        let done = std::mem::replace(&mut self.current, next);
        if done.start_unix > 0 {
            self.finished = Some(done);
        }
    }
}

/// What the process itself uses, read from the kernel. `None` where that cannot be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Memory in use, bytes.
    pub resident_bytes: u64,
    /// Memory asked for, bytes.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// As of now.
    pub fn now() -> Process {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.unwrap_or(0)
        };
        Process {
            resident_bytes: field("VmRSS") * 1024,
            virtual_bytes: field("VmSize") * 1024,
            threads: field("Threads"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_and_gauges_stay() {
        let mut steps = Steps::default();
        steps.advance(1000);
        steps.current.gauges.insert("g".into(), 1.0);
        for value in [1.0, 2.0, 6.0] {
            add(&mut steps.current.counters, "c", value);
        }
        steps.advance(1009);
        assert!(steps.finished.is_none());
        steps.advance(1010);
        let done = steps.finished.clone().unwrap();
        let c = done.counters["c"];
        assert_eq!((c.count, c.sum, c.min, c.max, c.mean()), (3, 9.0, 1.0, 6.0, 3.0));
        assert!((c.stddev() - 7f64.sqrt()).abs() < 1e-9);
        assert_eq!((steps.current.gauges["g"], steps.current.counters.len()), (1.0, 0));
    }

    #[test]
    fn a_step_has_its_time_in_words() {
        let step = Interval { start_unix: 1_795_226_020, ..Interval::default() };
        assert_eq!(step.timestamp(), "2026-11-21 01:53:40 +0000 UTC");
    }

    #[test]
    fn the_kernel_tells_what_the_process_uses() {
        let process = Process::now();
        assert!(process.resident_bytes > 100_000 && process.threads > 0);
    }
}
