//! Probes: direct, through others, over TCP; and what is owed to members that ask us to probe.

use super::exchange::StreamId;
use super::node::NodeId;
use super::{Complaint, Delegate, Memberlist, Timer};
use crate::time::Time;
use crate::wire::message::{Accusation, Ack, IndirectPing, Message, Ping, Source};
use crate::wire::state::NodeState;
use bytes::Bytes;
use std::net::SocketAddr;

/// Probes that others may have running through us at once.
const MAX_RELAYS: usize = 4096;

/// The one probe that runs.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) seq: u32,
    node: NodeId,
    sent: Time,
    /// The direct answer is late; an answer now may have come any way.
    late: bool,
    nacks_wanted: u32,
    nacks: u32,
    pub(super) tcp: Option<StreamId>,
    pub(super) tcp_ok: bool,
}

/// A probe on behalf of another.
#[derive(Debug)]
pub(super) struct Relay {
    seq: u32,
    to: SocketAddr,
    nack: bool,
}

impl Memberlist {
    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    fn source(&self) -> Source<'static> {
        Source { addr: Some(self.own.addr), node: "" }
    }

    /// One tick of the prober. While a probe runs the tick is kept, as a Go ticker keeps one.
    pub(super) fn probe_tick(&mut self, now: Time, d: &mut dyn Delegate) {
        if self.probe.is_some() {
            self.probe_due = true;
            return;
        }
        let mut seen = 0;
        loop {
            // having seen all without one to probe
            if seen > self.table.len() {
                return;
            }
            let Some(id) = self.table.at(self.place) else {
                self.reset_ring(now);
                self.place = 0;
                seen += 1;
                continue;
            };
            self.place += 1;
            seen += 1;
            let skip = id == self.me || self.table.get(id).is_none_or(|n| n.state.is_gone());
            if !skip {
                self.start_probe(now, id, d);
                return;
            }
        }
    }

    fn reset_ring(&mut self, now: Time) {
        let (me, keep) = (self.own.clone(), self.cfg.timing.gossip_to_the_dead);
        let removed = self.table.reset_ring(&mut self.rng, |n| {
            n.state.is_gone() && now.since(n.changed) > keep && n.record.name != me.name
        });
        for id in removed {
            self.suspicions.remove(&id);
        }
    }

    fn start_probe(&mut self, now: Time, id: NodeId, d: &mut dyn Delegate) {
        let Some(node) = self.table.get(id) else { return };
        let (record, state, incarnation) = (node.record.clone(), node.state, node.incarnation);
        let seq = self.next_seq();
        let own = self.own.clone();
        let source = Source { node: &own.name, ..self.source() };
        let ping = Message::Ping(Ping { seq, node: &record.name, source }).encode();
        if state == NodeState::Suspect && self.cfg.timing.buddy {
            let accusation = Accusation { incarnation, node: &record.name, from: &own.name };
            let suspect = Message::Suspect(accusation).encode();
            let checksum = record.protocol_max() >= 5;
            self.transmit(record.addr, &[Bytes::from(ping), Bytes::from(suspect)], checksum);
        } else {
            self.send(record.addr, ping, d);
        }
        self.probe = Some(Probe {
            seq,
            node: id,
            sent: now,
            late: false,
            nacks_wanted: 0,
            nacks: 0,
            tcp: None,
            tcp_ok: false,
        });
        let span = self.cfg.timing.probe_interval * (self.awareness + 1);
        self.at(now + self.cfg.timing.probe_timeout.min(span), Timer::ProbeTimeout(seq));
        self.at(now + span, Timer::ProbeEnd(seq));
    }

    /// No direct answer in time: ask others, and try TCP.
    pub(super) fn probe_timeout(&mut self, now: Time, seq: u32, d: &mut dyn Delegate) {
        let Some(probe) = self.probe.as_mut().filter(|p| p.seq == seq) else { return };
        probe.late = true;
        let (me, target) = (self.me, probe.node);
        let Some(record) = self.table.get(target).map(|n| n.record.clone()) else { return };
        let helpers = self.table.choose(&mut self.rng, self.cfg.timing.indirect_checks, |id, n| {
            id != me && id != target && n.state == NodeState::Alive
        });
        let own = self.own.clone();
        for id in helpers {
            let Some(helper) = self.table.get(id).map(|n| n.record.clone()) else { continue };
            let nack = helper.protocol_max() >= 4;
            if let Some(probe) = self.probe.as_mut() {
                probe.nacks_wanted += u32::from(nack);
            }
            let ping = IndirectPing {
                seq,
                target: record.addr.ip(),
                port: record.addr.port(),
                node: &record.name,
                nack,
                source: Source { node: &own.name, ..self.source() },
            };
            self.send(helper.addr, Message::IndirectPing(ping).encode(), d);
        }
        if self.cfg.tcp_pings && record.protocol_max() >= 3 {
            let deadline = now + self.cfg.timing.tcp_timeout;
            let stream = self.dial_ping(deadline, record.addr, seq, &record.name);
            if let Some(probe) = self.probe.as_mut() {
                probe.tcp = Some(stream);
            }
        }
    }

    /// The probe's time is over.
    pub(super) fn probe_end(&mut self, now: Time, seq: u32, d: &mut dyn Delegate) {
        let Some(probe) = self.probe.take_if(|p| p.seq == seq) else { return };
        if let Some(stream) = probe.tcp {
            self.give_up_stream(stream);
        }
        let Some(node) = self.table.get(probe.node) else {
            return self.probe_over(now, d);
        };
        let (record, incarnation) = (node.record.clone(), node.incarnation);
        if probe.tcp_ok {
            self.complain(Complaint::UdpBroken { node: record.name.clone() });
            self.adjust_health(-1);
        } else {
            self.counters.probes_failed += 1;
            let missing = probe.nacks_wanted.saturating_sub(probe.nacks);
            self.adjust_health(if probe.nacks_wanted > 0 { missing.into() } else { 1 });
            let own = self.own.clone();
            self.suspect(now, &Accusation { incarnation, node: &record.name, from: &own.name }, d);
        }
        self.probe_over(now, d);
    }

    fn probe_over(&mut self, now: Time, d: &mut dyn Delegate) {
        if std::mem::take(&mut self.probe_due) {
            self.probe_tick(now, d);
        }
    }

    pub(super) fn handle_ping(&mut self, from: SocketAddr, ping: Ping<'_>, d: &mut dyn Delegate) {
        if !ping.node.is_empty() && *ping.node != *self.own.name {
            return;
        }
        let payload = d.ack_payload();
        let ack = Message::Ack(Ack { seq: ping.seq, payload: &payload }).encode();
        self.send(ping.source.addr.unwrap_or(from), ack, d);
    }

    pub(super) fn handle_indirect_ping(
        &mut self,
        now: Time,
        from: SocketAddr,
        ask: IndirectPing<'_>,
        d: &mut dyn Delegate,
    ) {
        if self.relays.len() >= MAX_RELAYS || super::node::plausible(ask.node, Some(ask.target)).is_none() {
            self.counters.dropped += 1;
            return;
        }
        let port = if ask.port == 0 { self.own.addr.port() } else { ask.port };
        let seq = self.next_seq();
        let own = self.own.clone();
        let source = Source { node: &own.name, ..self.source() };
        let ping = Message::Ping(Ping { seq, node: ask.node, source }).encode();
        self.send(SocketAddr::new(ask.target, port), ping, d);
        let to = ask.source.addr.unwrap_or(from);
        self.relays.insert(seq, Relay { seq: ask.seq, to, nack: ask.nack });
        self.at(now + self.cfg.timing.probe_timeout, Timer::Relay(seq));
    }

    pub(super) fn handle_ack(&mut self, now: Time, ack: Ack<'_>, d: &mut dyn Delegate) {
        if let Some(relay) = self.relays.remove(&ack.seq) {
            let answer = Message::Ack(Ack { seq: relay.seq, payload: &[] }).encode();
            self.send(relay.to, answer, d);
            return;
        }
        let Some(probe) = self.probe.take_if(|p| p.seq == ack.seq) else { return };
        if let Some(stream) = probe.tcp {
            self.give_up_stream(stream);
        }
        self.adjust_health(-1);
        if !probe.late
            && let Some(node) = self.table.get(probe.node)
        {
            let record = node.record.clone();
            d.ping_done(now, &record, now.since(probe.sent), ack.payload);
        }
        self.probe_over(now, d);
    }

    pub(super) fn handle_nack(&mut self, seq: u32) {
        if let Some(probe) = self.probe.as_mut().filter(|p| p.seq == seq && p.nacks < p.nacks_wanted) {
            probe.nacks += 1;
        }
    }

    /// Nobody answered a probe on behalf of another.
    pub(super) fn relay_due(&mut self, seq: u32, d: &mut dyn Delegate) {
        if let Some(relay) = self.relays.remove(&seq)
            && relay.nack
        {
            self.send(relay.to, Message::Nack(relay.seq).encode(), d);
        }
    }
}
