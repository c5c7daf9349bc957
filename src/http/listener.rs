//! Sockets and connections: who may connect, how long a silent one is kept, and how all of it ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Body as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::MissedTickBehavior;
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
    let tasks = TaskTracker::new();
    let shared = Arc::new(Shared { api, router, connections: Connections::default() });
    info!(target: "agent.http", %address, "Started HTTP server");
    let mut look = tokio::time::interval(limits.header_timeout);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&bound) => accepted,
            _ = look.tick() => {
                shared.connections.close_silent();
                continue;
            }
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((Socket::Tcp(stream), peer)) => {
                let shared = shared.clone();
                let Some(place) = clients.admit(peer, limits.max_conns_per_client) else {
                    tasks.spawn(refuse(stream));
                    continue;
                };
                // Answers are small and go out whole: waiting to join them would only delay them.
                let _ = stream.set_nodelay(true);
                tasks.spawn(async move {
                    shared.connection(stream, peer).await;
                    drop(place);
                });
            }
            Ok((Socket::Unix(stream), peer)) => {
                let shared = shared.clone();
                tasks.spawn(async move { shared.connection(stream, peer).await });
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
    tasks.close();
    let finished = async {
        // Again and again, since a connection may just be on its way into the list.
        while tokio::time::timeout(STOP_STEP, tasks.wait()).await.is_err() {
            shared.connections.finish();
        }
    };
    shared.connections.finish();
    if tokio::time::timeout(limits.stop_grace, finished).await.is_err() {
        warn!(target: "agent.http", %address, connections = tasks.len(), "Stopped with requests under way");
    }
}

/// How often connections are reminded of the end.
const STOP_STEP: Duration = Duration::from_millis(50);

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
    const ANSWER: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 81\r\n\
        Connection: close\r\n\r\nYour IP is issuing too many concurrent connections, please rate limit your calls\n";
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
    connections: Connections,
}

impl Shared {
    /// One connection, whatever carries it: TLS wraps the stream before this.
    async fn connection<S>(self: &Arc<Self>, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let entry = self.connections.enter(&activity);
        let io = TokioIo::new(Watched { stream, activity: activity.clone() });
        let service = {
            let (shared, activity) = (self.clone(), activity.clone());
            service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let shared = shared.clone();
                let running = Request::begin(&activity);
                if request.version() == http::Version::HTTP_2 {
                    activity.is_http2.store(true, Ordering::Relaxed);
                }
                async move {
                    let (parts, body) = request.into_parts();
                    let body = if body.is_end_stream() { Body::empty() } else { Body::new(body) };
                    let response = shared.router.serve(&shared.api, peer, parts, body).await;
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
        let mut finishing = false;
        // By hand, because every request passes here: two flags are cheaper to look at than a timer and a token.
        let ended = std::future::poll_fn(|cx| {
            activity.waker.get_or_init(|| cx.waker().clone());
            match activity.order.load(Ordering::SeqCst) {
                CLOSE => return Poll::Ready(None),
                FINISH if !finishing => {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ => {}
            }
            connection.as_mut().poll(cx).map(Some)
        })
        .await;
        self.connections.leave(entry);
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => debug!(target: "agent.http", from = %peer, %error, "Connection ended"),
            None => debug!(target: "agent.http", from = %peer, "Closed a connection without a whole request"),
        }
    }
}

/// The connections of a listener, so that one look now and then replaces a timer for each.
#[derive(Debug, Default)]
struct Connections {
    list: Mutex<HashMap<u64, (Arc<Activity>, Silence)>>,
    entered: AtomicU64,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Activity>, Silence)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, activity: &Arc<Activity>) -> u64 {
        let entry = self.entered.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(entry, (activity.clone(), Silence::default()));
        entry
    }

    fn leave(&self, entry: u64) {
        self.lock().remove(&entry);
    }

    /// Closes those that keep us waiting. Asked once per header timeout.
    fn close_silent(&self) {
        for (activity, silence) in self.lock().values_mut() {
            if silence.is_too_long(activity) {
                activity.order(CLOSE);
            }
        }
    }

    /// Lets every connection end after the answer that it is at.
    fn finish(&self) {
        for (activity, _) in self.lock().values() {
            activity.order(FINISH);
        }
    }
}

/// Requests at once on one HTTP/2 connection; it counts as one connection of its client.
const MAX_STREAMS: u32 = 200;

/// Go on.
const SERVE: u8 = 0;
/// End after the answer that it is at.
const FINISH: u8 = 1;
/// End now.
const CLOSE: u8 = 2;

/// What a connection has done, and what it is to do.
#[derive(Debug, Default)]
struct Activity {
    /// What its task is to do at its next turn.
    order: AtomicU8,
    /// Wakes its task, always the same one.
    waker: OnceLock<Waker>,
    /// Reads that brought bytes.
    reads: AtomicU64,
    /// Requests begun.
    begun: AtomicU64,
    /// Requests ended.
    ended: AtomicU64,
    /// Value of `reads` when a request last began or ended.
    reads_at_rest: AtomicU64,
    /// HTTP/2 talks between requests as well.
    is_http2: AtomicBool,
}

impl Activity {
    fn rest(&self) {
        self.reads_at_rest.store(self.reads.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn order(&self, order: u8) {
        let _ = self.order.compare_exchange(SERVE, order, Ordering::SeqCst, Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

/// A request under way, also one that is given up.
struct Request(Arc<Activity>);

impl Request {
    fn begin(activity: &Arc<Activity>) -> Request {
        activity.rest();
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Request(activity.clone())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.rest();
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Decides whether a connection keeps us waiting: it never asked, or it sends a request's head drop by drop. One that
/// rests between requests may rest as long as it likes.
#[derive(Debug, Default)]
struct Silence {
    begun: u64,
    was_dribbling: bool,
}

impl Silence {
    /// Asked once per header timeout.
    fn is_too_long(&mut self, activity: &Activity) -> bool {
        let begun = activity.begun.load(Ordering::Relaxed);
        let idle = begun == activity.ended.load(Ordering::Relaxed);
        let unused = begun == 0;
        let fed = activity.reads.load(Ordering::Relaxed) > activity.reads_at_rest.load(Ordering::Relaxed)
            && !activity.is_http2.load(Ordering::Relaxed);
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
