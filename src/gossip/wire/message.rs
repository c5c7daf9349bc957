//! The messages of the memberlist layer, as they stand inside packets and streams.

use super::msgpack::{DecodeError, Reader, Writer};
use std::net::{IpAddr, SocketAddr};

/// The byte that says what follows.
pub mod kind {
    #![allow(missing_docs)]
    pub const PING: u8 = 0;
    pub const INDIRECT_PING: u8 = 1;
    pub const ACK: u8 = 2;
    pub const SUSPECT: u8 = 3;
    pub const ALIVE: u8 = 4;
    pub const DEAD: u8 = 5;
    pub const PUSH_PULL: u8 = 6;
    pub const COMPOUND: u8 = 7;
    pub const USER: u8 = 8;
    pub const COMPRESS: u8 = 9;
    pub const ENCRYPT: u8 = 10;
    pub const NACK: u8 = 11;
    pub const HAS_CRC: u8 = 12;
    pub const ERR: u8 = 13;
    pub const HAS_LABEL: u8 = 244;
}

/// The longest meta a node may carry.
pub const MAX_META: usize = 512;
/// The longest name that is taken from the network.
pub const MAX_NAME: usize = 255;

type Result<T> = std::result::Result<T, DecodeError>;

/// Who asks, and where the answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Source<'a> {
    /// The address to answer to; absent: the sender of the packet.
    pub addr: Option<SocketAddr>,
    /// The name of the asker; empty when unknown.
    pub node: &'a str,
}

/// "Are you there?"
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ping<'a> {
    /// Counts the sender's probes.
    pub seq: u32,
    /// Who is meant; empty: whoever reads it.
    pub node: &'a str,
    /// Where the ack goes.
    pub source: Source<'a>,
}

/// "Ask for me whether it is there."
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndirectPing<'a> {
    /// The asker's number, which the ack must carry.
    pub seq: u32,
    /// The address to probe.
    pub target: IpAddr,
    /// The port to probe; 0: the relay's own.
    pub port: u16,
    /// The name to probe.
    pub node: &'a str,
    /// Whether the asker wants to hear that nothing came.
    pub nack: bool,
    /// Where the ack goes.
    pub source: Source<'a>,
}

/// "I am."
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack<'a> {
    /// The number of the ping.
    pub seq: u32,
    /// What the layer above puts there: Serf's coordinate.
    pub payload: &'a [u8],
}

/// A suspicion or a death: who, at which incarnation, said by whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accusation<'a> {
    /// The incarnation that is accused.
    pub incarnation: u32,
    /// The accused.
    pub node: &'a str,
    /// The accuser; for a death, the same name as the accused means that it left of its own will.
    pub from: &'a str,
}

/// "This member is there, at this address, with this meta."
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alive<'a> {
    /// Higher wins; only the member itself raises it.
    pub incarnation: u32,
    /// The member.
    pub node: &'a str,
    /// Its address; none is refused by the state machine.
    pub addr: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Serf's tags, at most [`MAX_META`] bytes.
    pub meta: &'a [u8],
    /// Protocol min, max, current; delegate min, max, current. May be empty.
    pub vsn: &'a [u8],
}

/// One message of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// Type 0.
    Ping(Ping<'a>),
    /// Type 1.
    IndirectPing(IndirectPing<'a>),
    /// Type 2.
    Ack(Ack<'a>),
    /// Type 3.
    Suspect(Accusation<'a>),
    /// Type 4.
    Alive(Alive<'a>),
    /// Type 5.
    Dead(Accusation<'a>),
    /// Type 8: bytes for the layer above.
    User(&'a [u8]),
    /// Type 11: the number of the indirect ping that nobody answered.
    Nack(u32),
}

fn name(r: &mut Reader<'_>) -> Result<()> {
    if r.clone().bytes()?.len() > MAX_NAME { Err(DecodeError::TooLarge("name")) } else { Ok(()) }
}

/// A name of a node, within its limit.
pub(crate) fn read_name<'a>(r: &mut Reader<'a>) -> Result<&'a str> {
    name(r)?;
    r.str()
}

fn source<'a>(ip: Option<IpAddr>, port: u16, node: &'a str) -> Source<'a> {
    Source { addr: ip.filter(|_| port != 0).map(|ip| SocketAddr::new(ip, port)), node }
}

pub(crate) fn decode_ping<'a>(r: &mut Reader<'a>) -> Result<Ping<'a>> {
    let (mut seq, mut node, mut ip, mut port, mut from) = (0, "", None, 0, "");
    r.fields(|key, r| {
        match key {
            "SeqNo" => seq = r.number()?,
            "Node" => node = read_name(r)?,
            "SourceAddr" => ip = r.ip()?,
            "SourcePort" => port = r.number()?,
            "SourceNode" => from = read_name(r)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Ping { seq, node, source: source(ip, port, from) })
}

fn decode_indirect<'a>(r: &mut Reader<'a>) -> Result<IndirectPing<'a>> {
    let (mut seq, mut target, mut port, mut node, mut nack) = (0, None, 0, "", false);
    let (mut ip, mut source_port, mut from) = (None, 0, "");
    r.fields(|key, r| {
        match key {
            "SeqNo" => seq = r.number()?,
            "Target" => target = r.ip()?,
            "Port" => port = r.number()?,
            "Node" => node = read_name(r)?,
            "Nack" => nack = r.bool()?,
            "SourceAddr" => ip = r.ip()?,
            "SourcePort" => source_port = r.number()?,
            "SourceNode" => from = read_name(r)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let target = target.ok_or(DecodeError::Address(0))?;
    Ok(IndirectPing { seq, target, port, node, nack, source: source(ip, source_port, from) })
}

pub(crate) fn decode_ack<'a>(r: &mut Reader<'a>) -> Result<Ack<'a>> {
    let (mut seq, mut payload) = (0, &[][..]);
    r.fields(|key, r| {
        match key {
            "SeqNo" => seq = r.number()?,
            "Payload" => payload = r.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Ack { seq, payload })
}

fn decode_accusation<'a>(r: &mut Reader<'a>) -> Result<Accusation<'a>> {
    let (mut incarnation, mut node, mut from) = (0, "", "");
    r.fields(|key, r| {
        match key {
            "Incarnation" => incarnation = r.number()?,
            "Node" => node = read_name(r)?,
            "From" => from = read_name(r)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Accusation { incarnation, node, from })
}

fn decode_alive<'a>(r: &mut Reader<'a>) -> Result<Alive<'a>> {
    let mut alive = Alive { incarnation: 0, node: "", addr: None, port: 0, meta: &[], vsn: &[] };
    r.fields(|key, r| {
        match key {
            "Incarnation" => alive.incarnation = r.number()?,
            "Node" => alive.node = read_name(r)?,
            "Addr" => alive.addr = r.ip()?,
            "Port" => alive.port = r.number()?,
            "Meta" => alive.meta = read_meta(r)?,
            "Vsn" => alive.vsn = read_vsn(r)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(alive)
}

pub(crate) fn read_meta<'a>(r: &mut Reader<'a>) -> Result<&'a [u8]> {
    let meta = r.bytes()?;
    if meta.len() > MAX_META { Err(DecodeError::TooLarge("meta")) } else { Ok(meta) }
}

pub(crate) fn read_vsn<'a>(r: &mut Reader<'a>) -> Result<&'a [u8]> {
    let vsn = r.bytes()?;
    if vsn.len() > 16 { Err(DecodeError::TooLarge("versions")) } else { Ok(vsn) }
}

impl<'a> Message<'a> {
    /// Reads one message of a packet, without wrappers.
    ///
    /// # Errors
    /// A body of another shape, or a type that is none of a packet's.
    pub fn decode(raw: &'a [u8]) -> Result<Message<'a>> {
        let (&kind, body) = raw.split_first().ok_or(DecodeError::Truncated)?;
        let r = &mut Reader::new(body);
        Ok(match kind {
            kind::PING => Message::Ping(decode_ping(r)?),
            kind::INDIRECT_PING => Message::IndirectPing(decode_indirect(r)?),
            kind::ACK => Message::Ack(decode_ack(r)?),
            kind::SUSPECT => Message::Suspect(decode_accusation(r)?),
            kind::ALIVE => Message::Alive(decode_alive(r)?),
            kind::DEAD => Message::Dead(decode_accusation(r)?),
            kind::USER => Message::User(body),
            kind::NACK => Message::Nack(decode_ack(r)?.seq),
            other => return Err(DecodeError::UnknownType(other)),
        })
    }

    /// The bytes of the message, keys in the order that the real agents write.
    pub fn encode(&self) -> Vec<u8> {
        let mut w;
        match *self {
            Message::Ping(ping) => {
                w = Writer::typed(kind::PING);
                w.map(2 + source_len(&ping.source));
                w.str("Node").str(ping.node).str("SeqNo").uint(ping.seq.into());
                write_source(&mut w, &ping.source, None);
            }
            Message::IndirectPing(ping) => {
                w = Writer::typed(kind::INDIRECT_PING);
                w.map(5 + source_len(&ping.source));
                w.str("Nack").bool(ping.nack).str("Node").str(ping.node);
                w.str("Port").uint(ping.port.into()).str("SeqNo").uint(ping.seq.into());
                write_source(&mut w, &ping.source, Some(ping.target));
            }
            Message::Ack(ack) => {
                w = Writer::typed(kind::ACK);
                w.map(2).str("Payload").opt_bytes((!ack.payload.is_empty()).then_some(ack.payload));
                w.str("SeqNo").uint(ack.seq.into());
            }
            Message::Suspect(a) | Message::Dead(a) => {
                let suspect = matches!(self, Message::Suspect(_));
                w = Writer::typed(if suspect { kind::SUSPECT } else { kind::DEAD });
                w.map(3).str("From").str(a.from);
                w.str("Incarnation").uint(a.incarnation.into()).str("Node").str(a.node);
            }
            Message::Alive(a) => {
                w = Writer::typed(kind::ALIVE);
                w.map(6).str("Addr");
                match a.addr {
                    Some(ip) => w.ip(ip),
                    None => w.nil(),
                };
                w.str("Incarnation").uint(a.incarnation.into()).str("Meta").bytes(a.meta);
                w.str("Node").str(a.node).str("Port").uint(a.port.into()).str("Vsn").bytes(a.vsn);
            }
            Message::User(body) => {
                w = Writer::typed(kind::USER);
                w.raw(body);
            }
            Message::Nack(seq) => {
                w = Writer::typed(kind::NACK);
                w.map(1).str("SeqNo").uint(seq.into());
            }
        }
        w.finish()
    }
}

fn source_len(source: &Source<'_>) -> usize {
    2 * usize::from(source.addr.is_some()) + usize::from(!source.node.is_empty())
}

fn write_source(w: &mut Writer, source: &Source<'_>, target: Option<IpAddr>) {
    if let Some(addr) = source.addr {
        w.str("SourceAddr").ip(addr.ip());
    }
    if !source.node.is_empty() {
        w.str("SourceNode").str(source.node);
    }
    if let Some(addr) = source.addr {
        w.str("SourcePort").uint(addr.port().into());
    }
    if let Some(target) = target {
        w.str("Target").ip(target);
    }
}

#[cfg(test)]
#[path = "message_test.rs"]
mod tests;
