//! Why raft did not do what it was asked.

use std::path::PathBuf;

use crs_types::{Error, ErrorKind};

use crate::log::OpenError;
use crate::types::{ServerId, ServerNode};

/// Why a command was not applied, or may not have been.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposeError {
    /// Another server leads, or none. Nothing was changed; ask the leader.
    #[error("No cluster leader")]
    NotLeader {
        /// Who leads, if this server knows.
        leader: Option<(ServerId, ServerNode)>,
    },
    /// Leadership went while the command was on its way: it may be applied or not. Only an idempotent one may be tried
    /// again without looking.
    #[error("leadership was lost while the change was on its way; it may or may not have been made")]
    Unknown,
    /// Too much is waiting. Nothing was changed; try later.
    #[error("too many changes are waiting to be made; try again later")]
    Busy,
    /// The command is larger than any may be. Nothing was changed.
    #[error("the change has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The cluster does not allow it as things are. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// This server's raft has stopped, by request or by an error of its disk.
    #[error("this server has stopped taking part in its cluster: {0}")]
    Stopped(String),
}

impl ProposeError {
    /// What it is to the rest of the program.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ProposeError::NotLeader { .. } => ErrorKind::NoLeader,
            ProposeError::Unknown => ErrorKind::Unknown,
            ProposeError::Busy => ErrorKind::RateLimited,
            ProposeError::TooLarge { .. } => ErrorKind::TooLarge,
            ProposeError::Refused(_) => ErrorKind::Refused,
            ProposeError::Stopped(_) => ErrorKind::Internal,
        }
    }
}

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Self {
        Error::new(error.kind(), error.to_string())
    }
}

/// Why raft did not start. Nothing on disk was damaged.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the data directory.
    #[error("the data directory {} is in use by {}; stop that process first, or choose another data_dir", path.display(), holder(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that has it, if it says so.
        pid: Option<u32>,
    },
    /// The directory was written by a server with another id.
    #[error(
        "the data directory {} belongs to node {found}, and this is node {expected}; set node_id to {found}, or choose \
         another data_dir", path.display()
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: ServerId,
        /// Who this is.
        expected: ServerId,
    },
    /// The identity file is not one.
    #[error("{} is not what crs wrote there: {problem}; restore it, or empty the data directory", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What about it.
        problem: String,
    },
    /// The directory cannot be used.
    #[error("the data directory {} cannot be used: {error}; {}", path.display(), advice(error))]
    Directory {
        /// The directory or a file in it.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        error: std::io::Error,
    },
    /// There is no space left to begin with.
    #[error("the data directory {} has no space left: {error}; free some, or choose another data_dir", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        error: std::io::Error,
    },
    /// The log or the snapshot cannot be read.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// The state could not be brought back from snapshot and log.
    #[error("the state could not be brought back from {path}: {problem}")]
    State {
        /// Where it was looked for.
        path: String,
        /// What went wrong.
        problem: String,
    },
    /// The timings make no sense together.
    #[error("raft timings: {0}")]
    Timings(String),
    /// A thread could not be started.
    #[error("starting a thread: {0}")]
    Thread(#[source] std::io::Error),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "give its ownership to the user that crs runs as",
        std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => "it must be a directory",
        std::io::ErrorKind::ReadOnlyFilesystem => "its file system must be writable",
        _ => "see what the operating system says about it",
    }
}
