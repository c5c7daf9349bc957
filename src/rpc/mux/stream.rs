//! One stream, to be read and written like a connection of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::Shared;

/// A stream of a [`super::Mux`]. Dropped before both sides shut it down, it is reset.
#[derive(Debug)]
pub struct MuxStream {
    shared: Arc<Shared>,
    id: u32,
}

impl MuxStream {
    pub(super) fn new(shared: Arc<Shared>, id: u32) -> Self {
        MuxStream { shared, id }
    }

    /// Its number on the connection.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|core| core.poll_read(self.id, cx, buf)).map_err(io::Error::from)
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.with(|core| core.poll_write(self.id, cx, data)).map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|core| core.poll_flush(self.id, cx)).map_err(io::Error::from)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared
            .with(|core| {
                core.finish(self.id);
                core.poll_flush(self.id, cx)
            })
            .map_err(io::Error::from)
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        self.shared.with(|core| core.release(self.id));
    }
}
