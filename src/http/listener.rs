//! Sockets and connections: who may connect, how long a silent one is kept, and how all of it ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::api::Api;
use crate::call::Peer;
use crate::route::Router;

/// A bound socket.
#[derive(Debug)]
pub enum Bound {
    /// An IP socket.
    Tcp(TcpListener),
    /// A unix socket and its file, removed at the end.
    Unix(UnixListener, PathBuf),
}

impl Bound {
    /// Binds an IP socket.
    ///
    /// # Errors
    /// Those of the system, naming the address.
    pub async fn tcp(address: SocketAddr) -> io::Result<Bound> {
        let bound = TcpListener::bind(address).await;
        bound.map(Bound::Tcp).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    }

    /// Binds a unix socket in place of whatever socket an earlier process left there, with its mode and owner.
    ///
    /// # Errors
    /// Those of the system, naming the file; a file there that is no socket is one.
    pub fn unix(path: PathBuf, mode: Option<u32>, owner: (Option<u32>, Option<u32>)) -> io::Result<Bound> {
        use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(&path).map_err(named)?,
            Ok(_) => {
                return Err(named(io::Error::other(
                    "is there and is no socket; remove it or choose another",
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(error)),
        }
        let listener = UnixListener::bind(&path).map_err(named)?;
        if owner != (None, None) {
            std::os::unix::fs::chown(&path, owner.0, owner.1).map_err(named)?;
        }
        if let Some(mode) = mode {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(named)?;
        }
        Ok(Bound::Unix(listener, path))
    }

    /// What it listens on, for the banner.
    pub fn address(&self) -> String {
        match self {
            Bound::Tcp(listener) => listener.local_addr().map_or_else(|_| "?".to_owned(), |a| a.to_string()),
            Bound::Unix(_, path) => format!("unix://{}", path.display()),
        }
    }

    /// The port, of an IP socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix(..) => None,
        }
    }
}

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct ListenLimits {
    /// `limits.http_max_conns_per_client`: connections from one IP address; 0: no limit.
    pub max_conns_per_client: usize,
    /// A connection must send a request within this time, and each request's head must arrive within it.
    pub header_timeout: Duration,
    /// At the end, answers that are being written get this long.
    pub stop_grace: Duration,
}

impl Default for ListenLimits {
    fn default() -> Self {
        ListenLimits {
            max_conns_per_client: 200,
            header_timeout: Duration::from_secs(10),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// Serves a socket until `stopping`, then finishes what is under way within the grace. Blocked queries are woken by the
/// server's own stopping.
pub async fn serve(
    bound: Bound,
    api: Arc<Api>,
    router: Arc<Router>,
    limits: ListenLimits,
    stopping: CancellationToken,
) {
    let address = bound.address();
    let clients = Arc::new(Clients::default());
    let connections = TaskTracker::new();
    let shared = Arc::new(Shared { api, router, limits, stopping: stopping.clone() });
    info!(target: "agent.http", %address, "Started HTTP server");
    loop {
        let accepted = tokio::select! {
            accepted = accept(&bound) => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((Socket::Tcp(stream), peer)) => {
                let shared = shared.clone();
                let Some(place) = clients.admit(peer, shared.limits.max_conns_per_client) else {
                    connections.spawn(refuse(stream));
                    continue;
                };
                // Answers are small and go out whole: waiting to join them would only delay them.
                let _ = stream.set_nodelay(true);
                connections.spawn(async move {
                    shared.connection(stream, peer).await;
                    drop(place);
                });
            }
            Ok((Socket::Unix(stream), peer)) => {
                let shared = shared.clone();
                connections.spawn(async move { shared.connection(stream, peer).await });
            }
            Err(error) => {
                // Out of file handles, as a rule: to try again at once would only burn the processor.
                warn!(target: "agent.http", %address, %error, "Cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    if let Bound::Unix(_, path) = &bound {
        let _ = std::fs::remove_file(path);
    }
    drop(bound);
    connections.close();
    if tokio::time::timeout(shared.limits.stop_grace, connections.wait()).await.is_err() {
        warn!(target: "agent.http", %address, connections = connections.len(), "Stopped with requests under way");
    }
}

enum Socket {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(bound: &Bound) -> io::Result<(Socket, Peer)> {
    match bound {
        Bound::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            Ok((Socket::Tcp(stream), Peer::Tcp(address)))
        }
        Bound::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            Ok((Socket::Unix(stream), Peer::Unix))
        }
    }
}

/// Says no to a client with too many connections, without reading a word of it.
async fn refuse(mut stream: tokio::net::TcpStream) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 63\r\n\
        Connection: close\r\n\r\nYour IP is issuing too many concurrent connections, please rate";
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await
    })
    .await;
}

/// Connections by client.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

impl Clients {
    /// A place for one more connection of this client, as long as it is held.
    fn admit(self: &Arc<Self>, peer: Peer, max: usize) -> Option<Place> {
        let (Peer::Tcp(address), 1..) = (peer, max) else { return Some(Place(None)) };
        let ip = address.ip();
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(ip).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place(Some((self.clone(), ip))))
    }
}

struct Place(Option<(Arc<Clients>, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((clients, ip)) = self.0.take() else { return };
        let mut clients = clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&ip);
            }
        }
    }
}

struct Shared {
    api: Arc<Api>,
    router: Arc<Router>,
    limits: ListenLimits,
    stopping: CancellationToken,
}

impl Shared {
    /// One connection, whatever carries it: TLS wraps the stream before this.
    async fn connection<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let io = TokioIo::new(Watched { stream, activity: activity.clone() });
        let service = {
            let (api, router, activity) = (self.api.clone(), self.router.clone(), activity.clone());
            service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (api, router) = (api.clone(), router.clone());
                let running = Request::begin(&activity);
                async move {
                    let (parts, body) = request.into_parts();
                    let response = router.serve(&api, peer, parts, Body::new(body)).await;
                    drop(running);
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).title_case_headers(true);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
        let connection = builder.serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let mut silence = Silence::new(&activity);
        let mut tick = tokio::time::interval(self.limits.header_timeout);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.reset();
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(target: "agent.http", from = %peer, %error, "Connection ended");
                    }
                    return;
                }
                _ = tick.tick() => if silence.is_too_long(&activity) {
                    debug!(target: "agent.http", from = %peer, "Closed a connection without a whole request");
                    return;
                },
                () = self.stopping.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Requests at once on one HTTP/2 connection; it counts as one connection of its client.
const MAX_STREAMS: u32 = 200;

/// What a connection has done. One look now and then costs less than a timer for each request.
#[derive(Debug, Default)]
struct Activity {
    /// Reads that brought bytes.
    reads: AtomicU64,
    /// Requests begun.
    begun: AtomicU64,
    /// Requests ended.
    ended: AtomicU64,
    /// Value of `reads` when the last request began.
    reads_at_begin: AtomicU64,
}

/// A request under way, also one that is given up.
struct Request(Arc<Activity>);

impl Request {
    fn begin(activity: &Arc<Activity>) -> Request {
        activity.reads_at_begin.store(activity.reads.load(Ordering::Relaxed), Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Request(activity.clone())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Decides whether a connection keeps us waiting: it never asked, or it sends a request's head drop by drop. One that
/// rests between requests may rest as long as it likes.
struct Silence {
    begun: u64,
    was_dribbling: bool,
}

impl Silence {
    fn new(activity: &Activity) -> Silence {
        Silence { begun: activity.begun.load(Ordering::Relaxed), was_dribbling: true }
    }

    /// Asked once per header timeout.
    fn is_too_long(&mut self, activity: &Activity) -> bool {
        let begun = activity.begun.load(Ordering::Relaxed);
        let idle = begun == activity.ended.load(Ordering::Relaxed);
        let unused = begun == 0;
        let fed = activity.reads.load(Ordering::Relaxed) > activity.reads_at_begin.load(Ordering::Relaxed);
        let dribbling = idle && (unused || fed);
        let too_long = dribbling && self.was_dribbling && begun == self.begun;
        self.begun = begun;
        self.was_dribbling = dribbling;
        too_long
    }
}

/// Counts what is read.
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.reads.fetch_add(1, Ordering::Relaxed);
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
