//! The agent's flags and the keys they stand for.

use crate::raw::{At, RawConfig, RawField};

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlagKind {
    /// `-server`, `-server=false`.
    Bool,
    /// A whole number.
    Int,
    /// Text.
    Text,
    /// Text, may be given several times; comes before the lists of files.
    List,
    /// `key:value`, may be given several times.
    Map,
}

/// A flag of `crs agent` that stands for a key.
#[derive(Clone, Copy, Debug)]
pub struct AgentFlag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Path of the key.
    pub key: &'static str,
    /// What it takes.
    pub kind: FlagKind,
    /// For `-help`.
    pub help: &'static str,
}

const fn flag(name: &'static str, key: &'static str, kind: FlagKind, help: &'static str) -> AgentFlag {
    AgentFlag { name, key, kind, help }
}

use FlagKind::{Bool, Int, List, Map, Text};

/// Every flag of the agent, except those that say where the configuration is (`-config-dir`, `-config-file`,
/// `-config-format`, `-hcl`, `-dev`).
pub const AGENT_FLAGS: &[AgentFlag] = &[
    flag("datacenter", "datacenter", Text, "Datacenter of the agent."),
    flag("advertise", "advertise_addr", Text, "Address told to others in the datacenter."),
    flag("advertise-wan", "advertise_addr_wan", Text, "Address told to other datacenters."),
    flag(
        "allow-write-http-from",
        "http_config.allow_write_http_from",
        List,
        "Networks that may write over HTTP (repeatable).",
    ),
    flag("alt-domain", "alt_domain", Text, "Second domain served by DNS."),
    flag("bind", "bind_addr", Text, "Address the cluster's ports are bound to."),
    flag("bootstrap", "bootstrap", Bool, "Become leader alone."),
    flag(
        "bootstrap-expect",
        "bootstrap_expect",
        Int,
        "Wait for this many servers before the first election.",
    ),
    flag("check_output_max_size", "check_output_max_size", Int, "Bytes kept of a check's output."),
    flag("client", "client_addr", Text, "Addresses clients are served on (HTTP, HTTPS, DNS, gRPC)."),
    flag("data-dir", "data_dir", Text, "Directory for the agent's state."),
    flag("default-query-time", "default_query_time", Text, "How long a blocking query without wait is held."),
    flag(
        "disable-host-node-id",
        "disable_host_node_id",
        Bool,
        "Make a random node ID, not one derived from the machine.",
    ),
    flag("disable-keyring-file", "disable_keyring_file", Bool, "Keep gossip keys in memory only."),
    flag("dns-port", "ports.dns", Int, "Port for DNS."),
    flag("domain", "domain", Text, "Domain served by DNS."),
    flag(
        "enable-local-script-checks",
        "enable_local_script_checks",
        Bool,
        "Allow script checks from configuration files.",
    ),
    flag(
        "enable-script-checks",
        "enable_script_checks",
        Bool,
        "Allow script checks from files and over the API.",
    ),
    flag("encrypt", "encrypt", Text, "Gossip key, base64."),
    flag("grpc-port", "ports.grpc", Int, "Port for gRPC (-1: off)."),
    flag("http-port", "ports.http", Int, "Port for HTTP (-1: off)."),
    flag("https-port", "ports.https", Int, "Port for HTTPS (-1: off)."),
    flag("join", "start_join", List, "Address of an agent to join at start (repeatable)."),
    flag("join-wan", "start_join_wan", List, "Address of a server to join over WAN at start (repeatable)."),
    flag("log-file", "log_file", Text, "Log to this file too."),
    flag("log-json", "log_json", Bool, "Log in JSON."),
    flag("log-level", "log_level", Text, "Least level logged: trace, debug, info, warn, err."),
    flag("log-rotate-bytes", "log_rotate_bytes", Int, "Start a new log file after this many bytes."),
    flag("log-rotate-duration", "log_rotate_duration", Text, "Start a new log file after this time."),
    flag("log-rotate-max-files", "log_rotate_max_files", Int, "Old log files kept (0: all, -1: none)."),
    flag("max-query-time", "max_query_time", Text, "Longest time a blocking query is held."),
    flag("node", "node_name", Text, "Name of this node, unique in the cluster."),
    flag("node-id", "node_id", Text, "ID of this node, a UUID."),
    flag("node-meta", "node_meta", Map, "key:value that describes this node (repeatable)."),
    flag("non-voting-server", "non_voting_server", Bool, "(Enterprise; no effect.)"),
    flag("pid-file", "pid_file", Text, "File the process id is written to."),
    flag(
        "primary-gateway",
        "primary_gateways",
        List,
        "Mesh gateway of the primary datacenter (repeatable; not acted on).",
    ),
    flag("protocol", "protocol", Int, "RPC protocol version told to others."),
    flag("raft-protocol", "raft_protocol", Int, "Raft protocol version."),
    flag("recursor", "recursors", List, "Upstream DNS server (repeatable)."),
    flag("rejoin", "rejoin_after_leave", Bool, "Join again after an earlier leave."),
    flag("retry-interval", "retry_interval", Text, "Time between tries to join."),
    flag("retry-interval-wan", "retry_interval_wan", Text, "Time between tries to join over WAN."),
    flag("retry-join", "retry_join", List, "Address of an agent to join, tried until it works (repeatable)."),
    flag(
        "retry-join-wan",
        "retry_join_wan",
        List,
        "Address of a server to join over WAN, tried until it works (repeatable).",
    ),
    flag("retry-max", "retry_max", Int, "Tries to join (0: for ever)."),
    flag("retry-max-wan", "retry_max_wan", Int, "Tries to join over WAN (0: for ever)."),
    flag("segment", "segment", Text, "(Enterprise; refused.)"),
    flag(
        "serf-lan-allowed-cidrs",
        "serf_lan_allowed_cidrs",
        List,
        "Networks members may come from (repeatable).",
    ),
    flag("serf-lan-bind", "serf_lan", Text, "Address for LAN gossip."),
    flag("serf-lan-port", "ports.serf_lan", Int, "Port for LAN gossip."),
    flag(
        "serf-wan-allowed-cidrs",
        "serf_wan_allowed_cidrs",
        List,
        "Networks WAN members may come from (repeatable).",
    ),
    flag("serf-wan-bind", "serf_wan", Text, "Address for WAN gossip."),
    flag("serf-wan-port", "ports.serf_wan", Int, "Port for WAN gossip (-1: off)."),
    flag("server", "server", Bool, "Be a server."),
    flag("server-port", "ports.server", Int, "Port for server RPC."),
    flag("syslog", "enable_syslog", Bool, "Log to syslog too."),
    flag("ui", "ui", Bool, "Serve the page."),
    flag("ui-content-path", "ui_content_path", Text, "Path the page is served under."),
    flag("ui-dir", "ui_dir", Text, "Serve the page from this directory."),
];

/// Flags as they were given.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Flags {
    /// Lists: laid under the files.
    pub(crate) lists: RawConfig,
    /// Everything else: laid over files and fragments.
    pub(crate) rest: RawConfig,
}

/// A flag's value that cannot be read; prints Go's own words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FlagError {
    /// No such flag.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// A value of the wrong kind.
    #[error("invalid value {value:?} for flag -{name}: parse error")]
    Value {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
    },
    /// A truth value of the wrong kind.
    #[error("invalid boolean value {value:?} for -{name}: parse error")]
    Bool {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
    },
}

impl Flags {
    /// Takes one flag. A bare boolean flag comes as `true`.
    ///
    /// # Errors
    /// An unknown flag, or a value that is not of its kind.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), FlagError> {
        let Some(flag) = AGENT_FLAGS.iter().find(|flag| flag.name == name) else {
            return Err(FlagError::Unknown(name.to_owned()));
        };
        let (name, text) = (name.to_owned(), value.to_owned());
        match flag.kind {
            Bool => {
                let value = match value {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                    _ => return Err(FlagError::Bool { name, value: text }),
                };
                self.rest.set(flag.key, RawField::Bool(At { value, pos: None }));
            }
            Int => match value.parse() {
                Ok(value) => self.rest.set(flag.key, RawField::Int(At { value, pos: None })),
                Err(_) => return Err(FlagError::Value { name, value: text }),
            },
            Text => self.rest.set(flag.key, RawField::Str(At { value: text, pos: None })),
            List => self.lists.set(flag.key, RawField::Strs(vec![At { value: text, pos: None }])),
            Map => {
                let (key, value) = value.split_once(':').unwrap_or((value, ""));
                let pair = (key.to_owned(), At { value: value.to_owned(), pos: None });
                self.rest.set(flag.key, RawField::StrMap([pair].into()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_stands_for_a_key() {
        for flag in AGENT_FLAGS {
            let mut fields = crate::schema::ROOT;
            for part in flag.key.split('.') {
                let field = crate::schema::find(fields, part).unwrap_or_else(|| panic!("{}", flag.key));
                fields = crate::schema::inside(field.shape).unwrap_or(&[]);
            }
        }
    }
}
