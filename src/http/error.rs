//! What a failed request answers: one table from kinds to statuses, and Consul's texts.

use std::borrow::Cow;

use crs_types::{Error, ErrorKind};
use http::StatusCode;

/// Why a request has no proper answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the client decides on.
    pub status: StatusCode,
    /// What the client reads: plain text, no newline.
    pub text: Cow<'static, str>,
    /// Consul shows index headers even on errors where it had begun to read.
    pub shows_index: bool,
}

impl Failure {
    /// A failure that is about HTTP itself.
    pub fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Failure {
        Failure { status, text: text.into(), shows_index: false }
    }

    /// 400 with this text.
    pub fn bad_request(text: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, text)
    }

    /// 500 with this text: Consul's way of refusing what it understood.
    pub fn refused(text: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// The same with `X-Consul-Index: 1` and `X-Consul-Knownleader: false`.
    pub fn showing_index(mut self) -> Failure {
        self.shows_index = true;
        self
    }
}

/// The table. Every kind has its row; there is no other.
pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::PermissionDenied | ErrorKind::AclNotFound => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Refused
        | ErrorKind::NoLeader
        | ErrorKind::NoServers
        | ErrorKind::NoPathToDatacenter
        | ErrorKind::Unknown
        | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(status(error.kind), error.text)
    }
}
