//! The sections of [`crate::Config`] that belong to one subsystem each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crs_types::{Secret, format_duration};

use crate::config::Cidr;

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum LogLevel {
    /// Every packet.
    Trace,
    /// Every request.
    Debug,
    /// Lifecycle and membership.
    #[default]
    Info,
    /// Degraded, heals itself.
    Warn,
    /// Somebody must act.
    Error,
}

impl LogLevel {
    /// Reads Consul's words in any case (`ERR` and `ERROR` are one).
    pub fn parse(word: &str) -> Option<LogLevel> {
        Some(match word.to_ascii_uppercase().as_str() {
            "TRACE" => LogLevel::Trace,
            "DEBUG" => LogLevel::Debug,
            "INFO" => LogLevel::Info,
            "WARN" => LogLevel::Warn,
            "ERR" | "ERROR" => LogLevel::Error,
            _ => return None,
        })
    }

    /// The word that log lines carry.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Trace => "TRACE",
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error => "ERROR",
        }
    }
}

/// Log level and targets.
#[derive(Clone, PartialEq, Debug)]
pub struct Log {
    /// `log_level`. Reloadable.
    pub level: LogLevel,
    /// `log_json`.
    pub json: bool,
    /// `log_file`: a file, or a directory when it ends in a slash.
    pub file: Option<PathBuf>,
    /// `log_rotate_duration`.
    pub rotate_duration: Duration,
    /// `log_rotate_bytes`; 0: no limit.
    pub rotate_bytes: u64,
    /// `log_rotate_max_files`; 0: keep all, negative: keep none of the old ones.
    pub rotate_max_files: i64,
    /// `enable_syslog`.
    pub syslog: bool,
    /// `syslog_facility`, upper case: `LOCAL0`.
    pub syslog_facility: String,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            level: LogLevel::Info,
            json: false,
            file: None,
            rotate_duration: Duration::from_secs(24 * 3600),
            rotate_bytes: 0,
            rotate_max_files: 0,
            syslog: false,
            syslog_facility: "LOCAL0".into(),
        }
    }
}

/// Which signal leaves the cluster gracefully. The defaults differ between servers and clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leave {
    /// `leave_on_terminate`: SIGTERM.
    pub on_terminate: bool,
    /// `skip_leave_on_interrupt`: SIGINT.
    pub skip_on_interrupt: bool,
}

/// Domain, recursors and `dns_config`.
#[derive(Clone, PartialEq, Debug)]
pub struct Dns {
    /// `domain`, with a closing dot, lower case as given.
    pub domain: String,
    /// `alt_domain`; empty: none.
    pub alt_domain: String,
    /// `recursors`, `host:port` or address.
    pub recursors: Vec<String>,
    /// `allow_stale`.
    pub allow_stale: bool,
    /// `max_stale`.
    pub max_stale: Duration,
    /// `node_ttl`.
    pub node_ttl: Duration,
    /// `service_ttl`: by name, `prefix*` or `*`.
    pub service_ttl: BTreeMap<String, Duration>,
    /// `only_passing`.
    pub only_passing: bool,
    /// `enable_truncate`.
    pub enable_truncate: bool,
    /// `a_record_limit`; 0: none.
    pub a_record_limit: u32,
    /// `udp_answer_limit`.
    pub udp_answer_limit: u32,
    /// `recursor_timeout`.
    pub recursor_timeout: Duration,
    /// `disable_compression`.
    pub disable_compression: bool,
    /// `use_cache`.
    pub use_cache: bool,
    /// `cache_max_age`.
    pub cache_max_age: Duration,
    /// `enable_additional_node_meta_txt`.
    pub node_meta_txt: bool,
    /// `soa.refresh`, seconds.
    pub soa_refresh: u32,
    /// `soa.retry`, seconds.
    pub soa_retry: u32,
    /// `soa.expire`, seconds.
    pub soa_expire: u32,
    /// `soa.min_ttl`, seconds.
    pub soa_min_ttl: u32,
}

impl Default for Dns {
    fn default() -> Self {
        Dns {
            domain: "consul.".into(),
            alt_domain: String::new(),
            recursors: Vec::new(),
            allow_stale: true,
            max_stale: Duration::from_secs(87_600 * 3600),
            node_ttl: Duration::ZERO,
            service_ttl: BTreeMap::new(),
            only_passing: false,
            enable_truncate: false,
            a_record_limit: 0,
            udp_answer_limit: 3,
            recursor_timeout: Duration::from_secs(2),
            disable_compression: false,
            use_cache: false,
            cache_max_age: Duration::ZERO,
            node_meta_txt: true,
            soa_refresh: 3600,
            soa_retry: 600,
            soa_expire: 86_400,
            soa_min_ttl: 0,
        }
    }
}

/// What happens without a matching rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DefaultPolicy {
    /// Everything is allowed.
    #[default]
    Allow,
    /// Nothing is allowed.
    Deny,
}

/// What a client agent does with a token when no server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DownPolicy {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
    /// Go on with what is cached.
    #[default]
    ExtendCache,
    /// Go on with what is cached, and refresh in the background always.
    AsyncCache,
}

impl DownPolicy {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            DownPolicy::Allow => "allow",
            DownPolicy::Deny => "deny",
            DownPolicy::ExtendCache => "extend-cache",
            DownPolicy::AsyncCache => "async-cache",
        }
    }
}

/// `acl`, with the legacy `acl_*` keys folded in.
#[derive(Clone, PartialEq, Debug)]
pub struct Acl {
    /// `enabled`.
    pub enabled: bool,
    /// `default_policy`.
    pub default_policy: DefaultPolicy,
    /// `down_policy`.
    pub down_policy: DownPolicy,
    /// `tokens.*`. Reloadable, except master.
    pub tokens: AclTokens,
    /// `enable_token_persistence`.
    pub enable_token_persistence: bool,
    /// `enable_token_replication`.
    pub enable_token_replication: bool,
    /// `enable_key_list_policy`.
    pub enable_key_list_policy: bool,
    /// `token_ttl`.
    pub token_ttl: Duration,
    /// `policy_ttl`.
    pub policy_ttl: Duration,
    /// `role_ttl`.
    pub role_ttl: Duration,
}

/// Tokens of the agent itself.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AclTokens {
    /// `master`: becomes a management token on first start.
    pub master: Secret<String>,
    /// `agent`: for the agent's own registrations.
    pub agent: Secret<String>,
    /// `agent_master`: access to this agent when no server answers.
    pub agent_master: Secret<String>,
    /// `default`: for requests without one.
    pub default: Secret<String>,
    /// `replication`.
    pub replication: Secret<String>,
}

impl Default for Acl {
    fn default() -> Self {
        Acl {
            enabled: false,
            default_policy: DefaultPolicy::Allow,
            down_policy: DownPolicy::ExtendCache,
            tokens: AclTokens::default(),
            enable_token_persistence: false,
            enable_token_replication: false,
            enable_key_list_policy: false,
            token_ttl: Duration::from_secs(30),
            policy_ttl: Duration::from_secs(30),
            role_ttl: Duration::ZERO,
        }
    }
}

/// Settings common to all checks.
#[derive(Clone, PartialEq, Debug)]
pub struct Checks {
    /// `enable_script_checks`: scripts from files and over the API.
    pub enable_remote_scripts: bool,
    /// `enable_local_script_checks` (or the above): scripts from files.
    pub enable_local_scripts: bool,
    /// `check_update_interval`: output that alone changed is sent this seldom; zero: at once.
    pub update_interval: Duration,
    /// `check_output_max_size`, bytes.
    pub output_max_size_bytes: usize,
    /// `discard_check_output`. Reloadable.
    pub discard_output: bool,
    /// `enable_agent_tls_for_checks`.
    pub enable_agent_tls: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Checks {
            enable_remote_scripts: false,
            enable_local_scripts: false,
            update_interval: Duration::from_secs(300),
            output_max_size_bytes: 4096,
            discard_output: false,
            enable_agent_tls: false,
        }
    }
}

/// `http_config` and what else belongs to HTTP.
#[derive(Clone, PartialEq, Debug)]
pub struct Http {
    /// `block_endpoints`: path prefixes answered 403.
    pub block_endpoints: Vec<String>,
    /// `response_headers`.
    pub response_headers: BTreeMap<String, String>,
    /// `allow_write_http_from`; empty: everyone.
    pub allow_write_from: Vec<Cidr>,
    /// `use_cache`.
    pub use_cache: bool,
    /// `disable_http_unprintable_char_filter`.
    pub disable_unprintable_char_filter: bool,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            block_endpoints: Vec::new(),
            response_headers: BTreeMap::new(),
            allow_write_from: Vec::new(),
            use_cache: true,
            disable_unprintable_char_filter: false,
        }
    }
}

/// `limits`, query times and further bounds.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// `http_max_conns_per_client`; 0: none. Reloadable.
    pub http_max_conns_per_client: u32,
    /// `https_handshake_timeout`.
    pub https_handshake_timeout: Duration,
    /// `rpc_handshake_timeout`.
    pub rpc_handshake_timeout: Duration,
    /// `rpc_max_conns_per_client`; 0: none. Reloadable.
    pub rpc_max_conns_per_client: u32,
    /// `rpc_rate`, requests per second of a client agent; `None`: unlimited. Reloadable.
    pub rpc_rate: Option<f64>,
    /// `rpc_max_burst`. Reloadable.
    pub rpc_max_burst: u32,
    /// `kv_max_value_size`, bytes.
    pub kv_max_value_size_bytes: u64,
    /// `txn_max_req_len`, bytes.
    pub txn_max_req_len_bytes: u64,
    /// `default_query_time`: a blocking query without `wait`.
    pub default_query_time: Duration,
    /// `max_query_time`: caps `wait`.
    pub max_query_time: Duration,
    /// `session_ttl_min`.
    pub session_ttl_min: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            http_max_conns_per_client: 200,
            https_handshake_timeout: Duration::from_secs(5),
            rpc_handshake_timeout: Duration::from_secs(5),
            rpc_max_conns_per_client: 100,
            rpc_rate: None,
            rpc_max_burst: 1000,
            kv_max_value_size_bytes: 512 * 1024,
            txn_max_req_len_bytes: 512 * 1024,
            default_query_time: Duration::from_secs(300),
            max_query_time: Duration::from_secs(600),
            session_ttl_min: Duration::from_secs(10),
        }
    }
}

/// Raft's timers and snapshot rules, protocol versions.
#[derive(Clone, PartialEq, Debug)]
pub struct Raft {
    /// `performance.raft_multiplier`, 1 to 10; unset is 1 here (Consul: 5).
    pub multiplier: u32,
    /// Election timeout, multiplier included.
    pub election_timeout: Duration,
    /// Heartbeat timeout, multiplier included.
    pub heartbeat_timeout: Duration,
    /// Leader lease, multiplier included.
    pub leader_lease: Duration,
    /// `performance.leave_drain_time`.
    pub leave_drain_time: Duration,
    /// `performance.rpc_hold_timeout`.
    pub rpc_hold_timeout: Duration,
    /// `raft_protocol`.
    pub protocol: u32,
    /// `raft_snapshot_threshold`, entries.
    pub snapshot_threshold: u64,
    /// `raft_snapshot_interval`.
    pub snapshot_interval: Duration,
    /// `raft_trailing_logs`, entries kept behind a snapshot.
    pub trailing_logs: u64,
    /// `protocol`: Consul's RPC protocol version, told in gossip.
    pub rpc_protocol: u32,
}

impl Raft {
    /// The timers for a multiplier: 1000/1000/500 ms times it.
    pub fn scaled(multiplier: u32) -> Self {
        Raft {
            multiplier,
            election_timeout: Duration::from_millis(1000) * multiplier,
            heartbeat_timeout: Duration::from_millis(1000) * multiplier,
            leader_lease: Duration::from_millis(500) * multiplier,
            leave_drain_time: Duration::from_secs(5),
            rpc_hold_timeout: Duration::from_secs(7),
            protocol: 3,
            snapshot_threshold: 16_384,
            snapshot_interval: Duration::from_secs(30),
            trailing_logs: 10_000,
            rpc_protocol: 2,
        }
    }

    /// `-dev`: 52/35/20 ms.
    pub fn dev() -> Self {
        Raft {
            election_timeout: Duration::from_millis(52),
            heartbeat_timeout: Duration::from_millis(35),
            leader_lease: Duration::from_millis(20),
            ..Self::scaled(1)
        }
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self::scaled(1)
    }
}

/// `autopilot`: initial values.
#[derive(Clone, PartialEq, Debug)]
pub struct Autopilot {
    /// `cleanup_dead_servers`.
    pub cleanup_dead_servers: bool,
    /// `last_contact_threshold`.
    pub last_contact_threshold: Duration,
    /// `max_trailing_logs`.
    pub max_trailing_logs: u64,
    /// `min_quorum`.
    pub min_quorum: u32,
    /// `server_stabilization_time`.
    pub server_stabilization_time: Duration,
}

impl Default for Autopilot {
    fn default() -> Self {
        Autopilot {
            cleanup_dead_servers: true,
            last_contact_threshold: Duration::from_millis(200),
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: Duration::from_secs(10),
        }
    }
}

/// `cache`.
#[derive(Clone, PartialEq, Debug)]
pub struct CacheLimits {
    /// `entry_fetch_max_burst`.
    pub entry_fetch_max_burst: u32,
    /// `entry_fetch_rate`, per second; `None`: unlimited.
    pub entry_fetch_rate: Option<f64>,
}

impl Default for CacheLimits {
    fn default() -> Self {
        CacheLimits { entry_fetch_max_burst: 2, entry_fetch_rate: None }
    }
}

/// Lowest TLS version spoken. rustls has no TLS 1.0 and 1.1: asking for them gives 1.2 and a warning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Certificates and `verify_*`. Reloadable.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tls {
    /// `ca_file`.
    pub ca_file: Option<PathBuf>,
    /// `ca_path`.
    pub ca_path: Option<PathBuf>,
    /// `cert_file`.
    pub cert_file: Option<PathBuf>,
    /// `key_file`.
    pub key_file: Option<PathBuf>,
    /// `verify_incoming_rpc` or `verify_incoming`.
    pub verify_incoming_rpc: bool,
    /// `verify_incoming_https` or `verify_incoming`.
    pub verify_incoming_https: bool,
    /// `verify_outgoing`, or implied by `verify_server_hostname`.
    pub verify_outgoing: bool,
    /// `verify_server_hostname`.
    pub verify_server_hostname: bool,
    /// `server_name`; empty: the node's name.
    pub server_name: String,
    /// `tls_min_version`.
    pub min_version: TlsVersion,
    /// `tls_cipher_suites`, Consul's (Go's) names; empty: the library's choice.
    pub cipher_suites: Vec<String>,
}

/// `auto_encrypt`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AutoEncrypt {
    /// `tls`: a client asks servers for its certificate.
    pub tls: bool,
    /// `allow_tls`: a server hands them out.
    pub allow_tls: bool,
    /// `dns_san`.
    pub dns_san: Vec<String>,
    /// `ip_san`.
    pub ip_san: Vec<std::net::IpAddr>,
}

/// `connect`, as far as the minimal internal CA needs it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Connect {
    /// `enabled`.
    pub enabled: bool,
    /// `ca_provider`; empty: the built-in one.
    pub ca_provider: String,
    /// `ca_config`, compact JSON; empty: none.
    pub ca_config: String,
}

/// `telemetry`.
#[derive(Clone, PartialEq, Debug)]
pub struct Telemetry {
    /// `prometheus_retention_time`; zero: the Prometheus endpoint is off.
    pub prometheus_retention: Duration,
    /// `disable_hostname`.
    pub disable_hostname: bool,
    /// `metrics_prefix`.
    pub metrics_prefix: String,
    /// `prefix_filter` entries with `+`. Reloadable.
    pub allowed_prefixes: Vec<String>,
    /// `prefix_filter` entries with `-`. Reloadable.
    pub blocked_prefixes: Vec<String>,
    /// `filter_default`.
    pub filter_default: bool,
    /// `statsd_address`.
    pub statsd_addr: String,
    /// `statsite_address`.
    pub statsite_addr: String,
    /// `dogstatsd_addr`.
    pub dogstatsd_addr: String,
    /// `dogstatsd_tags`.
    pub dogstatsd_tags: Vec<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry {
            prometheus_retention: Duration::ZERO,
            disable_hostname: false,
            metrics_prefix: "consul".into(),
            allowed_prefixes: Vec::new(),
            blocked_prefixes: Vec::new(),
            filter_default: true,
            statsd_addr: String::new(),
            statsite_addr: String::new(),
            dogstatsd_addr: String::new(),
            dogstatsd_tags: Vec::new(),
        }
    }
}

/// The page.
#[derive(Clone, PartialEq, Debug)]
pub struct Ui {
    /// `ui`.
    pub enabled: bool,
    /// `ui_dir`: serve these files instead of the built-in ones.
    pub dir: Option<PathBuf>,
    /// `ui_content_path`, with a slash at both ends.
    pub content_path: String,
}

impl Default for Ui {
    fn default() -> Self {
        Ui { enabled: false, dir: None, content_path: "/ui/".into() }
    }
}

impl std::fmt::Display for Raft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "election {} heartbeat {} lease {}",
            format_duration(self.election_timeout),
            format_duration(self.heartbeat_timeout),
            format_duration(self.leader_lease)
        )
    }
}
