//! The task that moves a connection: reads frames, writes frames, pings.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::core::{Core, Event, MuxError, MuxLimits, Side};
use super::frame::{HEADER_LEN, Header, Kind, WINDOW};
use super::stream::MuxStream;

/// Time between pings, as Consul's side has it.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Longest wait for an answer to a ping, and for a blocked write, as Consul's side has it.
const STALL: Duration = Duration::from_secs(10);

/// Streams that the peer opened and nobody took yet; yamux's accept backlog.
const ACCEPT_BACKLOG: usize = 256;

/// What the task and the streams share. The lock is held for one step of the protocol, never while waiting.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    /// There is something to send.
    output: Notify,
    /// Something was read, a stream was released: there may be room again.
    room: Notify,
    /// It ended, or somebody asked for it.
    ended: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the protocol; wakes the task if it left something to do.
    pub(super) fn with<T>(&self, step: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let was_full = core.is_full();
        let result = step(&mut core);
        let (output, room, ended) = (core.has_output(), was_full && !core.is_full(), core.ended().is_some());
        drop(core);
        if output {
            self.output.notify_one();
        }
        if room {
            self.room.notify_one();
        }
        if ended {
            self.ended.notify_one();
        }
        result
    }
}

/// A handle on a connection: opens streams. The connection lives as long as its [`Driver`] runs.
#[derive(Clone, Debug)]
pub struct Mux {
    shared: Arc<Shared>,
}

impl Mux {
    /// Opens a stream; waits while the peer has 256 that it has not acknowledged.
    ///
    /// # Errors
    /// If the connection ended, or the peer wants no more streams.
    pub async fn open(&self) -> Result<MuxStream, MuxError> {
        let id = poll_fn(|cx| self.shared.with(|core| core.poll_open(cx))).await?;
        Ok(MuxStream::new(self.shared.clone(), id))
    }

    /// Whether streams can still be opened.
    pub fn is_open(&self) -> bool {
        self.shared.lock().may_open()
    }

    /// Streams in use.
    pub fn streams(&self) -> usize {
        self.shared.lock().open_streams()
    }

    /// Asks the peer to open no more streams; those that are open go on.
    pub fn go_away(&self) {
        self.shared.with(|core| core.go_away(0));
    }

    /// Ends the connection and all its streams.
    pub fn close(&self) {
        self.shared.with(|core| core.end(MuxError::Closed));
    }
}

/// Streams that the peer opens.
#[derive(Debug)]
pub struct Incoming {
    accepted: mpsc::Receiver<MuxStream>,
}

impl Incoming {
    /// The next one; `None` once the connection ended.
    pub async fn accept(&mut self) -> Option<MuxStream> {
        self.accepted.recv().await
    }
}

/// The work of the connection. It must be run; it ends with the connection and says why.
#[must_use = "nothing moves unless this runs"]
pub struct Driver {
    work: Pin<Box<dyn Future<Output = MuxError> + Send>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

impl Future for Driver {
    type Output = MuxError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MuxError> {
        self.work.as_mut().poll(cx)
    }
}

/// Begins to speak yamux on a connection. [`MuxError::Closed`] is the driver's orderly end.
pub fn session<T>(io: T, side: Side, limits: MuxLimits) -> (Mux, Incoming, Driver)
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let shared = Arc::new(Shared {
        core: Mutex::new(Core::new(side, limits)),
        output: Notify::new(),
        room: Notify::new(),
        ended: Notify::new(),
    });
    let (accept, accepted) = mpsc::channel(ACCEPT_BACKLOG);
    let guard = EndOnDrop(shared.clone());
    let work = Box::pin(run(io, guard, accept));
    (Mux { shared }, Incoming { accepted }, Driver { work })
}

/// A driver that is dropped takes its streams along, or they would wait for ever.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.with(|core| core.end(MuxError::Closed));
    }
}

async fn run<T>(io: T, guard: EndOnDrop, accept: mpsc::Sender<MuxStream>) -> MuxError
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let shared = &guard.0;
    let (mut reader, mut writer) = tokio::io::split(io);
    let pong = Notify::new();
    let mut out = BytesMut::new();
    // Each arm runs to the end of the connection; whichever ends first ends the others.
    let error = tokio::select! {
        Err(error) = read(&mut reader, shared, &accept, &pong) => error,
        Err(error) = write(&mut writer, shared, &mut out) => error,
        error = keep_alive(shared, &pong) => error,
        () = shared.ended.notified() => MuxError::Closed,
    };
    let broken = matches!(error, MuxError::Protocol(_) | MuxError::Flood);
    let error = shared.with(|core| {
        core.end(error);
        if broken {
            core.go_away(1);
        }
        core.ended().cloned().unwrap_or(MuxError::Closed)
    });
    // What is left to say, for instance the answer to the last request, in bounded time.
    _ = timeout(STALL, last_words(&mut writer, shared, &mut out)).await;
    error
}

/// Takes frames off the connection.
async fn read<T: AsyncRead>(
    reader: &mut ReadHalf<T>,
    shared: &Arc<Shared>,
    accept: &mpsc::Sender<MuxStream>,
    pong: &Notify,
) -> Result<std::convert::Infallible, MuxError> {
    let mut buffer = BytesMut::with_capacity(32 * 1024);
    loop {
        while shared.lock().is_full() {
            // Nobody reads what lies here. A stream that is being read makes room in an instant.
            timeout(STALL, shared.room.notified()).await.map_err(|_| MuxError::Flood)?;
        }
        fill(reader, &mut buffer, HEADER_LEN).await?;
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&buffer.split_to(HEADER_LEN));
        let header = Header::decode(bytes).ok_or(MuxError::Protocol("not a frame of version 0"))?;
        let payload = match header.kind {
            Kind::Data => {
                // No window is larger, whatever the stream.
                if header.length > WINDOW {
                    return Err(MuxError::Protocol("more data than the window allows"));
                }
                fill(reader, &mut buffer, header.length as usize).await?;
                buffer.split_to(header.length as usize).freeze()
            }
            _ => Bytes::new(),
        };
        match shared.with(|core| core.handle_frame(header, payload))? {
            Event::None => {}
            Event::Pong(_) => pong.notify_one(),
            Event::Opened(id) => {
                // Without a taker, or with too many untaken, the stream is reset as it is dropped.
                _ = accept.try_send(MuxStream::new(shared.clone(), id));
            }
        }
    }
}

/// Reads until so many bytes are there. The end of the connection between frames is an orderly one.
async fn fill<T: AsyncRead>(
    reader: &mut ReadHalf<T>,
    buffer: &mut BytesMut,
    len: usize,
) -> Result<(), MuxError> {
    while buffer.len() < len {
        buffer.reserve((len - buffer.len()).max(4096));
        match reader.read_buf(buffer).await {
            Ok(0) => return Err(MuxError::Closed),
            Ok(_) => {}
            Err(error) => return Err(MuxError::Io(io_text(&error))),
        }
    }
    Ok(())
}

fn io_text(error: &io::Error) -> String {
    // As Consul's side says it, for those who match on it.
    if error.kind() == io::ErrorKind::UnexpectedEof { "EOF".to_owned() } else { error.to_string() }
}

/// Puts frames onto the connection. What was taken from the protocol stays in `out` until it is written, even if
/// this is dropped: a frame that was begun must be finished before anything else is said.
async fn write<T: AsyncWrite>(
    writer: &mut WriteHalf<T>,
    shared: &Shared,
    out: &mut BytesMut,
) -> Result<std::convert::Infallible, MuxError> {
    loop {
        shared.output.notified().await;
        flush(writer, shared, out).await?;
    }
}

async fn flush<T: AsyncWrite>(
    writer: &mut WriteHalf<T>,
    shared: &Shared,
    out: &mut BytesMut,
) -> Result<(), MuxError> {
    let io = |error: io::Error| MuxError::Io(io_text(&error));
    loop {
        if out.is_empty() {
            shared.lock().poll_output(out);
        }
        if out.is_empty() {
            return timeout(STALL, writer.flush()).await.map_err(|_| MuxError::Dead)?.map_err(io);
        }
        let written = timeout(STALL, writer.write_buf(out)).await.map_err(|_| MuxError::Dead)?;
        if written.map_err(io)? == 0 {
            return Err(MuxError::Closed);
        }
    }
}

async fn last_words<T: AsyncWrite>(writer: &mut WriteHalf<T>, shared: &Shared, out: &mut BytesMut) {
    if flush(writer, shared, out).await.is_ok() {
        _ = writer.shutdown().await;
    }
}

/// Ends when the peer does.
async fn keep_alive(shared: &Shared, pong: &Notify) -> MuxError {
    let mut number = 0;
    loop {
        sleep(KEEPALIVE).await;
        shared.with(|core| core.ping(number));
        if timeout(STALL, pong.notified()).await.is_err() {
            return MuxError::Dead;
        }
        number = number.wrapping_add(1);
    }
}
