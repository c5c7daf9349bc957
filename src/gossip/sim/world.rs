//! Many members in one process, with a network and a clock that are made up. A run is decided by its seed alone.

use bytes::Bytes;
use crs_gossip::Time;
use crs_gossip::memberlist::config::Records;
use crs_gossip::memberlist::node::NodeRecord;
use crs_gossip::memberlist::{Output, StreamId};
use crs_gossip::serf::{Event, JoinTarget, Serf, SerfConfig, Snapshot};
use crs_gossip::wire::state::{NodeState, StateNode, encode};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One record for all members that say the same of a member.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<HashMap<Arc<str>, Arc<NodeRecord>>>);

impl Records for Shared {
    fn share(&self, record: NodeRecord) -> Arc<NodeRecord> {
        let mut map = self.0.lock().unwrap();
        match map.get(&record.name) {
            Some(known) if **known == record => known.clone(),
            _ => {
                let record = Arc::new(record);
                map.insert(record.name.clone(), record.clone());
                record
            }
        }
    }
}

#[derive(Debug)]
enum What {
    Wake(usize),
    Packet { from: SocketAddr, to: usize, bytes: Bytes },
    Accept { conn: usize },
    Data { conn: usize, side: usize, bytes: Bytes },
    End { conn: usize, side: usize },
    Thaw(usize),
}

/// What a frozen member missed.
#[derive(Debug)]
enum Missed {
    Packet { from: SocketAddr, bytes: Bytes },
    Event(What),
}

struct Conn {
    ends: [(usize, Option<StreamId>); 2],
    latency: Duration,
}

/// One member.
pub(crate) struct Member {
    pub(crate) serf: Serf,
    pub(crate) up: bool,
    pub(crate) frozen: bool,
    missed: Vec<Missed>,
    held: Vec<Output>,
    wake: Option<Time>,
    /// On which side of a partition it is.
    pub(crate) side: u8,
    /// What happened to it, and when.
    pub(crate) events: Vec<(Time, Event)>,
}

/// How the network behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) loss: f64,
    pub(crate) latency: (Duration, Duration),
    /// Whether members of different sides hear each other.
    pub(crate) split: bool,
}

impl Default for Network {
    fn default() -> Self {
        Network { loss: 0.0, latency: (Duration::from_micros(200), Duration::from_millis(2)), split: false }
    }
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) members: Vec<Member>,
    pub(crate) net: Network,
    /// Whether events are kept for tests that look at them.
    pub(crate) keep_events: bool,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    by_addr: HashMap<SocketAddr, usize>,
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    whats: HashMap<u64, What>,
    next: u64,
    conns: Vec<Conn>,
    conn_of: HashMap<(usize, StreamId), (usize, usize)>,
    rng: SmallRng,
    shared: Arc<Shared>,
}

/// The address of the `i`-th member.
pub(crate) fn addr(i: usize) -> SocketAddr {
    let ip = Ipv4Addr::from(0x0a00_0000 + i as u32 + 1);
    SocketAddr::new(ip.into(), 7946)
}

pub(crate) fn secs(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World {
            now: Time::ZERO,
            members: Vec::new(),
            net: Network::default(),
            keep_events: true,
            packets: 0,
            bytes: 0,
            by_addr: HashMap::new(),
            heap: BinaryHeap::new(),
            whats: HashMap::new(),
            next: 0,
            conns: Vec::new(),
            conn_of: HashMap::new(),
            rng: SmallRng::seed_from_u64(seed),
            shared: Arc::default(),
        }
    }

    /// What every member of a simulation is told.
    pub(crate) fn config(&self, i: usize) -> SerfConfig {
        let mut cfg = SerfConfig::new(format!("m{i}"), addr(i));
        cfg.compress = false;
        cfg.records = Some(self.shared.clone());
        cfg.tags.insert("role".into(), "node".into());
        cfg
    }

    pub(crate) fn add(&mut self, cfg: SerfConfig) -> usize {
        self.add_from(cfg, None)
    }

    /// A member that starts from a snapshot.
    pub(crate) fn add_from(&mut self, cfg: SerfConfig, previous: Option<Snapshot>) -> usize {
        let i = self.members.len();
        let at = cfg.advertise;
        let serf = Serf::new(self.now, cfg, self.rng.random(), previous).unwrap();
        self.members.push(Member {
            serf,
            up: true,
            frozen: false,
            missed: Vec::new(),
            held: Vec::new(),
            wake: None,
            side: 0,
            events: Vec::new(),
        });
        self.by_addr.insert(at, i);
        self.drain(i);
        i
    }

    /// A pool of `n`: all join by a few, one after the other.
    pub(crate) fn pool(seed: u64, n: usize, change: impl Fn(&mut SerfConfig)) -> World {
        let mut world = World::new(seed);
        for i in 0..n {
            let mut cfg = world.config(i);
            change(&mut cfg);
            world.add(cfg);
            if i > 0 {
                let by = world.rng.random_range(0..i.min(3));
                world.join(i, by);
            }
            world.run(Duration::from_millis(10));
        }
        world
    }

    /// A pool of `n` that has been at rest for long: all know all, and no rumor waits.
    pub(crate) fn at_rest(seed: u64, n: usize, change: impl Fn(&mut SerfConfig)) -> World {
        let mut world = World::new(seed);
        let mut vsn = [0; 6];
        for i in 0..n {
            let mut cfg = world.config(i);
            change(&mut cfg);
            world.add(cfg);
            vsn = world.members[i].serf.memberlist().own().vsn;
        }
        let records: Vec<_> = world.members.iter().map(|m| m.serf.memberlist().own().clone()).collect();
        let nodes = records.iter().map(|r| StateNode {
            name: &r.name,
            addr: Some(r.addr.ip()),
            port: r.addr.port(),
            meta: &r.meta,
            incarnation: 1,
            state: NodeState::Alive,
            vsn: &vsn,
        });
        let state = encode(false, nodes, n, &[]);
        for i in 0..n {
            let serf = &mut world.members[i].serf;
            if let Some(stream) = serf.handle_accept(world.now, addr(i)) {
                serf.handle_stream(world.now, stream, &state);
            }
            serf.forget_rumors();
            while serf.poll_output().is_some() {}
            world.drain(i);
            world.members[i].events = Vec::new();
        }
        world
    }

    pub(crate) fn join(&mut self, i: usize, by: usize) {
        let target = JoinTarget { text: addr(by).to_string(), addr: addr(by) };
        let now = self.now;
        self.act(i, |serf| {
            serf.join(now, vec![target], false);
        });
    }

    /// Does something with a member, and what follows from it.
    pub(crate) fn act<R>(&mut self, i: usize, f: impl FnOnce(&mut Serf) -> R) -> R {
        let out = f(&mut self.members[i].serf);
        self.drain(i);
        out
    }

    pub(crate) fn kill(&mut self, i: usize) {
        self.members[i].up = false;
    }

    /// Blocks a member's sending and receiving for a while, as the paper on Lifeguard does: its timers go on, and what
    /// it sent and was sent comes all at once in the end.
    pub(crate) fn freeze(&mut self, i: usize, span: Duration) {
        self.members[i].frozen = true;
        self.push(self.now + span, What::Thaw(i));
    }

    fn push(&mut self, at: Time, what: What) {
        self.next += 1;
        self.whats.insert(self.next, what);
        self.heap.push(Reverse((at, self.next)));
    }

    /// Runs for a while.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(Reverse((at, id))) = self.heap.peek().copied() {
            if at > end {
                break;
            }
            self.heap.pop();
            self.now = at;
            if let Some(what) = self.whats.remove(&id) {
                self.happen(what);
            }
        }
        self.now = end;
    }

    /// Runs until something holds, looking every tenth of a second; the time it took, or none.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&World) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        // a look costs the square of the size
        let step = Duration::from_millis(if self.members.len() > 2000 { 1000 } else { 100 });
        while self.now.since(start) < limit {
            if done(self) {
                return Some(self.now.since(start));
            }
            self.run(step);
        }
        done(self).then(|| self.now.since(start))
    }

    fn reachable(&self, a: usize, b: usize) -> bool {
        !self.net.split || self.members[a].side == self.members[b].side
    }

    fn latency(&mut self) -> Duration {
        let (min, max) = self.net.latency;
        min + (max - min).mul_f64(self.rng.random::<f64>())
    }

    fn happen(&mut self, what: What) {
        let now = self.now;
        match what {
            What::Wake(i) => {
                let member = &mut self.members[i];
                if member.wake != Some(now) {
                    return;
                }
                member.wake = None;
                if member.up {
                    member.serf.handle_timeout(now);
                    self.drain(i);
                }
            }
            What::Packet { from, to, bytes } => {
                let member = &mut self.members[to];
                if !member.up {
                    return;
                }
                if member.frozen {
                    // a socket buffer holds so much and no more
                    if member.missed.len() < 4096 {
                        member.missed.push(Missed::Packet { from, bytes });
                    }
                    return;
                }
                member.serf.handle_packet(now, from, &bytes);
                self.drain(to);
            }
            What::Accept { conn } => {
                let [(a, _), (b, _)] = self.conns[conn].ends;
                if !self.members[b].up {
                    if let Some(id) = self.conns[conn].ends[0].1 {
                        self.members[a].serf.handle_stream_failed(now, id, "connection refused");
                        self.drain(a);
                    }
                    return;
                }
                if self.members[b].frozen {
                    self.members[b].missed.push(Missed::Event(What::Accept { conn }));
                    return;
                }
                if let Some(id) = self.members[b].serf.handle_accept(now, addr(a)) {
                    self.conns[conn].ends[1].1 = Some(id);
                    self.conn_of.insert((b, id), (conn, 1));
                }
            }
            What::Data { conn, side, bytes } => {
                let (i, id) = self.conns[conn].ends[side];
                if self.members[i].frozen {
                    self.members[i].missed.push(Missed::Event(What::Data { conn, side, bytes }));
                } else if let (true, Some(id)) = (self.members[i].up, id) {
                    self.members[i].serf.handle_stream(now, id, &bytes);
                    self.drain(i);
                }
            }
            What::End { conn, side } => {
                let (i, id) = self.conns[conn].ends[side];
                if self.members[i].frozen {
                    self.members[i].missed.push(Missed::Event(What::End { conn, side }));
                } else if let (true, Some(id)) = (self.members[i].up, id) {
                    self.members[i].serf.handle_stream_end(now, id);
                    self.conn_of.remove(&(i, id));
                    self.drain(i);
                }
            }
            What::Thaw(i) => {
                let member = &mut self.members[i];
                member.frozen = false;
                if !member.up {
                    return;
                }
                let missed = std::mem::take(&mut member.missed);
                self.drain(i);
                for missed in missed {
                    match missed {
                        Missed::Packet { from, bytes } => self.happen(What::Packet { from, to: i, bytes }),
                        Missed::Event(what) => self.happen(what),
                    }
                }
            }
        }
    }

    fn drain(&mut self, i: usize) {
        loop {
            if self.members[i].frozen {
                while let Some(output) = self.members[i].serf.poll_output() {
                    self.members[i].held.push(output);
                }
                break;
            }
            let held = std::mem::take(&mut self.members[i].held);
            let fresh = std::iter::from_fn(|| self.members[i].serf.poll_output()).collect::<Vec<_>>();
            if held.is_empty() && fresh.is_empty() {
                break;
            }
            for output in held.into_iter().chain(fresh) {
                self.emit(i, output);
            }
        }
        let keep = self.keep_events;
        let now = self.now;
        let member = &mut self.members[i];
        while let Some(event) = member.serf.poll_event() {
            if keep {
                member.events.push((now, event));
            }
        }
        while member.serf.poll_complaint().is_some() {}
        let due = member.serf.poll_timeout();
        if due != member.wake
            && let Some(at) = due
        {
            let at = at.max(now);
            member.wake = Some(at);
            self.push(at, What::Wake(i));
        }
    }

    fn emit(&mut self, i: usize, output: Output) {
        match output {
            Output::Packet { to, bytes } => {
                self.packets += 1;
                self.bytes += bytes.len() as u64;
                let Some(&j) = self.by_addr.get(&to) else { return };
                if !self.reachable(i, j) || self.rng.random::<f64>() < self.net.loss {
                    return;
                }
                let at = self.now + self.latency();
                self.push(at, What::Packet { from: addr(i), to: j, bytes });
            }
            Output::Dial { stream, to } => {
                let latency = self.latency();
                let Some(&j) = self.by_addr.get(&to) else { return };
                if !self.reachable(i, j) {
                    return;
                }
                let conn = self.conns.len();
                self.conns.push(Conn { ends: [(i, Some(stream)), (j, None)], latency });
                self.conn_of.insert((i, stream), (conn, 0));
                self.push(self.now + latency, What::Accept { conn });
            }
            Output::Write { stream, bytes } => {
                let Some(&(conn, side)) = self.conn_of.get(&(i, stream)) else { return };
                let at = self.now + self.conns[conn].latency * if side == 0 { 2 } else { 1 };
                self.push(at, What::Data { conn, side: 1 - side, bytes });
            }
            Output::Close { stream } => {
                let Some((conn, side)) = self.conn_of.remove(&(i, stream)) else { return };
                let at = self.now + self.conns[conn].latency * if side == 0 { 2 } else { 1 };
                self.push(at, What::End { conn, side: 1 - side });
            }
        }
    }

    /// Members that take part.
    pub(crate) fn up(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter(|(_, m)| m.up)
    }

    /// A random choice of `k` of the first `n` members, without those in `but`.
    pub(crate) fn choose(&mut self, k: usize, n: usize, but: &HashSet<usize>) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < k {
            let i = self.rng.random_range(0..n);
            if !but.contains(&i) && !out.contains(&i) {
                out.push(i);
            }
        }
        out
    }

    /// How many statuses each name has among the members that are up: an agreement has one each.
    pub(crate) fn views(&self) -> BTreeMap<Arc<str>, BTreeMap<String, usize>> {
        let mut views: BTreeMap<Arc<str>, BTreeMap<String, usize>> = BTreeMap::new();
        for (_, member) in self.up() {
            for m in member.serf.members() {
                *views.entry(m.name().clone()).or_default().entry(m.status.to_string()).or_default() += 1;
            }
        }
        views
    }
}
