//! One session: requests and answers in turn on one stream.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crs_types::{Error, ErrorKind};
use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::channel::{Budget, Channel, ChannelError, Charge, Io};
use crate::codec::{Encoder, decode};
use crate::dispatch::{Call, Dispatch};
use crate::envelope::{RequestHeader, put_response};
use crate::methods::Kind;

/// Largest header of a request: a method's name and a number.
const HEADER_BYTES: usize = 4096;

/// A slow peer has so long for the rest of a request once it began, and for taking an answer.
const MESSAGE_TIME: Duration = Duration::from_secs(60);

/// What all sessions of a server share.
pub(crate) struct Sessions {
    pub(crate) dispatch: Arc<dyn Dispatch>,
    pub(crate) request_bytes: usize,
    pub(crate) budget: Budget,
    /// Calls at a time over all connections.
    pub(crate) calls: Semaphore,
    /// Once cancelled, sessions end after the answer they are at.
    pub(crate) stopping: CancellationToken,
}

impl Sessions {
    /// Serves a session to its end. `Err` says what the peer did wrong.
    pub(crate) async fn serve<T: Io>(
        &self,
        io: T,
        peer: SocketAddr,
        open_tls: bool,
    ) -> Result<(), ChannelError> {
        let mut channel = Channel::new(io);
        loop {
            let arrived = tokio::select! {
                arrived = channel.arrives() => arrived,
                () = self.stopping.cancelled() => false,
            };
            if !arrived {
                break;
            }
            let mut charge = Charge::default();
            let request = timeout(MESSAGE_TIME, self.request(&mut channel, &mut charge)).await;
            let (header, body) = request.map_err(std::io::Error::from)??;
            let call = Call { method: header.method, body, peer, open_tls };
            let method = call.method.clone();
            let Some(result) = self.handle(call, &mut channel).await else { return Ok(()) };
            drop(charge);
            let mut out = Encoder::new();
            put_response(&method, header.seq, result.as_deref(), &mut out);
            let written = timeout(MESSAGE_TIME, channel.write(&out.into_bytes())).await;
            written.map_err(std::io::Error::from)??;
        }
        channel.finish().await;
        Ok(())
    }

    async fn request<T: Io>(
        &self,
        channel: &mut Channel<T>,
        charge: &mut Charge,
    ) -> Result<(RequestHeader, Bytes), ChannelError> {
        let header = channel.read_value(HEADER_BYTES).await?.ok_or(ChannelError::Eof)?;
        let header = decode(&header)?;
        let body = channel.read_charged(self.request_bytes, Some(&self.budget), charge).await?;
        Ok((header, body.ok_or(ChannelError::Eof)?))
    }

    /// The answer; `None` if nobody waits for it any more.
    async fn handle<T: Io>(&self, call: Call, channel: &mut Channel<T>) -> Option<Result<Bytes, Error>> {
        let Ok(_turn) = self.calls.try_acquire() else {
            return Some(Err(Error::new(ErrorKind::RateLimited, "RPC rate limit exceeded")));
        };
        let (kind, method) = (call.kind(), call.method.clone());
        let handler = AssertUnwindSafe(async { self.dispatch.call(call).await }).catch_unwind();
        tokio::pin!(handler);
        let result = tokio::select! {
            // The handler first: what can be answered at once is, also for those who said that they will say no more.
            biased;
            result = &mut handler => result,
            // A peer that sends its next request early is there; so is one that sends nothing.
            there = channel.arrives(), if kind == Kind::Read && !channel.has_ahead() => {
                if !there {
                    return None;
                }
                handler.await
            }
        };
        Some(result.unwrap_or_else(|_| {
            // The panic hook has logged where and why.
            tracing::error!(%method, "Handler of an RPC panicked");
            Err(Error::internal(format!("{method}: the handler failed; the server's log says where")))
        }))
    }
}
