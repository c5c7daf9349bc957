//! Where answers come from, as the watcher sees it.

use std::future::Future;
use std::time::Duration;

use crs_template::Dep;

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The index to ask from next time.
    pub(crate) index: u64,
    /// The body; `None`: there is no such thing (404).
    pub(crate) body: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct FetchError {
    /// What happened, to which question.
    pub(crate) text: String,
    /// Asking again cannot help (no permission, no such datacenter).
    pub(crate) permanent: bool,
}

/// Asks the server; with an index, waits there until the answer is newer or the time is up.
pub(crate) trait Source: Send + Sync + 'static {
    /// Asks.
    fn fetch(
        &self,
        dep: &Dep,
        index: u64,
        wait: Duration,
    ) -> impl Future<Output = Result<Fetched, FetchError>> + Send;
}
