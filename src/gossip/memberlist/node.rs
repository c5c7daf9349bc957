//! What is known of a member, and the table of all of them.

use crate::time::Time;
use crate::wire::message::{Alive, MAX_NAME};
use crate::wire::serf::{Tags, decode_tags};
use crate::wire::state::NodeState;
use hashbrown::HashTable;
use rand::Rng;
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

/// What a member says of itself. Never changed: news make a new record.
#[derive(Debug)]
pub struct NodeRecord {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is reached.
    pub addr: SocketAddr,
    /// Its meta as it came.
    pub meta: Box<[u8]>,
    /// Protocol min, max, current; delegate min, max, current. Zero where unsaid.
    pub vsn: [u8; 6],
    tags: OnceLock<Tags>,
}

impl NodeRecord {
    /// A record of these values.
    pub fn new(name: Arc<str>, addr: SocketAddr, meta: &[u8], vsn: [u8; 6]) -> Self {
        NodeRecord { name, addr, meta: meta.into(), vsn, tags: OnceLock::new() }
    }

    /// The tags in the meta, read once.
    pub fn tags(&self) -> &Tags {
        self.tags.get_or_init(|| decode_tags(&self.meta))
    }

    /// The highest protocol it understands.
    pub fn protocol_max(&self) -> u8 {
        self.vsn[1]
    }

    /// Whether it says the same as this message.
    pub fn says(&self, alive: &Alive<'_>, addr: SocketAddr) -> bool {
        self.addr == addr && *self.meta == *alive.meta && self.vsn == padded(alive.vsn)
    }
}

impl PartialEq for NodeRecord {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.addr == other.addr && self.meta == other.meta && self.vsn == other.vsn
    }
}

/// Versions of any length as six numbers.
pub(crate) fn padded(vsn: &[u8]) -> [u8; 6] {
    let mut out = [0; 6];
    for (to, from) in out.iter_mut().zip(vsn) {
        *to = *from;
    }
    out
}

/// Whether a message about a member can be believed at all: a name, an address one can send to.
pub(crate) fn plausible(name: &str, ip: Option<IpAddr>) -> Option<IpAddr> {
    ip.filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
        .filter(|_| !name.is_empty() && name.len() <= MAX_NAME)
}

/// A member as this one sees it.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it says of itself.
    pub record: Arc<NodeRecord>,
    /// Since when it is in its state.
    pub changed: Time,
    /// The incarnation last heard of.
    pub incarnation: u32,
    /// What we think of it.
    pub state: NodeState,
}

/// Where a node stands in the table. Valid until the node is removed.
pub type NodeId = u32;

/// All nodes, by name and in the order of probing.
#[derive(Debug)]
pub struct Table {
    slots: Vec<Option<Node>>,
    free: Vec<NodeId>,
    ring: Vec<NodeId>,
    index: HashTable<NodeId>,
    /// Keeps names that a stranger chose from colliding on purpose.
    key: u64,
}

fn hash(key: u64, name: &str) -> u64 {
    // SipHash with a secret in front, without the process-wide chance of `RandomState`
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(key);
    hasher.write(name.as_bytes());
    hasher.finish()
}

impl Table {
    /// An empty table whose hashes depend on `key`.
    pub fn new(key: u64) -> Self {
        Table { slots: Vec::new(), free: Vec::new(), ring: Vec::new(), index: HashTable::new(), key }
    }

    /// How many nodes there are, dead ones that are not forgotten included.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The id of a name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let of = |id: &NodeId| self.slots[*id as usize].as_ref().is_some_and(|n| *n.record.name == *name);
        self.index.find(hash(self.key, name), of).copied()
    }

    /// The node at an id.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.slots.get(id as usize)?.as_ref()
    }

    /// The node at an id, to be changed.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// The id at a place of the order of probing.
    pub fn at(&self, place: usize) -> Option<NodeId> {
        self.ring.get(place).copied()
    }

    /// Adds a node at a random place of the order.
    pub fn insert(&mut self, node: Node, rng: &mut impl Rng) -> NodeId {
        let hashed = hash(self.key, &node.record.name);
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(node);
                id
            }
            None => {
                self.slots.push(Some(node));
                (self.slots.len() - 1) as NodeId
            }
        };
        let (slots, key) = (&self.slots, self.key);
        self.index.insert_unique(hashed, id, |id| match &slots[*id as usize] {
            Some(node) => hash(key, &node.record.name),
            None => 0,
        });
        self.ring.push(id);
        let place = rng.random_range(0..self.ring.len());
        let last = self.ring.len() - 1;
        self.ring.swap(place, last);
        id
    }

    /// Forgets the nodes that `gone` picks and shuffles the rest.
    pub fn reset_ring(&mut self, rng: &mut impl Rng, gone: impl Fn(&Node) -> bool) -> Vec<NodeId> {
        let mut removed = Vec::new();
        let slots = &mut self.slots;
        self.ring.retain(|id| {
            let forget = slots[*id as usize].as_ref().is_none_or(&gone);
            if forget {
                removed.push(*id);
            }
            !forget
        });
        for id in &removed {
            if let Some(node) = self.slots[*id as usize].take() {
                let hashed = hash(self.key, &node.record.name);
                if let Ok(entry) = self.index.find_entry(hashed, |other| other == id) {
                    entry.remove();
                }
                self.free.push(*id);
            }
        }
        for i in (1..self.ring.len()).rev() {
            self.ring.swap(i, rng.random_range(0..=i));
        }
        removed
    }

    /// All nodes in the order of probing.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.ring.iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// Up to `k` different nodes that `take` accepts, by at most three draws for each node there is.
    pub fn choose(&self, rng: &mut impl Rng, k: usize, take: impl Fn(NodeId, &Node) -> bool) -> Vec<NodeId> {
        let mut chosen = Vec::with_capacity(k);
        for _ in 0..3 * self.ring.len() {
            if chosen.len() >= k {
                break;
            }
            let id = self.ring[rng.random_range(0..self.ring.len())];
            if !chosen.contains(&id) && self.get(id).is_some_and(|n| take(id, n)) {
                chosen.push(id);
            }
        }
        chosen
    }
}
