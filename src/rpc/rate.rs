//! How many calls a client makes per second.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A bucket of permits that fills steadily: `limits.rpc_rate` and `limits.rpc_max_burst`.
#[derive(Debug)]
pub struct RateLimit {
    per_second: f64,
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl RateLimit {
    /// `per_second` infinite: no limit.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let burst = f64::from(burst);
        RateLimit { per_second, burst, state: Mutex::new((burst, Instant::now())) }
    }

    /// No limit, Consul's default.
    pub fn none() -> Self {
        Self::new(f64::INFINITY, 1000)
    }

    /// Takes a permit if there is one.
    pub fn allows(&self) -> bool {
        if self.per_second.is_infinite() {
            return true;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let filled = state.0 + (now - state.1).as_secs_f64() * self.per_second;
        let permits = filled.min(self.burst);
        let allowed = permits >= 1.0;
        *state = (if allowed { permits - 1.0 } else { permits }, now);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_no_more() {
        let limit = RateLimit::new(0.001, 3);
        assert_eq!((0..5).filter(|_| limit.allows()).count(), 3);
        assert!((0..5000).all(|_| RateLimit::none().allows()));
    }
}
