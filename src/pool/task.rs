//! The one task that owns a pool's state machine.

use crate::dial::{self, News, Order};
use crate::files::{FileError, KeyringFile, SnapshotFile};
use crate::handle::{Call, JoinOutcome, Members, Pool, QueryReply, Reply, Stats};
use arc_swap::ArcSwap;
use crs_gossip::Time;
use crs_gossip::memberlist::{Complaint, Output, StreamId};
use crs_gossip::serf::{Event, KeyReport, OpId, SendError, Serf, SerfConfig, Snapshot};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Calls that wait for the task; a caller beyond waits.
const CALLS: usize = 64;
/// Events that wait for the agent; beyond, they are kept here.
const EVENTS: usize = 1024;
/// Events kept here; beyond, the oldest is dropped and counted. The members that are published stay right.
const BACKLOG: usize = 65_536;
/// News of streams that wait for the task; a stream beyond waits, and so does its peer.
const NEWS: usize = 128;
/// Orders for one stream: a write and a close are all there are.
const ORDERS: usize = 4;
/// Datagrams taken at once before others get their turn.
const BATCH: usize = 64;
/// What the receive buffer of the socket should hold.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;
/// Snapshot lines are written this often at most.
const SNAPSHOT_FLUSH: Duration = Duration::from_millis(500);
/// A kind of complaint is logged this often at most.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A pool to be.
#[derive(Debug)]
pub struct PoolConfig {
    /// The state machine's settings. An advertised port of 0 becomes the one that was bound.
    pub serf: SerfConfig,
    /// Where to listen, by UDP and TCP.
    pub bind: SocketAddr,
    /// How logs call the pool: `lan`, `wan`.
    pub label: &'static str,
    /// The file for a rejoin; none: none.
    pub snapshot: Option<PathBuf>,
    /// Where changed keys are written; none: they are kept in memory only.
    pub keyring_file: Option<PathBuf>,
}

/// A pool whose sockets are open.
#[derive(Debug)]
pub struct Bound {
    udp: UdpSocket,
    tcp: TcpListener,
    serf: Serf,
    epoch: Instant,
    snapshot: Option<SnapshotFile>,
    keyring_file: Option<KeyringFile>,
    label: &'static str,
    addr: SocketAddr,
}

/// Why a pool could not start. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A socket could not be opened.
    #[error("cannot listen on {addr} by {protocol}: {error}")]
    Socket {
        /// Where.
        addr: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// Why.
        error: io::Error,
    },
    /// A file could not be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system gave no random numbers.
    #[error("cannot read /dev/urandom: {0}")]
    Seed(io::Error),
    /// The tags are too large.
    #[error(transparent)]
    Tags(#[from] SendError),
}

impl Bound {
    /// Opens the sockets and the files.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(cfg: PoolConfig) -> Result<Bound, BindError> {
        let socket = |protocol, error| BindError::Socket { addr: cfg.bind, protocol, error };
        let tcp = TcpListener::bind(cfg.bind).await.map_err(|e| socket("TCP", e))?;
        let port = tcp.local_addr().map_err(|e| socket("TCP", e))?.port();
        let udp =
            UdpSocket::bind(SocketAddr::new(cfg.bind.ip(), port)).await.map_err(|e| socket("UDP", e))?;
        let mut size = RECEIVE_BUFFER;
        while size > 4096 && socket2::SockRef::from(&udp).set_recv_buffer_size(size).is_err() {
            size /= 2;
        }
        let mut serf_cfg = cfg.serf;
        if serf_cfg.advertise.port() == 0 {
            serf_cfg.advertise.set_port(port);
        }
        let addr = serf_cfg.advertise;
        let (snapshot, previous): (_, Option<Snapshot>) = match &cfg.snapshot {
            Some(path) => {
                let (file, previous) = SnapshotFile::open(path, serf_cfg.rejoin_after_leave)?;
                (Some(file), Some(previous))
            }
            None => (None, None),
        };
        serf_cfg.snapshot = snapshot.is_some();
        let epoch = Instant::now();
        // from the system: nonces must never repeat under the same key
        let mut seed = [0; 32];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut seed))
            .map_err(BindError::Seed)?;
        let serf = Serf::new(Time::ZERO, serf_cfg, seed, previous)?;
        let keyring_file = cfg.keyring_file.as_deref().map(KeyringFile::new);
        Ok(Bound { udp, tcp, serf, epoch, snapshot, keyring_file, label: cfg.label, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Starts the task. It ends when `stop` is cancelled; nobody is told that we leave then (see [`Pool::leave`]).
    pub fn spawn(self, tasks: &mut JoinSet<()>, stop: CancellationToken) -> (Pool, mpsc::Receiver<Event>) {
        let (calls, calls_in) = mpsc::channel(CALLS);
        let (events, events_out) = mpsc::channel(EVENTS);
        let (news, news_in) = mpsc::channel(NEWS);
        let members = Arc::new(ArcSwap::from_pointee(Members::default()));
        let pool = Pool { calls, members: members.clone(), local: self.serf.name().clone(), addr: self.addr };
        let mut owner = Owner {
            udp: self.udp,
            tcp: self.tcp,
            epoch: self.epoch,
            snapshot: self.snapshot,
            snapshot_at: None,
            keyring_file: self.keyring_file,
            label: self.label,
            members,
            published: u64::MAX,
            events: Some(events),
            backlog: VecDeque::new(),
            events_dropped: 0,
            news,
            streams: HashMap::new(),
            stream_tasks: JoinSet::new(),
            joins: HashMap::new(),
            sent: HashMap::new(),
            tags: HashMap::new(),
            queries: HashMap::new(),
            keys: HashMap::new(),
            leaves: Vec::new(),
            logged: HashMap::new(),
            timeout: self.serf.memberlist().config().timing.tcp_timeout,
            serf: self.serf,
        };
        // members are there before anybody can look
        owner.flush();
        tasks.spawn(owner.run(calls_in, news_in, stop));
        (pool, events_out)
    }
}

struct Owner {
    serf: Serf,
    udp: UdpSocket,
    tcp: TcpListener,
    epoch: Instant,
    timeout: Duration,
    snapshot: Option<SnapshotFile>,
    snapshot_at: Option<Instant>,
    keyring_file: Option<KeyringFile>,
    label: &'static str,
    members: Arc<ArcSwap<Members>>,
    published: u64,
    events: Option<mpsc::Sender<Event>>,
    backlog: VecDeque<Event>,
    events_dropped: u64,
    news: mpsc::Sender<(StreamId, News)>,
    streams: HashMap<StreamId, mpsc::Sender<Order>>,
    stream_tasks: JoinSet<()>,
    joins: HashMap<OpId, Reply<JoinOutcome>>,
    sent: HashMap<OpId, Reply<bool>>,
    tags: HashMap<OpId, Reply<Result<bool, SendError>>>,
    queries: HashMap<OpId, mpsc::Sender<QueryReply>>,
    keys: HashMap<OpId, Reply<Result<KeyReport, SendError>>>,
    leaves: Vec<Reply<bool>>,
    logged: HashMap<&'static str, (Instant, u64)>,
}

impl Owner {
    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    async fn run(
        mut self,
        mut calls: mpsc::Receiver<Call>,
        mut news: mpsc::Receiver<(StreamId, News)>,
        stop: CancellationToken,
    ) {
        let mut buf = vec![0; 65_536];
        loop {
            self.flush();
            let wake = self.wake();
            // every arm is cancel-safe: none of them takes anything when it is dropped
            tokio::select! {
                () = stop.cancelled() => break,
                received = self.udp.recv_from(&mut buf) => self.datagrams(received, &mut buf),
                Some((id, news)) = news.recv() => self.stream_news(id, news),
                accepted = self.tcp.accept() => self.accept(accepted),
                Some(call) = calls.recv() => self.call(call),
                () = tokio::time::sleep_until(wake.into()) => {
                    let now = self.now();
                    self.serf.handle_timeout(now);
                }
                Some(_) = self.stream_tasks.join_next() => {}
                // room for events that had to be kept
                () = room(self.events.as_ref()), if !self.backlog.is_empty() => {}
            }
        }
        self.flush();
        self.flush_snapshot();
        self.stream_tasks.abort_all();
    }

    fn wake(&self) -> Instant {
        let idle = Instant::now() + Duration::from_secs(60);
        let due = self.serf.poll_timeout().map(|t| self.epoch + t.since(Time::ZERO));
        [due, self.snapshot_at].into_iter().flatten().fold(idle, Instant::min)
    }

    fn datagrams(&mut self, first: io::Result<(usize, SocketAddr)>, buf: &mut [u8]) {
        let mut received = first;
        for _ in 0..BATCH {
            match received {
                Ok((len, from)) => {
                    let now = self.now();
                    self.serf.handle_packet(now, from, &buf[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.log_rarely("udp", |label, count| {
                        tracing::warn!(pool = label, count, %error, "Cannot receive gossip");
                    });
                    return;
                }
            }
            received = self.udp.try_recv_from(buf);
        }
    }

    fn accept(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => {
                let now = self.now();
                let Some(id) = self.serf.handle_accept(now, peer) else {
                    self.log_rarely("accept", |label, count| {
                        tracing::warn!(pool = label, %peer, count, "Too many gossip streams, closing one");
                    });
                    return;
                };
                let (orders, orders_in) = mpsc::channel(ORDERS);
                self.streams.insert(id, orders);
                self.stream_tasks.spawn(dial::serve(id, stream, self.timeout, orders_in, self.news.clone()));
            }
            Err(error) => self.log_rarely("accept", |label, count| {
                tracing::warn!(pool = label, count, %error, "Cannot accept a gossip stream");
            }),
        }
    }

    fn stream_news(&mut self, id: StreamId, news: News) {
        let now = self.now();
        match news {
            News::Data(bytes) => self.serf.handle_stream(now, id, &bytes),
            News::End => self.serf.handle_stream_end(now, id),
            News::Failed(text) => self.serf.handle_stream_failed(now, id, &text),
        }
    }

    /// Does what the state machine asks for.
    fn flush(&mut self) {
        while let Some(output) = self.serf.poll_output() {
            match output {
                Output::Packet { to, bytes } => {
                    if let Err(error) = self.udp.try_send_to(&bytes, to)
                        && error.kind() != io::ErrorKind::WouldBlock
                    {
                        self.log_rarely("send", |label, count| {
                            tracing::warn!(pool = label, %to, count, %error, "Cannot send gossip");
                        });
                    }
                }
                Output::Dial { stream, to } => {
                    let (orders, orders_in) = mpsc::channel(ORDERS);
                    self.streams.insert(stream, orders);
                    let news = self.news.clone();
                    self.stream_tasks.spawn(dial::dial(stream, to, self.timeout, orders_in, news));
                }
                Output::Write { stream, bytes } => {
                    if let Some(orders) = self.streams.get(&stream) {
                        // a stream gets one write and one close: there is room
                        let _ = orders.try_send(Order::Write(bytes));
                    }
                }
                Output::Close { stream } => {
                    if let Some(orders) = self.streams.remove(&stream) {
                        let _ = orders.try_send(Order::Close);
                    }
                }
            }
        }
        self.publish();
        self.deliver();
        while let Some(complaint) = self.serf.poll_complaint() {
            self.log_complaint(complaint);
        }
        while let Some(reason) = self.serf.poll_refusal() {
            self.log_rarely("refused", |label, count| {
                tracing::warn!(pool = label, count, reason, "Refused a gossip member");
            });
        }
        self.write_snapshot();
    }

    /// Readers get the members before anybody hears what changed.
    fn publish(&mut self) {
        let version = self.serf.members_version();
        if version != self.published {
            self.published = version;
            let mut list: Vec<_> = self.serf.members().cloned().collect();
            list.sort_unstable_by(|a, b| a.name().cmp(b.name()));
            self.members.store(Arc::new(Members { list }));
        }
    }

    fn deliver(&mut self) {
        while let Some(event) = self.serf.poll_event() {
            match event {
                Event::Joined { op, success, errors } => {
                    if let Some(reply) = self.joins.remove(&op) {
                        let _ = reply.send((success, errors));
                    }
                }
                Event::Broadcast { op, sent } => {
                    if let Some(reply) = self.sent.remove(&op) {
                        let _ = reply.send(sent);
                    } else if let Some(reply) = self.tags.remove(&op) {
                        let _ = reply.send(Ok(sent));
                    }
                }
                Event::QueryAck { op, from } => {
                    if let Some(replies) = self.queries.get(&op) {
                        let _ = replies.try_send(QueryReply::Ack { from });
                    }
                }
                Event::QueryResponse { op, from, payload } => {
                    if let Some(replies) = self.queries.get(&op) {
                        let _ = replies.try_send(QueryReply::Response { from, payload });
                    }
                }
                Event::QueryDone { op } => {
                    self.queries.remove(&op);
                }
                Event::Keys { op, report } => {
                    if let Some(reply) = self.keys.remove(&op) {
                        let _ = reply.send(Ok(report));
                    }
                }
                Event::Left { sent } => {
                    for reply in self.leaves.drain(..) {
                        let _ = reply.send(sent);
                    }
                    self.backlog.push_back(Event::Left { sent });
                }
                Event::KeyringChanged => {
                    if let Some(file) = &self.keyring_file
                        && let Err(error) = file.save(self.serf.keyring())
                    {
                        tracing::error!(pool = self.label, %error, "Cannot write the keyring file");
                    }
                }
                event => self.backlog.push_back(event),
            }
        }
        while self.backlog.len() > BACKLOG {
            self.backlog.pop_front();
            self.events_dropped += 1;
        }
        let Some(events) = &self.events else {
            self.backlog.clear();
            return;
        };
        while let Some(event) = self.backlog.pop_front() {
            match events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.events = None;
                    self.backlog.clear();
                    return;
                }
            }
        }
    }

    fn call(&mut self, call: Call) {
        let now = self.now();
        match call {
            Call::Join(targets, ignore_old, reply) => {
                let op = self.serf.join(now, targets, ignore_old);
                self.joins.insert(op, reply);
            }
            Call::Leave(reply) => {
                if self.serf.is_alive() || !self.leaves.is_empty() {
                    self.leaves.push(reply);
                    self.serf.leave(now);
                } else {
                    let _ = reply.send(true);
                }
            }
            Call::ForceLeave(name, prune, reply) => {
                let op = self.serf.force_leave(now, &name, prune);
                self.sent.insert(op, reply);
            }
            Call::SetTags(tags, reply) => match self.serf.set_tags(now, tags) {
                Ok(op) => {
                    self.tags.insert(op, reply);
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            },
            Call::UserEvent(name, payload, coalesce, reply) => {
                let _ = reply.send(self.serf.user_event(now, &name, &payload, coalesce));
            }
            Call::Query(name, payload, params, replies, reply) => {
                let asked = self.serf.query(now, &name, &payload, &params);
                if let Ok(op) = asked {
                    self.queries.insert(op, replies);
                }
                let _ = reply.send(asked.map(|_| ()));
            }
            Call::Respond(id, payload, reply) => {
                let _ = reply.send(self.serf.respond(now, id, &payload));
            }
            Call::Keys(op, key, relay_factor, reply) => {
                match self.serf.keys(now, op, &key, relay_factor, None) {
                    Ok(id) => {
                        self.keys.insert(id, reply);
                    }
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
            }
            Call::Coordinate(name, reply) => {
                let found = match name {
                    Some(name) => self.serf.cached_coordinate(&name).cloned(),
                    None => Some(self.serf.coordinate().clone()),
                };
                let _ = reply.send(found);
            }
            Call::Stats(reply) => {
                let _ = reply.send(Stats {
                    health: self.serf.memberlist().health(),
                    encrypted: !self.serf.keyring().is_empty(),
                    queues: self.serf.queue_depths(),
                    clocks: self.serf.clocks(),
                    coordinate_resets: self.serf.coordinate_resets(),
                    counters: self.serf.counters(),
                    serf: self.serf.serf_counters(),
                    events_dropped: self.events_dropped,
                });
            }
        }
    }

    fn write_snapshot(&mut self) {
        let Some(file) = &mut self.snapshot else { return };
        while let Some(line) = self.serf.poll_snapshot_line() {
            file.push(&line);
        }
        match self.snapshot_at {
            None if file.is_dirty() => self.snapshot_at = Some(Instant::now() + SNAPSHOT_FLUSH),
            Some(at) if at <= Instant::now() => self.flush_snapshot(),
            _ => {}
        }
    }

    /// A few lines into the page cache: not worth a thread of their own.
    fn flush_snapshot(&mut self) {
        self.snapshot_at = None;
        let alive = self.members.load().alive();
        let Some(file) = &mut self.snapshot else { return };
        let done = match file.flush(alive) {
            Ok(true) => file.compact(&self.serf.snapshot_image()),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            self.log_rarely("snapshot", |label, count| {
                tracing::error!(pool = label, count, %error, "Cannot write the snapshot file");
            });
        }
    }

    fn log_complaint(&mut self, complaint: Complaint) {
        match complaint {
            Complaint::Packet { from, error } => self.log_rarely("packet", |label, count| {
                tracing::warn!(pool = label, %from, count, %error, "Dropped a gossip packet");
            }),
            Complaint::Stream { peer, error } => self.log_rarely("stream", |label, count| {
                tracing::warn!(pool = label, %peer, count, error, "Gave up a gossip stream");
            }),
            Complaint::UdpBroken { node } => self.log_rarely("broken", |label, count| {
                tracing::warn!(pool = label, node = &*node, count, "Member answers by TCP but not by UDP");
            }),
            Complaint::Refuted { from } => self.log_rarely("refuted", |label, count| {
                tracing::warn!(pool = label, from, count, "Refuted a suspicion against this member");
            }),
        }
    }

    /// Logs a kind of trouble at a limited rate, with how often it happened since.
    fn log_rarely(&mut self, kind: &'static str, log: impl FnOnce(&'static str, u64)) {
        let now = Instant::now();
        match self.logged.get_mut(kind) {
            Some((last, count)) if now.duration_since(*last) < LOG_EVERY => *count += 1,
            Some((last, count)) => {
                log(self.label, *count + 1);
                (*last, *count) = (now, 0);
            }
            None => {
                log(self.label, 1);
                self.logged.insert(kind, (now, 0));
            }
        }
    }
}

async fn room(events: Option<&mpsc::Sender<Event>>) {
    match events {
        // the permit is given back at once: the next delivery takes it
        Some(events) => drop(events.reserve().await),
        None => std::future::pending().await,
    }
}
