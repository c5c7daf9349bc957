//! Why a log does not open.

use std::io;

use crate::codec::CodecError;

/// Why the log or the snapshots in a data directory cannot be used. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A record that was known to be on disk is no longer what was written: the disk lost or changed data.
    #[error(
        "{file} is damaged at byte {offset}: a record that was safely on disk no longer reads back; \
         restore this server from a snapshot, or empty its data directory and let it join its cluster again"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
    },
    /// A file between others is gone.
    #[error(
        "{file} is missing: entries {from} to {to} of the log were in it; put the file back, or empty the data \
         directory and let this server join its cluster again"
    )]
    Missing {
        /// The file that should be there.
        file: String,
        /// First lost entry.
        from: u64,
        /// Last lost entry.
        to: u64,
    },
    /// Something another version wrote, or something that makes no sense though its checksum is right.
    #[error("{file} {problem} (at byte {offset}); use the version of crs that wrote it, or a newer one")]
    Format {
        /// The file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What about it.
        problem: CodecError,
    },
    /// The operating system refused.
    #[error("{what}: {error}")]
    Io {
        /// What was tried, with the file.
        what: String,
        /// Its answer.
        #[source]
        error: io::Error,
    },
}

impl OpenError {
    /// For `map_err`: says what was tried when the operating system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
        let what = what.into();
        move |error| OpenError::Io { what, error }
    }
}
