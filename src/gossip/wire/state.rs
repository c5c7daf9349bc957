//! The exchange of whole states over a stream: a header, one map per node, and what the layer above adds.

use super::message::{kind, read_meta, read_name, read_vsn};
use super::msgpack::{DecodeError, Reader, Writer};
use std::net::IpAddr;

/// Nodes that one state may hold.
pub const MAX_NODES: usize = 65_536;
/// Bytes that the layer above may add.
pub const MAX_USER_STATE: usize = 16 * 1024 * 1024;

type Result<T> = std::result::Result<T, DecodeError>;

/// What a member thinks of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum NodeState {
    /// It answers.
    Alive,
    /// It did not answer somebody; it may refute.
    Suspect,
    /// It did not refute in time.
    Dead,
    /// It said good-bye.
    Left,
}

impl NodeState {
    fn from_wire(n: i64) -> Result<NodeState> {
        Ok(match n {
            0 => NodeState::Alive,
            1 => NodeState::Suspect,
            2 => NodeState::Dead,
            3 => NodeState::Left,
            _ => return Err(DecodeError::Range("state of a node")),
        })
    }

    /// The number on the wire.
    pub fn to_wire(self) -> u64 {
        match self {
            NodeState::Alive => 0,
            NodeState::Suspect => 1,
            NodeState::Dead => 2,
            NodeState::Left => 3,
        }
    }

    /// Dead or left.
    pub fn is_gone(self) -> bool {
        matches!(self, NodeState::Dead | NodeState::Left)
    }
}

/// The head of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// How many nodes follow.
    pub nodes: usize,
    /// How many bytes of the layer above follow these.
    pub user_len: usize,
    /// Whether the sender joins by this exchange.
    pub join: bool,
}

/// One node in a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateNode<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address.
    pub addr: Option<IpAddr>,
    /// Its port; 0: the receiver's own.
    pub port: u16,
    /// Serf's tags.
    pub meta: &'a [u8],
    /// The incarnation last heard of.
    pub incarnation: u32,
    /// What the sender thinks of it.
    pub state: NodeState,
    /// As in `Alive`.
    pub vsn: &'a [u8],
}

/// A whole state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PushPull<'a> {
    /// Whether the sender joins by this exchange.
    pub join: bool,
    /// All nodes the sender knows, itself among them.
    pub nodes: Vec<StateNode<'a>>,
    /// What the layer above adds.
    pub user: &'a [u8],
}

/// Reads the head.
///
/// # Errors
/// Counts over the limits of this module.
pub fn decode_header(r: &mut Reader<'_>) -> Result<Header> {
    let mut h = Header::default();
    r.fields(|key, r| {
        match key {
            "Nodes" => h.nodes = r.number()?,
            "UserStateLen" => h.user_len = r.number()?,
            "Join" => h.join = r.bool()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if h.nodes > MAX_NODES {
        return Err(DecodeError::TooLarge("number of nodes"));
    }
    if h.user_len > MAX_USER_STATE {
        return Err(DecodeError::TooLarge("user state"));
    }
    Ok(h)
}

/// Reads one node.
///
/// # Errors
/// Another shape, or a field over its limit.
pub fn decode_node<'a>(r: &mut Reader<'a>) -> Result<StateNode<'a>> {
    let mut n = StateNode {
        name: "",
        addr: None,
        port: 0,
        meta: &[],
        incarnation: 0,
        state: NodeState::Alive,
        vsn: &[],
    };
    r.fields(|key, r| {
        match key {
            "Name" => n.name = read_name(r)?,
            "Addr" => n.addr = r.ip()?,
            "Port" => n.port = r.number()?,
            "Meta" => n.meta = read_meta(r)?,
            "Incarnation" => n.incarnation = r.number()?,
            "State" => n.state = NodeState::from_wire(r.number()?)?,
            "Vsn" => n.vsn = read_vsn(r)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(n)
}

impl<'a> PushPull<'a> {
    /// Reads a whole state, without its type byte.
    ///
    /// # Errors
    /// Another shape, or counts over the limits.
    pub fn decode(body: &'a [u8]) -> Result<PushPull<'a>> {
        let mut r = Reader::new(body);
        let h = decode_header(&mut r)?;
        // a node takes a byte at least
        let mut nodes = Vec::with_capacity(h.nodes.min(r.rest().len() / 16 + 1));
        for _ in 0..h.nodes {
            nodes.push(decode_node(&mut r)?);
        }
        Ok(PushPull { join: h.join, nodes, user: r.take(h.user_len)? })
    }

    /// The bytes of the state with its type byte.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.join, self.nodes.iter().copied(), self.nodes.len(), self.user)
    }
}

/// Writes a state from nodes as they come.
pub fn encode<'a>(
    join: bool,
    nodes: impl Iterator<Item = StateNode<'a>>,
    count: usize,
    user: &[u8],
) -> Vec<u8> {
    let mut w = Writer::typed(kind::PUSH_PULL);
    w.map(3).str("Join").bool(join).str("Nodes").uint(count as u64);
    w.str("UserStateLen").uint(user.len() as u64);
    for n in nodes {
        w.map(7).str("Addr");
        match n.addr {
            Some(ip) => w.ip(ip),
            None => w.nil(),
        };
        w.str("Incarnation").uint(n.incarnation.into()).str("Meta").bytes(n.meta);
        w.str("Name").str(n.name).str("Port").uint(n.port.into());
        w.str("State").uint(n.state.to_wire()).str("Vsn").bytes(n.vsn);
    }
    w.raw(user);
    w.finish()
}
