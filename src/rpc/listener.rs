//! The `server` port: takes connections, reads their first byte, hands each to who speaks it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use crs_types::Error;
use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::channel::{BoxedIo, Budget, Channel};
use crate::codec::decode;
use crate::dial::prepare;
use crate::dispatch::{Dispatch, RaftInlet};
use crate::mux::{MuxError, MuxLimits, Side, session};
use crate::selector::Selector;
use crate::session::Sessions;
use crate::snapshot::{self, Archive, SnapshotRequest};
use crate::tls::Tls;

/// What peers may do to the port.
#[derive(Clone, Copy, Debug)]
pub struct ListenerLimits {
    /// `limits.rpc_handshake_timeout`: for the first byte, and for TLS.
    pub handshake_timeout: Duration,
    /// `limits.rpc_max_conns_per_client`, by IP address.
    pub connections_per_client: usize,
    /// Over all clients.
    pub connections: usize,
    /// Largest request. Larger than the largest value, and than a transaction.
    pub request_bytes: usize,
    /// Memory for requests under way over all connections; small requests are free.
    pub requests_bytes: usize,
    /// Calls at a time over all connections, blocking queries included.
    pub calls: usize,
    /// Of each connection with streams.
    pub mux: MuxLimits,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        ListenerLimits {
            handshake_timeout: Duration::from_secs(5),
            connections_per_client: 100,
            connections: 16 * 1024,
            request_bytes: 8 << 20,
            requests_bytes: 256 << 20,
            calls: 256 * 1024,
            mux: MuxLimits::default(),
        }
    }
}

/// The port's server. Shared by reference.
pub struct Listener {
    sessions: Arc<Sessions>,
    raft: Option<Arc<dyn RaftInlet>>,
    tls: Arc<ArcSwap<Tls>>,
    limits: ListenerLimits,
    clients: Mutex<HashMap<IpAddr, usize>>,
    places: Semaphore,
    stopping: CancellationToken,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A connection's place among those of its client; given back when dropped.
struct Place {
    listener: Arc<Listener>,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.listener.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
        self.listener.places.add_permits(1);
    }
}

impl Listener {
    /// Methods go to `dispatch`, raft to `raft`; without it, connections of raft are closed.
    pub fn new(
        dispatch: Arc<dyn Dispatch>,
        raft: Option<Arc<dyn RaftInlet>>,
        tls: Arc<ArcSwap<Tls>>,
        limits: ListenerLimits,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        let sessions = Sessions {
            dispatch,
            request_bytes: limits.request_bytes,
            budget: Budget::new(limits.requests_bytes),
            calls: Semaphore::new(limits.calls.min(Semaphore::MAX_PERMITS)),
            stopping: stopping.clone(),
        };
        Arc::new(Listener {
            sessions: Arc::new(sessions),
            raft,
            tls,
            limits,
            clients: Mutex::default(),
            places: Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)),
            stopping,
        })
    }

    /// Serves a bound socket until it is told to stop; then ends its connections: agents are asked to open no more
    /// streams, and what is under way has a moment.
    pub async fn serve(self: Arc<Self>, socket: TcpListener, grace: Duration) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.stopping.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = self.place(peer.ip()) else {
                        tracing::debug!(%peer, "Connection closed: too many of this client");
                        continue;
                    };
                    let listener = self.clone();
                    let ended = CancellationToken::clone(&self.stopping);
                    connections.spawn(async move {
                        let _place = place;
                        let served = async {
                            if let Err(error) = listener.connection(stream, peer).await {
                                tracing::debug!(%peer, %error, "RPC connection ended");
                            }
                        };
                        tokio::select! {
                            () = served => {}
                            // Who has not finished by then is cut off.
                            () = async { ended.cancelled().await; sleep(grace).await } => {}
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, as a rule; waiting is all that helps.
                    tracing::warn!(%error, "Cannot accept an RPC connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(socket);
        connections.close();
        connections.wait().await;
    }

    /// How many connections there are, by client.
    pub fn connections(&self) -> HashMap<IpAddr, usize> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn place(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let permit = self.places.try_acquire().ok()?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_default();
        if *count >= self.limits.connections_per_client {
            return None;
        }
        *count += 1;
        permit.forget();
        Some(Place { listener: self.clone(), client })
    }

    async fn connection(&self, mut stream: TcpStream, peer: SocketAddr) -> Result<(), io::Error> {
        prepare(&stream)?;
        let tls = self.tls.load_full();
        match self.selector(&mut stream).await? {
            Selector::Tls => {
                let mut io = self.accept_tls(tls.accept.as_ref(), stream).await?;
                match self.selector(&mut io).await? {
                    Selector::Tls | Selector::OpenTls => Err(refused("TLS within TLS")),
                    inner => self.speak(inner, io, peer).await,
                }
            }
            Selector::OpenTls => {
                let io = self.accept_tls(tls.accept_open.as_ref(), stream).await?;
                self.sessions.serve(io, peer, true).await.map_err(io::Error::other)
            }
            _ if tls.require_incoming => Err(refused("it does not use TLS, and verify_incoming is set")),
            selector => self.speak(selector, Box::new(stream), peer).await,
        }
    }

    async fn selector(&self, io: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Selector> {
        let byte = timeout(self.limits.handshake_timeout, io.read_u8()).await??;
        Selector::from_byte(byte).ok_or_else(|| refused(format!("it begins with byte {byte:#04x}")))
    }

    async fn accept_tls(&self, config: Option<&Arc<ServerConfig>>, stream: TcpStream) -> io::Result<BoxedIo> {
        let config = config.ok_or_else(|| refused("it uses TLS, and there is no certificate here"))?;
        let accepted = TlsAcceptor::from(config.clone()).accept(stream);
        Ok(Box::new(timeout(self.limits.handshake_timeout, accepted).await??))
    }

    async fn speak(&self, selector: Selector, io: BoxedIo, peer: SocketAddr) -> io::Result<()> {
        match selector {
            Selector::Rpc => self.sessions.serve(io, peer, false).await.map_err(io::Error::other),
            Selector::Mux => self.streams(io, peer).await,
            Selector::Snapshot => self.snapshot(io, peer).await,
            Selector::Raft => match &self.raft {
                Some(raft) => {
                    raft.accept(io, peer).await;
                    Ok(())
                }
                None => Err(refused("it speaks raft, and this is no raft server")),
            },
            Selector::Tls | Selector::OpenTls => Err(refused("TLS within TLS")),
        }
    }

    async fn streams(&self, io: BoxedIo, peer: SocketAddr) -> io::Result<()> {
        let (mux, mut incoming, driver) = session(io, Side::Server, self.limits.mux);
        let streams = TaskTracker::new();
        let accept = async {
            while let Some(stream) = incoming.accept().await {
                let sessions = self.sessions.clone();
                streams.spawn(async move {
                    if let Err(error) = sessions.serve(stream, peer, false).await {
                        tracing::debug!(%peer, %error, "RPC stream ended");
                    }
                });
            }
        };
        let leave = async {
            self.stopping.cancelled().await;
            mux.go_away();
            streams.close();
            streams.wait().await;
            mux.close();
            std::future::pending::<()>().await;
        };
        // The end of the driver is the end of the streams and their sessions.
        let error = tokio::select! {
            error = driver => error,
            () = async { tokio::join!(accept, leave); } => MuxError::Closed,
        };
        streams.close();
        streams.wait().await;
        if error == MuxError::Closed { Ok(()) } else { Err(error.into()) }
    }

    async fn snapshot(&self, io: BoxedIo, peer: SocketAddr) -> io::Result<()> {
        let mut channel = Channel::new(io);
        let header =
            timeout(self.limits.handshake_timeout, channel.read_value(snapshot::HEADER_BYTES)).await?;
        let header = header.map_err(io::Error::other)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let request: SnapshotRequest = decode(&header).map_err(io::Error::other)?;
        let mut archive = Archive::new(channel);
        let result = match request.op {
            snapshot::SAVE | snapshot::RESTORE => {
                self.sessions.dispatch.snapshot(peer, request, &mut archive).await
            }
            op => Err(Error::refused(format!("unrecognized snapshot op {op}"))),
        };
        let refused = result.is_err();
        let mut channel = archive.into_channel();
        snapshot::respond(&mut channel, result).await?;
        if refused {
            // What the peer still sends is read, or closing would destroy the answer on its way.
            while let Ok(true) = timeout(self.limits.handshake_timeout, channel.discard()).await {}
        }
        Ok(())
    }
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, why.into())
}
