//! Snapshots there and back: a connection of its own for each, a header either way, then the archive's bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use crs_types::{Datacenter, Secret};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::blocks::ReplyMeta;
use crate::channel::{BoxedIo, Channel};
use crate::codec::{decode, encode, record};
use crate::dial::{Dialer, Target};
use crate::envelope::kind_of_text;
use crate::pool::CallError;
use crate::selector::Selector;

/// Longest wait for the next bytes of an archive.
const STALL: Duration = Duration::from_secs(30);

/// Longest wait for a server to begin with its answer: it may have to make the snapshot, or to restore it.
const ANSWER: Duration = Duration::from_secs(300);

/// Largest header.
pub(crate) const HEADER_BYTES: usize = 64 * 1024;

record! {
    /// What is asked for.
    pub struct SnapshotRequest {
        "Datacenter" datacenter: Datacenter,
        "Token" token: Secret<String>,
        "AllowStale" allow_stale: bool,
        /// 0: save, 1: restore.
        "Op" op: u64,
    }

    /// What comes before the archive.
    pub struct SnapshotHeader {
        /// Empty: it went well. Otherwise nothing follows.
        "Error" error: String,
        ..meta: ReplyMeta,
    }
}

/// `Op`: the archive comes back.
pub const SAVE: u64 = 0;
/// `Op`: the archive is sent.
pub const RESTORE: u64 = 1;

/// Asks a server for a snapshot: how it was made, and the archive to be read to its end. An archive that was cut
/// short shows in its checksums only.
///
/// # Errors
/// See [`CallError`].
pub async fn save(
    dialer: &Dialer,
    target: &Target,
    request: &SnapshotRequest,
) -> Result<(ReplyMeta, Archive), CallError> {
    let request = SnapshotRequest { op: SAVE, ..request.clone() };
    let mut channel = open(dialer, target, &request).await?;
    channel.finish().await;
    let meta = answer(&mut channel).await?;
    Ok((meta, Archive::new(channel)))
}

/// Gives a server an archive to restore.
///
/// # Errors
/// See [`CallError`].
pub async fn restore(
    dialer: &Dialer,
    target: &Target,
    request: &SnapshotRequest,
    archive: &mut (impl AsyncRead + Unpin),
) -> Result<ReplyMeta, CallError> {
    let request = SnapshotRequest { op: RESTORE, ..request.clone() };
    let mut channel = open(dialer, target, &request).await?;
    let sent = copy(archive, &mut channel).await;
    channel.finish().await;
    // A server that refuses says so before it has read everything.
    match (answer(&mut channel).await, sent) {
        (Ok(meta), Ok(())) => Ok(meta),
        (Ok(_), Err(error)) => Err(lost(error)),
        (Err(error), _) => Err(error),
    }
}

fn lost(error: impl ToString) -> CallError {
    CallError::Lost(error.to_string())
}

async fn open(
    dialer: &Dialer,
    target: &Target,
    request: &SnapshotRequest,
) -> Result<Channel<BoxedIo>, CallError> {
    let io = dialer.dial(target, Selector::Snapshot).await;
    let io = io.map_err(|error| CallError::NotSent(format!("dial tcp {}: {error}", target.address)))?;
    let mut channel = Channel::new(io);
    timeout(STALL, channel.write(&encode(request))).await.map_err(lost)?.map_err(lost)?;
    Ok(channel)
}

async fn answer(channel: &mut Channel<BoxedIo>) -> Result<ReplyMeta, CallError> {
    let header = timeout(ANSWER, channel.read_value(HEADER_BYTES)).await.map_err(|_| CallError::TimedOut)?;
    let header = header.map_err(lost)?.ok_or_else(|| lost("EOF"))?;
    let header: SnapshotHeader = decode(&header).map_err(|e| CallError::Malformed(e.to_string()))?;
    if header.error.is_empty() {
        return Ok(header.meta);
    }
    Err(CallError::Remote(crs_types::Error::new(kind_of_text(&header.error), header.error)))
}

/// Copies an archive, waiting for each step a bounded time.
pub(crate) async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut Channel<BoxedIo>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = match from.read(&mut buffer).await? {
            0 => return Ok(()),
            len => len,
        };
        timeout(STALL, to.write(&buffer[..len])).await??;
    }
}

/// An archive as it arrives. A peer that falls silent within it is an error.
pub struct Archive {
    ahead: Bytes,
    io: BoxedIo,
    stall: Pin<Box<Sleep>>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Archive")
    }
}

impl Archive {
    pub(crate) fn new(channel: Channel<BoxedIo>) -> Self {
        let (io, ahead) = channel.into_parts();
        Archive { ahead, io, stall: Box::pin(sleep(STALL)) }
    }

    pub(crate) fn into_channel(self) -> Channel<BoxedIo> {
        Channel::new(self.io)
    }
}

impl AsyncRead for Archive {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let archive = self.get_mut();
        if archive.ahead.has_remaining() {
            let len = archive.ahead.len().min(buf.remaining());
            buf.put_slice(&archive.ahead.split_to(len));
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut archive.io).poll_read(cx, buf);
        if read.is_ready() {
            archive.stall.as_mut().reset(Instant::now() + STALL);
            return read;
        }
        match archive.stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Says how it went, and sends the archive if there is one.
pub(crate) async fn respond(
    channel: &mut Channel<BoxedIo>,
    result: Result<(ReplyMeta, Option<BoxedArchive>), crs_types::Error>,
) -> io::Result<()> {
    let (header, archive) = match result {
        Ok((meta, archive)) => (SnapshotHeader { error: String::new(), meta }, archive),
        Err(error) => (SnapshotHeader { error: error.text, ..Default::default() }, None),
    };
    timeout(STALL, channel.write(&encode(&header))).await??;
    if let Some(mut archive) = archive {
        copy(&mut archive, channel).await?;
    }
    channel.finish().await;
    Ok(())
}

/// An archive to be sent.
pub type BoxedArchive = Box<dyn AsyncRead + Send + Unpin>;
