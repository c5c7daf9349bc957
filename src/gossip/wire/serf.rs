//! The messages of the Serf layer: intents, user events, queries and their answers, state, tags, key requests.

use super::message::read_name;
use super::msgpack::{DecodeError, Reader, Writer};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The first byte of a Serf message.
pub mod kind {
    #![allow(missing_docs)]
    pub const LEAVE: u8 = 0;
    pub const JOIN: u8 = 1;
    pub const PUSH_PULL: u8 = 2;
    pub const USER_EVENT: u8 = 3;
    pub const QUERY: u8 = 4;
    pub const RESPONSE: u8 = 5;
    pub const CONFLICT_RESPONSE: u8 = 6;
    pub const KEY_REQUEST: u8 = 7;
    pub const KEY_RESPONSE: u8 = 8;
    pub const RELAY: u8 = 9;
}

/// A query or a response asks for, or is, an acknowledgement.
pub const FLAG_ACK: u32 = 1;
/// A query that is not to be passed on.
pub const FLAG_NO_BROADCAST: u32 = 2;
/// The first byte of a meta that holds tags.
pub const TAGS_MAGIC: u8 = 0xff;
/// Entries that one list of a state may hold.
pub const MAX_ENTRIES: usize = 65_536;
/// Events of one time in a state.
const MAX_EVENTS: usize = 4_096;

type Result<T> = std::result::Result<T, DecodeError>;

/// A Lamport time.
pub type LTime = u64;

/// Tags of a member.
pub type Tags = BTreeMap<String, String>;

/// A user event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserEvent<'a> {
    /// When, on the event clock.
    pub ltime: LTime,
    /// Its name.
    pub name: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Whether receivers may keep only the latest of this name.
    pub coalesce: bool,
}

/// A query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query<'a> {
    /// When, on the query clock.
    pub ltime: LTime,
    /// Tells queries of one time apart.
    pub id: u32,
    /// Where answers go.
    pub addr: Option<SocketAddr>,
    /// Who asks.
    pub source: &'a str,
    /// Each one a byte of type and a msgpack value; all must match.
    pub filters: Vec<&'a [u8]>,
    /// [`FLAG_ACK`], [`FLAG_NO_BROADCAST`].
    pub flags: u32,
    /// By how many others an answer is to be sent as well.
    pub relay_factor: u8,
    /// Nanoseconds.
    pub timeout_ns: i64,
    /// Its name.
    pub name: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
}

/// An answer to a query, or its acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response<'a> {
    /// The query's time.
    pub ltime: LTime,
    /// The query's id.
    pub id: u32,
    /// Who answers.
    pub from: &'a str,
    /// [`FLAG_ACK`] for an acknowledgement.
    pub flags: u32,
    /// The answer.
    pub payload: &'a [u8],
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SerfMessage<'a> {
    /// A member leaves, or is made to leave.
    Leave {
        /// On the member clock.
        ltime: LTime,
        /// Who.
        node: &'a str,
        /// Whether it is to be forgotten at once.
        prune: bool,
    },
    /// A member is there.
    Join {
        /// On the member clock.
        ltime: LTime,
        /// Who.
        node: &'a str,
    },
    /// A user event.
    UserEvent(UserEvent<'a>),
    /// A query.
    Query(Query<'a>),
    /// An answer.
    Response(Response<'a>),
    /// A whole message to be handed on to somebody else.
    Relay {
        /// Its address.
        to: SocketAddr,
        /// Its name.
        name: &'a str,
        /// The message with its type byte.
        message: &'a [u8],
    },
}

impl<'a> SerfMessage<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// Another shape, or a type that does not travel by itself.
    pub fn decode(raw: &'a [u8]) -> Result<SerfMessage<'a>> {
        let (&kind, body) = raw.split_first().ok_or(DecodeError::Truncated)?;
        let r = &mut Reader::new(body);
        Ok(match kind {
            kind::LEAVE | kind::JOIN => {
                let (mut ltime, mut node, mut prune) = (0, "", false);
                r.fields(|key, r| {
                    match key {
                        "LTime" => ltime = r.number()?,
                        "Node" => node = read_name(r)?,
                        "Prune" => prune = r.bool()?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                if kind == kind::LEAVE {
                    SerfMessage::Leave { ltime, node, prune }
                } else {
                    SerfMessage::Join { ltime, node }
                }
            }
            kind::USER_EVENT => SerfMessage::UserEvent(decode_event(r)?),
            kind::QUERY => SerfMessage::Query(decode_query(r)?),
            kind::RESPONSE => SerfMessage::Response(decode_response(r)?),
            kind::RELAY => {
                let (mut to, mut name) = (None, "");
                r.fields(|key, r| {
                    match key {
                        "DestAddr" => to = decode_udp_addr(r)?,
                        "DestName" => name = read_name(r)?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                SerfMessage::Relay { to: to.ok_or(DecodeError::Address(0))?, name, message: r.rest() }
            }
            other => return Err(DecodeError::UnknownType(other)),
        })
    }

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut w;
        match self {
            SerfMessage::Leave { ltime, node, prune } => {
                w = Writer::typed(kind::LEAVE);
                w.map(3).str("LTime").uint(*ltime).str("Node").str(node).str("Prune").bool(*prune);
            }
            SerfMessage::Join { ltime, node } => {
                w = Writer::typed(kind::JOIN);
                w.map(2).str("LTime").uint(*ltime).str("Node").str(node);
            }
            SerfMessage::UserEvent(e) => {
                w = Writer::typed(kind::USER_EVENT);
                w.map(4).str("CC").bool(e.coalesce).str("LTime").uint(e.ltime);
                w.str("Name").str(e.name).str("Payload").bytes(e.payload);
            }
            SerfMessage::Query(q) => {
                w = Writer::typed(kind::QUERY);
                w.map(11).str("Addr");
                match q.addr {
                    Some(addr) => w.ip(addr.ip()),
                    None => w.nil(),
                };
                w.str("Filters");
                if q.filters.is_empty() {
                    w.nil();
                } else {
                    w.array(q.filters.len());
                    for filter in &q.filters {
                        w.bytes(filter);
                    }
                }
                w.str("Flags").uint(q.flags.into()).str("ID").uint(q.id.into());
                w.str("LTime").uint(q.ltime).str("Name").str(q.name).str("Payload").bytes(q.payload);
                w.str("Port").uint(q.addr.map_or(0, |a| a.port()).into());
                w.str("RelayFactor").uint(q.relay_factor.into()).str("SourceNode").str(q.source);
                w.str("Timeout").int(q.timeout_ns);
            }
            SerfMessage::Response(a) => {
                w = Writer::typed(kind::RESPONSE);
                w.map(5).str("Flags").uint(a.flags.into()).str("From").str(a.from);
                w.str("ID").uint(a.id.into()).str("LTime").uint(a.ltime);
                w.str("Payload").opt_bytes((!a.payload.is_empty()).then_some(a.payload));
            }
            SerfMessage::Relay { to, name, message } => {
                w = Writer::typed(kind::RELAY);
                w.map(2).str("DestAddr").map(3).str("IP").ip(to.ip());
                w.str("Port").uint(to.port().into()).str("Zone").str("");
                w.str("DestName").str(name).raw(message);
            }
        }
        w.finish()
    }
}

fn decode_udp_addr(r: &mut Reader<'_>) -> Result<Option<SocketAddr>> {
    let (mut ip, mut port) = (None, 0);
    r.fields(|key, r| {
        match key {
            "IP" => ip = r.ip()?,
            "Port" => port = r.number()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(ip.map(|ip| SocketAddr::new(ip, port)))
}

fn decode_event<'a>(r: &mut Reader<'a>) -> Result<UserEvent<'a>> {
    let mut e = UserEvent { ltime: 0, name: "", payload: &[], coalesce: false };
    r.fields(|key, r| {
        match key {
            "LTime" => e.ltime = r.number()?,
            "Name" => e.name = r.str()?,
            "Payload" => e.payload = r.bytes()?,
            "CC" => e.coalesce = r.bool()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(e)
}

fn decode_query<'a>(r: &mut Reader<'a>) -> Result<Query<'a>> {
    let (mut ip, mut port) = (None, 0);
    let mut q = Query {
        ltime: 0,
        id: 0,
        addr: None,
        source: "",
        filters: Vec::new(),
        flags: 0,
        relay_factor: 0,
        timeout_ns: 0,
        name: "",
        payload: &[],
    };
    r.fields(|key, r| {
        match key {
            "LTime" => q.ltime = r.number()?,
            "ID" => q.id = r.number()?,
            "Addr" => ip = r.ip()?,
            "Port" => port = r.number()?,
            "SourceNode" => q.source = read_name(r)?,
            "Filters" => {
                for _ in 0..limited(r.array()?, 64, "filters")? {
                    q.filters.push(r.bytes()?);
                }
            }
            "Flags" => q.flags = r.number()?,
            "RelayFactor" => q.relay_factor = r.number()?,
            "Timeout" => q.timeout_ns = r.number()?,
            "Name" => q.name = r.str()?,
            "Payload" => q.payload = r.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    q.addr = ip.map(|ip| SocketAddr::new(ip, port));
    Ok(q)
}

fn decode_response<'a>(r: &mut Reader<'a>) -> Result<Response<'a>> {
    let mut a = Response { ltime: 0, id: 0, from: "", flags: 0, payload: &[] };
    r.fields(|key, r| {
        match key {
            "LTime" => a.ltime = r.number()?,
            "ID" => a.id = r.number()?,
            "From" => a.from = read_name(r)?,
            "Flags" => a.flags = r.number()?,
            "Payload" => a.payload = r.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(a)
}

fn limited(n: u32, max: usize, what: &'static str) -> Result<usize> {
    let n = n as usize;
    if n > max { Err(DecodeError::TooLarge(what)) } else { Ok(n) }
}

/// What Serf adds to an exchange of states.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SerfState<'a> {
    /// The member clock.
    pub ltime: LTime,
    /// The time of the status of each member.
    pub status_ltimes: Vec<(&'a str, LTime)>,
    /// Members that left and are not forgotten.
    pub left: Vec<&'a str>,
    /// The event clock.
    pub event_ltime: LTime,
    /// Recent user events.
    pub events: Vec<UserEvent<'a>>,
    /// The query clock.
    pub query_ltime: LTime,
}

impl<'a> SerfState<'a> {
    /// Reads a state with its type byte.
    ///
    /// # Errors
    /// Another type or shape, or lists over their limits.
    pub fn decode(raw: &'a [u8]) -> Result<SerfState<'a>> {
        let mut r = Reader::new(raw);
        match r.byte()? {
            kind::PUSH_PULL => {}
            other => return Err(DecodeError::UnknownType(other)),
        }
        let mut s = SerfState::default();
        r.fields(|key, r| {
            match key {
                "LTime" => s.ltime = r.number()?,
                "StatusLTimes" => {
                    for _ in 0..limited(r.map()?, MAX_ENTRIES, "status times")? {
                        s.status_ltimes.push((read_name(r)?, r.number()?));
                    }
                }
                "LeftMembers" => {
                    for _ in 0..limited(r.array()?, MAX_ENTRIES, "left members")? {
                        s.left.push(read_name(r)?);
                    }
                }
                "EventLTime" => s.event_ltime = r.number()?,
                "Events" => {
                    for _ in 0..limited(r.array()?, MAX_ENTRIES, "events")? {
                        if !r.nil()? {
                            decode_events(r, &mut s.events)?;
                        }
                    }
                }
                "QueryLTime" => s.query_ltime = r.number()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(s)
    }
}

/// Writes a state. `slots` is how many slots the ring of events has; `events` come in any order, equal times together.
pub fn encode_state<'a>(
    clocks: [LTime; 3],
    statuses: impl ExactSizeIterator<Item = (&'a str, LTime)>,
    left: &[&str],
    events: &[UserEvent<'_>],
) -> Vec<u8> {
    let [ltime, event_ltime, query_ltime] = clocks;
    let mut w = Writer::typed(kind::PUSH_PULL);
    w.map(6).str("EventLTime").uint(event_ltime);
    let groups: Vec<&[UserEvent<'_>]> = events.chunk_by(|a, b| a.ltime == b.ltime).collect();
    w.str("Events").array(groups.len());
    for group in groups {
        w.map(2).str("Events").array(group.len());
        for event in group {
            w.map(2).str("Name").str(event.name).str("Payload").bytes(event.payload);
        }
        w.str("LTime").uint(group[0].ltime);
    }
    w.str("LTime").uint(ltime).str("LeftMembers").array(left.len());
    for name in left {
        w.str(name);
    }
    w.str("QueryLTime").uint(query_ltime).str("StatusLTimes").map(statuses.len());
    for (name, time) in statuses {
        w.str(name).uint(time);
    }
    w.finish()
}

fn decode_events<'a>(r: &mut Reader<'a>, out: &mut Vec<UserEvent<'a>>) -> Result<()> {
    let mut ltime = 0;
    let start = out.len();
    r.fields(|key, r| {
        match key {
            "LTime" => ltime = r.number()?,
            "Events" => {
                for _ in 0..limited(r.array()?, MAX_EVENTS, "events of one time")? {
                    if !r.nil()? {
                        out.push(decode_event(r)?);
                    }
                    if out.len() > MAX_ENTRIES {
                        return Err(DecodeError::TooLarge("events"));
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    for event in &mut out[start..] {
        event.ltime = ltime;
    }
    Ok(())
}

/// The meta of a member with these tags.
pub fn encode_tags(tags: &Tags) -> Vec<u8> {
    let mut w = Writer::typed(TAGS_MAGIC);
    w.map(tags.len());
    for (key, value) in tags {
        w.str(key).str(value);
    }
    w.finish()
}

/// The tags in a meta; a meta of the oldest form is the role. What cannot be read yields the tags before it.
pub fn decode_tags(meta: &[u8]) -> Tags {
    let mut tags = Tags::new();
    if meta.first() != Some(&TAGS_MAGIC) {
        tags.insert("role".to_owned(), String::from_utf8_lossy(meta).into_owned());
        return tags;
    }
    let mut r = Reader::new(&meta[1..]);
    let Ok(count) = r.map() else { return tags };
    for _ in 0..count {
        let (Ok(key), Ok(value)) = (r.str(), r.str()) else { break };
        tags.insert(key.to_owned(), value.to_owned());
    }
    tags
}

/// A member as a conflict response carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireMember {
    /// Its name.
    pub name: String,
    /// Its address.
    pub addr: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Its tags.
    pub tags: Tags,
    /// Serf's number of its status.
    pub status: u8,
    /// Protocol min, max, current; delegate min, max, current.
    pub vsn: [u8; 6],
}

impl WireMember {
    /// The payload of a conflict response.
    pub fn encode(member: Option<&WireMember>) -> Vec<u8> {
        let mut w = Writer::typed(kind::CONFLICT_RESPONSE);
        let Some(m) = member else { return w.nil().clone().finish() };
        w.map(11).str("Addr");
        match m.addr {
            Some(ip) => w.ip(ip),
            None => w.nil(),
        };
        w.str("DelegateCur").uint(m.vsn[5].into()).str("DelegateMax").uint(m.vsn[4].into());
        w.str("DelegateMin").uint(m.vsn[3].into()).str("Name").str(&m.name).str("Port").uint(m.port.into());
        w.str("ProtocolCur").uint(m.vsn[2].into()).str("ProtocolMax").uint(m.vsn[1].into());
        w.str("ProtocolMin").uint(m.vsn[0].into()).str("Status").uint(m.status.into());
        w.str("Tags").map(m.tags.len());
        for (key, value) in &m.tags {
            w.str(key).str(value);
        }
        w.finish()
    }

    /// Reads the payload of a conflict response; `None` is a member that the answerer does not know.
    ///
    /// # Errors
    /// Another type or shape.
    pub fn decode(raw: &[u8]) -> Result<Option<WireMember>> {
        let mut r = Reader::new(raw);
        match r.byte()? {
            kind::CONFLICT_RESPONSE => {}
            other => return Err(DecodeError::UnknownType(other)),
        }
        if r.nil()? {
            return Ok(None);
        }
        let mut m = WireMember {
            name: String::new(),
            addr: None,
            port: 0,
            tags: Tags::new(),
            status: 0,
            vsn: [0; 6],
        };
        r.fields(|key, r| {
            match key {
                "Name" => m.name = read_name(r)?.to_owned(),
                "Addr" => m.addr = r.ip()?,
                "Port" => m.port = r.number()?,
                "Status" => m.status = r.number()?,
                "ProtocolMin" => m.vsn[0] = r.number()?,
                "ProtocolMax" => m.vsn[1] = r.number()?,
                "ProtocolCur" => m.vsn[2] = r.number()?,
                "DelegateMin" => m.vsn[3] = r.number()?,
                "DelegateMax" => m.vsn[4] = r.number()?,
                "DelegateCur" => m.vsn[5] = r.number()?,
                "Tags" => {
                    for _ in 0..limited(r.map()?, 512, "tags")? {
                        let key = r.str()?.to_owned();
                        m.tags.insert(key, r.str()?.to_owned());
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Some(m))
    }
}

/// The payload of a key query.
pub fn encode_key_request(key: &[u8]) -> Vec<u8> {
    let mut w = Writer::typed(kind::KEY_REQUEST);
    w.map(1).str("Key").bytes(key);
    w.finish()
}

/// The key in the payload of a key query.
///
/// # Errors
/// Another type or shape.
pub fn decode_key_request(raw: &[u8]) -> Result<&[u8]> {
    let mut r = Reader::new(raw);
    match r.byte()? {
        kind::KEY_REQUEST => {}
        other => return Err(DecodeError::UnknownType(other)),
    }
    let mut key_bytes = &[][..];
    r.fields(|key, r| {
        if key == "Key" {
            key_bytes = r.bytes()?;
        }
        Ok(key == "Key")
    })?;
    Ok(key_bytes)
}

/// How a member answered a key query.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyResponse {
    /// Whether it was done.
    pub result: bool,
    /// Why not, or a remark.
    pub message: String,
    /// The keys in base64, for a listing.
    pub keys: Vec<String>,
    /// The primary key in base64, for a listing.
    pub primary: String,
}

impl KeyResponse {
    /// The payload of the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::typed(kind::KEY_RESPONSE);
        w.map(4).str("Keys");
        if self.keys.is_empty() {
            w.nil();
        } else {
            w.array(self.keys.len());
            for key in &self.keys {
                w.str(key);
            }
        }
        w.str("Message").str(&self.message).str("PrimaryKey").str(&self.primary);
        w.str("Result").bool(self.result);
        w.finish()
    }

    /// Reads the payload of an answer. `PrimaryKey` is absent from older members.
    ///
    /// # Errors
    /// Another type or shape.
    pub fn decode(raw: &[u8]) -> Result<KeyResponse> {
        let mut r = Reader::new(raw);
        match r.byte()? {
            kind::KEY_RESPONSE => {}
            other => return Err(DecodeError::UnknownType(other)),
        }
        let mut a = KeyResponse::default();
        r.fields(|key, r| {
            match key {
                "Result" => a.result = r.bool()?,
                "Message" => a.message = r.str()?.to_owned(),
                "PrimaryKey" => a.primary = r.str()?.to_owned(),
                "Keys" => {
                    for _ in 0..limited(r.array()?, 256, "keys")? {
                        a.keys.push(r.str()?.to_owned());
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(a)
    }
}

#[cfg(test)]
#[path = "serf_test.rs"]
mod tests;
