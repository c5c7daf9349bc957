//! What a member of a Serf pool is told at its start.

use crate::memberlist::Candidate;
use crate::memberlist::config::{DEFAULT_MAX_MEMBERS, Records, Timing};
use crate::memberlist::node::NodeRecord;
use crate::wire::keyring::Keyring;
use crate::wire::serf::Tags;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Who may be in a pool. Consul's rules (datacenter, segment, node id, servers only) are one such policy.
pub trait MergePolicy: Send + fmt::Debug {
    /// Whether one member that was heard of may be there.
    ///
    /// # Errors
    /// The reason.
    fn check_alive(&self, record: &NodeRecord) -> Result<(), String>;

    /// Whether the members of another may be merged when one of the two joins.
    ///
    /// # Errors
    /// The reason, as the one who joins reads it.
    fn check_join(&self, candidates: &[Candidate]) -> Result<(), String>;
}

/// What a member of a Serf pool is told at its start.
#[derive(Debug)]
pub struct SerfConfig {
    /// Its name, unique in the pool.
    pub name: String,
    /// The address at which others reach it, by UDP and TCP.
    pub advertise: SocketAddr,
    /// Its tags; at most 512 bytes when encoded.
    pub tags: Tags,
    /// Serf's protocol: 5 for serf, 4 for Consul.
    pub protocol: u8,
    /// Timings of the memberlist.
    pub timing: Timing,
    /// Label of the pool; empty for none.
    pub label: Vec<u8>,
    /// Keys; empty for no encryption.
    pub keyring: Keyring,
    /// Drop what is not encrypted although there are keys.
    pub verify_incoming: bool,
    /// Encrypt what is sent.
    pub verify_outgoing: bool,
    /// Compress.
    pub compress: bool,
    /// Names beyond this many are not learnt.
    pub max_members: usize,
    /// Shares records among simulated members.
    pub records: Option<Arc<dyn Records>>,
    /// Who may be in the pool; none: anybody.
    pub policy: Option<Box<dyn MergePolicy>>,
    /// Whether a lost vote about our own name ends us.
    pub resolve_conflicts: bool,
    /// Whether network coordinates are kept.
    pub coordinates: bool,
    /// Whether lines for a snapshot file are made.
    pub snapshot: bool,
    /// Whether a snapshot that ends with our leaving is joined from nevertheless.
    pub rejoin_after_leave: bool,
    /// Between looks for members to forget.
    pub reap_interval: Duration,
    /// Between tries to reach a failed member.
    pub reconnect_interval: Duration,
    /// How long a failed member is remembered.
    pub reconnect_timeout: Duration,
    /// How long a member that left is remembered.
    pub tombstone_timeout: Duration,
    /// How long an intent about an unknown member is remembered.
    pub recent_intent_timeout: Duration,
    /// How long an operation waits for its rumor to go out.
    pub broadcast_timeout: Duration,
    /// How long a leaving member stays for its rumor to spread.
    pub leave_propagate_delay: Duration,
    /// Between looks at the length of the queues.
    pub queue_check_interval: Duration,
    /// The longest a queue may be.
    pub max_queue_depth: usize,
    /// If not zero, a queue may be the larger of this and twice the members instead.
    pub min_queue_depth: usize,
    /// Name and payload of a user event, and its encoded form, stay within this.
    pub user_event_limit: usize,
    /// An encoded query stays within this.
    pub query_limit: usize,
    /// An encoded response stays within this.
    pub query_response_limit: usize,
    /// Queries last this many times the gossip interval and the logarithm of the size.
    pub query_timeout_mult: u32,
    /// Keep member events of one name for so long, to report the last only; zero: report each at once.
    pub coalesce_period: Duration,
    /// Report after so long without a further one.
    pub quiescent_period: Duration,
    /// The same for user events that may be coalesced.
    pub user_coalesce_period: Duration,
    /// The same for user events that may be coalesced.
    pub user_quiescent_period: Duration,
}

/// The hard limit on user events, whatever is configured.
pub const MAX_USER_EVENT: usize = 9 * 1024;

impl SerfConfig {
    /// A member with Serf's own defaults.
    pub fn new(name: impl Into<String>, advertise: SocketAddr) -> Self {
        SerfConfig {
            name: name.into(),
            advertise,
            tags: Tags::new(),
            protocol: 5,
            timing: Timing::lan(),
            label: Vec::new(),
            keyring: Keyring::default(),
            verify_incoming: true,
            verify_outgoing: true,
            compress: true,
            max_members: DEFAULT_MAX_MEMBERS,
            records: None,
            policy: None,
            resolve_conflicts: true,
            coordinates: true,
            snapshot: false,
            rejoin_after_leave: false,
            reap_interval: Duration::from_secs(15),
            reconnect_interval: Duration::from_secs(30),
            reconnect_timeout: Duration::from_secs(24 * 3600),
            tombstone_timeout: Duration::from_secs(24 * 3600),
            recent_intent_timeout: Duration::from_secs(5 * 60),
            broadcast_timeout: Duration::from_secs(5),
            leave_propagate_delay: Duration::from_secs(1),
            queue_check_interval: Duration::from_secs(30),
            max_queue_depth: 4096,
            min_queue_depth: 0,
            user_event_limit: 512,
            query_limit: 1024,
            query_response_limit: 1024,
            query_timeout_mult: 16,
            coalesce_period: Duration::ZERO,
            quiescent_period: Duration::ZERO,
            user_coalesce_period: Duration::ZERO,
            user_quiescent_period: Duration::ZERO,
        }
    }

    /// A member with Consul's settings for its LAN pool.
    pub fn consul_lan(name: impl Into<String>, advertise: SocketAddr) -> Self {
        SerfConfig {
            protocol: 4,
            timing: Timing::consul_lan(),
            reconnect_timeout: Duration::from_secs(72 * 3600),
            leave_propagate_delay: Duration::from_secs(3),
            min_queue_depth: 4096,
            ..SerfConfig::new(name, advertise)
        }
    }

    /// A member with Consul's settings for its WAN pool.
    pub fn consul_wan(name: impl Into<String>, advertise: SocketAddr) -> Self {
        SerfConfig { timing: Timing::consul_wan(), ..SerfConfig::consul_lan(name, advertise) }
    }

    /// Versions as members see them.
    pub(super) fn vsn(&self) -> [u8; 6] {
        [1, 5, 2, 2, 5, self.protocol]
    }
}
