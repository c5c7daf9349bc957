//! What is believed of what is heard: alive, suspect, dead, and how one defends oneself.

use super::node::{Node, NodeId, NodeRecord, padded, plausible};
use super::queue::Token;
use super::suspicion::{Suspicion, min_timeout};
use super::{Complaint, Delegate, Memberlist, Timer, share};
use crate::time::Time;
use crate::wire::message::{Accusation, Alive, Message};
use crate::wire::state::NodeState;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

impl Memberlist {
    /// Somebody says that a member is there.
    pub(super) fn alive(&mut self, now: Time, a: &Alive<'_>, d: &mut dyn Delegate) {
        let about_me = *a.node == *self.own.name;
        if about_me && self.leaving {
            return;
        }
        let Some(ip) = plausible(a.node, a.addr) else {
            self.counters.members_refused += 1;
            return;
        };
        if a.vsn.len() >= 3 && (a.vsn[0] == 0 || a.vsn[1] == 0 || a.vsn[0] > a.vsn[1]) {
            self.counters.members_refused += 1;
            return;
        }
        let addr = SocketAddr::new(ip, if a.port == 0 { self.own.addr.port() } else { a.port });
        let known = self.table.find(a.node);
        let mut reclaimed = false;
        if let Some(node) = known.and_then(|id| self.table.get(id)) {
            if about_me {
                if a.incarnation < node.incarnation {
                    return;
                }
            } else if node.record.addr == addr && a.incarnation <= node.incarnation {
                return;
            }
            if node.record.addr != addr {
                let reclaim = self.cfg.timing.dead_node_reclaim;
                reclaimed = node.state == NodeState::Left
                    || node.state == NodeState::Dead
                        && !reclaim.is_zero()
                        && now.since(node.changed) > reclaim;
                if !reclaimed {
                    let record = node.record.clone();
                    d.conflict(now, &record, addr);
                    return;
                }
                if about_me {
                    return;
                }
            }
        } else if self.table.len() >= self.cfg.max_members {
            self.counters.members_refused += 1;
            return;
        }
        let same = known
            .and_then(|id| self.table.get(id))
            .filter(|node| !reclaimed && node.record.says(a, addr))
            .map(|node| node.record.clone());
        let record = match same {
            Some(record) => record,
            None => {
                let name = match known.and_then(|id| self.table.get(id)) {
                    Some(node) => node.record.name.clone(),
                    None => Arc::from(a.node),
                };
                let record = NodeRecord::new(name, addr, a.meta, padded(a.vsn));
                if !about_me && !d.accept_alive(&record) {
                    self.counters.members_refused += 1;
                    return;
                }
                if about_me { Arc::new(record) } else { share(&self.cfg, record) }
            }
        };
        if about_me {
            self.suspicions.remove(&self.me);
            if a.incarnation == self.incarnation && *record == *self.own {
                return;
            }
            return self.refute(a.incarnation, "alive");
        }
        let id = known.unwrap_or_else(|| {
            let node = Node { record: record.clone(), changed: now, incarnation: 0, state: NodeState::Dead };
            self.table.insert(node, &mut self.rng)
        });
        self.suspicions.remove(&id);
        let Some(node) = self.table.get_mut(id) else { return };
        let was = node.state;
        let changed = known.is_some() && (node.record.meta != record.meta || node.record.vsn != record.vsn);
        node.record = record.clone();
        node.incarnation = a.incarnation;
        if was != NodeState::Alive {
            node.state = NodeState::Alive;
            node.changed = now;
        }
        self.broadcast_alive(id, None);
        if known.is_none() || was.is_gone() {
            d.joined(now, &record);
        } else if changed {
            d.updated(now, &record);
        }
    }

    /// Somebody, maybe we ourselves, suspects a member.
    pub(super) fn suspect(&mut self, now: Time, s: &Accusation<'_>, d: &mut dyn Delegate) {
        let Some(id) = self.table.find(s.node) else { return };
        let n = self.table.len();
        let Some(node) = self.table.get_mut(id) else { return };
        if s.incarnation < node.incarnation {
            return;
        }
        if let Some(suspicion) = self.suspicions.get_mut(&id) {
            if suspicion.confirm(s.from) {
                let deadline = suspicion.deadline;
                let name = node.record.name.clone();
                self.queue.push(Some(name), Message::Suspect(*s).encode().into(), None);
                self.at(deadline, Timer::Suspect(id));
                if deadline <= now {
                    self.suspicion_due(now, id, d);
                }
            }
            return;
        }
        if node.state != NodeState::Alive {
            return;
        }
        if id == self.me {
            return self.refute(s.incarnation, s.from);
        }
        node.incarnation = s.incarnation;
        node.state = NodeState::Suspect;
        node.changed = now;
        let name = node.record.name.clone();
        if *s.from == *self.own.name {
            self.counters.suspicions += 1;
        }
        self.queue.push(Some(name), Message::Suspect(*s).encode().into(), None);
        let timing = &self.cfg.timing;
        let mut wanted = timing.suspicion_mult.saturating_sub(2);
        if n.saturating_sub(2) < wanted as usize {
            wanted = 0;
        }
        let min = min_timeout(timing.suspicion_mult, n, timing.probe_interval);
        let max = min * timing.suspicion_max_timeout_mult;
        let suspicion = Suspicion::new(now, s.from, wanted, min, max, s.incarnation);
        let deadline = suspicion.deadline;
        self.suspicions.insert(id, suspicion);
        self.at(deadline, Timer::Suspect(id));
    }

    /// A suspicion may have run out; timers of older deadlines come here too and find nothing due.
    pub(super) fn suspicion_due(&mut self, now: Time, id: NodeId, d: &mut dyn Delegate) {
        let Some(suspicion) = self.suspicions.get(&id).filter(|s| s.deadline <= now) else { return };
        let incarnation = suspicion.incarnation;
        self.suspicions.remove(&id);
        let Some(node) = self.table.get(id).filter(|n| n.state == NodeState::Suspect) else { return };
        let (record, own) = (node.record.clone(), self.own.clone());
        self.counters.deaths += 1;
        self.dead(now, &Accusation { incarnation, node: &record.name, from: &own.name }, d);
    }

    /// Somebody says that a member is dead, or the member itself that it leaves.
    pub(super) fn dead(&mut self, now: Time, a: &Accusation<'_>, d: &mut dyn Delegate) {
        let Some(id) = self.table.find(a.node) else { return };
        let about_me = id == self.me;
        let Some(node) = self.table.get_mut(id) else { return };
        if a.incarnation < node.incarnation {
            return;
        }
        self.suspicions.remove(&id);
        if node.state.is_gone() {
            return;
        }
        if about_me && !self.leaving {
            return self.refute(a.incarnation, a.from);
        }
        node.incarnation = a.incarnation;
        let left = a.node == a.from;
        node.state = if left { NodeState::Left } else { NodeState::Dead };
        node.changed = now;
        let record = node.record.clone();
        let token = about_me.then_some(LEFT);
        self.queue.push(Some(record.name.clone()), Message::Dead(*a).encode().into(), token);
        d.gone(now, &record, left);
    }

    /// We are accused, or misquoted: say that we are here, with a higher incarnation.
    fn refute(&mut self, accused: u32, from: &str) {
        self.incarnation = self.incarnation.saturating_add(1).max(accused.saturating_add(1));
        self.counters.refutations += 1;
        self.adjust_health(1);
        let incarnation = self.incarnation;
        if let Some(node) = self.table.get_mut(self.me) {
            node.incarnation = incarnation;
        }
        self.complain(Complaint::Refuted { from: from.to_owned() });
        self.broadcast_alive(self.me, None);
    }

    /// Queues what we hold of a member.
    pub(super) fn broadcast_alive(&mut self, id: NodeId, token: Option<Token>) {
        let Some(node) = self.table.get(id) else { return };
        let r = &node.record;
        let alive = Alive {
            incarnation: node.incarnation,
            node: &r.name,
            addr: Some(r.addr.ip()),
            port: r.addr.port(),
            meta: &r.meta,
            vsn: &r.vsn,
        };
        let bytes = Bytes::from(Message::Alive(alive).encode());
        self.queue.push(Some(r.name.clone()), bytes, token);
    }

    /// Tells the pool new meta of our own. The token comes back once it went out.
    pub fn set_meta(&mut self, now: Time, meta: &[u8], token: Token, d: &mut dyn Delegate) {
        let record = NodeRecord::new(self.own.name.clone(), self.own.addr, meta, self.own.vsn);
        self.own = share(&self.cfg, record);
        self.incarnation = self.incarnation.saturating_add(1);
        let (own, incarnation) = (self.own.clone(), self.incarnation);
        if let Some(node) = self.table.get_mut(self.me) {
            node.record = own.clone();
            node.incarnation = incarnation;
        }
        self.broadcast_alive(self.me, Some(token));
        d.updated(now, &own);
    }

    /// Tells the pool that we leave. [`LEFT`] comes back once it went out.
    pub fn leave(&mut self, now: Time, d: &mut dyn Delegate) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        let own = self.own.clone();
        let incarnation = self.incarnation;
        self.dead(now, &Accusation { incarnation, node: &own.name, from: &own.name }, d);
    }
}

/// The token of our own good-bye.
pub const LEFT: Token = 0;
