//! What the server asks of consensus. A seam: the endpoints are tested on a state machine without a log.

use std::future::Future;
use std::pin::Pin;

use crs_store::{Command, Reply};
use crs_types::{Error, ErrorKind};

/// Why a command has no reply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposeError {
    /// This server does not lead; nothing was proposed. A retry with the leader can help.
    #[error("No cluster leader")]
    NotLeader,
    /// Leadership ended before the commit was seen: the command may or may not be applied.
    #[error("leadership lost while committing log")]
    Unknown,
    /// The command is larger than the log takes; nothing was proposed.
    #[error("command of {bytes} bytes is larger than the log takes")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
    /// The log or the disk failed; the server is about to stop.
    #[error("raft is not running: {0}")]
    Stopped(String),
}

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Self {
        let kind = match error {
            ProposeError::NotLeader => ErrorKind::NoLeader,
            ProposeError::Unknown => ErrorKind::Unknown,
            ProposeError::TooLarge { .. } => ErrorKind::TooLarge,
            ProposeError::Stopped(_) => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string())
    }
}

/// What this server knows of leadership now, as far as every read needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leadership {
    /// Some server is known to lead.
    pub known: bool,
    /// This server leads, and may answer default reads from its own state: its lease runs, and it has applied what
    /// was committed before its term.
    pub leads: bool,
}

/// A future that borrows the consensus.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProposeError>> + Send + 'a>>;

/// Replicated, ordered, durable application of commands.
pub trait Consensus: Send + Sync + 'static {
    /// Applies a command through the log. The reply comes after the commit: on disk on a majority.
    fn propose(&self, command: Command) -> Pending<'_, Reply>;

    /// Returns once the local state holds everything committed before the call, confirmed by a quorum.
    fn read_barrier(&self) -> Pending<'_, ()>;

    /// Without entering consensus; cheap enough for every read.
    fn leadership(&self) -> Leadership;

    /// The leader's RPC address, `ip:port`.
    fn leader(&self) -> Option<String>;

    /// Waits until the leadership differs from what [`Consensus::leadership`] last said, or a moment has passed.
    fn leadership_changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// RPC addresses of the voters.
    fn peers(&self) -> Vec<String>;
}
