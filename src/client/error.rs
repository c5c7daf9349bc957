//! What can go wrong, in the words that scripts around Consul know.

use std::io;

/// Why there is no answer, or not the one asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The client cannot be made as it was asked for. Nothing was sent.
    #[error("{0}")]
    Setup(String),
    /// No answer. A request that changes something may have been done or not; a retry can help.
    #[error("{method} \"{url}\": {why}")]
    Transport {
        /// `Get`, `Put`, ...
        method: String,
        /// The whole URL, without a token.
        url: String,
        /// What the system or the peer said.
        why: String,
    },
    /// An answer other than success.
    #[error("Unexpected response code: {code} ({body})")]
    Status {
        /// HTTP status.
        code: u16,
        /// What it said.
        body: String,
    },
    /// An answer that cannot be read.
    #[error("{0}")]
    Decode(String),
}

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Setup(_) | Error::Decode(_) => false,
            Error::Transport { .. } => true,
            Error::Status { code, .. } => *code >= 500 || *code == 429,
        }
    }

    /// The HTTP status, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Status { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// An error of the system as Go prints it: lower case, without the number.
pub fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
