//! Several servers in one process, over simulated disks, a simulated network and tokio's paused clock.
//!
//! What the seeds decide: disks, network, clients, faults. openraft draws its election timeouts from the thread's own
//! generator, so a seed replays the schedule of faults, not every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use crs_store::{Changes, Command, KvCondition, Reply, State};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use crate::testing::{SimDisk, SimNetwork};
use crate::*;

#[derive(Default)]
struct Seen(Mutex<State>);

impl Publish for Seen {
    fn publish(&self, state: &State, _: Changes) {
        *self.0.lock().unwrap() = state.clone();
    }

    fn restored(&self, state: &State) {
        *self.0.lock().unwrap() = state.clone();
    }
}

struct Server {
    disk: SimDisk,
    raft: Option<Raft>,
    seen: Arc<Seen>,
}

struct Cluster {
    network: SimNetwork,
    servers: BTreeMap<ServerId, Server>,
    rules: SnapshotRules,
}

const RULES: SnapshotRules =
    SnapshotRules { threshold: 200, trailing: 20, interval: Duration::ZERO, log_bytes: 1 << 30 };
const PATIENCE: Duration = Duration::from_secs(60);

fn node(id: ServerId) -> ServerNode {
    ServerNode { name: format!("node-{}", id.0), address: String::new() }
}

fn set(key: &str, value: &str) -> Command {
    Command::KvSet {
        key: key.into(),
        flags: 0,
        value: Bytes::copy_from_slice(value.as_bytes()),
        condition: KvCondition::None,
    }
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    state.write_snapshot(&mut out).unwrap();
    out
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "it did not come about in time: {what}");
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let network = SimNetwork::new(seed, Duration::from_millis(2));
        Cluster { network, servers: BTreeMap::new(), rules: RULES }
    }

    async fn up(&mut self, id: u64) {
        let id = ServerId::from(id);
        let server = self.servers.entry(id).or_insert_with(|| Server {
            disk: SimDisk::default(),
            raft: None,
            seen: Arc::default(),
        });
        server.seen = Arc::default();
        let options = Options {
            threads: Threads::Callers,
            network: self.network.side_of(id),
            snapshots: self.rules,
            segment_bytes: 32 << 10,
            cache_bytes: 16 << 10,
            ..Options::new(id, node(id), Storage::Disk(Arc::new(server.disk.session())))
        };
        let raft = Raft::start(options, server.seen.clone()).await.unwrap();
        self.network.join(id, raft.clone());
        server.raft = Some(raft);
    }

    /// The power of this one goes.
    async fn kill(&mut self, id: ServerId, seed: u64) {
        self.network.leave(id);
        let server = self.servers.get_mut(&id).unwrap();
        server.disk.crash_after(0);
        if let Some(raft) = server.raft.take() {
            raft.shutdown().await;
        }
        server.disk.crash(seed);
    }

    async fn three(seed: u64) -> Self {
        let mut cluster = Cluster::new(seed);
        for id in 1..=3 {
            cluster.up(id).await;
        }
        let members = cluster.servers.keys().map(|id| (*id, node(*id))).collect();
        cluster.raft(ServerId(1)).bootstrap(members).await.unwrap();
        cluster.leader().await;
        cluster
    }

    fn raft(&self, id: ServerId) -> Raft {
        self.servers[&id].raft.clone().unwrap()
    }

    fn running(&self) -> impl Iterator<Item = (ServerId, Raft)> {
        self.servers.iter().filter_map(|(id, server)| Some((*id, server.raft.clone()?)))
    }

    /// One that may answer as leader now.
    async fn leader(&self) -> (ServerId, Raft) {
        let mut leader = None;
        eventually("a leader", || {
            leader = self.running().find(|(_, raft)| raft.may_answer());
            leader.is_some()
        })
        .await;
        leader.unwrap()
    }

    async fn write(&self, key: &str) {
        let (_, leader) = self.leader().await;
        assert_eq!(leader.propose(set(key, "v")).await, Ok(Reply::Held(true)));
    }

    /// All running servers come to the same state as the leader.
    async fn agree(&self) {
        let (leader, _) = self.leader().await;
        eventually("all servers agree", || {
            let of = |id: ServerId| bytes_of(&self.servers[&id].seen.0.lock().unwrap());
            let expected = of(leader);
            self.running().all(|(id, _)| of(id) == expected)
        })
        .await;
    }

    fn has(&self, id: ServerId, key: &str) -> bool {
        self.servers[&id].seen.0.lock().unwrap().kv_get(key).1.is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn three_servers_replicate_and_go_on_when_the_leader_dies() {
    let mut cluster = Cluster::three(1).await;
    for n in 0..20 {
        cluster.write(&format!("a/{n}")).await;
    }
    cluster.agree().await;
    let (first, _) = cluster.leader().await;
    cluster.kill(first, 7).await;
    let died = Instant::now();
    cluster.write("after").await;
    assert!(died.elapsed() < Duration::from_secs(2), "{:?}", died.elapsed());
    let (second, _) = cluster.leader().await;
    assert_ne!(first, second);
    cluster.up(first.0 as u64).await;
    cluster.agree().await;
    assert!(cluster.has(first, "a/19") && cluster.has(first, "after"));
}

#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over_without_a_gap() {
    let cluster = Cluster::three(2).await;
    let (first, raft) = cluster.leader().await;
    cluster.write("a").await;
    let begun = Instant::now();
    raft.transfer(None).await.unwrap();
    assert!(!raft.may_answer());
    cluster.write("b").await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_ne!(cluster.leader().await.0, first);
    let refused = raft.propose(set("c", "v")).await;
    let known = raft.leadership().leader.map(|(id, _)| id);
    assert!(
        matches!(refused, Err(ProposeError::NotLeader { leader }) if leader.as_ref().map(|(id, _)| *id) == known)
    );
    assert!(matches!(raft.transfer(None).await, Err(ProposeError::NotLeader { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_emptied_follower_gets_a_snapshot() {
    let mut cluster = Cluster::three(3).await;
    for n in 0..500 {
        cluster.write(&format!("a/{}", n % 50)).await;
    }
    let (leader, raft) = cluster.leader().await;
    eventually("the log is purged", || raft.metrics().purged_index > 0).await;
    let follower = cluster.running().find(|(id, _)| *id != leader).unwrap().0;
    cluster.kill(follower, 1).await;
    cluster.servers.get_mut(&follower).unwrap().disk = SimDisk::default();
    let sent = cluster.network.snapshots_sent();
    cluster.up(follower.0 as u64).await;
    // It forgot what it acknowledged: nothing good comes of going on as if it had not, but the others go on.
    cluster.write("meanwhile").await;
    eventually("the leader notices", || raft.metrics().reverted == [follower]).await;
    raft.readmit(follower, node(follower)).await.unwrap();
    cluster.write("after").await;
    cluster.agree().await;
    raft.set_voters([1, 2, 3].map(ServerId).into()).await.unwrap();
    assert_eq!(raft.metrics().reverted, []);
    assert!(cluster.network.snapshots_sent() > sent);
    assert!(cluster.has(follower, "after") && cluster.has(follower, "a/49"));
    // And it starts again from that snapshot.
    cluster.kill(follower, 2).await;
    cluster.up(follower.0 as u64).await;
    cluster.agree().await;
}

#[tokio::test(start_paused = true)]
async fn one_server_grows_to_three_and_shrinks() {
    let mut cluster = Cluster::new(4);
    cluster.up(1).await;
    cluster.raft(ServerId(1)).bootstrap_alone().await.unwrap();
    cluster.write("a").await;
    let one = cluster.raft(ServerId(1));
    for id in [2, 3] {
        cluster.up(id).await;
        one.add_learner(ServerId::from(id), node(ServerId::from(id))).await.unwrap();
    }
    cluster.agree().await;
    assert_eq!(cluster.raft(ServerId(3)).metrics().role, Role::Learner);
    one.set_voters([1, 2, 3].map(ServerId).into()).await.unwrap();
    assert_eq!(one.metrics().voters.len(), 3);
    cluster.write("b").await;
    // The one it began with may go now.
    cluster.kill(ServerId(1), 3).await;
    cluster.write("c").await;
    cluster.up(1).await;
    cluster.agree().await;
    let (leader, raft) = cluster.leader().await;
    raft.set_voters(BTreeSet::from([leader])).await.unwrap();
    cluster.write("d").await;
    assert_eq!(raft.metrics().voters.len(), 1);
    assert_eq!(raft.metrics().learners.len(), 0);
    assert!(matches!(raft.set_voters(BTreeSet::new()).await, Err(ProposeError::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_answering_before_another_begins() {
    for seed in 0..5 {
        let cluster = Cluster::three(10 + seed).await;
        let (old, raft) = cluster.leader().await;
        cluster.network.isolate(old);
        let both = || cluster.running().filter(|(_, raft)| raft.may_answer()).count();
        let mut seen_other = false;
        for _ in 0..600 {
            sleep(Duration::from_millis(5)).await;
            assert!(both() <= 1, "two leaders answer at once");
            seen_other |= cluster.running().any(|(id, raft)| id != old && raft.may_answer());
        }
        assert!(seen_other && !raft.may_answer());
        let write = timeout(Duration::from_secs(5), raft.propose(set("lost", "v"))).await;
        assert!(!matches!(write, Ok(Ok(_))), "a write without a majority was acknowledged");
        assert!(!matches!(timeout(Duration::from_secs(5), raft.read_barrier()).await, Ok(Ok(()))));
        cluster.network.heal();
        cluster.agree().await;
        assert!(!cluster.has(old, "lost"));
    }
}

/// A server of another cluster, by mistake at an address of this one, is refused.
#[tokio::test(start_paused = true)]
async fn another_cluster_is_refused() {
    let mut cluster = Cluster::new(5);
    cluster.up(1).await;
    cluster.raft(ServerId(1)).bootstrap_alone().await.unwrap();
    cluster.up(2).await;
    cluster.raft(ServerId(2)).bootstrap_alone().await.unwrap();
    cluster.write("a").await;
    sleep(Duration::from_secs(1)).await;
    cluster.raft(ServerId(1)).add_learner(ServerId(2), node(ServerId(2))).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    let metrics = cluster.raft(ServerId(1)).metrics();
    assert_eq!(metrics.matched.iter().find(|(id, _)| *id == ServerId(2)), Some(&(ServerId(2), 0)));
}

/// Power cuts, partitions and losses under writers: what was acknowledged is there in the end, on every server.
/// `CRS_RAFT_SEED` runs one seed, `CRS_RAFT_SEEDS` sets how many.
#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_while_servers_crash() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("CRS_RAFT_SEED"), number("CRS_RAFT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(3),
    };
    for seed in seeds {
        crashes_under_writers(seed).await;
    }
}

async fn crashes_under_writers(seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut cluster = Cluster::three(seed).await;
    let mut acknowledged = Vec::new();
    let mut down: Option<ServerId> = None;
    for round in 0..12 {
        for n in 0..rng.random_range(5..60) {
            let key = format!("{round}/{n}");
            let leader = cluster.running().find(|(_, raft)| raft.may_answer());
            let Some((_, leader)) = leader else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let wrote = timeout(Duration::from_millis(500), leader.propose(set(&key, "v"))).await;
            if matches!(wrote, Ok(Ok(Reply::Held(true)))) {
                acknowledged.push(key);
            }
        }
        match rng.random_range(0..4) {
            0 | 1 => {
                if let Some(id) = down.take() {
                    cluster.up(id.0 as u64).await;
                }
                let id = ServerId(rng.random_range(1..=3));
                cluster.kill(id, rng.random()).await;
                down = Some(id);
            }
            2 => {
                let id = ServerId(rng.random_range(1..=3));
                cluster.network.heal();
                cluster.network.isolate(id);
            }
            _ => {
                cluster.network.heal();
                cluster.network.lose(if rng.random_bool(0.5) { 0.05 } else { 0.0 });
            }
        }
    }
    cluster.network.heal();
    cluster.network.lose(0.0);
    if let Some(id) = down {
        cluster.up(id.0 as u64).await;
    }
    cluster.write("end").await;
    cluster.agree().await;
    assert!(acknowledged.len() > 50, "seed {seed}: only {} writes went through", acknowledged.len());
    for key in &acknowledged {
        for id in cluster.servers.keys() {
            assert!(cluster.has(*id, key), "seed {seed}: {key} was acknowledged and is not on {id}");
        }
    }
}
