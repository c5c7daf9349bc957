//! Blocking queries in a loop.

use std::time::Duration;

use tracing::debug;

use crate::client::{Client, Response};
use crate::error::Error;

/// Waits between failed tries: `base`, doubled each time, at most `max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub base: Duration,
    /// Never longer.
    pub max: Duration,
    /// How it grows.
    pub growth: Growth,
}

/// How a wait grows with the number of failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// Doubles: consul-template's rule.
    Doubling,
    /// By the square: `consul watch`'s rule (5 s, 20 s, 45 s, ...).
    Square,
}

impl Backoff {
    /// consul-template's: 250 ms up to a minute.
    pub const TEMPLATE: Backoff =
        Backoff { base: Duration::from_millis(250), max: Duration::from_secs(60), growth: Growth::Doubling };
    /// That of `consul watch`: 5 s times the square of the failures, up to 3 minutes.
    pub const WATCH: Backoff =
        Backoff { base: Duration::from_secs(5), max: Duration::from_secs(180), growth: Growth::Square };

    /// The wait after so many failures in a row.
    pub fn after(&self, failures: u32) -> Duration {
        let factor = match self.growth {
            Growth::Doubling => 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX),
            Growth::Square => failures.saturating_mul(failures),
        };
        self.base.saturating_mul(factor.max(1)).min(self.max)
    }
}

/// One thing that is watched: asks again and again, and hands out an answer when its index has moved.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    path: String,
    query: Vec<(String, String)>,
    /// How long the agent holds a query; the agent's default of 5 minutes where `None`.
    pub wait: Option<Duration>,
    /// How long to wait after failures.
    pub backoff: Backoff,
    index: u64,
    failures: u32,
}

impl Watch {
    /// Watches a path with a query that names neither `index` nor `wait`.
    pub fn new(client: Client, path: impl Into<String>, query: &[(&str, &str)]) -> Self {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Watch {
            client,
            path: path.into(),
            query,
            wait: None,
            backoff: Backoff::TEMPLATE,
            index: 0,
            failures: 0,
        }
    }

    /// The index of the last answer; 0 before the first.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The next answer whose index has moved; the first one comes at once. Any status below 500 except 429 is an answer
    /// (404 is how an absent key looks). After a failure the next call waits first. Cancelling is safe between answers.
    ///
    /// # Errors
    /// No answer, or one of the server's own faults. Call again to go on.
    pub async fn next(&mut self) -> Result<Response, Error> {
        if self.failures > 0 {
            let wait = self.backoff.after(self.failures);
            debug!(path = %self.path, failures = self.failures, wait_ms = wait.as_millis() as u64, "Waiting to ask again");
            tokio::time::sleep(wait).await;
        }
        loop {
            let result = self.ask().await;
            let response = match result {
                Ok(response) if response.status < 500 && response.status != 429 => response,
                Ok(response) => {
                    self.failures = self.failures.saturating_add(1);
                    return Err(Error::Status { code: response.status, body: response.text() });
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    return Err(error);
                }
            };
            self.failures = 0;
            match step(self.index, response.index()) {
                Step::Same => {}
                Step::Unknown => {
                    // A server that names no index cannot be waited on; ask it once a second.
                    self.index = 0;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    return Ok(response);
                }
                Step::Moved(index) => {
                    self.index = index;
                    return Ok(response);
                }
                Step::Reset => {
                    // After a restore indexes start anew: what is known may be wrong, ask without waiting.
                    self.index = 0;
                }
            }
        }
    }

    async fn ask(&self) -> Result<Response, Error> {
        let index = self.index.to_string();
        let wait = self.wait.map(crs_types::format_duration);
        let mut query: Vec<(&str, &str)> =
            self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if self.index > 0 {
            query.push(("index", &index));
            if let Some(wait) = &wait {
                query.push(("wait", wait));
            }
        }
        self.client.get(&self.path, &query).await
    }
}

/// What an answer's index means to one who knows an older one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Same,
    Moved(u64),
    Reset,
    Unknown,
}

fn step(known: u64, answered: u64) -> Step {
    match answered {
        0 => Step::Unknown,
        same if same == known => Step::Same,
        lower if lower < known => Step::Reset,
        higher => Step::Moved(higher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_goes_back_resets() {
        assert_eq!(step(0, 5), Step::Moved(5));
        assert_eq!(step(5, 5), Step::Same);
        assert_eq!(step(5, 6), Step::Moved(6));
        assert_eq!(step(5, 4), Step::Reset);
        assert_eq!(step(5, 0), Step::Unknown);
    }

    #[test]
    fn waits_grow_up_to_a_bound() {
        let seconds = |backoff: Backoff| (1..=7).map(|n| backoff.after(n).as_secs_f32()).collect::<Vec<_>>();
        assert_eq!(seconds(Backoff::WATCH), [5.0, 20.0, 45.0, 80.0, 125.0, 180.0, 180.0]);
        assert_eq!(seconds(Backoff::TEMPLATE), [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]);
        assert_eq!(Backoff::TEMPLATE.after(u32::MAX), Duration::from_secs(60));
    }
}
