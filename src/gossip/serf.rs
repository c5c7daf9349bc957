//! The Serf layer: members with a history, user events, queries, keys, coordinates.
//!
//! [`Serf`] is what a driver owns: it holds the [`Memberlist`] below it. As there, nothing waits and nothing is read
//! from a clock; every call takes `now`, and after each the driver empties [`Serf::poll_output`],
//! [`Serf::poll_event`] and [`Serf::poll_snapshot_line`], and sleeps until [`Serf::poll_timeout`].

pub mod clock;
mod coalesce;
pub mod config;
pub mod coordinate;
mod core;
pub mod event;
mod keys;
pub mod member;
mod query;
mod seen;
pub mod snapshot;

pub use self::core::SerfCounters;
pub use config::{MergePolicy, SerfConfig};
pub use coordinate::Coordinate;
pub use event::{Event, IncomingQuery, JoinTarget, KeyReport, MemberChange, OpId, QueryId, UserEvent};
pub use keys::KeyOp;
pub use member::{Member, MemberStatus};
pub use query::{QueryParams, SendError};
pub use snapshot::Snapshot;

use self::core::{Action, Core, State, Timer};
use crate::memberlist::config::Config;
use crate::memberlist::queue::Token;
use crate::memberlist::{Complaint, Counters, ExchangeError, LEFT, Memberlist, Output, StreamId};
use crate::time::Time;
use crate::wire::keyring::Keyring;
use crate::wire::message::MAX_META;
use crate::wire::packet::Envelope;
use crate::wire::serf::{self as wire, SerfMessage, Tags, encode_tags};
use query::Purpose;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The clock of the snapshot is written this often.
const SNAPSHOT_TICK: Duration = Duration::from_millis(500);

/// A join of several targets.
#[derive(Debug)]
struct Join {
    left: usize,
    success: usize,
    errors: Vec<(JoinTarget, ExchangeError)>,
    /// Targets that are tried one after the other until one answers, as a rejoin does.
    next: VecDeque<JoinTarget>,
    /// Nobody waits for it.
    internal: bool,
}

/// How far a graceful leave is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leave {
    /// The intent goes out.
    Intent(Token),
    /// The good-bye goes out.
    Bye,
    /// Time for both to spread.
    Spread,
}

impl Leave {
    /// Tells its timer from those of earlier steps.
    fn number(self) -> u8 {
        match self {
            Leave::Intent(_) => 0,
            Leave::Bye => 1,
            Leave::Spread => 2,
        }
    }
}

/// A member of a Serf pool, as a state machine. See the module.
#[derive(Debug)]
pub struct Serf {
    list: Memberlist,
    core: Core,
    ops: OpId,
    joins: BTreeMap<OpId, Join>,
    targets: BTreeMap<Token, (OpId, JoinTarget)>,
    waiting: BTreeMap<Token, OpId>,
    leave: Option<(Leave, bool)>,
}

impl Serf {
    /// A member that knows itself only. `seed` must be fresh: nonces come from it too. `previous` is what the snapshot
    /// file said; its members are tried in random order until one answers.
    ///
    /// # Errors
    /// Tags that are too large.
    pub fn new(
        now: Time,
        cfg: SerfConfig,
        seed: [u8; 32],
        previous: Option<Snapshot>,
    ) -> Result<Serf, SendError> {
        let meta = encode_tags(&cfg.tags);
        if meta.len() > MAX_META {
            return Err(SendError::TagsTooLarge(MAX_META));
        }
        let list_cfg = Config {
            name: cfg.name.clone(),
            advertise: cfg.advertise,
            vsn: cfg.vsn(),
            meta,
            timing: cfg.timing.clone(),
            envelope: Envelope {
                label: cfg.label.clone(),
                keyring: cfg.keyring.clone(),
                verify_incoming: cfg.verify_incoming,
                verify_outgoing: cfg.verify_outgoing,
                compress: cfg.compress,
            },
            max_members: cfg.max_members,
            tcp_pings: true,
            records: cfg.records.clone(),
        };
        let mut rng = SmallRng::from_seed(seed);
        let list_seed = rng.random();
        let key = rng.random();
        let mut core = Core::new(cfg, rng, key);
        let list = Memberlist::new(now, list_cfg, list_seed, &mut core);
        let mut serf = Serf {
            list,
            core,
            ops: 0,
            joins: BTreeMap::new(),
            targets: BTreeMap::new(),
            waiting: BTreeMap::new(),
            leave: None,
        };
        serf.core.at(now + serf.core.cfg.reap_interval, Timer::Reap);
        serf.core.at(now + serf.core.cfg.reconnect_interval, Timer::Reconnect);
        serf.core.at(now + serf.core.cfg.queue_check_interval, Timer::QueueCheck);
        if serf.core.cfg.snapshot {
            serf.core.at(now + SNAPSHOT_TICK, Timer::SnapshotClock);
        }
        if let Some(previous) = previous {
            serf.resume(now, previous);
        }
        Ok(serf)
    }

    fn resume(&mut self, now: Time, previous: Snapshot) {
        self.core.clock.witness(previous.clock);
        self.core.event_clock.witness(previous.event_clock);
        self.core.query_clock.witness(previous.query_clock);
        self.core.seen_events.min = previous.event_clock.saturating_add(1);
        self.core.seen_queries.min = previous.query_clock.saturating_add(1);
        let own = self.core.name.clone();
        let mut targets: Vec<JoinTarget> = previous
            .alive
            .into_iter()
            .filter(|(name, _)| **name != *own)
            .map(|(_, addr)| JoinTarget { text: addr.to_string(), addr })
            .collect();
        targets.shuffle(&mut self.core.rng);
        let op = self.next_op();
        self.start_join(now, op, Vec::new(), targets.into(), true, false);
    }

    fn next_op(&mut self) -> OpId {
        self.ops += 1;
        self.ops
    }

    /// Takes one datagram.
    pub fn handle_packet(&mut self, now: Time, from: SocketAddr, packet: &[u8]) {
        self.list.handle_packet(now, from, packet, &mut self.core);
        self.settle(now);
    }

    /// Somebody connected. `None`: there are too many streams, close it.
    pub fn handle_accept(&mut self, now: Time, peer: SocketAddr) -> Option<StreamId> {
        self.list.handle_accept(now, peer)
    }

    /// Bytes arrived on a stream.
    pub fn handle_stream(&mut self, now: Time, stream: StreamId, bytes: &[u8]) {
        self.list.handle_stream(now, stream, bytes, &mut self.core);
        self.settle(now);
    }

    /// The other side closed its end of a stream.
    pub fn handle_stream_end(&mut self, now: Time, stream: StreamId) {
        self.list.handle_stream_end(stream);
        self.settle(now);
    }

    /// A stream could not be opened, or broke; `text` is what the one who joins is to read.
    pub fn handle_stream_failed(&mut self, now: Time, stream: StreamId, text: &str) {
        self.list.handle_stream_failed(stream, text);
        self.settle(now);
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Time) {
        self.list.handle_timeout(now, &mut self.core);
        while let Some(Reverse((at, _))) = self.core.timers.peek() {
            if *at > now {
                break;
            }
            if let Some(Reverse((_, timer))) = self.core.timers.pop() {
                self.timer(now, timer);
            }
        }
        self.settle(now);
    }

    fn timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Reap => {
                self.core.reap(now);
                self.core.at(now + self.core.cfg.reap_interval, Timer::Reap);
            }
            Timer::Reconnect => {
                self.reconnect(now);
                self.core.at(now + self.core.cfg.reconnect_interval, Timer::Reconnect);
            }
            Timer::QueueCheck => {
                self.core.prune_queues();
                self.core.at(now + self.core.cfg.queue_check_interval, Timer::QueueCheck);
            }
            Timer::SnapshotClock => {
                self.core.snapshot_clock();
                self.core.at(now + SNAPSHOT_TICK, Timer::SnapshotClock);
            }
            Timer::Coalesce => self.core.flush_coalesced(now),
            Timer::QueryEnd(ltime) => self.core.query_over(now, ltime),
            Timer::Erase(name) => {
                if self.core.members.get(&name).is_some_and(|m| m.status != MemberStatus::Alive) {
                    self.core.erase(now, &name);
                }
            }
            Timer::Operation(token) => {
                if let Some(op) = self.waiting.remove(&token) {
                    self.core.emit(now, Event::Broadcast { op, sent: false });
                }
            }
            Timer::Leave(step) => {
                if self.leave.is_some_and(|(leave, _)| leave.number() == step) {
                    self.advance_leave(now, false);
                }
            }
        }
    }

    /// When to call [`Serf::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = self.core.timers.peek().map(|Reverse((at, _))| *at);
        [self.list.poll_timeout(), own].into_iter().flatten().min()
    }

    /// The next thing to do for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.list.poll_output()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.poll_event()
    }

    /// The next line for the end of the snapshot file.
    pub fn poll_snapshot_line(&mut self) -> Option<String> {
        self.core.poll_snapshot_line()
    }

    /// The whole snapshot file for what is known now, to take the place of one that grew.
    pub fn snapshot_image(&self) -> String {
        self.core.snapshot_image()
    }

    /// The next thing worth a line in a log.
    pub fn poll_complaint(&mut self) -> Option<Complaint> {
        self.list.poll_complaint()
    }

    /// The next reason for which the policy refused a member outside a join.
    pub fn poll_refusal(&mut self) -> Option<String> {
        self.core.refusals.pop_front()
    }

    /// After every call: what the layers owe each other.
    fn settle(&mut self, now: Time) {
        loop {
            self.answer_keys(now);
            while let Some(action) = self.core.actions.pop_front() {
                self.act(now, action);
            }
            for token in self.list.finished_rumors().into_iter().chain(self.core.intent_queue.finished()) {
                self.rumor_done(now, token);
            }
            while let Some((tag, result)) = self.list.poll_join() {
                self.join_result(now, tag, result);
            }
            if self.core.actions.is_empty() && self.core.key_requests.is_empty() {
                return;
            }
        }
    }

    fn act(&mut self, now: Time, action: Action) {
        match action {
            Action::Send { to, body } => self.list.send_user(to, &body),
            Action::Relay { factor, to, name, body } => {
                if self.core.members.len() < usize::from(factor) + 1 {
                    return;
                }
                let body = SerfMessage::Relay { to, name: &name, message: &body }.encode();
                if body.len() > self.core.cfg.query_response_limit {
                    return;
                }
                let helpers = self
                    .list
                    .choose_alive(factor.into(), |n| n.record.protocol_max() >= 5 && *n.record.name != *name);
                for helper in helpers {
                    self.list.send_user(helper.addr, &body);
                }
            }
            Action::Conflict => {
                if !self.core.conflict_runs() {
                    let name = self.core.name.clone();
                    let purpose = Purpose::Conflict { responses: 0, matching: 0 };
                    // a name is always within the limit of a query
                    let _ = self.core.ask(
                        now,
                        0,
                        "_serf_conflict",
                        name.as_bytes(),
                        &QueryParams::default(),
                        purpose,
                    );
                }
            }
        }
    }

    fn rumor_done(&mut self, now: Time, token: Token) {
        match self.leave {
            Some((Leave::Intent(ours), _)) if ours == token => return self.advance_leave(now, true),
            Some((Leave::Bye, _)) if token == LEFT => return self.advance_leave(now, true),
            _ => {}
        }
        if let Some(op) = self.waiting.remove(&token) {
            self.core.emit(now, Event::Broadcast { op, sent: true });
        }
    }

    /// Joins by these targets, all at once; [`Event::Joined`] tells how it went. `ignore_old`: user events from before
    /// are not replayed to us.
    pub fn join(&mut self, now: Time, targets: Vec<JoinTarget>, ignore_old: bool) -> OpId {
        let op = self.next_op();
        self.start_join(now, op, targets, VecDeque::new(), false, ignore_old);
        self.settle(now);
        op
    }

    fn start_join(
        &mut self,
        now: Time,
        op: OpId,
        targets: Vec<JoinTarget>,
        next: VecDeque<JoinTarget>,
        internal: bool,
        ignore_old: bool,
    ) {
        let join = Join { left: targets.len(), success: 0, errors: Vec::new(), next, internal };
        self.joins.insert(op, join);
        for target in targets {
            self.dial(now, op, target, ignore_old);
        }
        self.join_progress(now, op);
    }

    fn dial(&mut self, now: Time, op: OpId, target: JoinTarget, ignore_old: bool) {
        let tag = self.next_op();
        if ignore_old {
            self.core.ignore_old.insert(tag);
        }
        let addr = target.addr;
        self.targets.insert(tag, (op, target));
        self.list.exchange(now, addr, Some(tag), &mut self.core);
    }

    fn join_result(&mut self, now: Time, tag: Token, result: Result<(), ExchangeError>) {
        self.core.ignore_old.remove(&tag);
        let Some((op, target)) = self.targets.remove(&tag) else { return };
        let Some(join) = self.joins.get_mut(&op) else { return };
        join.left = join.left.saturating_sub(1);
        match result {
            Ok(()) => {
                join.success += 1;
                join.next.clear();
            }
            Err(error) => join.errors.push((target, error)),
        }
        self.join_progress(now, op);
    }

    fn join_progress(&mut self, now: Time, op: OpId) {
        let Some(join) = self.joins.get_mut(&op) else { return };
        if join.left > 0 {
            return;
        }
        if let Some(target) = join.next.pop_front() {
            join.left = 1;
            return self.dial(now, op, target, false);
        }
        let Some(join) = self.joins.remove(&op) else { return };
        if join.success > 0 && self.core.state == State::Alive {
            self.core.broadcast_join(now);
        }
        if !join.internal {
            self.core.emit(now, Event::Joined { op, success: join.success, errors: join.errors });
        }
    }

    /// Now and then a failed member is tried again: the more of them, the more often.
    fn reconnect(&mut self, now: Time) {
        let failed: Vec<SocketAddr> =
            self.core.members.iter().filter(|m| m.status == MemberStatus::Failed).map(Member::addr).collect();
        if failed.is_empty() || self.core.state != State::Alive {
            return;
        }
        let alive = self.core.members.len().saturating_sub(failed.len()).max(1);
        if self.core.rng.random::<f64>() > failed.len() as f64 / alive as f64 {
            return;
        }
        let addr = failed[self.core.rng.random_range(0..failed.len())];
        let op = self.next_op();
        let target = JoinTarget { text: addr.to_string(), addr };
        self.start_join(now, op, vec![target], VecDeque::new(), true, false);
    }

    /// Leaves the pool; [`Event::Left`] tells when it is over. Once begun it goes on by itself.
    pub fn leave(&mut self, now: Time) {
        if self.core.state != State::Alive {
            return;
        }
        self.core.state = State::Leaving;
        self.core.snapshot_clock();
        self.core.snapshot_line("leave".to_owned());
        let token = self.next_op();
        self.leave = Some((Leave::Intent(token), true));
        let (ltime, name) = (self.core.clock.time(), self.core.name.clone());
        self.core.clock.increment();
        self.core.leave_intent(now, ltime, &name, false);
        if self.core.others_alive() {
            let body = SerfMessage::Leave { ltime, node: &name, prune: false }.encode();
            Core::rumor(&mut self.core.intent_queue, &body, Some(token));
            self.core.at(now + self.core.cfg.broadcast_timeout, Timer::Leave(0));
        } else {
            self.advance_leave(now, true);
        }
        self.settle(now);
    }

    fn advance_leave(&mut self, now: Time, sent: bool) {
        let Some((step, all_sent)) = self.leave else { return };
        let all_sent = all_sent && (sent || step == Leave::Spread);
        match step {
            Leave::Intent(_) => {
                self.leave = Some((Leave::Bye, all_sent));
                let others = self.list.any_other_alive();
                self.list.leave(now, &mut self.core);
                if others {
                    self.core.at(now + self.core.cfg.broadcast_timeout, Timer::Leave(1));
                } else {
                    self.advance_leave(now, true);
                }
            }
            Leave::Bye => {
                self.leave = Some((Leave::Spread, all_sent));
                self.core.at(now + self.core.cfg.leave_propagate_delay, Timer::Leave(2));
            }
            Leave::Spread => {
                self.leave = None;
                self.core.state = State::Left;
                self.core.emit(now, Event::Left { sent: all_sent });
            }
        }
    }

    /// Whether we are a full part of the pool, not leaving.
    pub fn is_alive(&self) -> bool {
        self.core.state == State::Alive
    }

    /// Makes a failed member count as left, everywhere; with `prune` it is forgotten at once. [`Event::Broadcast`]
    /// tells when the pool was told. A member that is alive refutes it.
    pub fn force_leave(&mut self, now: Time, node: &str, prune: bool) -> OpId {
        let op = self.next_op();
        let ltime = self.core.clock.time();
        self.core.clock.increment();
        self.core.leave_intent(now, ltime, node, prune);
        if self.core.others_alive() {
            let body = SerfMessage::Leave { ltime, node, prune }.encode();
            Core::rumor(&mut self.core.intent_queue, &body, Some(op));
            self.await_rumor(now, op);
        } else {
            self.core.emit(now, Event::Broadcast { op, sent: true });
        }
        self.settle(now);
        op
    }

    fn await_rumor(&mut self, now: Time, op: OpId) {
        self.waiting.insert(op, op);
        self.core.at(now + self.core.cfg.broadcast_timeout, Timer::Operation(op));
    }

    /// Replaces our tags; [`Event::Broadcast`] tells when the pool was told.
    ///
    /// # Errors
    /// [`SendError::TagsTooLarge`], [`SendError::Left`].
    pub fn set_tags(&mut self, now: Time, tags: Tags) -> Result<OpId, SendError> {
        let meta = encode_tags(&tags);
        if meta.len() > MAX_META {
            return Err(SendError::TagsTooLarge(MAX_META));
        }
        if self.core.state != State::Alive {
            return Err(SendError::Left);
        }
        let op = self.next_op();
        self.core.cfg.tags = tags;
        self.list.set_meta(now, &meta, op, &mut self.core);
        if self.list.any_other_alive() {
            self.await_rumor(now, op);
        } else {
            self.core.emit(now, Event::Broadcast { op, sent: true });
        }
        self.settle(now);
        Ok(op)
    }

    /// Sends a user event to all, ourselves included.
    ///
    /// # Errors
    /// It is too large.
    pub fn user_event(
        &mut self,
        now: Time,
        name: &str,
        payload: &[u8],
        coalesce: bool,
    ) -> Result<(), SendError> {
        let (size, limit) = (name.len() + payload.len(), self.core.cfg.user_event_limit);
        if size > limit {
            return Err(SendError::EventTooLarge(limit));
        }
        if size > config::MAX_USER_EVENT {
            return Err(SendError::EventInsane(config::MAX_USER_EVENT));
        }
        let event = wire::UserEvent { ltime: self.core.event_clock.time(), name, payload, coalesce };
        let body = SerfMessage::UserEvent(event).encode();
        if body.len() > limit {
            return Err(SendError::EncodedEventTooLarge(limit));
        }
        self.core.user_event(now, &event);
        Core::rumor(&mut self.core.event_queue, &body, None);
        self.settle(now);
        Ok(())
    }

    /// Asks all members that the filters take; answers come as events.
    ///
    /// # Errors
    /// It is too large.
    pub fn query(
        &mut self,
        now: Time,
        name: &str,
        payload: &[u8],
        params: &QueryParams,
    ) -> Result<OpId, SendError> {
        let op = self.next_op();
        self.core.ask(now, op, name, payload, params, Purpose::Application)?;
        self.settle(now);
        Ok(op)
    }

    /// Answers a query that was asked of us, once and in time.
    ///
    /// # Errors
    /// It is too large, or too late.
    pub fn respond(&mut self, now: Time, id: QueryId, payload: &[u8]) -> Result<(), SendError> {
        let done = self.core.respond(now, id, payload);
        self.settle(now);
        done
    }

    /// Drops every rumor that waits, so that a simulation can begin with a pool that has been at rest for long.
    #[doc(hidden)]
    pub fn forget_rumors(&mut self) {
        self.list.forget_rumors();
        for queue in [&mut self.core.intent_queue, &mut self.core.query_queue, &mut self.core.event_queue] {
            queue.prune(0);
        }
    }

    /// Our own name.
    pub fn name(&self) -> &Arc<str> {
        &self.core.name
    }

    /// Our own tags.
    pub fn tags(&self) -> &Tags {
        &self.core.cfg.tags
    }

    /// All members, failed and left ones included, in no order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.core.members.iter()
    }

    /// One member.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.core.members.get(name)
    }

    /// Grows with every change of a member: whoever keeps a copy of them compares it.
    pub fn members_version(&self) -> u64 {
        self.core.version
    }

    /// Our own place in the network.
    pub fn coordinate(&self) -> &Coordinate {
        self.core.coordinates.own()
    }

    /// The place last heard of for a member; our own for our own name.
    pub fn cached_coordinate(&self, name: &str) -> Option<&Coordinate> {
        if *name == *self.core.name {
            return Some(self.core.coordinates.own());
        }
        self.core.coordinates.cached(name)
    }

    /// How often our own place had to be reset.
    pub fn coordinate_resets(&self) -> u64 {
        self.core.coordinates.resets()
    }

    /// The keys, to be written to the keyring file.
    pub fn keyring(&self) -> &Keyring {
        &self.list.config().envelope.keyring
    }

    /// The layer below, to be looked at.
    pub fn memberlist(&self) -> &Memberlist {
        &self.list
    }

    /// Counters of the layer below.
    pub fn counters(&self) -> Counters {
        self.list.counters()
    }

    /// Counters of this layer.
    pub fn serf_counters(&self) -> SerfCounters {
        self.core.counters
    }

    /// How many rumors wait: intents, queries, events.
    pub fn queue_depths(&self) -> [usize; 3] {
        [&self.core.intent_queue, &self.core.query_queue, &self.core.event_queue].map(|q| q.len())
    }

    /// The Lamport clocks: members, events, queries.
    pub fn clocks(&self) -> [u64; 3] {
        [self.core.clock, self.core.event_clock, self.core.query_clock].map(|c| c.time())
    }
}
