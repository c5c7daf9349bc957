//! Streams: exchanges of whole states, pings over TCP, and refusals.

use super::node::{NodeRecord, padded, plausible};
use super::queue::Token;
use super::{Candidate, Complaint, Delegate, Memberlist, Output, Timer};
use crate::time::Time;
use crate::wire::message::{Accusation, Ack, Alive, Message, Ping, Source, kind};
use crate::wire::msgpack::DecodeError;
use crate::wire::packet::PacketError;
use crate::wire::state::{self, NodeState, PushPull, StateNode};
use crate::wire::stream::{StreamError, StreamMessage, StreamReader, encode_error};
use std::net::SocketAddr;
use std::sync::Arc;

/// How a stream is called between this layer and the driver.
pub type StreamId = u64;

/// Incoming streams at once; one more is refused.
pub const MAX_INCOMING: usize = 128;
/// Bytes that incoming streams may hold together before they are whole.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// Why an exchange that we began did not come about. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection; the text is the system's, in Go's form.
    #[error("{0}")]
    Dial(String),
    /// It took too long.
    #[error("i/o timeout")]
    Timeout,
    /// The answer cannot be read.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The other side refused.
    #[error("remote error: {0}")]
    Remote(String),
    /// The other side answered with something else.
    #[error("received invalid msgType ({kind}), expected pushPullMsg (6) from={from}")]
    Unexpected {
        /// The type it sent.
        kind: u8,
        /// Who it is.
        from: SocketAddr,
    },
    /// A member speaks versions that others do not.
    #[error("Node '{node}' {what} version ({version}) is incompatible: [{min}, {max}]")]
    Version {
        /// The member.
        node: String,
        /// `protocol` or `delegate protocol`.
        what: &'static str,
        /// What it speaks.
        version: u8,
        /// The lowest all understand.
        min: u8,
        /// The highest all understand.
        max: u8,
    },
    /// The layer above refused the other's members.
    #[error("{0}")]
    Refused(String),
}

#[derive(Debug)]
enum Purpose {
    /// We sent our state; theirs is to come.
    Exchange { tag: Option<Token> },
    /// We sent a ping.
    Ping { seq: u32 },
    /// They begin.
    Incoming,
    /// All is said; the driver flushes.
    Done,
}

#[derive(Debug)]
pub(super) struct Stream {
    peer: SocketAddr,
    purpose: Purpose,
    reader: StreamReader,
    incoming: bool,
}

impl Memberlist {
    fn open(&mut self, deadline: Time, peer: SocketAddr, purpose: Purpose, message: Vec<u8>) -> StreamId {
        self.next_stream += 1;
        let id = self.next_stream;
        let bytes = self.cfg.envelope.seal_stream(&mut self.rng, message, true).into();
        let stream = Stream { peer, purpose, reader: StreamReader::new(true), incoming: false };
        self.streams.insert(id, stream);
        self.outputs.push_back(Output::Dial { stream: id, to: peer });
        self.outputs.push_back(Output::Write { stream: id, bytes });
        self.at(deadline, Timer::Stream(id));
        id
    }

    /// Begins an exchange of whole states; with a tag it is a join, whose end [`Memberlist::poll_join`] tells.
    pub fn exchange(&mut self, now: Time, peer: SocketAddr, tag: Option<Token>, d: &mut dyn Delegate) {
        let message = self.local_state(tag.is_some(), d);
        self.open(now + self.cfg.timing.tcp_timeout, peer, Purpose::Exchange { tag }, message);
    }

    pub(super) fn dial_ping(&mut self, deadline: Time, peer: SocketAddr, seq: u32, node: &str) -> StreamId {
        let own = self.own.clone();
        let source = Source { addr: Some(own.addr), node: &own.name };
        let message = Message::Ping(Ping { seq, node, source }).encode();
        self.open(deadline, peer, Purpose::Ping { seq }, message)
    }

    fn local_state(&mut self, join: bool, d: &mut dyn Delegate) -> Vec<u8> {
        let user = d.local_state(join);
        let nodes = self.table.iter().map(|(_, n)| StateNode {
            name: &n.record.name,
            addr: Some(n.record.addr.ip()),
            port: n.record.addr.port(),
            meta: &n.record.meta,
            incarnation: n.incarnation,
            state: n.state,
            vsn: &n.record.vsn,
        });
        state::encode(join, nodes, self.table.len(), &user)
    }

    /// Somebody connected. `None`: there are too many already, close it.
    pub fn handle_accept(&mut self, now: Time, peer: SocketAddr) -> Option<StreamId> {
        if self.incoming >= MAX_INCOMING {
            self.counters.streams_failed += 1;
            return None;
        }
        self.incoming += 1;
        self.next_stream += 1;
        let id = self.next_stream;
        let stream =
            Stream { peer, purpose: Purpose::Incoming, reader: StreamReader::new(false), incoming: true };
        self.streams.insert(id, stream);
        self.at(now + self.cfg.timing.tcp_timeout, Timer::Stream(id));
        Some(id)
    }

    /// Bytes arrived on a stream.
    pub fn handle_stream(&mut self, now: Time, id: StreamId, bytes: &[u8], d: &mut dyn Delegate) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if matches!(stream.purpose, Purpose::Done) {
            return;
        }
        let before = stream.reader.held();
        let polled = match stream.reader.push(bytes) {
            Ok(()) => stream.reader.poll(&self.cfg.envelope),
            Err(error) => Err(error),
        };
        self.held = self.held + stream.reader.held() - before;
        let full = self.held > MAX_HELD && stream.incoming;
        match polled {
            Ok(None) if full => self.fail(id, StreamError::TooLarge),
            Ok(None) => {}
            Ok(Some(message)) => match StreamMessage::decode(&message) {
                Ok(message) => self.handle_stream_message(now, id, message, d),
                Err(error) => self.fail(id, error.into()),
            },
            Err(error) => self.fail(id, error),
        }
    }

    /// The other side closed its end.
    pub fn handle_stream_end(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(|s| !matches!(s.purpose, Purpose::Done)) {
            self.fail(id, StreamError::Closed);
        }
    }

    /// A stream could not be opened, or broke. `text` is the system's reason.
    pub fn handle_stream_failed(&mut self, id: StreamId, text: &str) {
        if self.streams.contains_key(&id) {
            self.counters.streams_failed += 1;
            self.end(id, Some(ExchangeError::Dial(text.to_owned())));
        }
    }

    pub(super) fn stream_due(&mut self, _now: Time, id: StreamId) {
        if self.streams.contains_key(&id) {
            self.counters.streams_failed += 1;
            self.end(id, Some(ExchangeError::Timeout));
        }
    }

    pub(super) fn give_up_stream(&mut self, id: StreamId) {
        if self.streams.contains_key(&id) {
            self.end(id, None);
        }
    }

    /// Something unreadable: tell the other side when it began, as memberlist does.
    fn fail(&mut self, id: StreamId, error: StreamError) {
        self.counters.streams_failed += 1;
        let Some(stream) = self.streams.get(&id) else { return };
        let peer = stream.peer;
        let refuse = matches!(stream.purpose, Purpose::Incoming)
            && matches!(error, StreamError::SealedWithoutKeys | StreamError::PlainDespiteKeys);
        if refuse {
            self.write(id, encode_error(&error.to_string()));
        }
        self.complain(Complaint::Stream { peer, error: error.to_string() });
        let error = match error {
            StreamError::Layer(PacketError::Malformed(DecodeError::UnknownType(kind))) => {
                ExchangeError::Unexpected { kind, from: peer }
            }
            error => error.into(),
        };
        self.end(id, Some(error));
    }

    fn write(&mut self, id: StreamId, message: Vec<u8>) {
        let bytes = self.cfg.envelope.seal_stream(&mut self.rng, message, false).into();
        self.outputs.push_back(Output::Write { stream: id, bytes });
    }

    fn end(&mut self, id: StreamId, error: Option<ExchangeError>) {
        let Some(stream) = self.streams.remove(&id) else { return };
        self.incoming -= usize::from(stream.incoming);
        self.held = self.held.saturating_sub(stream.reader.held());
        self.outputs.push_back(Output::Close { stream: id });
        if let Purpose::Exchange { tag: Some(tag) } = stream.purpose {
            self.joins.push_back((tag, error.map_or(Ok(()), Err)));
        }
    }

    fn handle_stream_message(
        &mut self,
        now: Time,
        id: StreamId,
        message: StreamMessage<'_>,
        d: &mut dyn Delegate,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let purpose = std::mem::replace(&mut stream.purpose, Purpose::Done);
        let peer = stream.peer;
        match (purpose, message) {
            (Purpose::Exchange { tag }, StreamMessage::PushPull(state)) => {
                let merged = self.merge(now, &state, tag, d);
                if let (Err(error), None) = (&merged, tag) {
                    self.complain(Complaint::Stream { peer, error: error.to_string() });
                }
                if let Some(tag) = tag {
                    self.joins.push_back((tag, merged));
                }
            }
            (Purpose::Exchange { tag }, other) => {
                let error = match other {
                    StreamMessage::Err(text) => ExchangeError::Remote(text.to_owned()),
                    StreamMessage::Ping(_) => ExchangeError::Unexpected { kind: kind::PING, from: peer },
                    StreamMessage::Ack(_) => ExchangeError::Unexpected { kind: kind::ACK, from: peer },
                    _ => ExchangeError::Unexpected { kind: kind::USER, from: peer },
                };
                self.counters.streams_failed += 1;
                match tag {
                    Some(tag) => self.joins.push_back((tag, Err(error))),
                    None => self.complain(Complaint::Stream { peer, error: error.to_string() }),
                }
            }
            (Purpose::Ping { seq }, StreamMessage::Ack(ack)) if ack.seq == seq => {
                if let Some(probe) = self.probe.as_mut().filter(|p| p.seq == seq) {
                    probe.tcp_ok = true;
                    probe.tcp = None;
                }
            }
            (Purpose::Incoming, StreamMessage::PushPull(state)) => {
                let ours = self.local_state(state.join, d);
                self.write(id, ours);
                if let Err(error) = self.merge(now, &state, None, d) {
                    self.complain(Complaint::Stream { peer, error: error.to_string() });
                }
            }
            (Purpose::Incoming, StreamMessage::Ping(ping)) => {
                if ping.node.is_empty() || *ping.node == *self.own.name {
                    self.write(id, Message::Ack(Ack { seq: ping.seq, payload: &[] }).encode());
                }
            }
            (Purpose::Incoming, StreamMessage::User(body)) => d.user_message(now, peer, body),
            _ => self.counters.streams_failed += 1,
        }
        self.end(id, None);
    }

    fn merge(
        &mut self,
        now: Time,
        state: &PushPull<'_>,
        tag: Option<Token>,
        d: &mut dyn Delegate,
    ) -> Result<(), ExchangeError> {
        self.check_versions(&state.nodes)?;
        let port = |n: &StateNode<'_>| if n.port == 0 { self.own.addr.port() } else { n.port };
        if state.join {
            let candidates: Vec<Candidate> = state
                .nodes
                .iter()
                .filter_map(|n| {
                    let ip = plausible(n.name, n.addr)?;
                    let addr = SocketAddr::new(ip, port(n));
                    let record = NodeRecord::new(Arc::from(n.name), addr, n.meta, padded(n.vsn));
                    Some(Candidate { record, state: n.state })
                })
                .collect();
            d.accept_merge(&candidates).map_err(ExchangeError::Refused)?;
        }
        let own = self.own.clone();
        for n in &state.nodes {
            let accusation = |from| Accusation { incarnation: n.incarnation, node: n.name, from };
            match n.state {
                NodeState::Alive => {
                    let alive = Alive {
                        incarnation: n.incarnation,
                        node: n.name,
                        addr: n.addr,
                        port: n.port,
                        meta: n.meta,
                        vsn: n.vsn,
                    };
                    self.alive(now, &alive, d);
                }
                NodeState::Left => self.dead(now, &accusation(n.name), d),
                // never declare anybody dead on hearsay: suspect, so that it can object
                NodeState::Dead | NodeState::Suspect => self.suspect(now, &accusation(&own.name), d),
            }
        }
        if !state.user.is_empty() {
            d.merge_state(now, state.user, state.join, tag);
        }
        Ok(())
    }

    /// Every member must speak versions that all living ones understand.
    fn check_versions(&self, remote: &[StateNode<'_>]) -> Result<(), ExchangeError> {
        let (mut p, mut g) = ((0, u8::MAX), (0, u8::MAX));
        let narrow = |p: &mut (u8, u8), g: &mut (u8, u8), v: [u8; 6]| {
            *p = (p.0.max(v[0]), p.1.min(v[1]));
            *g = (g.0.max(v[3]), g.1.min(v[4]));
        };
        for n in remote.iter().filter(|n| n.state == NodeState::Alive) {
            narrow(&mut p, &mut g, padded(n.vsn));
        }
        for (_, n) in self.table.iter().filter(|(_, n)| n.state == NodeState::Alive) {
            narrow(&mut p, &mut g, n.record.vsn);
        }
        let check = |name: &str, v: [u8; 6]| {
            for (what, version, (min, max)) in [("protocol", v[2], p), ("delegate protocol", v[5], g)] {
                if version < min || version > max {
                    return Err(ExchangeError::Version { node: name.to_owned(), what, version, min, max });
                }
            }
            Ok(())
        };
        for n in remote {
            check(n.name, padded(n.vsn))?;
        }
        for (_, n) in self.table.iter() {
            check(&n.record.name, n.record.vsn)?;
        }
        Ok(())
    }
}
