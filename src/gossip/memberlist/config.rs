//! What a member is told at its start, and the timings of the three profiles.

use super::node::NodeRecord;
use crate::wire::packet::Envelope;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Intervals, counts and multipliers of the protocol. All members of a pool should agree on them.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// For a whole exchange over a stream.
    pub tcp_timeout: Duration,
    /// How many others are asked to probe a member that did not answer.
    pub indirect_checks: usize,
    /// A rumor is sent this many times the (ceiled) decimal logarithm of the pool's size.
    pub retransmit_mult: u32,
    /// A suspicion lasts at least this many times the logarithm of the size, in probe intervals.
    pub suspicion_mult: u32,
    /// A suspicion that nobody confirms lasts this many times longer. 1 switches Lifeguard's part off.
    pub suspicion_max_timeout_mult: u32,
    /// Between exchanges of whole states, in small pools.
    pub push_pull_interval: Duration,
    /// How long a direct answer may take.
    pub probe_timeout: Duration,
    /// Between probes.
    pub probe_interval: Duration,
    /// The local health score stays below this. 1 switches Lifeguard's part off.
    pub awareness_max_multiplier: u32,
    /// How many members one round of gossip reaches.
    pub gossip_nodes: usize,
    /// Between rounds of gossip.
    pub gossip_interval: Duration,
    /// Dead members still hear gossip for so long, and are then forgotten.
    pub gossip_to_the_dead: Duration,
    /// After so long a dead member's name may come back from another address; zero: never.
    pub dead_node_reclaim: Duration,
    /// What a packet may hold.
    pub udp_buffer: usize,
    /// Whether the probe of a suspect tells it of the suspicion. False switches Lifeguard's part off.
    pub buddy: bool,
}

impl Timing {
    /// For members in one building.
    pub fn lan() -> Self {
        Timing {
            tcp_timeout: Duration::from_secs(10),
            indirect_checks: 3,
            retransmit_mult: 4,
            suspicion_mult: 4,
            suspicion_max_timeout_mult: 6,
            push_pull_interval: Duration::from_secs(30),
            probe_timeout: Duration::from_millis(500),
            probe_interval: Duration::from_secs(1),
            awareness_max_multiplier: 8,
            gossip_nodes: 3,
            gossip_interval: Duration::from_millis(200),
            gossip_to_the_dead: Duration::from_secs(30),
            dead_node_reclaim: Duration::ZERO,
            udp_buffer: 1400,
            buddy: true,
        }
    }

    /// For members all over the world.
    pub fn wan() -> Self {
        Timing {
            tcp_timeout: Duration::from_secs(30),
            suspicion_mult: 6,
            push_pull_interval: Duration::from_secs(60),
            probe_timeout: Duration::from_secs(3),
            probe_interval: Duration::from_secs(5),
            gossip_nodes: 4,
            gossip_interval: Duration::from_millis(500),
            gossip_to_the_dead: Duration::from_secs(60),
            ..Timing::lan()
        }
    }

    /// For members on one machine.
    pub fn local() -> Self {
        Timing {
            tcp_timeout: Duration::from_secs(1),
            indirect_checks: 1,
            retransmit_mult: 2,
            suspicion_mult: 3,
            push_pull_interval: Duration::from_secs(15),
            probe_timeout: Duration::from_millis(200),
            gossip_interval: Duration::from_millis(100),
            gossip_to_the_dead: Duration::from_secs(15),
            ..Timing::lan()
        }
    }

    /// Consul's LAN pool.
    pub fn consul_lan() -> Self {
        Timing { dead_node_reclaim: Duration::from_secs(30), ..Timing::lan() }
    }

    /// Consul's WAN pool.
    pub fn consul_wan() -> Self {
        Timing { dead_node_reclaim: Duration::from_secs(30), gossip_nodes: 3, ..Timing::wan() }
    }

    /// The same protocol with all parts of Lifeguard switched off, for comparison.
    pub fn without_lifeguard(self) -> Self {
        Timing { suspicion_max_timeout_mult: 1, awareness_max_multiplier: 1, buddy: false, ..self }
    }
}

/// Where records of members are shared, so that many state machines in one process hold each only once.
pub trait Records: Send + Sync + fmt::Debug {
    /// The same record, maybe one that was there before.
    fn share(&self, record: NodeRecord) -> Arc<NodeRecord>;
}

/// What a member is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, unique in the pool.
    pub name: String,
    /// The address at which others reach it, by UDP and TCP.
    pub advertise: SocketAddr,
    /// Protocol min, max, current; delegate min, max, current.
    pub vsn: [u8; 6],
    /// What others learn about it at once, at most 512 bytes.
    pub meta: Vec<u8>,
    /// Timings.
    pub timing: Timing,
    /// Label, keys, compression.
    pub envelope: Envelope,
    /// Names beyond this many are not learnt: a bound on what a hostile pool can make us hold.
    pub max_members: usize,
    /// Whether a member that does not answer by UDP is tried by TCP.
    pub tcp_pings: bool,
    /// Shares records among simulated members.
    pub records: Option<Arc<dyn Records>>,
}

/// Members that one agent is willing to know.
pub const DEFAULT_MAX_MEMBERS: usize = 65_536;
