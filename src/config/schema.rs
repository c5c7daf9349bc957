//! The table of keys: their shapes, whether crs acts on them, and whether a reload applies them.

use Shape::{
    Any, Anys, Block, Blocks, Bool, Duration, Float, Int, Single, Str, StrLists, StrMap, Strs, Uint,
};

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Bool,
    Int,
    /// A whole number that is never negative.
    Uint,
    Float,
    Str,
    /// Text in Go's grammar for durations; read when the configuration is built.
    Duration,
    /// A list of texts; later sources append.
    Strs,
    /// Texts by name; later sources add and replace.
    StrMap,
    /// Lists of texts by name.
    StrLists,
    /// A block; later sources merge into it.
    Block(&'static [Field]),
    /// Any number of blocks; later sources append.
    Blocks(&'static [Field]),
    /// One block per source; later sources append.
    Single(&'static [Field]),
    /// Kept unread; later sources replace.
    Any,
    /// A list kept unread; later sources append.
    Anys,
}

/// What crs does with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// It counts.
    Acted,
    /// Known to Consul; accepted with a warning until it is there.
    Later,
    /// Of no effect outside Consul Enterprise, as Consul itself says.
    Enterprise,
    /// Old; still counts, with a warning that names the new key.
    Deprecated(&'static str),
    /// Old; counts for nothing any more.
    Gone,
    /// For the template watcher; the agent leaves it alone.
    Template,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) used: Use,
    /// A reload applies it. For a block: all of it.
    pub(crate) live: bool,
}

const fn f(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, used: Use::Acted, live: false }
}

impl Field {
    const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    const fn later(mut self) -> Self {
        self.used = Use::Later;
        self
    }

    const fn enterprise(mut self) -> Self {
        self.used = Use::Enterprise;
        self
    }

    const fn gone(mut self) -> Self {
        self.used = Use::Gone;
        self
    }

    const fn instead(mut self, new: &'static str) -> Self {
        self.used = Use::Deprecated(new);
        self
    }

    const fn template(mut self) -> Self {
        self.used = Use::Template;
        self
    }
}

/// Other spellings that Consul 1.8 takes, lower case.
pub(crate) const ALIASES: &[(&str, &str)] = &[
    ("deregistercriticalserviceafter", "deregister_critical_service_after"),
    ("dockercontainerid", "docker_container_id"),
    ("scriptargs", "args"),
    ("serviceid", "service_id"),
    ("tlsskipverify", "tls_skip_verify"),
];

const CHECK: &[Field] = &[
    f("id", Str),
    f("name", Str),
    f("notes", Str),
    f("service_id", Str),
    f("token", Str),
    f("status", Str),
    f("args", Strs),
    f("http", Str),
    f("header", StrLists),
    f("method", Str),
    f("body", Str),
    f("output_max_size", Int),
    f("tcp", Str),
    f("interval", Duration),
    f("docker_container_id", Str),
    f("shell", Str),
    f("grpc", Str),
    f("grpc_use_tls", Bool),
    f("tls_skip_verify", Bool),
    f("alias_node", Str),
    f("alias_service", Str),
    f("timeout", Duration),
    f("ttl", Duration),
    f("success_before_passing", Int),
    f("failures_before_critical", Int),
    f("deregister_critical_service_after", Duration),
];

const SERVICE: &[Field] = &[
    f("kind", Str),
    f("id", Str),
    f("name", Str),
    f("tags", Strs),
    f("address", Str),
    f("tagged_addresses", Any),
    f("meta", StrMap),
    f("port", Int),
    f("check", Single(CHECK)),
    f("checks", Blocks(CHECK)),
    f("token", Str),
    f("weights", Block(&[f("passing", Int), f("warning", Int)])),
    f("enable_tag_override", Bool),
    f("proxy", Any),
    f("connect", Any),
];

const ADDRESSES: &[Field] = &[f("dns", Str), f("http", Str), f("https", Str), f("grpc", Str)];

const PORTS: &[Field] = &[
    f("dns", Int),
    f("http", Int),
    f("https", Int),
    f("grpc", Int),
    f("serf_lan", Int),
    f("serf_wan", Int),
    f("server", Int),
    f("proxy_min_port", Int).later(),
    f("proxy_max_port", Int).later(),
    f("sidecar_min_port", Int).later(),
    f("sidecar_max_port", Int).later(),
    f("expose_min_port", Int).later(),
    f("expose_max_port", Int).later(),
    f("rpc", Int).gone(),
];

const TOKENS: &[Field] = &[
    f("master", Str),
    f("replication", Str).live(),
    f("agent_master", Str).live(),
    f("default", Str).live(),
    f("agent", Str).live(),
    f("managed_service_provider", Any).enterprise(),
];

const ACL: &[Field] = &[
    f("enabled", Bool),
    f("token_replication", Bool).later(),
    f("policy_ttl", Duration),
    f("role_ttl", Duration),
    f("token_ttl", Duration),
    f("down_policy", Str),
    f("default_policy", Str),
    f("enable_key_list_policy", Bool),
    f("tokens", Block(TOKENS)),
    f("disabled_ttl", Duration).later(),
    f("enable_token_persistence", Bool),
    f("enable_token_replication", Bool),
];

const DNS: &[Field] = &[
    f("allow_stale", Bool),
    f("a_record_limit", Int),
    f("disable_compression", Bool),
    f("enable_truncate", Bool),
    f("max_stale", Duration),
    f("node_ttl", Duration),
    f("only_passing", Bool),
    f("recursor_timeout", Duration),
    f("service_ttl", StrMap),
    f("udp_answer_limit", Int),
    f("enable_additional_node_meta_txt", Bool),
    f("soa", Block(&[f("refresh", Uint), f("retry", Uint), f("expire", Uint), f("min_ttl", Uint)])),
    f("use_cache", Bool),
    f("cache_max_age", Duration),
    f("prefer_namespace", Bool).enterprise(),
];

const GOSSIP: &[Field] = &[
    f("gossip_interval", Duration),
    f("gossip_nodes", Int),
    f("probe_interval", Duration),
    f("probe_timeout", Duration),
    f("retransmit_mult", Int),
    f("suspicion_mult", Int),
];

const LIMITS: &[Field] = &[
    f("http_max_conns_per_client", Int).live(),
    f("https_handshake_timeout", Duration),
    f("rpc_handshake_timeout", Duration),
    f("rpc_max_burst", Int).live(),
    f("rpc_max_conns_per_client", Int).live(),
    f("rpc_rate", Float).live(),
    f("kv_max_value_size", Uint),
    f("txn_max_req_len", Uint),
];

const AUTOPILOT: &[Field] = &[
    f("cleanup_dead_servers", Bool),
    f("last_contact_threshold", Duration),
    f("max_trailing_logs", Int),
    f("min_quorum", Uint),
    f("server_stabilization_time", Duration),
    f("disable_upgrade_migration", Bool).enterprise(),
    f("redundancy_zone_tag", Str).enterprise(),
    f("upgrade_version_tag", Str).enterprise(),
];

const TELEMETRY: &[Field] = &[
    f("circonus_api_app", Str).later(),
    f("circonus_api_token", Str).later(),
    f("circonus_api_url", Str).later(),
    f("circonus_broker_id", Str).later(),
    f("circonus_broker_select_tag", Str).later(),
    f("circonus_check_display_name", Str).later(),
    f("circonus_check_force_metric_activation", Str).later(),
    f("circonus_check_id", Str).later(),
    f("circonus_check_instance_id", Str).later(),
    f("circonus_check_search_tag", Str).later(),
    f("circonus_check_tags", Str).later(),
    f("circonus_submission_interval", Str).later(),
    f("circonus_submission_url", Str).later(),
    f("disable_hostname", Bool),
    f("dogstatsd_addr", Str),
    f("dogstatsd_tags", Strs),
    f("filter_default", Bool),
    f("prefix_filter", Strs).live(),
    f("metrics_prefix", Str),
    f("prometheus_retention_time", Duration),
    f("statsd_address", Str),
    f("statsite_address", Str),
];

const HTTP: &[Field] = &[
    f("block_endpoints", Strs),
    f("allow_write_http_from", Strs),
    f("response_headers", StrMap),
    f("use_cache", Bool),
];

const CONNECT: &[Field] = &[
    f("enabled", Bool),
    f("ca_provider", Str),
    f("ca_config", Any),
    f("enable_mesh_gateway_wan_federation", Bool).later(),
    f("test_ca_leaf_root_change_spread", Str).later(),
];

/// Every top-level key.
pub(crate) const ROOT: &[Field] = &[
    // who and where
    f("datacenter", Str),
    f("primary_datacenter", Str),
    f("node_name", Str),
    f("node_id", Str),
    f("disable_host_node_id", Bool),
    f("node_meta", StrMap).live(),
    f("data_dir", Str),
    f("server", Bool),
    f("bootstrap", Bool),
    f("bootstrap_expect", Int),
    f("bind_addr", Str),
    f("advertise_addr", Str),
    f("advertise_addr_ipv4", Str),
    f("advertise_addr_ipv6", Str),
    f("advertise_addr_wan", Str),
    f("advertise_addr_wan_ipv4", Str),
    f("advertise_addr_wan_ipv6", Str),
    f("client_addr", Str),
    f("addresses", Block(ADDRESSES)),
    f("ports", Block(PORTS)),
    f("serf_lan", Str),
    f("serf_wan", Str),
    f("serf_lan_allowed_cidrs", Strs),
    f("serf_wan_allowed_cidrs", Strs),
    f("translate_wan_addrs", Bool),
    f("unix_sockets", Block(&[f("group", Str), f("mode", Str), f("user", Str)])),
    // joining
    f("start_join", Strs),
    f("start_join_wan", Strs),
    f("retry_join", Strs),
    f("retry_interval", Duration),
    f("retry_max", Int),
    f("retry_join_wan", Strs),
    f("retry_interval_wan", Duration),
    f("retry_max_wan", Int),
    f("rejoin_after_leave", Bool),
    f("reconnect_timeout", Duration),
    f("reconnect_timeout_wan", Duration),
    f("primary_gateways", Strs).later(),
    f("primary_gateways_interval", Duration).later(),
    // gossip
    f("encrypt", Str),
    f("encrypt_verify_incoming", Bool),
    f("encrypt_verify_outgoing", Bool),
    f("disable_keyring_file", Bool),
    f("gossip_lan", Block(GOSSIP)),
    f("gossip_wan", Block(GOSSIP)),
    // logs, signals
    f("log_level", Str).live(),
    f("log_json", Bool),
    f("log_file", Str),
    f("log_rotate_duration", Duration),
    f("log_rotate_bytes", Int),
    f("log_rotate_max_files", Int),
    f("enable_syslog", Bool),
    f("syslog_facility", Str),
    f("pid_file", Str),
    f("leave_on_terminate", Bool),
    f("skip_leave_on_interrupt", Bool),
    // page
    f("ui", Bool),
    f("ui_dir", Str),
    f("ui_content_path", Str),
    // DNS
    f("domain", Str),
    f("alt_domain", Str),
    f("recursors", Strs),
    f("dns_config", Block(DNS)),
    // ACL
    f("acl", Block(ACL)),
    f("acl_datacenter", Str).instead("primary_datacenter"),
    f("acl_default_policy", Str).instead("acl.default_policy"),
    f("acl_down_policy", Str).instead("acl.down_policy"),
    f("acl_master_token", Str).instead("acl.tokens.master"),
    f("acl_agent_token", Str).instead("acl.tokens.agent").live(),
    f("acl_agent_master_token", Str).instead("acl.tokens.agent_master").live(),
    f("acl_token", Str).instead("acl.tokens.default").live(),
    f("acl_replication_token", Str).instead("acl.tokens.replication").live(),
    f("acl_ttl", Duration).instead("acl.token_ttl"),
    f("acl_enable_key_list_policy", Bool).instead("acl.enable_key_list_policy"),
    f("enable_acl_replication", Bool).instead("acl.enable_token_replication"),
    f("acl_enforce_version_8", Bool).gone(),
    // services, checks, watches
    f("service", Single(SERVICE)).live(),
    f("services", Blocks(SERVICE)).live(),
    f("check", Single(CHECK)).live(),
    f("checks", Blocks(CHECK)).live(),
    f("watches", Anys).live(),
    f("enable_script_checks", Bool),
    f("enable_local_script_checks", Bool),
    f("enable_agent_tls_for_checks", Bool),
    f("check_update_interval", Duration),
    f("check_output_max_size", Int),
    f("discard_check_output", Bool).live(),
    f("enable_central_service_config", Bool),
    f("config_entries", Block(&[f("bootstrap", Anys)])).live(),
    // HTTP and limits
    f("http_config", Block(HTTP)),
    f("disable_http_unprintable_char_filter", Bool),
    f("limits", Block(LIMITS)),
    f("default_query_time", Duration),
    f("max_query_time", Duration),
    f("session_ttl_min", Duration),
    f("discovery_max_stale", Duration),
    f("cache", Block(&[f("entry_fetch_max_burst", Int), f("entry_fetch_rate", Float)])),
    // raft
    f(
        "performance",
        Block(&[f("leave_drain_time", Duration), f("raft_multiplier", Int), f("rpc_hold_timeout", Duration)]),
    ),
    f("raft_protocol", Int),
    f("raft_snapshot_threshold", Int),
    f("raft_snapshot_interval", Duration),
    f("raft_trailing_logs", Int),
    f("protocol", Int),
    f("autopilot", Block(AUTOPILOT)),
    // TLS
    f("ca_file", Str).live(),
    f("ca_path", Str).live(),
    f("cert_file", Str).live(),
    f("key_file", Str).live(),
    f("server_name", Str).live(),
    f("verify_incoming", Bool).live(),
    f("verify_incoming_rpc", Bool).live(),
    f("verify_incoming_https", Bool).live(),
    f("verify_outgoing", Bool).live(),
    f("verify_server_hostname", Bool).live(),
    f("tls_min_version", Str).live(),
    f("tls_cipher_suites", Str).live(),
    f("tls_prefer_server_cipher_suites", Bool).live(),
    f("auto_encrypt", Block(&[f("tls", Bool), f("dns_san", Strs), f("ip_san", Strs), f("allow_tls", Bool)])),
    f("connect", Block(CONNECT)),
    // the rest
    f("telemetry", Block(TELEMETRY)),
    f("disable_remote_exec", Bool),
    f("disable_coordinates", Bool),
    f("enable_debug", Bool),
    f("auto_reload_config", Bool),
    // crs never calls home: nothing to switch off
    f("disable_update_check", Bool),
    f("disable_anonymous_signature", Bool),
    // known, not there
    f("auto_config", Any).later(),
    f("audit", Any).enterprise(),
    f("segment", Str),
    f("segments", Any).enterprise(),
    f("non_voting_server", Bool).enterprise(),
    f("snapshot_agent", Any).enterprise(),
    f("acl_disabled_ttl", Str).later(),
    f("ae_interval", Str).later(),
    f("check_deregister_interval_min", Str).later(),
    f("check_reap_interval", Str).later(),
    f("revision", Str).later(),
    f("segment_limit", Int).later(),
    f("segment_name_limit", Int).later(),
    f("sync_coordinate_interval_min", Str).later(),
    f("sync_coordinate_rate_target", Float).later(),
    f("version", Str).later(),
    f("version_prerelease", Str).later(),
    f("reap", Any).gone(),
    f("statsite_prefix", Any).gone(),
    f("dogstatsd_addr", Any).gone(),
    f("dogstatsd_tags", Any).gone(),
    // the template watcher's
    f("template", Anys).template(),
    f("consul", Any).template(),
    f("vault", Any).template(),
    f("nomad", Any).template(),
    f("wait", Any).template(),
    f("exec", Any).template(),
    f("deduplicate", Any).template(),
    f("kill_signal", Any).template(),
    f("reload_signal", Any).template(),
    f("max_stale", Any).template(),
    f("block_query_wait", Any).template(),
    f("once", Any).template(),
    f("template_error_fatal", Any).template(),
    f("err_on_failed_lookup", Any).template(),
    f("default_delimiters", Any).template(),
];

/// The fields inside a block, where a key is one.
#[cfg(test)]
pub(crate) fn inside(shape: Shape) -> Option<&'static [Field]> {
    match shape {
        Block(fields) | Blocks(fields) | Single(fields) => Some(fields),
        Bool | Int | Uint | Float | Str | Duration | Strs | StrMap | StrLists | Any | Anys => None,
    }
}

/// Is that a key at the top of the agent's files, as opposed to one of the template watcher's or of nobody's?
pub fn is_agent_key(key: &str) -> bool {
    find(ROOT, key).is_some_and(|field| field.used != Use::Template)
}

/// The field with a name, exactly or without regard to case.
pub(crate) fn find(fields: &'static [Field], key: &str) -> Option<&'static Field> {
    let exact = |name: &str| fields.iter().find(|field| field.name == name);
    exact(key).or_else(|| {
        let lower = key.to_lowercase();
        exact(&lower)
            .or_else(|| ALIASES.iter().find(|(alias, _)| *alias == lower).and_then(|(_, name)| exact(name)))
    })
}

/// Spellings people come with that no measure of nearness finds.
const HABITS: &[(&str, &str)] = &[
    ("dc", "datacenter"),
    ("node", "node_name"),
    ("bind", "bind_addr"),
    ("client", "client_addr"),
    ("advertise", "advertise_addr"),
    ("join", "retry_join"),
    ("recursor", "recursors"),
    ("enable_ui", "ui"),
    ("ui_config", "ui"),
    ("script", "args"),
    ("check_id", "id"),
    ("initial_management", "master"),
    ("agent_recovery", "agent_master"),
];

/// The key that was probably meant: the nearest in the same block, or the same name in another one.
pub(crate) fn meant(fields: &'static [Field], key: &str) -> Option<String> {
    let lower = key.to_lowercase();
    if let Some((_, name)) = HABITS.iter().find(|(habit, _)| *habit == lower)
        && fields.iter().any(|field| field.name == *name)
    {
        return Some((*name).to_owned());
    }
    let squeezed = |text: &str| text.to_lowercase().replace(['_', '-', '.'], "");
    let wanted = squeezed(key);
    if let Some(field) = fields.iter().find(|field| squeezed(field.name) == wanted) {
        return Some(field.name.to_owned());
    }
    let near = fields
        .iter()
        .map(|field| (distance(&lower, field.name), field.name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5 && *distance < key.len())
        .min();
    if let Some((_, name)) = near {
        return Some(name.to_owned());
    }
    let dotted = |text: &str| squeezed(text) == wanted;
    elsewhere(ROOT, "", &lower, &dotted)
}

fn elsewhere(
    fields: &'static [Field],
    path: &str,
    key: &str,
    joined: &dyn Fn(&str) -> bool,
) -> Option<String> {
    for field in fields {
        let here = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        if field.name == key || joined(&here) {
            return Some(here);
        }
        if let Block(inner) = field.shape
            && let Some(found) = elsewhere(inner, &here, key, joined)
        {
            return Some(found);
        }
    }
    None
}

/// Edits (insert, remove, replace, swap of neighbours) from one text to the other; bounded by the length of what a key can be.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_names_what_was_meant() {
        for (key, wanted) in [
            ("datacentre", "datacenter"),
            ("dc", "datacenter"),
            ("boostrap_expect", "bootstrap_expect"),
            ("http_port", "ports.http"),
            ("only_passing", "dns_config.only_passing"),
            ("logLevel", "log_level"),
            ("enable_syslogs", "enable_syslog"),
        ] {
            let found = meant(ROOT, key);
            if key == "http_port" {
                // Too far for a measure; better silent than wrong.
                assert!(found.is_none() || found.as_deref() == Some(wanted), "{key}: {found:?}");
            } else {
                assert_eq!(found.as_deref(), Some(wanted), "{key}");
            }
        }
        assert_eq!(meant(ROOT, "completely_else"), None);
    }

    #[test]
    fn names_stand_once_per_block() {
        fn walk(fields: &'static [Field]) {
            for (n, field) in fields.iter().enumerate() {
                assert!(!fields[..n].iter().any(|other| other.name == field.name), "{} twice", field.name);
                if let Some(inner) = inside(field.shape) {
                    walk(inner);
                }
            }
        }
        walk(ROOT);
    }
}
