//! The memberlist layer: who is there, found out by probes and told by gossip (SWIM with Lifeguard).
//!
//! [`Memberlist`] owns no socket and no clock. The caller feeds it packets, stream bytes and the time, then takes
//! outputs until there are none. What the layer above must answer at once goes through [`Delegate`].
//!
//! ```text
//! handle_packet, handle_stream*, handle_timeout ──► Memberlist ──► poll_output (packets, dials, stream bytes)
//!                                                      │  ▲  ╰────► poll_timeout (when to call again)
//!                                                      ▼  │
//!                                                    Delegate (events, user messages, state, coordinates)
//! ```

pub mod config;
mod exchange;
mod gossip;
pub mod node;
mod probe;
pub mod queue;
mod rumor;
pub mod suspicion;

use crate::time::Time;
use crate::wire::message::{Message, kind};
use crate::wire::packet::{Envelope, PacketError};
use crate::wire::state::NodeState;
use bytes::Bytes;
use config::{Config, Timing};
use exchange::Stream;
pub use exchange::{ExchangeError, MAX_INCOMING, StreamId};
use node::{Node, NodeId, NodeRecord, Table};
use probe::{Probe, Relay};
use queue::{Queue, Room, Token};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
pub use rumor::LEFT;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use suspicion::Suspicion;

/// What the layer above is asked and told, within a call of [`Memberlist`].
pub trait Delegate {
    /// A member is there, or there again.
    fn joined(&mut self, now: Time, record: &Arc<NodeRecord>);
    /// A member died, or left of its own will.
    fn gone(&mut self, now: Time, record: &Arc<NodeRecord>, left: bool);
    /// A member's meta or versions changed.
    fn updated(&mut self, now: Time, record: &Arc<NodeRecord>);
    /// Another address claims the name of a member.
    fn conflict(&mut self, now: Time, known: &Arc<NodeRecord>, other: SocketAddr);
    /// A message for the layer above.
    fn user_message(&mut self, now: Time, from: SocketAddr, message: &[u8]);
    /// Adds rumors of the layer above that fit (each with the user byte in front).
    fn rumors(&mut self, room: &mut Room, out: &mut Vec<Bytes>);
    /// Whether it has any.
    fn has_rumors(&self) -> bool;
    /// What it adds to a state that is sent.
    fn local_state(&mut self, join: bool) -> Vec<u8>;
    /// What another member added to its state. `join`: one of the two joins; `tag`: we do, with this tag.
    fn merge_state(&mut self, now: Time, state: &[u8], join: bool, tag: Option<Token>);
    /// What it puts into an answer to a ping.
    fn ack_payload(&mut self) -> Vec<u8>;
    /// A member answered our ping directly, and how fast.
    fn ping_done(&mut self, now: Time, record: &Arc<NodeRecord>, rtt: Duration, payload: &[u8]);
    /// Whether a member may be in our pool at all.
    fn accept_alive(&mut self, record: &NodeRecord) -> bool;
    /// Whether a joining exchange with these members may be merged.
    ///
    /// # Errors
    /// The reason, as the one who joins reads it.
    fn accept_merge(&mut self, candidates: &[Candidate]) -> Result<(), String>;
}

/// A member in the state of one that joins.
#[derive(Debug)]
pub struct Candidate {
    /// What it says of itself.
    pub record: NodeRecord,
    /// What the sender thinks of it.
    pub state: NodeState,
}

/// What the driver has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send a datagram.
    Packet {
        /// Where.
        to: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// Open a connection; answer with `handle_stream_failed` or with bytes and an end.
    Dial {
        /// How the stream is called from now on.
        stream: StreamId,
        /// Where.
        to: SocketAddr,
    },
    /// Write to a stream; before it is open: keep until it is.
    Write {
        /// Which.
        stream: StreamId,
        /// What.
        bytes: Bytes,
    },
    /// Close a stream after what was written went out. It is not mentioned again.
    Close {
        /// Which.
        stream: StreamId,
    },
}

/// How often things happened, most of all things that should not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Datagrams sent.
    pub packets_out: u64,
    /// Datagrams received.
    pub packets_in: u64,
    /// Bytes of datagrams sent.
    pub bytes_out: u64,
    /// Datagrams, or parts of them, that were dropped: label, key, checksum, shape, size.
    pub dropped: u64,
    /// Streams that were refused or given up.
    pub streams_failed: u64,
    /// Members refused by the layer above or over the limit.
    pub members_refused: u64,
    /// Suspicions that we raised ourselves.
    pub suspicions: u64,
    /// Deaths that we declared ourselves.
    pub deaths: u64,
    /// Accusations against ourselves that we refuted.
    pub refutations: u64,
    /// Probes that failed.
    pub probes_failed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    Probe,
    ProbeTimeout(u32),
    ProbeEnd(u32),
    Gossip,
    PushPull,
    Suspect(NodeId),
    Relay(u32),
    Stream(StreamId),
}

/// What is worth a line in a log, at a limited rate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Complaint {
    /// A packet, or a part of it, was dropped.
    Packet {
        /// The sender.
        from: SocketAddr,
        /// Why.
        error: PacketError,
    },
    /// A stream was given up.
    Stream {
        /// The other side.
        peer: SocketAddr,
        /// Why.
        error: String,
    },
    /// A member answers by TCP but not by UDP.
    UdpBroken {
        /// The member.
        node: Arc<str>,
    },
    /// Others suspected us and were told otherwise.
    Refuted {
        /// Who said it.
        from: String,
    },
}

/// Complaints kept for the driver; more are counted only.
const MAX_COMPLAINTS: usize = 32;

/// A member of a pool, as a state machine. See the module.
#[derive(Debug)]
pub struct Memberlist {
    cfg: Config,
    own: Arc<NodeRecord>,
    rng: SmallRng,
    table: Table,
    me: NodeId,
    incarnation: u32,
    seq: u32,
    awareness: u32,
    leaving: bool,
    queue: Queue,
    suspicions: BTreeMap<NodeId, Suspicion>,
    timers: BinaryHeap<Reverse<(Time, Timer)>>,
    place: usize,
    probe: Option<Probe>,
    probe_due: bool,
    relays: HashMap<u32, Relay>,
    streams: BTreeMap<StreamId, Stream>,
    next_stream: u64,
    incoming: usize,
    held: usize,
    outputs: VecDeque<Output>,
    complaints: VecDeque<Complaint>,
    joins: VecDeque<(Token, Result<(), ExchangeError>)>,
    counters: Counters,
}

impl Memberlist {
    /// A member that knows itself only. `seed` decides everything random, nonces included: it must never be used twice
    /// with the same keys.
    pub fn new(now: Time, cfg: Config, seed: [u8; 32], delegate: &mut dyn Delegate) -> Memberlist {
        let mut rng = SmallRng::from_seed(seed);
        let own = NodeRecord::new(Arc::from(&*cfg.name), cfg.advertise, &cfg.meta, cfg.vsn);
        let own = share(&cfg, own);
        let mut table = Table::new(rng.random());
        let node = Node { record: own.clone(), changed: now, incarnation: 1, state: NodeState::Alive };
        let me = table.insert(node, &mut rng);
        let mut list = Memberlist {
            own: own.clone(),
            table,
            me,
            incarnation: 1,
            seq: 0,
            awareness: 0,
            leaving: false,
            queue: Queue::default(),
            suspicions: BTreeMap::new(),
            timers: BinaryHeap::new(),
            place: 0,
            probe: None,
            probe_due: false,
            relays: HashMap::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
            incoming: 0,
            held: 0,
            outputs: VecDeque::new(),
            complaints: VecDeque::new(),
            joins: VecDeque::new(),
            counters: Counters::default(),
            rng,
            cfg,
        };
        list.broadcast_alive(me, None);
        for (timer, interval) in [
            (Timer::Probe, list.cfg.timing.probe_interval),
            (Timer::Gossip, list.cfg.timing.gossip_interval),
            (Timer::PushPull, list.cfg.timing.push_pull_interval),
        ] {
            if !interval.is_zero() {
                let stagger = interval.mul_f64(list.rng.random::<f64>());
                list.at(now + interval + stagger, timer);
            }
        }
        delegate.joined(now, &own);
        list
    }

    /// The settings it started with; keys and label may have changed since.
    pub fn config(&self) -> &Config {
        &self.cfg
    }

    /// Its own record.
    pub fn own(&self) -> &Arc<NodeRecord> {
        &self.own
    }

    /// Its own incarnation.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// All nodes, dead ones that are not yet forgotten included.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.table.iter().map(|(_, node)| node)
    }

    /// One node.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.table.get(self.table.find(name)?)
    }

    /// How many nodes there are, dead ones included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Never: a member knows itself.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The local health score; 0 is good.
    pub fn health(&self) -> u32 {
        self.awareness
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Rumors that wait in this layer.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How packets are sealed, for key operations.
    pub fn envelope_mut(&mut self) -> &mut Envelope {
        &mut self.cfg.envelope
    }

    /// Whether another member is believed alive.
    pub fn any_other_alive(&self) -> bool {
        self.table.iter().any(|(id, node)| id != self.me && !node.state.is_gone())
    }

    /// How often a rumor is sent now.
    pub fn transmit_limit(&self) -> u32 {
        queue::transmit_limit(self.cfg.timing.retransmit_mult, self.table.len())
    }

    pub(crate) fn forget_rumors(&mut self) {
        self.queue.prune(0);
    }

    /// The generator, for the layer above.
    pub fn rng(&mut self) -> &mut SmallRng {
        &mut self.rng
    }

    /// Up to `k` others that are alive and that `take` accepts.
    pub fn choose_alive(&mut self, k: usize, take: impl Fn(&Node) -> bool) -> Vec<Arc<NodeRecord>> {
        let me = self.me;
        let ids =
            self.table.choose(&mut self.rng, k, |id, n| id != me && n.state == NodeState::Alive && take(n));
        ids.iter().filter_map(|id| self.table.get(*id)).map(|n| n.record.clone()).collect()
    }

    /// Takes one datagram.
    pub fn handle_packet(&mut self, now: Time, from: SocketAddr, packet: &[u8], d: &mut dyn Delegate) {
        self.counters.packets_in += 1;
        if packet.is_empty() {
            return;
        }
        let envelope = std::mem::take(&mut self.cfg.envelope);
        let mut bare = Vec::new();
        let opened = envelope.open(packet, &mut |message| bare.push(message.to_vec()));
        self.cfg.envelope = envelope;
        match opened {
            Err(error) => self.drop_packet(from, error),
            Ok(dropped) => {
                self.counters.dropped += dropped.count as u64;
                if let Some(error) = dropped.first {
                    self.complain(Complaint::Packet { from, error });
                }
            }
        }
        for message in bare {
            match Message::decode(&message) {
                Ok(message) => self.handle_message(now, from, message, d),
                Err(error) => self.drop_packet(from, error.into()),
            }
        }
    }

    fn drop_packet(&mut self, from: SocketAddr, error: PacketError) {
        self.counters.dropped += 1;
        self.complain(Complaint::Packet { from, error });
    }

    fn complain(&mut self, complaint: Complaint) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push_back(complaint);
        }
    }

    fn handle_message(&mut self, now: Time, from: SocketAddr, message: Message<'_>, d: &mut dyn Delegate) {
        match message {
            Message::Ping(ping) => self.handle_ping(from, ping, d),
            Message::IndirectPing(ping) => self.handle_indirect_ping(now, from, ping, d),
            Message::Ack(ack) => self.handle_ack(now, ack, d),
            Message::Nack(seq) => self.handle_nack(seq),
            Message::Alive(alive) => self.alive(now, &alive, d),
            Message::Suspect(accusation) => self.suspect(now, &accusation, d),
            Message::Dead(accusation) => self.dead(now, &accusation, d),
            Message::User(body) => d.user_message(now, from, body),
        }
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Time, d: &mut dyn Delegate) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            match timer {
                Timer::Probe => {
                    self.at(next_tick(at, now, self.cfg.timing.probe_interval), Timer::Probe);
                    self.probe_tick(now, d);
                }
                Timer::ProbeTimeout(seq) => self.probe_timeout(now, seq, d),
                Timer::ProbeEnd(seq) => self.probe_end(now, seq, d),
                Timer::Gossip => {
                    self.at(next_tick(at, now, self.cfg.timing.gossip_interval), Timer::Gossip);
                    self.gossip_tick(now, d);
                }
                Timer::PushPull => {
                    let interval = push_pull_interval(&self.cfg.timing, self.table.len());
                    self.at(now + interval, Timer::PushPull);
                    self.push_pull_tick(now, d);
                }
                Timer::Suspect(node) => self.suspicion_due(now, node, d),
                Timer::Relay(seq) => self.relay_due(seq, d),
                Timer::Stream(stream) => self.stream_due(now, stream),
            }
        }
    }

    /// When to call [`Memberlist::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// The next thing to do for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next joining exchange that ended.
    pub fn poll_join(&mut self) -> Option<(Token, Result<(), ExchangeError>)> {
        self.joins.pop_front()
    }

    /// The next thing worth a line in a log.
    pub fn poll_complaint(&mut self) -> Option<Complaint> {
        self.complaints.pop_front()
    }

    /// Tokens of rumors that went out their full number of times.
    pub fn finished_rumors(&mut self) -> Vec<Token> {
        self.queue.finished()
    }

    fn at(&mut self, at: Time, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    /// Sends one message, with rumors beside it where there is room.
    fn send(&mut self, to: SocketAddr, message: Vec<u8>, d: &mut dyn Delegate) {
        let mut messages = vec![Bytes::from(message)];
        self.fill(&mut messages, d);
        self.transmit(to, &messages, false);
    }

    /// Adds rumors to messages up to the size of a packet.
    fn fill(&mut self, messages: &mut Vec<Bytes>, d: &mut dyn Delegate) {
        if self.queue.is_empty() && !d.has_rumors() {
            return;
        }
        let used: usize = messages.iter().map(|m| m.len() + crate::wire::compound::PER_MEMBER).sum();
        let taken = used + crate::wire::compound::HEADER + self.cfg.envelope.overhead();
        let mut room = Room {
            overhead: crate::wire::compound::PER_MEMBER,
            bytes: self.cfg.timing.udp_buffer.saturating_sub(taken),
            count: crate::wire::compound::MAX_MEMBERS.saturating_sub(messages.len()),
            transmits: self.transmit_limit(),
        };
        self.queue.take(&mut room, messages);
        d.rumors(&mut room, messages);
    }

    /// Sends messages as one packet, each in its turn as a compound where they are too many.
    fn transmit(&mut self, to: SocketAddr, messages: &[Bytes], checksum: bool) {
        for packet in crate::wire::compound::encode(messages) {
            let bytes = Bytes::from(self.cfg.envelope.seal(&mut self.rng, packet, checksum));
            self.counters.packets_out += 1;
            self.counters.bytes_out += bytes.len() as u64;
            self.outputs.push_back(Output::Packet { to, bytes });
        }
    }

    /// Sends a message of the layer above to one member, at once and alone.
    pub fn send_user(&mut self, to: SocketAddr, body: &[u8]) {
        let mut message = Vec::with_capacity(1 + body.len());
        message.push(kind::USER);
        message.extend_from_slice(body);
        self.transmit(to, &[message.into()], false);
    }

    fn adjust_health(&mut self, delta: i64) {
        let max = i64::from(self.cfg.timing.awareness_max_multiplier.max(1)) - 1;
        self.awareness = (i64::from(self.awareness) + delta).clamp(0, max) as u32;
    }
}

/// The next tick of a ticker that may have been late: ticks that were missed are left out.
fn next_tick(at: Time, now: Time, interval: Duration) -> Time {
    let next = at + interval;
    if next > now { next } else { now + interval }
}

/// Large pools exchange states more rarely.
fn push_pull_interval(timing: &Timing, n: usize) -> Duration {
    if n <= 32 {
        return timing.push_pull_interval;
    }
    let times = ((n as f64).log2() - 5.0).ceil() + 1.0;
    timing.push_pull_interval.mul_f64(times)
}

fn share(cfg: &Config, record: NodeRecord) -> Arc<NodeRecord> {
    match &cfg.records {
        Some(records) => records.share(record),
        None => Arc::new(record),
    }
}
