//! Connections to servers, kept and shared: one per server, many calls on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crs_types::{Error, ErrorKind};
use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::channel::{Channel, ChannelError};
use crate::codec::{Encoder, Wire, decode};
use crate::dial::{Dialer, Target};
use crate::envelope::{put_request, take_response};
use crate::methods::Method;
use crate::mux::{Mux, MuxLimits, MuxStream, Side, session};
use crate::selector::Selector;

/// What a pool keeps and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// A connection that nobody used for so long is closed. Consul's clients take 127 s, its servers 2 minutes.
    pub idle_timeout: Duration,
    /// Idle streams kept per connection. Consul's clients keep 32, its servers 64.
    pub idle_streams: usize,
    /// Calls at a time per connection; more wait for their turn, within their own timeout.
    pub calls_per_connection: usize,
    /// Longest wait for an answer, on top of what the call itself may wait for a change. Longer than a server holds a
    /// request while there is no leader.
    pub call_timeout: Duration,
    /// Largest answer.
    pub reply_bytes: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        PoolLimits {
            idle_timeout: Duration::from_secs(127),
            idle_streams: 32,
            calls_per_connection: 16 * 1024,
            call_timeout: Duration::from_secs(60),
            reply_bytes: 512 << 20,
        }
    }
}

/// Largest header of an answer: a method's name, and an error's text.
const HEADER_BYTES: usize = 1 << 20;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The request did not leave: trying another server cannot do it twice.
    #[error("rpc error getting client: failed to get conn: {0}")]
    NotSent(String),
    /// It left, and no answer came: a write may have happened.
    #[error("rpc error making call: {0}")]
    Lost(String),
    /// No answer within the time: a write may have happened.
    #[error("rpc error making call: i/o deadline reached")]
    TimedOut,
    /// The server's answer is an error.
    #[error("rpc error making call: {0}")]
    Remote(Error),
    /// The answer is not what the method answers.
    #[error("rpc error making call: {0}")]
    Malformed(String),
}

impl CallError {
    /// What to decide on; with Consul's prefix on the text.
    pub fn into_error(self) -> Error {
        let text = self.to_string();
        let kind = match self {
            CallError::NotSent(_) => ErrorKind::NoServers,
            CallError::Lost(_) | CallError::TimedOut => ErrorKind::Unknown,
            CallError::Remote(error) => error.kind,
            CallError::Malformed(_) => ErrorKind::Internal,
        };
        Error::new(kind, text)
    }
}

/// The pool. Shared by reference; its connections' tasks end with it.
#[derive(Debug)]
pub struct Pool {
    dialer: Dialer,
    limits: PoolLimits,
    slots: Mutex<HashMap<Target, Arc<Slot>>>,
    tasks: TaskTracker,
}

/// One server. The lock is held while dialling, so that many callers dial once.
type Slot = tokio::sync::Mutex<Option<Arc<Connection>>>;

#[derive(Debug)]
struct Connection {
    mux: Mux,
    idle: Mutex<Vec<Channel<MuxStream>>>,
    calls: Semaphore,
    last_used: Mutex<Instant>,
}

impl Connection {
    fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle_for(&self) -> Duration {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn take_idle(&self) -> Option<Channel<MuxStream>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // One that the server has closed, or on which it said something unasked, is of no use.
        std::iter::from_fn(|| idle.pop()).find_map(|mut channel| {
            let quiet = channel.arrives().now_or_never().is_none();
            quiet.then_some(channel)
        })
    }

    fn keep(&self, channel: Channel<MuxStream>, most: usize) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < most {
            idle.push(channel);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.mux.close();
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(dialer: Dialer, limits: PoolLimits) -> Self {
        Pool { dialer, limits, slots: Mutex::new(HashMap::new()), tasks: TaskTracker::new() }
    }

    /// How it reaches servers.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Calls a method of a server. `wait` is how long the server may wait for a change before it answers.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<M: Method>(
        &self,
        target: &Target,
        request: &M::Request,
        wait: Duration,
    ) -> Result<M::Reply, CallError> {
        let mut body = Encoder::new();
        request.put(&mut body);
        let reply = self.call_raw(target, M::NAME, &body.into_bytes(), wait).await?;
        decode(&reply).map_err(|error| CallError::Malformed(error.to_string()))
    }

    /// Calls a method with a body that is encoded already, as when a request is handed on; the answer's body.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_raw(
        &self,
        target: &Target,
        method: &str,
        body: &[u8],
        wait: Duration,
    ) -> Result<Bytes, CallError> {
        match timeout(self.limits.call_timeout + wait, self.exchange(target, method, body)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut),
        }
    }

    async fn exchange(&self, target: &Target, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        // A kept stream may be of a connection that just died: its first failure counts as not sent if nothing of the
        // request can have arrived, that is if no stream could be opened at all.
        let connection = self.connection(target).await?;
        let _turn = connection.calls.acquire().await.map_err(|_| CallError::NotSent("closed".to_owned()))?;
        connection.touch();
        let mut channel = match connection.take_idle() {
            Some(channel) => channel,
            None => match connection.mux.open().await {
                Ok(stream) => Channel::new(stream),
                Err(error) => {
                    self.forget(target, &connection).await;
                    return Err(CallError::NotSent(error.to_string()));
                }
            },
        };
        let mut out = Encoder::new();
        put_request(method, 0, body, &mut out);
        let result = self.round_trip(&mut channel, &out.into_bytes()).await;
        connection.touch();
        match &result {
            // The stream is at the end of an answer, ready for the next request.
            Ok(_) | Err(CallError::Remote(_)) => connection.keep(channel, self.limits.idle_streams),
            Err(_) if !connection.mux.is_open() => self.forget(target, &connection).await,
            Err(_) => {}
        }
        result
    }

    async fn round_trip(&self, channel: &mut Channel<MuxStream>, message: &[u8]) -> Result<Bytes, CallError> {
        let lost = |error: ChannelError| match error {
            ChannelError::Decode(error) => CallError::Malformed(error.to_string()),
            error => CallError::Lost(error.to_string()),
        };
        let eof = || CallError::Lost("EOF".to_owned());
        channel.write(message).await.map_err(|error| CallError::Lost(error.to_string()))?;
        let header = channel.read_value(HEADER_BYTES).await.map_err(lost)?.ok_or_else(eof)?;
        let (_, error) = take_response(&header).map_err(|error| CallError::Malformed(error.to_string()))?;
        let body = channel.read_value(self.limits.reply_bytes).await.map_err(lost)?.ok_or_else(eof)?;
        match error {
            Some(error) => Err(CallError::Remote(error)),
            None => Ok(body),
        }
    }

    fn slot(&self, target: &Target) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(target.clone()).or_default().clone()
    }

    async fn connection(&self, target: &Target) -> Result<Arc<Connection>, CallError> {
        let slot = self.slot(target);
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| connection.mux.is_open()) {
            return Ok(connection.clone());
        }
        let io = self.dialer.dial(target, Selector::Mux).await;
        let io = io.map_err(|error| CallError::NotSent(format!("dial tcp {}: {error}", target.address)))?;
        // Servers open no streams towards clients; whatever they open is reset.
        let limits = MuxLimits { streams: 0, ..MuxLimits::default() };
        let (mux, _, driver) = session(io, Side::Client, limits);
        let address = target.address;
        self.tasks.spawn(async move {
            let error = driver.await;
            tracing::debug!(%address, %error, "Connection to a server ended");
        });
        let connection = Arc::new(Connection {
            mux,
            idle: Mutex::default(),
            calls: Semaphore::new(self.limits.calls_per_connection),
            last_used: Mutex::new(Instant::now()),
        });
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// Drops a connection that is of no use; calls under way on it keep it until they end.
    async fn forget(&self, target: &Target, connection: &Arc<Connection>) {
        let slot = self.slot(target);
        let mut slot = slot.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            *slot = None;
        }
    }

    /// Closes what nobody uses, for ever. The owner runs it beside the pool.
    pub async fn run(&self) {
        loop {
            sleep(self.limits.idle_timeout / 4).await;
            self.close_idle();
        }
    }

    fn close_idle(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            // Whoever holds the lock is dialling.
            let Ok(mut slot) = slot.try_lock() else { return true };
            let used = slot.as_ref().is_some_and(|connection| {
                Arc::strong_count(connection) > 1 || connection.idle_for() < self.limits.idle_timeout
            });
            if !used {
                *slot = None;
            }
            used
        });
    }

    /// Closes the connection to a server that left or failed. Calls under way go on until they end.
    pub fn close(&self, target: &Target) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }

    /// Closes all connections and waits for their tasks.
    pub async fn shut_down(&self) {
        let slots = std::mem::take(&mut *self.slots.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in slots.into_values() {
            if let Some(connection) = slot.lock().await.take() {
                connection.mux.close();
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}
