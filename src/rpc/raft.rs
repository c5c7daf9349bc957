//! Raft between servers of crs, on the same port: a selector of its own, frames with a length, raft's own bytes in them.
//!
//! ```text
//! frame     length (4 bytes, big-endian), bytes
//! call      byte 1, frame                             → frame
//! snapshot  byte 2, frame, frames ..., empty frame    → frame
//! ```
//!
//! Calls follow each other on a connection; heartbeats have connections of their own, so that they do not wait behind
//! entries, and so has every snapshot. What raft may be told twice, so a call on a kept connection that turns out to be
//! dead is made again on a fresh one at once: a restarted peer is not left out because of what was kept of it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use crs_raft::{Lane, Network, Raft, ServerId, ServerNode, SnapshotReader, Unreached};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::channel::BoxedIo;
use crate::dial::{Dialer, Target};
use crate::dispatch::RaftInlet;
use crate::selector::Selector;

const CALL: u8 = 1;
const SNAPSHOT: u8 = 2;

/// Largest frame. Raft sends entries of 2 MiB at a time, or a single larger one.
const FRAME_BYTES: usize = 64 << 20;

/// Longest wait for the rest of a frame.
const STALL: Duration = Duration::from_secs(30);

/// Idle connections kept per server and lane.
const KEPT: usize = 2;

/// Finds a server's address now; what the membership remembers of it is a hint.
pub type Locate = dyn Fn(ServerId, &ServerNode) -> Option<Target> + Send + Sync;

/// Carries raft's messages to other servers.
pub struct RaftTransport {
    dialer: Dialer,
    locate: Box<Locate>,
    kept: Mutex<HashMap<(SocketAddr, bool), Vec<BoxedIo>>>,
}

impl std::fmt::Debug for RaftTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RaftTransport").field("dialer", &self.dialer).finish_non_exhaustive()
    }
}

impl RaftTransport {
    /// `locate` asks gossip.
    pub fn new(
        dialer: Dialer,
        locate: impl Fn(ServerId, &ServerNode) -> Option<Target> + Send + Sync + 'static,
    ) -> Self {
        RaftTransport { dialer, locate: Box::new(locate), kept: Mutex::default() }
    }

    fn target(&self, to: ServerId, node: &ServerNode) -> Result<Target, Unreached> {
        (self.locate)(to, node)
            .ok_or_else(|| Unreached(format!("server {to} ({}) is nowhere to be found", node.name)))
    }

    fn take(&self, key: (SocketAddr, bool)) -> Option<BoxedIo> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key)?.pop()
    }

    fn keep(&self, key: (SocketAddr, bool), io: BoxedIo) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.entry(key).or_default();
        if kept.len() < KEPT {
            kept.push(io);
        }
    }

    /// Nothing that was kept of a server is good any more.
    fn forget(&self, address: SocketAddr) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != address);
    }

    async fn exchange(&self, target: &Target, lane: Lane, request: &[u8]) -> io::Result<Bytes> {
        let key = (target.address, lane == Lane::Signals);
        if let Some(mut io) = self.take(key) {
            match round_trip(&mut io, request).await {
                Ok(answer) => {
                    self.keep(key, io);
                    return Ok(answer);
                }
                Err(_) => self.forget(target.address),
            }
        }
        let mut io = self.dialer.dial(target, Selector::Raft).await?;
        let answer = round_trip(&mut io, request).await?;
        self.keep(key, io);
        Ok(answer)
    }

    async fn send(&self, target: &Target, request: &[u8], snapshot: SnapshotReader) -> io::Result<Bytes> {
        let io = self.dialer.dial(target, Selector::Raft).await?;
        let (mut reader, mut writer) = tokio::io::split(io);
        let answer = read_frame(&mut reader);
        let send = async {
            let mut head = BytesMut::from(&[SNAPSHOT][..]);
            put_frame(request, &mut head)?;
            writer.write_all(&head).await?;
            let mut snapshot = snapshot;
            loop {
                // The disk is read on a thread that raft does not wait for.
                let (rest, chunk) = spawn_blocking(move || {
                    let chunk = snapshot.next_chunk();
                    (snapshot, chunk)
                })
                .await?;
                snapshot = rest;
                let chunk = chunk?;
                let mut frame = BytesMut::new();
                put_frame(chunk.as_deref().unwrap_or_default(), &mut frame)?;
                timeout(STALL, writer.write_all(&frame)).await??;
                if chunk.is_none() {
                    return timeout(STALL, writer.flush()).await?;
                }
            }
        };
        tokio::pin!(answer);
        // A refusal comes before everything was sent.
        tokio::select! {
            answer = &mut answer => answer?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            sent = send => {
                sent?;
                answer.await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

impl Network for RaftTransport {
    fn call<'a>(
        &'a self,
        to: ServerId,
        node: &'a ServerNode,
        lane: Lane,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>> {
        Box::pin(async move {
            let target = self.target(to, node)?;
            match timeout(limit, self.exchange(&target, lane, &request)).await {
                Ok(result) => result.map_err(|error| unreached(&target, &error)),
                Err(_) => Err(Unreached(format!("{}: no answer in time", target.address))),
            }
        })
    }

    fn send_snapshot<'a>(
        &'a self,
        to: ServerId,
        node: &'a ServerNode,
        request: Bytes,
        snapshot: SnapshotReader,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>> {
        Box::pin(async move {
            let target = self.target(to, node)?;
            match timeout(limit, self.send(&target, &request, snapshot)).await {
                Ok(result) => result.map_err(|error| unreached(&target, &error)),
                Err(_) => Err(Unreached(format!("{}: no answer in time", target.address))),
            }
        })
    }
}

fn unreached(target: &Target, error: &io::Error) -> Unreached {
    Unreached(format!("{}: {error}", target.address))
}

async fn round_trip(io: &mut BoxedIo, request: &[u8]) -> io::Result<Bytes> {
    let mut message = BytesMut::from(&[CALL][..]);
    put_frame(request, &mut message)?;
    io.write_all(&message).await?;
    io.flush().await?;
    read_frame(io).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn put_frame(bytes: &[u8], out: &mut BytesMut) -> io::Result<()> {
    if bytes.len() > FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a raft message larger than a frame"));
    }
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// `None` at the end of the connection.
async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
    let mut head = [0; 4];
    if io.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    let rest = async {
        io.read_exact(&mut head[1..]).await?;
        let len = u32::from_be_bytes(head) as usize;
        if len > FRAME_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a raft message larger than a frame"));
        }
        // Memory is taken as the bytes arrive, not as they are announced.
        let mut bytes = BytesMut::new();
        let mut rest = io.take(len as u64);
        while bytes.len() < len {
            bytes.reserve((len - bytes.len()).min(256 * 1024));
            if rest.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Some(bytes.freeze()))
    };
    timeout(STALL, rest).await?
}

/// The far end: hands messages to this server's raft.
pub struct RaftService {
    raft: Raft,
}

impl std::fmt::Debug for RaftService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RaftService")
    }
}

impl RaftService {
    /// For a listener.
    pub fn new(raft: Raft) -> Arc<Self> {
        Arc::new(RaftService { raft })
    }

    async fn serve(&self, mut io: BoxedIo) -> io::Result<()> {
        loop {
            let mut kind = [0];
            if io.read(&mut kind).await? == 0 {
                return Ok(());
            }
            let request = timeout(STALL, read_frame(&mut io)).await??.ok_or(io::ErrorKind::UnexpectedEof)?;
            match kind[0] {
                CALL => {
                    let answer = self.raft.handle(request).await;
                    write_answer(&mut io, &answer).await?;
                }
                SNAPSHOT => {
                    let answer = self.receive(&mut io, request).await?;
                    write_answer(&mut io, &answer).await?;
                    // One snapshot per connection: after a refusal the rest of it is still on its way.
                    return drain(&mut io).await;
                }
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "neither a call nor a snapshot")),
            }
        }
    }

    async fn receive(&self, io: &mut BoxedIo, request: Bytes) -> io::Result<Bytes> {
        let mut receiver = match self.raft.receive_snapshot(request) {
            Ok(receiver) => receiver,
            Err(refusal) => return Ok(refusal),
        };
        loop {
            let chunk = timeout(STALL, read_frame(io)).await??.ok_or(io::ErrorKind::UnexpectedEof)?;
            if chunk.is_empty() {
                return Ok(receiver.finish().await);
            }
            let (rest, written) = spawn_blocking(move || {
                let written = receiver.write(&chunk);
                (receiver, written)
            })
            .await?;
            receiver = rest;
            if let Err(refusal) = written {
                return Ok(refusal);
            }
        }
    }
}

async fn write_answer(io: &mut (impl AsyncWrite + Unpin), answer: &[u8]) -> io::Result<()> {
    let mut frame = BytesMut::new();
    put_frame(answer, &mut frame)?;
    timeout(STALL, async {
        io.write_all(&frame).await?;
        io.flush().await
    })
    .await?
}

/// Reads what still comes, so that closing does not destroy the answer on its way.
async fn drain(io: &mut BoxedIo) -> io::Result<()> {
    io.shutdown().await?;
    let mut waste = vec![0; 64 * 1024];
    while timeout(STALL, io.read(&mut waste)).await?? > 0 {}
    Ok(())
}

impl RaftInlet for RaftService {
    fn accept(&self, io: BoxedIo, peer: SocketAddr) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.serve(io).await {
                tracing::debug!(%peer, %error, "Raft connection ended");
            }
        })
    }
}
