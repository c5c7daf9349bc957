//! One task per question: a blocking query that reports what changed.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crs_template::{Answer, Dep, decode};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::request;
use super::settings::Retry;
use super::source::{FetchError, Source};

/// What a watch reports.
#[derive(Debug)]
pub(crate) enum News {
    /// A new answer.
    Answer { dep: Dep, answer: Answer, index: u64 },
    /// No answer; it is being asked again unless `given_up`.
    Trouble { dep: Dep, error: FetchError, attempt: u32, given_up: bool },
}

/// News that may wait for the runner; each watch then waits too, so nothing is lost.
pub(crate) const NEWS_BACKLOG: usize = 256;

/// How questions are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) wait: Duration,
    pub(crate) retry: Retry,
    /// Attempts before giving up; 0: never.
    pub(crate) attempts: u32,
    /// Ends after the first answer.
    pub(crate) once: bool,
}

/// Questions that the server does not hold are asked again after this.
const POLL: Duration = Duration::from_secs(15);
/// The least time between two answers to one question, so that a busy service does not keep us busy.
const SPACING: Duration = Duration::from_millis(20);

/// Starts asking.
pub(crate) fn spawn<S: Source>(
    dep: Dep,
    source: Arc<S>,
    manner: Manner,
    news: mpsc::Sender<News>,
) -> AbortHandle {
    tokio::spawn(run(dep, source, manner, news)).abort_handle()
}

async fn run<S: Source>(dep: Dep, source: Arc<S>, manner: Manner, news: mpsc::Sender<News>) {
    let mut index = 0;
    let mut seen: Option<u64> = None;
    let mut attempt = 0;
    loop {
        let started = Instant::now();
        let result = source.fetch(&dep, index, manner.wait).await;
        let outcome = result.and_then(|fetched| {
            let answer = match &fetched.body {
                None => Ok(Answer::Absent),
                Some(body) => decode(&dep, body).map(Answer::Value),
            };
            let digest = digest(fetched.body.as_deref());
            answer
                .map(|answer| (answer, fetched.index, digest))
                .map_err(|error| FetchError { text: error.to_string(), permanent: false })
        });
        match outcome {
            Ok((answer, at, digest)) => {
                attempt = 0;
                // an index that goes back means another history: ask for everything again
                let back = at < index;
                index = if back { 0 } else { at };
                if seen != Some(digest) {
                    seen = Some(digest);
                    if news.send(News::Answer { dep: dep.clone(), answer, index: at }).await.is_err() {
                        return;
                    }
                }
                if manner.once {
                    return;
                }
                let pause =
                    if request::blocks(&dep) { SPACING.saturating_sub(started.elapsed()) } else { POLL };
                tokio::time::sleep(if back { SPACING } else { pause }).await;
            }
            Err(error) => {
                attempt += 1;
                index = 0;
                let given_up = error.permanent
                    || !manner.retry.enabled
                    || (manner.attempts > 0 && attempt >= manner.attempts);
                let trouble = News::Trouble { dep: dep.clone(), error, attempt, given_up };
                if news.send(trouble).await.is_err() || given_up && manner.once {
                    return;
                }
                tokio::time::sleep(backoff(&manner.retry, attempt)).await;
            }
        }
    }
}

/// Doubles up to the limit; the questions of one watcher are spread by their own hash.
fn backoff(retry: &Retry, attempt: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1).min(20));
    retry.backoff.saturating_mul(factor).min(retry.max_backoff).max(Duration::from_millis(10))
}

fn digest(body: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}
