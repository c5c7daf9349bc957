//! Rounds of gossip, and the choice of partners for whole states.

use super::{Delegate, Memberlist};
use crate::time::Time;
use crate::wire::state::NodeState;

impl Memberlist {
    /// One round: rumors to a few members, the lately dead among them, so that they can object.
    pub(super) fn gossip_tick(&mut self, now: Time, d: &mut dyn Delegate) {
        if self.queue.is_empty() && !d.has_rumors() {
            return;
        }
        let (me, dead_for) = (self.me, self.cfg.timing.gossip_to_the_dead);
        let targets = self.table.choose(&mut self.rng, self.cfg.timing.gossip_nodes, |id, n| {
            id != me
                && match n.state {
                    NodeState::Alive | NodeState::Suspect => true,
                    NodeState::Dead => now.since(n.changed) <= dead_for,
                    NodeState::Left => false,
                }
        });
        for id in targets {
            let Some(record) = self.table.get(id).map(|n| n.record.clone()) else { continue };
            let mut messages = Vec::new();
            self.fill(&mut messages, d);
            if messages.is_empty() {
                return;
            }
            self.transmit(record.addr, &messages, record.protocol_max() >= 5);
        }
    }

    pub(super) fn push_pull_tick(&mut self, now: Time, d: &mut dyn Delegate) {
        if let Some(partner) = self.choose_alive(1, |_| true).pop() {
            self.exchange(now, partner.addr, None, d);
        }
    }
}
