//! The clock, as a seam.

use tokio::time::Instant;

/// Tells a time that never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Instant;
}

/// The machine's clock; tokio's, so that tests with paused time work.
#[derive(Debug, Default, Clone, Copy)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
