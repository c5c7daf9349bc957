//! Sections of the configuration that stand for themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crs_types::{Secret, parse_duration};

use crate::network::cidrs;
use crate::raw::RawField;
use crate::reading::Reading;
use crate::settings::{
    Acl, AclTokens, AutoEncrypt, Autopilot, CacheLimits, Connect, DefaultPolicy, Dns, DownPolicy, Http,
    Limits, Log, LogLevel, Raft, Telemetry, Tls, TlsVersion, Ui,
};
use crate::value::Kind;

pub(crate) fn log(reading: &mut Reading<'_>, default: LogLevel) -> Log {
    let level = match reading.str_set("log_level") {
        None => default,
        Some(at) if at.value.is_empty() => default,
        Some(at) => LogLevel::parse(at.value.trim()).unwrap_or_else(|| {
            let text = format!(
                "Invalid log level: {}. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]",
                at.value
            );
            reading.error("log_level", at.pos.clone(), text);
            default
        }),
    };
    let defaults = Log::default();
    let facility = reading.text("syslog_facility", &defaults.syslog_facility).to_uppercase();
    const FACILITIES: &[&str] = &[
        "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
        "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
    ];
    if !FACILITIES.contains(&facility.as_str()) {
        let place = reading.place("syslog_facility");
        reading.error("syslog_facility", place, format!("invalid syslog facility: {facility}"));
    }
    Log {
        level,
        json: reading.bool("log_json", false),
        file: reading.path("log_file"),
        rotate_duration: reading.duration("log_rotate_duration", defaults.rotate_duration),
        rotate_bytes: reading.count("log_rotate_bytes", 0, 0),
        rotate_max_files: reading.int_set("log_rotate_max_files").map_or(0, |at| at.value),
        syslog: reading.bool("enable_syslog", false),
        syslog_facility: facility,
    }
}

pub(crate) fn dns(reading: &mut Reading<'_>, datacenter: &str) -> Dns {
    let defaults = Dns::default();
    let mut domain = |key: &str, default: &str| -> String {
        let name = reading.text(key, default);
        let name = if name.is_empty() { default.to_owned() } else { name };
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let place = reading.place(key);
            reading.error(key, place, format!("{key} cannot be {name:?}: a domain has no blanks"));
        }
        match name.trim_matches('.') {
            "" => String::new(),
            name => format!("{}.", name.to_lowercase()),
        }
    };
    let (own, alt) = (domain("domain", "consul."), domain("alt_domain", ""));
    let first = alt.split('.').next().unwrap_or_default();
    if !alt.is_empty()
        && (["service", "connect", "node", "query", "addr"].contains(&first) || first == datacenter)
    {
        let place = reading.place("alt_domain");
        let text = format!("alt_domain cannot start with {{service,connect,node,query,addr,{datacenter}}}");
        reading.error("alt_domain", place, text);
    }
    let mut recursors = Vec::new();
    for (n, at) in reading.list("recursors").iter().enumerate() {
        let text = at.value.trim();
        let usable = text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || text.parse::<std::net::SocketAddr>().is_ok();
        if !usable {
            let text = format!("recursors[{n}]: invalid ip address: {}", at.value);
            reading.error("recursors", at.pos.clone(), text);
        } else if !recursors.iter().any(|known| known == text) {
            recursors.push(text.to_owned());
        }
    }
    let mut service_ttl = BTreeMap::new();
    if let Some(RawField::StrMap(map)) = reading.field("dns_config.service_ttl") {
        for (name, at) in map {
            match parse_duration(&at.value) {
                Ok(ttl) => {
                    service_ttl.insert(name.clone(), ttl);
                }
                Err(error) => {
                    let text = format!(
                        "dns_config.service_ttl[{name:?}]: invalid duration: {:?}: {error}",
                        at.value
                    );
                    reading.error("dns_config.service_ttl", at.pos.clone(), text);
                }
            }
        }
    }
    Dns {
        domain: own,
        alt_domain: alt,
        recursors,
        allow_stale: reading.bool("dns_config.allow_stale", true),
        max_stale: reading.duration("dns_config.max_stale", defaults.max_stale),
        node_ttl: reading.duration("dns_config.node_ttl", Duration::ZERO),
        service_ttl,
        only_passing: reading.bool("dns_config.only_passing", false),
        enable_truncate: reading.bool("dns_config.enable_truncate", false),
        a_record_limit: reading.count("dns_config.a_record_limit", 0, 0),
        udp_answer_limit: reading.count("dns_config.udp_answer_limit", 3, 0),
        recursor_timeout: reading.duration("dns_config.recursor_timeout", defaults.recursor_timeout),
        disable_compression: reading.bool("dns_config.disable_compression", false),
        use_cache: reading.bool("dns_config.use_cache", false),
        cache_max_age: reading.duration("dns_config.cache_max_age", Duration::ZERO),
        node_meta_txt: reading.bool("dns_config.enable_additional_node_meta_txt", true),
        soa_refresh: reading.count("dns_config.soa.refresh", defaults.soa_refresh, 0),
        soa_retry: reading.count("dns_config.soa.retry", defaults.soa_retry, 0),
        soa_expire: reading.count("dns_config.soa.expire", defaults.soa_expire, 0),
        soa_min_ttl: reading.count("dns_config.soa.min_ttl", defaults.soa_min_ttl, 0),
    }
}

pub(crate) fn acl(reading: &mut Reading<'_>, enabled_by_datacenter: bool) -> Acl {
    // Where both are given the new key counts.
    let either = |reading: &Reading<'_>, new: &'static str, old: &'static str| {
        if reading.str_set(new).is_some() { new } else { old }
    };
    let key = either(reading, "acl.default_policy", "acl_default_policy");
    let default_policy = match reading.text(key, "allow").as_str() {
        "allow" | "" => DefaultPolicy::Allow,
        "deny" => DefaultPolicy::Deny,
        other => {
            let place = reading.place(key);
            reading.error(key, place, format!("Unsupported default ACL policy: {other}"));
            DefaultPolicy::Deny
        }
    };
    let key = either(reading, "acl.down_policy", "acl_down_policy");
    let down_policy = match reading.text(key, "extend-cache").as_str() {
        "allow" => DownPolicy::Allow,
        "deny" => DownPolicy::Deny,
        "extend-cache" | "" => DownPolicy::ExtendCache,
        "async-cache" => DownPolicy::AsyncCache,
        other => {
            let place = reading.place(key);
            reading.error(key, place, format!("Unsupported ACL down policy: {other}"));
            DownPolicy::Deny
        }
    };
    let token = |reading: &Reading<'_>, new: &'static str, old: &'static str| {
        reading.secret(either(reading, new, old))
    };
    let defaults = Acl::default();
    let ttl = either(reading, "acl.token_ttl", "acl_ttl");
    let replication = token(reading, "acl.tokens.replication", "acl_replication_token");
    let flag = |reading: &Reading<'_>, new: &str, old: &str| reading.bool_set(new).or(reading.bool_set(old));
    Acl {
        enabled: reading.bool("acl.enabled", enabled_by_datacenter),
        default_policy,
        down_policy,
        tokens: AclTokens {
            master: token(reading, "acl.tokens.master", "acl_master_token"),
            agent: token(reading, "acl.tokens.agent", "acl_agent_token"),
            agent_master: token(reading, "acl.tokens.agent_master", "acl_agent_master_token"),
            default: token(reading, "acl.tokens.default", "acl_token"),
            replication,
        },
        enable_token_persistence: reading.bool("acl.enable_token_persistence", false),
        enable_token_replication: flag(reading, "acl.enable_token_replication", "enable_acl_replication")
            .unwrap_or(false),
        enable_key_list_policy: flag(reading, "acl.enable_key_list_policy", "acl_enable_key_list_policy")
            .unwrap_or(false),
        token_ttl: reading.duration(ttl, defaults.token_ttl),
        policy_ttl: reading.duration("acl.policy_ttl", defaults.policy_ttl),
        role_ttl: reading.duration("acl.role_ttl", defaults.role_ttl),
    }
}

pub(crate) fn encrypt(reading: &mut Reading<'_>) -> Option<Secret<Vec<u8>>> {
    let at = reading.str_set("encrypt").filter(|at| !at.value.is_empty())?;
    match decode_key(&at.value) {
        Ok(key) => Some(Secret::new(key)),
        Err(why) => {
            reading.error("encrypt", at.pos.clone(), format!("encrypt has invalid key: {why}"));
            None
        }
    }
}

/// A gossip key: base64 of 16, 24 or 32 bytes.
fn decode_key(text: &str) -> Result<Vec<u8>, String> {
    let key = STANDARD.decode(text).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) => at,
            base64::DecodeError::InvalidLastSymbol { offset, .. } => offset,
            _ => text.trim_end_matches('=').len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    match key.len() {
        16 | 24 | 32 => Ok(key),
        other => Err(format!("key size must be 16, 24 or 32 bytes, not {other}")),
    }
}

pub(crate) fn http(reading: &mut Reading<'_>) -> Http {
    Http {
        block_endpoints: reading.texts("http_config.block_endpoints"),
        response_headers: reading.map("http_config.response_headers"),
        allow_write_from: cidrs(reading, "http_config.allow_write_http_from", "allow_write_http_from"),
        use_cache: reading.bool("http_config.use_cache", true),
        disable_unprintable_char_filter: reading.bool("disable_http_unprintable_char_filter", false),
    }
}

pub(crate) fn limits(reading: &mut Reading<'_>) -> Limits {
    let d = Limits::default();
    Limits {
        http_max_conns_per_client: reading.count(
            "limits.http_max_conns_per_client",
            d.http_max_conns_per_client,
            0,
        ),
        https_handshake_timeout: reading
            .duration("limits.https_handshake_timeout", d.https_handshake_timeout),
        rpc_handshake_timeout: reading.duration("limits.rpc_handshake_timeout", d.rpc_handshake_timeout),
        rpc_max_conns_per_client: reading.count(
            "limits.rpc_max_conns_per_client",
            d.rpc_max_conns_per_client,
            0,
        ),
        rpc_rate: reading.rate("limits.rpc_rate"),
        rpc_max_burst: reading.count("limits.rpc_max_burst", d.rpc_max_burst, 0),
        kv_max_value_size_bytes: reading.count("limits.kv_max_value_size", d.kv_max_value_size_bytes, 0),
        txn_max_req_len_bytes: reading.count("limits.txn_max_req_len", d.txn_max_req_len_bytes, 0),
        default_query_time: reading.duration("default_query_time", d.default_query_time),
        max_query_time: reading.duration("max_query_time", d.max_query_time),
        session_ttl_min: reading.duration("session_ttl_min", d.session_ttl_min),
    }
}

pub(crate) fn raft(reading: &mut Reading<'_>, defaults: Raft) -> Raft {
    let mut raft = match reading.int_set("performance.raft_multiplier") {
        None => defaults,
        Some(at) => match u32::try_from(at.value) {
            Ok(multiplier @ 1..=10) => Raft::scaled(multiplier),
            _ => {
                let text =
                    format!("performance.raft_multiplier cannot be {}. Must be between 1 and 10", at.value);
                reading.error("performance.raft_multiplier", at.pos.clone(), text);
                defaults
            }
        },
    };
    raft.leave_drain_time = reading.duration("performance.leave_drain_time", raft.leave_drain_time);
    raft.rpc_hold_timeout = reading.duration("performance.rpc_hold_timeout", raft.rpc_hold_timeout);
    raft.snapshot_threshold = reading.count("raft_snapshot_threshold", raft.snapshot_threshold, 0);
    raft.snapshot_interval = reading.duration("raft_snapshot_interval", raft.snapshot_interval);
    raft.trailing_logs = reading.count("raft_trailing_logs", raft.trailing_logs, 0);
    // 0 is Consul's way to say "the default".
    match reading.int_set("raft_protocol").map(|at| (at.value, at.pos.clone())) {
        None | Some((0 | 3, _)) => {}
        Some((2, place)) => {
            let text = "raft_protocol 2 is not spoken; 3 is used";
            reading.warn("raft_protocol", place, text);
        }
        Some((other, place)) => {
            let text = format!("raft_protocol cannot be {other}. Must be between 2 and 3");
            reading.error("raft_protocol", place, text);
        }
    }
    match reading.int_set("protocol").map(|at| (at.value, at.pos.clone())) {
        None | Some((0, _)) => {}
        Some((version @ 2..=3, _)) => raft.rpc_protocol = version as u32,
        Some((other, place)) => {
            let how = if other > 3 { "high" } else { "low" };
            let text = format!("Protocol version '{other}' too {how}. Must be in range: [2, 3]");
            reading.error("protocol", place, text);
        }
    }
    raft
}

pub(crate) fn autopilot(reading: &mut Reading<'_>) -> Autopilot {
    let d = Autopilot::default();
    Autopilot {
        cleanup_dead_servers: reading.bool("autopilot.cleanup_dead_servers", d.cleanup_dead_servers),
        last_contact_threshold: reading
            .duration("autopilot.last_contact_threshold", d.last_contact_threshold),
        max_trailing_logs: reading.count("autopilot.max_trailing_logs", d.max_trailing_logs, 0),
        min_quorum: reading.count("autopilot.min_quorum", d.min_quorum, 0),
        server_stabilization_time: reading
            .duration("autopilot.server_stabilization_time", d.server_stabilization_time),
    }
}

pub(crate) fn cache(reading: &mut Reading<'_>) -> CacheLimits {
    let d = CacheLimits::default();
    CacheLimits {
        entry_fetch_max_burst: reading.count("cache.entry_fetch_max_burst", d.entry_fetch_max_burst, 0),
        entry_fetch_rate: reading.rate("cache.entry_fetch_rate"),
    }
}

/// The names Consul (Go) knows, and whether rustls has them too.
const CIPHERS: &[(&str, bool)] = &[
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", true),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", true),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", true),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", true),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", true),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", false),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", false),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", false),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", false),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", false),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", false),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", false),
    ("TLS_RSA_WITH_RC4_128_SHA", false),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", false),
    ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", false),
];

pub(crate) fn tls(reading: &mut Reading<'_>) -> Tls {
    let min_version = match reading.text("tls_min_version", "tls12").as_str() {
        "" | "tls12" => TlsVersion::Tls12,
        "tls13" => TlsVersion::Tls13,
        old @ ("tls10" | "tls11") => {
            let place = reading.place("tls_min_version");
            reading.warn("tls_min_version", place, format!("{old} is no longer spoken; tls12 is the floor"));
            TlsVersion::Tls12
        }
        other => {
            let place = reading.place("tls_min_version");
            let text = format!(
                "TLSMinVersion: value {other} not supported, please specify one of [tls10,tls11,tls12,tls13]"
            );
            reading.error("tls_min_version", place, text);
            TlsVersion::Tls12
        }
    };
    let mut cipher_suites = Vec::new();
    let wanted = reading.text("tls_cipher_suites", "");
    for name in wanted.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let place = reading.place("tls_cipher_suites");
        match CIPHERS.iter().find(|(known, _)| *known == name) {
            Some((_, true)) => cipher_suites.push(name.to_owned()),
            Some((_, false)) => {
                let text = format!("tls_cipher_suites: {name} is not spoken and left out");
                reading.warn("tls_cipher_suites", place, text);
            }
            None => {
                let text =
                    format!("tls_cipher_suites: invalid tls cipher suites: unsupported cipher {name:?}");
                reading.error("tls_cipher_suites", place, text);
            }
        }
    }
    let verify_incoming = reading.bool("verify_incoming", false);
    let verify_server_hostname = reading.bool("verify_server_hostname", false);
    let tls = Tls {
        ca_file: reading.path("ca_file"),
        ca_path: reading.path("ca_path"),
        cert_file: reading.path("cert_file"),
        key_file: reading.path("key_file"),
        verify_incoming_rpc: verify_incoming || reading.bool("verify_incoming_rpc", false),
        verify_incoming_https: verify_incoming || reading.bool("verify_incoming_https", false),
        verify_outgoing: reading.bool("verify_outgoing", false) || verify_server_hostname,
        verify_server_hostname,
        server_name: reading.text("server_name", ""),
        min_version,
        cipher_suites,
    };
    let auto = reading.bool("auto_encrypt.tls", false) || reading.bool("auto_encrypt.allow_tls", false);
    let has_ca = tls.ca_file.is_some() || tls.ca_path.is_some();
    for key in ["verify_incoming", "verify_incoming_rpc", "verify_incoming_https"] {
        if !reading.bool(key, false) {
            continue;
        }
        let place = reading.place(key);
        if !has_ca && !auto {
            reading.error(key, place, "VerifyIncoming set, and no CA certificate provided!");
        } else if !auto && (tls.cert_file.is_none() || tls.key_file.is_none()) {
            reading.error(key, place, "VerifyIncoming set, and no Cert/Key pair provided!");
        }
    }
    if tls.verify_outgoing && !has_ca && !auto {
        let key = if verify_server_hostname { "verify_server_hostname" } else { "verify_outgoing" };
        let place = reading.place(key);
        reading.error(key, place, "VerifyOutgoing set, and no CA certificate provided!");
    }
    for (key, other, given) in [
        ("cert_file", "key_file", tls.cert_file.is_some() && tls.key_file.is_none()),
        ("key_file", "cert_file", tls.key_file.is_some() && tls.cert_file.is_none()),
    ] {
        if given {
            let place = reading.place(key);
            reading.error(key, place, format!("{key} needs {other} beside it"));
        }
    }
    tls
}

pub(crate) fn auto_encrypt(reading: &mut Reading<'_>, server: bool) -> AutoEncrypt {
    let mut ip_san = Vec::new();
    for at in reading.list("auto_encrypt.ip_san") {
        match at.value.parse() {
            Ok(ip) => ip_san.push(ip),
            Err(_) => {
                let text = format!("auto_encrypt.ip_san: invalid ip address: {}", at.value);
                reading.error("auto_encrypt.ip_san", at.pos.clone(), text);
            }
        }
    }
    let found = AutoEncrypt {
        tls: reading.bool("auto_encrypt.tls", false),
        allow_tls: reading.bool("auto_encrypt.allow_tls", false),
        dns_san: reading.texts("auto_encrypt.dns_san"),
        ip_san,
    };
    if found.tls && server {
        let place = reading.place("auto_encrypt.tls");
        reading.error("auto_encrypt.tls", place, "auto_encrypt.tls can only be used on a client.");
    }
    if found.allow_tls && !server {
        let place = reading.place("auto_encrypt.allow_tls");
        reading.error(
            "auto_encrypt.allow_tls",
            place,
            "auto_encrypt.allow_tls can only be used on a server.",
        );
    }
    found
}

pub(crate) fn connect(reading: &mut Reading<'_>, dev: bool) -> Connect {
    let ca_provider = reading.text("connect.ca_provider", "");
    if !matches!(ca_provider.as_str(), "" | "consul" | "vault" | "aws-pca") {
        let place = reading.place("connect.ca_provider");
        reading.error("connect.ca_provider", place, format!("{ca_provider} is not a valid CA provider"));
    } else if matches!(ca_provider.as_str(), "vault" | "aws-pca") {
        let place = reading.place("connect.ca_provider");
        let text = format!("CA provider {ca_provider} is known but not there; the built-in one is used");
        reading.warn("connect.ca_provider", place, text);
    }
    let ca_config = match reading.field("connect.ca_config") {
        Some(RawField::Any(value)) => value.to_json().to_string(),
        _ => String::new(),
    };
    Connect { enabled: reading.bool("connect.enabled", dev), ca_provider, ca_config }
}

pub(crate) fn telemetry(reading: &mut Reading<'_>) -> Telemetry {
    let mut allowed_prefixes = Vec::new();
    let mut blocked_prefixes = Vec::new();
    for at in reading.list("telemetry.prefix_filter") {
        if let Some(prefix) = at.value.strip_prefix('+') {
            allowed_prefixes.push(prefix.to_owned());
        } else if let Some(prefix) = at.value.strip_prefix('-') {
            blocked_prefixes.push(prefix.to_owned());
        } else {
            let text = match at.value.as_str() {
                "" => "Cannot have empty filter rule in prefix_filter".to_owned(),
                rule => format!("Filter rule must begin with either '+' or '-': {rule:?}"),
            };
            reading.warn("telemetry.prefix_filter", at.pos.clone(), text);
        }
    }
    Telemetry {
        prometheus_retention: reading.duration("telemetry.prometheus_retention_time", Duration::ZERO),
        disable_hostname: reading.bool("telemetry.disable_hostname", false),
        metrics_prefix: reading.text("telemetry.metrics_prefix", "consul"),
        allowed_prefixes,
        blocked_prefixes,
        filter_default: reading.bool("telemetry.filter_default", true),
        statsd_addr: reading.text("telemetry.statsd_address", ""),
        statsite_addr: reading.text("telemetry.statsite_address", ""),
        dogstatsd_addr: reading.text("telemetry.dogstatsd_addr", ""),
        dogstatsd_tags: reading.texts("telemetry.dogstatsd_tags"),
    }
}

pub(crate) fn ui(reading: &mut Reading<'_>, dev: bool) -> Ui {
    let (enabled, dir) = (reading.bool("ui", dev), reading.path("ui_dir"));
    if reading.bool_set("ui") == Some(true) && dir.is_some() {
        let place = reading.place("ui_dir");
        reading.error(
            "ui_dir",
            place,
            "Both the ui and ui-dir flags were specified, please provide only one.\nIf trying to use your own web UI \
             resources, use the ui-dir flag.\nThe web UI is included in the binary so use ui to enable it",
        );
    }
    let path = reading.text("ui_content_path", "/ui/");
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    if !path.chars().all(fits) {
        let place = reading.place("ui_content_path");
        let text = format!("ui-content-path can only contain alphanumeric, -, _, or /. received: {path}");
        reading.error("ui_content_path", place, text);
    }
    let content_path = match path.trim_matches('/') {
        "" => "/".to_owned(),
        path => format!("/{path}/"),
    };
    Ui { enabled: enabled || dir.is_some(), dir, content_path }
}

pub(crate) fn config_entries(reading: &mut Reading<'_>) -> Vec<String> {
    let Some(RawField::Anys(entries)) = reading.field("config_entries.bootstrap") else { return Vec::new() };
    let mut found = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let kind = entry.as_map().and_then(|map| map.get("kind").or_else(|| map.get("Kind")));
        let fault = match kind.map(|kind| &kind.kind) {
            None => "Payload does not contain a kind/Kind".to_owned(),
            Some(Kind::String(kind)) => match kind.as_str() {
                "service-defaults"
                | "proxy-defaults"
                | "service-router"
                | "service-splitter"
                | "service-resolver"
                | "ingress-gateway"
                | "terminating-gateway" => {
                    found.push(entry.to_json().to_string());
                    continue;
                }
                other => format!("invalid config entry kind: {other}"),
            },
            Some(_) => "Kind value in payload is not a string".to_owned(),
        };
        let text = format!("config_entries.bootstrap[{n}]: {fault}");
        reading.error("config_entries.bootstrap", Some(entry.pos.clone()), text);
    }
    found
}
