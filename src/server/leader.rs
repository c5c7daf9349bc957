//! What only the leader does: keep the catalog true to the members, and forget old deletions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crs_store::{Command, Registration};
use crs_types::{CheckStatus, HealthCheck, Index, Node, NodeService};
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::server::Server;

/// How long a deletion is remembered, so that whoever watches a prefix hears of it. Consul's value.
const TOMBSTONE_TTL: Duration = Duration::from_secs(15 * 60);
/// How often old deletions are looked for. Consul's granularity.
const TOMBSTONE_STEP: Duration = Duration::from_secs(30);
/// The version that machines read: the generation of Consul whose API and wire this server speaks.
const SPOKEN_VERSION: &str = "1.8.7";

impl Server {
    /// Runs the leader's duties whenever this server leads, until it stops.
    pub async fn run_leader_duties(self: Arc<Self>) {
        while !self.is_stopping() {
            let changed = self.raft().leadership_changed();
            if !self.leads() {
                tokio::select! {
                    () = changed => {}
                    () = self.stopping() => {}
                }
                continue;
            }
            info!(target: "agent.server", "cluster leadership acquired");
            tokio::select! {
                () = self.deposed() => info!(target: "agent.server", "cluster leadership lost"),
                () = self.lead() => {}
                () = self.expire_sessions() => {}
                () = self.stopping() => {}
            }
        }
    }

    /// Returns when this server is no longer the leader.
    async fn deposed(&self) {
        loop {
            let changed = self.raft().leadership_changed();
            if !self.raft().leadership().is_leader {
                return;
            }
            changed.await;
        }
    }

    /// What a leader does from time to time; never returns.
    async fn lead(&self) {
        while let Err(error) = self.register_self().await {
            warn!(target: "agent.leader", %error, "Failed to register this server, trying again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut tombstones = TombstoneClock::default();
        let mut step = tokio::time::interval(TOMBSTONE_STEP);
        step.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            step.tick().await;
            let (count, youngest) = self.published().state().tombstones();
            if let Some(up_to) = tombstones.tick(count, youngest)
                && let Err(error) = self.write(Command::ReapTombstones { up_to }).await
            {
                warn!(target: "agent.leader", %error, "Failed to forget old deletions, trying again");
            }
        }
    }

    /// This server as a member: its node, `serfHealth`, and the service `consul`.
    async fn register_self(&self) -> Result<(), crs_types::Error> {
        let settings = self.settings();
        let state = self.published().state();
        let known = state.node_record(&settings.node.node);
        // The agent's own registration knows more (meta, tagged addresses): it is left alone, also when it comes between
        // this look and the write. A node that is not there is made all the same.
        let skip_node_update = known.is_none_or(|known| {
            known.value.id == settings.node.id && known.value.address == settings.node.address
        });
        let meta: BTreeMap<String, String> = [
            ("non_voter", "false"),
            ("raft_version", "3"),
            ("serf_protocol_current", "2"),
            ("serf_protocol_max", "5"),
            ("serf_protocol_min", "1"),
            ("version", SPOKEN_VERSION),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let registration = Registration {
            node: Node { meta: None, tagged_addresses: None, ..settings.node.clone() },
            skip_node_update,
            service: Some(NodeService {
                id: "consul".into(),
                service: "consul".into(),
                port: i64::from(settings.rpc_port),
                meta: Some(meta),
                ..NodeService::default()
            }),
            checks: vec![HealthCheck {
                node: settings.node.node.clone(),
                check_id: "serfHealth".into(),
                name: "Serf Health Status".to_owned(),
                status: CheckStatus::Passing,
                output: "Agent alive and reachable".to_owned(),
                ..HealthCheck::default()
            }],
        };
        if known.is_none() || !skip_node_update {
            info!(target: "agent.server", member = %settings.node.node, "member joined, marking health alive");
        }
        self.write(Command::Register(Box::new(registration))).await.map(drop)
    }
}

/// Decides which deletions are old enough to forget: those that were there a TTL ago. Fed once per step.
#[derive(Default)]
struct TombstoneClock {
    /// The youngest deletion at each step within the TTL, oldest first.
    seen: VecDeque<Index>,
    forgotten: Index,
}

impl TombstoneClock {
    fn tick(&mut self, count: usize, youngest: Index) -> Option<Index> {
        self.seen.push_back(youngest);
        let steps = (TOMBSTONE_TTL.as_secs() / TOMBSTONE_STEP.as_secs()) as usize;
        let ripe = if self.seen.len() > steps { self.seen.pop_front() } else { None };
        let up_to = ripe.filter(|index| count > 0 && *index > self.forgotten)?;
        self.forgotten = up_to;
        Some(up_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_are_forgotten_after_the_ttl_and_not_before() {
        let mut clock = TombstoneClock::default();
        assert_eq!(clock.tick(1, Index(7)), None);
        for step in 1..30 {
            assert_eq!(clock.tick(2, Index(9)), None, "step {step}");
        }
        assert_eq!(clock.tick(2, Index(9)), Some(Index(7)));
        assert_eq!(clock.tick(2, Index(9)), Some(Index(9)));
        assert_eq!(clock.tick(2, Index(9)), None, "what is forgotten is not proposed again");
    }
}
