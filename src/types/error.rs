//! Domain errors as they cross from room to room: a kind that code decides on, and a text that people and clients read.

use std::fmt;

/// What went wrong, as far as a caller may decide on it. `http` maps each kind to a status in one exhaustive match.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong; nothing was changed, a retry cannot help. HTTP 400.
    BadRequest,
    /// The request is understood and refused as Consul refuses it with 500; nothing was changed.
    Refused,
    /// The named thing is not there. HTTP 404.
    NotFound,
    /// The token lacks a right. HTTP 403.
    PermissionDenied,
    /// No such token. HTTP 403.
    AclNotFound,
    /// Something is larger than its limit. HTTP 413.
    TooLarge,
    /// Too many requests; a retry later can help. HTTP 429.
    RateLimited,
    /// No leader is known; a retry can help. HTTP 500.
    NoLeader,
    /// No server is known, or none can be reached; a retry can help. HTTP 500.
    NoServers,
    /// No way to the datacenter. HTTP 500.
    NoPathToDatacenter,
    /// The write may or may not have happened: the leader was lost meanwhile. HTTP 500.
    Unknown,
    /// A fault of this process or its disk. HTTP 500.
    Internal,
}

/// An error of the domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// What to decide on.
    pub kind: ErrorKind,
    /// What to read; where Consul has a text that clients parse, exactly that text.
    pub text: String,
}

impl Error {
    /// An error with its text.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Error { kind, text: text.into() }
    }

    /// HTTP 400 with this text.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, text)
    }

    /// HTTP 500 with this text: Consul's way of refusing a request.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, text)
    }

    /// HTTP 404 with this text.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, text)
    }

    /// A fault of our own.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, text)
    }

    /// Consul's text for the absence of a leader.
    pub fn no_leader() -> Self {
        Self::new(ErrorKind::NoLeader, "No cluster leader")
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::RateLimited | ErrorKind::NoLeader | ErrorKind::NoServers)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
