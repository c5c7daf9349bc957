//! What Serf keeps beside the memberlist, and how it answers it.

use super::clock::Clock;
use super::coalesce::Coalescer;
use super::config::SerfConfig;
use super::coordinate::{Coordinate, Coordinates};
use super::event::{Event, IncomingQuery, MemberChange, OpId, UserEvent};
use super::member::{Member, MemberStatus, Members};
use super::query::{Asked, Running};
use super::seen::Seen;
use super::snapshot::Snapshot;
use crate::memberlist::node::NodeRecord;
use crate::memberlist::queue::{Queue, Room, Token};
use crate::memberlist::{Candidate, Delegate};
use crate::time::Time;
use crate::wire::message::kind::USER;
use crate::wire::serf::{self as wire, LTime, SerfMessage, SerfState};
use bytes::Bytes;
use rand::rngs::SmallRng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Intents about unknown members that are remembered.
const MAX_INTENTS: usize = 8192;

/// Whether we take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Alive,
    Leaving,
    Left,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    Reap,
    Reconnect,
    QueueCheck,
    SnapshotClock,
    Coalesce,
    QueryEnd(LTime),
    Erase(Arc<str>),
    Operation(OpId),
    Leave(u8),
}

/// What must be done with the memberlist, which is borrowed while it calls us.
#[derive(Debug)]
pub(super) enum Action {
    /// Send a message of this layer.
    Send { to: SocketAddr, body: Vec<u8> },
    /// Send a response by way of others too.
    Relay { factor: u8, to: SocketAddr, name: String, body: Vec<u8> },
    /// Somebody has our name: ask the pool.
    Conflict,
}

#[derive(Clone, Copy, Debug)]
struct Intent {
    leave: bool,
    ltime: LTime,
    at: Time,
}

/// How often things happened in this layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SerfCounters {
    /// Messages that could not be read.
    pub undecoded: u64,
    /// Members refused by the policy.
    pub refused: u64,
    /// Other addresses that claimed a known name.
    pub conflicts: u64,
    /// Coordinates that were not believed.
    pub coordinates_refused: u64,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) cfg: SerfConfig,
    pub(super) name: Arc<str>,
    pub(super) addr: SocketAddr,
    pub(super) rng: SmallRng,
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) event_clock: Clock,
    pub(super) query_clock: Clock,
    pub(super) members: Members,
    pub(super) version: u64,
    intents: BTreeMap<Arc<str>, Intent>,
    pub(super) intent_queue: Queue,
    pub(super) query_queue: Queue,
    pub(super) event_queue: Queue,
    pub(super) seen_events: Seen<(String, Bytes)>,
    pub(super) seen_queries: Seen<u32>,
    pub(super) coordinates: Coordinates,
    pub(super) asked: BTreeMap<super::event::QueryId, Asked>,
    pub(super) running: BTreeMap<LTime, Running>,
    pub(super) ignore_old: BTreeSet<Token>,
    pub(super) key_requests: VecDeque<(super::event::QueryId, String, Vec<u8>)>,
    pub(super) actions: VecDeque<Action>,
    pub(super) timers: BinaryHeap<Reverse<(Time, Timer)>>,
    pub(super) counters: SerfCounters,
    pub(super) refusals: VecDeque<String>,
    coalescer: Coalescer,
    events: VecDeque<Event>,
    lines: VecDeque<String>,
    written_clock: LTime,
}

/// Refusals kept for the log; more are counted only.
const MAX_REFUSALS: usize = 16;

impl Core {
    pub(super) fn new(cfg: SerfConfig, rng: SmallRng, key: u64) -> Core {
        let spans =
            [cfg.coalesce_period, cfg.quiescent_period, cfg.user_coalesce_period, cfg.user_quiescent_period];
        Core {
            name: Arc::from(&*cfg.name),
            addr: cfg.advertise,
            rng,
            state: State::Alive,
            clock: Clock::default(),
            event_clock: Clock::default(),
            query_clock: Clock::default(),
            members: Members::new(key),
            version: 0,
            intents: BTreeMap::new(),
            intent_queue: Queue::default(),
            query_queue: Queue::default(),
            event_queue: Queue::default(),
            seen_events: Seen::default(),
            seen_queries: Seen::default(),
            coordinates: Coordinates::default(),
            asked: BTreeMap::new(),
            running: BTreeMap::new(),
            ignore_old: BTreeSet::new(),
            key_requests: VecDeque::new(),
            actions: VecDeque::new(),
            timers: BinaryHeap::new(),
            counters: SerfCounters::default(),
            refusals: VecDeque::new(),
            coalescer: Coalescer::new(spans),
            events: VecDeque::new(),
            lines: VecDeque::new(),
            written_clock: 0,
            cfg,
        }
    }

    pub(super) fn at(&mut self, at: Time, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    /// Reports an event, at once or after the time it is held back.
    pub(super) fn emit(&mut self, now: Time, event: Event) {
        let due = self.coalescer.due();
        self.events.extend(self.coalescer.push(now, event));
        if let Some(next) = self.coalescer.due()
            && due.is_none_or(|due| next != due)
        {
            self.at(next, Timer::Coalesce);
        }
    }

    pub(super) fn flush_coalesced(&mut self, now: Time) {
        let mut out = Vec::new();
        self.coalescer.flush(now, &mut out);
        self.events.extend(out);
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn changed(&mut self, now: Time, change: MemberChange, member: Member) {
        self.version += 1;
        if self.cfg.snapshot {
            match change {
                MemberChange::Join => {
                    self.lines.push_back(format!("alive: {} {}", member.name(), member.addr()));
                }
                MemberChange::Leave | MemberChange::Failed => {
                    self.lines.push_back(format!("not-alive: {}", member.name()));
                }
                MemberChange::Update | MemberChange::Reap => {}
            }
        }
        self.emit(now, Event::Members { change, members: vec![member] });
    }

    pub(super) fn snapshot_line(&mut self, line: String) {
        if self.cfg.snapshot {
            self.lines.push_back(line);
        }
    }

    pub(super) fn poll_snapshot_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    /// Writes the member clock when it grew.
    pub(super) fn snapshot_clock(&mut self) {
        let last = self.clock.time() - 1;
        if last > self.written_clock {
            self.written_clock = last;
            self.snapshot_line(format!("clock: {last}"));
        }
    }

    pub(super) fn snapshot_image(&self) -> String {
        let clocks = [self.clock, self.event_clock, self.query_clock].map(|c| c.time() - 1);
        Snapshot::compact(self.members.iter(), clocks)
    }

    pub(super) fn alive_count(&self) -> usize {
        self.members.iter().filter(|m| m.status == MemberStatus::Alive).count()
    }

    pub(super) fn others_alive(&self) -> bool {
        self.members.iter().any(|m| m.status == MemberStatus::Alive && **m.name() != *self.name)
    }

    /// Queues a message of this layer behind the user byte.
    pub(super) fn rumor(queue: &mut Queue, body: &[u8], token: Option<Token>) {
        let mut bytes = Vec::with_capacity(1 + body.len());
        bytes.push(USER);
        bytes.extend_from_slice(body);
        queue.push(None, bytes.into(), token);
    }

    pub(super) fn prune_queues(&mut self) {
        let max = if self.cfg.min_queue_depth > 0 {
            self.cfg.min_queue_depth.max(2 * self.members.len())
        } else {
            self.cfg.max_queue_depth
        };
        for queue in [&mut self.intent_queue, &mut self.query_queue, &mut self.event_queue] {
            queue.prune(max);
        }
    }

    /// Drops what is remembered too long.
    pub(super) fn reap(&mut self, now: Time) {
        let (failed, left) = (self.cfg.reconnect_timeout, self.cfg.tombstone_timeout);
        let old: Vec<Arc<str>> = self
            .members
            .iter()
            .filter(|m| match m.status {
                MemberStatus::Failed => now.since(m.gone_at) > failed,
                MemberStatus::Left => now.since(m.gone_at) > left,
                _ => false,
            })
            .map(|m| m.name().clone())
            .collect();
        for name in old {
            self.erase(now, &name);
        }
        let keep = self.cfg.recent_intent_timeout;
        self.intents.retain(|_, intent| now.since(intent.at) <= keep);
        self.asked.retain(|_, asked| asked.deadline > now);
    }

    pub(super) fn erase(&mut self, now: Time, name: &str) {
        if let Some(member) = self.members.remove(name) {
            self.coordinates.forget(name);
            self.changed(now, MemberChange::Reap, member);
        }
    }

    fn remember_intent(&mut self, now: Time, node: &str, leave: bool, ltime: LTime) -> bool {
        let full = self.intents.len() >= MAX_INTENTS;
        match self.intents.get_mut(node) {
            Some(intent) if ltime <= intent.ltime => false,
            Some(intent) => {
                *intent = Intent { leave, ltime, at: now };
                true
            }
            None if full => false,
            None => {
                self.intents.insert(node.into(), Intent { leave, ltime, at: now });
                true
            }
        }
    }

    /// A member says that it leaves, or is made to. True if that is to be passed on.
    pub(super) fn leave_intent(&mut self, now: Time, ltime: LTime, node: &str, prune: bool) -> bool {
        self.clock.witness(ltime);
        let alive_me = *node == *self.name && self.state == State::Alive;
        let Some(member) = self.members.get_mut(node) else {
            return self.remember_intent(now, node, true, ltime);
        };
        if ltime <= member.status_ltime {
            return false;
        }
        if alive_me {
            // a rumor that we left: say that we are here
            self.broadcast_join(now);
            return false;
        }
        member.status_ltime = ltime;
        let name = member.name().clone();
        match member.status {
            MemberStatus::Alive => {
                member.status = MemberStatus::Leaving;
                self.version += 1;
            }
            MemberStatus::Failed => {
                member.status = MemberStatus::Left;
                let member = member.clone();
                self.changed(now, MemberChange::Leave, member);
            }
            MemberStatus::Leaving | MemberStatus::Left => {}
        }
        if prune {
            match self.members.get(&name).map(|m| m.status) {
                // its good-bye is under way; let it come first
                Some(MemberStatus::Leaving) => {
                    let delay = self.cfg.broadcast_timeout + self.cfg.leave_propagate_delay;
                    self.at(now + delay, Timer::Erase(name));
                }
                _ => self.erase(now, &name),
            }
        }
        true
    }

    /// A member says that it is there. True if that is to be passed on.
    pub(super) fn join_intent(&mut self, now: Time, ltime: LTime, node: &str) -> bool {
        self.clock.witness(ltime);
        let Some(member) = self.members.get_mut(node) else {
            return self.remember_intent(now, node, false, ltime);
        };
        if ltime <= member.status_ltime {
            return false;
        }
        member.status_ltime = ltime;
        if member.status == MemberStatus::Leaving {
            member.status = MemberStatus::Alive;
            self.version += 1;
        }
        true
    }

    /// Tells the pool that we are here.
    pub(super) fn broadcast_join(&mut self, now: Time) {
        let ltime = self.clock.time();
        let name = self.name.clone();
        self.clock.witness(ltime);
        self.join_intent(now, ltime, &name);
        let body = SerfMessage::Join { ltime, node: &name }.encode();
        Self::rumor(&mut self.intent_queue, &body, None);
    }

    /// A user event was heard of. True if it is to be passed on.
    pub(super) fn user_event(&mut self, now: Time, e: &wire::UserEvent<'_>) -> bool {
        self.event_clock.witness(e.ltime);
        if e.name.len() + e.payload.len() > super::config::MAX_USER_EVENT {
            return false;
        }
        let payload = Bytes::copy_from_slice(e.payload);
        let what = (e.name.to_owned(), payload.clone());
        if !self.seen_events.is_new(self.event_clock.time(), e.ltime, what) {
            return false;
        }
        self.snapshot_line(format!("event-clock: {}", e.ltime));
        let event = UserEvent { ltime: e.ltime, name: e.name.to_owned(), payload, coalesce: e.coalesce };
        self.emit(now, Event::User(event));
        true
    }

    pub(super) fn refuse(&mut self, reason: String) {
        self.counters.refused += 1;
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push_back(reason);
        }
    }

    pub(super) fn deliver_query(&mut self, now: Time, query: IncomingQuery) {
        self.emit(now, Event::Query(query));
    }
}

impl Delegate for Core {
    fn joined(&mut self, now: Time, record: &Arc<NodeRecord>) {
        let member = match self.members.get_mut(&record.name) {
            Some(member) => {
                member.status = MemberStatus::Alive;
                member.record = record.clone();
                member.clone()
            }
            None => {
                let keep = self.cfg.recent_intent_timeout;
                let intent = self.intents.remove(&record.name).filter(|i| now.since(i.at) <= keep);
                let leaving = intent.is_some_and(|i| i.leave);
                let member = Member {
                    record: record.clone(),
                    status: if leaving { MemberStatus::Leaving } else { MemberStatus::Alive },
                    status_ltime: intent.map_or(0, |i| i.ltime),
                    gone_at: Time::ZERO,
                };
                self.members.insert(member.clone());
                member
            }
        };
        self.changed(now, MemberChange::Join, member);
    }

    fn gone(&mut self, now: Time, record: &Arc<NodeRecord>, _left: bool) {
        let Some(member) = self.members.get_mut(&record.name) else { return };
        // without an intent before it, even a good-bye counts as a failure
        let (status, change) = match member.status {
            MemberStatus::Leaving => (MemberStatus::Left, MemberChange::Leave),
            MemberStatus::Alive => (MemberStatus::Failed, MemberChange::Failed),
            MemberStatus::Left | MemberStatus::Failed => return,
        };
        member.status = status;
        member.gone_at = now;
        let member = member.clone();
        self.changed(now, change, member);
    }

    fn updated(&mut self, now: Time, record: &Arc<NodeRecord>) {
        if let Some(member) = self.members.get_mut(&record.name) {
            member.record = record.clone();
            let member = member.clone();
            self.changed(now, MemberChange::Update, member);
        }
    }

    fn conflict(&mut self, _now: Time, known: &Arc<NodeRecord>, _other: SocketAddr) {
        self.counters.conflicts += 1;
        if known.name == self.name && self.cfg.resolve_conflicts && self.state == State::Alive {
            self.actions.push_back(Action::Conflict);
        }
    }

    fn user_message(&mut self, now: Time, _from: SocketAddr, message: &[u8]) {
        let Ok(decoded) = SerfMessage::decode(message) else {
            self.counters.undecoded += 1;
            return;
        };
        match decoded {
            SerfMessage::Leave { ltime, node, prune } => {
                if self.leave_intent(now, ltime, node, prune) {
                    Self::rumor(&mut self.intent_queue, message, None);
                }
            }
            SerfMessage::Join { ltime, node } => {
                if self.join_intent(now, ltime, node) {
                    Self::rumor(&mut self.intent_queue, message, None);
                }
            }
            SerfMessage::UserEvent(event) => {
                if self.user_event(now, &event) {
                    Self::rumor(&mut self.event_queue, message, None);
                }
            }
            SerfMessage::Query(query) => {
                if self.handle_query(now, &query) {
                    Self::rumor(&mut self.query_queue, message, None);
                }
            }
            SerfMessage::Response(response) => self.handle_response(now, &response),
            SerfMessage::Relay { to, message, .. } => {
                let limit = self.cfg.query_response_limit;
                if message.len() <= limit {
                    self.actions.push_back(Action::Send { to, body: message.to_vec() });
                } else {
                    self.counters.undecoded += 1;
                }
            }
        }
    }

    fn rumors(&mut self, room: &mut Room, out: &mut Vec<Bytes>) {
        self.intent_queue.take(room, out);
        self.query_queue.take(room, out);
        self.event_queue.take(room, out);
    }

    fn has_rumors(&self) -> bool {
        !(self.intent_queue.is_empty() && self.query_queue.is_empty() && self.event_queue.is_empty())
    }

    fn local_state(&mut self, _join: bool) -> Vec<u8> {
        let left: Vec<&str> =
            self.members.iter().filter(|m| m.status == MemberStatus::Left).map(|m| &**m.name()).collect();
        let events: Vec<wire::UserEvent<'_>> = self
            .seen_events
            .iter()
            .map(|(ltime, (name, payload))| wire::UserEvent { ltime, name, payload, coalesce: false })
            .collect();
        let clocks = [self.clock.time(), self.event_clock.time(), self.query_clock.time()];
        let statuses = self.members.iter().map(|m| (&**m.name(), m.status_ltime));
        wire::encode_state(clocks, statuses, &left, &events)
    }

    fn merge_state(&mut self, now: Time, state: &[u8], join: bool, tag: Option<Token>) {
        let Ok(s) = SerfState::decode(state) else {
            self.counters.undecoded += 1;
            return;
        };
        // less one: nothing was said at the current time yet
        for (clock, seen) in [
            (&mut self.clock, s.ltime),
            (&mut self.event_clock, s.event_ltime),
            (&mut self.query_clock, s.query_ltime),
        ] {
            if seen > 0 {
                clock.witness(seen - 1);
            }
        }
        let left: BTreeSet<&str> = s.left.iter().copied().collect();
        let times: BTreeMap<&str, LTime> = s.status_ltimes.iter().copied().collect();
        for node in &left {
            // one more than its status, or it would count as old
            let ltime = times.get(node).copied().unwrap_or(0).saturating_add(1);
            self.leave_intent(now, ltime, node, false);
        }
        for (node, ltime) in &s.status_ltimes {
            if !left.contains(node) {
                self.join_intent(now, *ltime, node);
            }
        }
        if join && tag.is_some_and(|tag| self.ignore_old.contains(&tag)) {
            self.seen_events.min = self.seen_events.min.max(s.event_ltime);
        }
        for event in &s.events {
            self.user_event(now, event);
        }
    }

    fn ack_payload(&mut self) -> Vec<u8> {
        if self.cfg.coordinates { self.coordinates.own().encode() } else { Vec::new() }
    }

    fn ping_done(&mut self, _now: Time, record: &Arc<NodeRecord>, rtt: Duration, payload: &[u8]) {
        if !self.cfg.coordinates || payload.is_empty() {
            return;
        }
        let believed = match Coordinate::decode(payload) {
            Ok(other) => self.coordinates.update(&mut self.rng, &record.name, other, rtt),
            Err(_) => false,
        };
        self.counters.coordinates_refused += u64::from(!believed);
    }

    fn accept_alive(&mut self, record: &NodeRecord) -> bool {
        match self.cfg.policy.as_ref().map(|p| p.check_alive(record)) {
            Some(Err(reason)) => {
                self.refuse(reason);
                false
            }
            Some(Ok(())) | None => true,
        }
    }

    fn accept_merge(&mut self, candidates: &[Candidate]) -> Result<(), String> {
        let Some(policy) = &self.cfg.policy else { return Ok(()) };
        policy.check_join(candidates).inspect_err(|_| self.counters.refused += 1)
    }
}
