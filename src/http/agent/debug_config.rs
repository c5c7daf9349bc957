//! `DebugConfig` of `/v1/agent/self`: the configuration under the names of Consul's own runtime structure, which tools
//! read although they were told not to. Secrets are `hidden`.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_agent::SPOKEN_VERSION;
use crs_config::{Cidr, Config, DefaultPolicy, GossipTiming, ListenAddr, TlsVersion, WatchSpec};
use crs_types::{CheckKind, CheckSpec, ServiceSpec, format_duration};
use serde_json::{Value, json};

type Fields = BTreeMap<String, Value>;

fn time(duration: Duration) -> Value {
    format_duration(duration).into()
}

fn shown(value: impl std::fmt::Display) -> Value {
    value.to_string().into()
}

fn path(path: Option<&std::path::PathBuf>) -> Value {
    path.map_or_else(String::new, |path| path.display().to_string()).into()
}

fn put<const N: usize>(fields: &mut Fields, more: [(&str, Value); N]) {
    fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
}

/// Keys in the order of the alphabet, as Consul shows them.
pub(super) fn debug_config(config: &Config, node_id: &str) -> Fields {
    let mut fields = Fields::new();
    identity(&mut fields, config, node_id);
    acl(&mut fields, config);
    network(&mut fields, config);
    dns(&mut fields, config);
    checks(&mut fields, config);
    limits(&mut fields, config);
    raft(&mut fields, config);
    gossip(&mut fields, config);
    tls(&mut fields, config);
    telemetry(&mut fields, config);
    fields
}

fn identity(fields: &mut Fields, config: &Config, node_id: &str) {
    let log = &config.log;
    put(
        fields,
        [
            ("AutoReloadConfig", config.auto_reload_config.into()),
            ("Bootstrap", (config.bootstrap && !config.dev_mode && config.bootstrap_expect == 0).into()),
            ("BootstrapExpect", config.bootstrap_expect.into()),
            ("DataDir", path(config.data_dir.as_ref())),
            ("Datacenter", config.datacenter.as_str().into()),
            ("DevMode", config.dev_mode.into()),
            ("DisableAnonymousSignature", true.into()),
            ("DisableCoordinates", config.disable_coordinates.into()),
            ("DisableHostNodeID", config.disable_host_node_id.into()),
            ("DisableRemoteExec", config.disable_remote_exec.into()),
            ("DisableUpdateCheck", true.into()),
            ("EnableCentralServiceConfig", config.enable_central_service_config.into()),
            ("EnableDebug", config.enable_debug.into()),
            ("EnableUI", config.ui.enabled.into()),
            ("LeaveOnTerm", config.leave.on_terminate.into()),
            ("NodeID", node_id.into()),
            ("NodeMeta", json!(config.node_meta)),
            ("NodeName", config.node_name.as_str().into()),
            ("PidFile", path(config.pid_file.as_ref())),
            ("PrimaryDatacenter", config.primary_datacenter.as_str().into()),
            ("Revision", "".into()),
            ("SegmentName", "".into()),
            ("ServerMode", config.server.into()),
            ("SkipLeaveOnInt", config.leave.skip_on_interrupt.into()),
            ("TranslateWANAddrs", config.translate_wan_addrs.into()),
            ("UIContentPath", config.ui.content_path.clone().into()),
            ("UIDir", path(config.ui.dir.as_ref())),
            ("Version", SPOKEN_VERSION.into()),
            ("VersionPrerelease", "".into()),
            ("Watches", config.watches.iter().map(watch).collect()),
        ],
    );
    put(
        fields,
        [(
            "Logging",
            json!({
                "EnableSyslog": log.syslog,
                "LogFilePath": path(log.file.as_ref()),
                "LogJSON": log.json,
                "LogLevel": log.level.as_str(),
                "LogRotateBytes": log.rotate_bytes,
                "LogRotateDuration": time(log.rotate_duration),
                "LogRotateMaxFiles": log.rotate_max_files,
                "Name": "",
                "SyslogFacility": log.syslog_facility,
            }),
        )],
    );
}

fn watch(watch: &WatchSpec) -> Value {
    json!({ "datacenter": watch.datacenter, "handler": "hidden", "type": format!("{:?}", watch.kind) })
}

fn acl(fields: &mut Fields, config: &Config) {
    let acl = &config.acl;
    let default = match acl.default_policy {
        DefaultPolicy::Allow => "allow",
        DefaultPolicy::Deny => "deny",
    };
    put(
        fields,
        [
            ("ACLAgentMasterToken", "hidden".into()),
            ("ACLAgentToken", "hidden".into()),
            ("ACLDatacenter", config.primary_datacenter.as_str().into()),
            ("ACLDefaultPolicy", default.into()),
            ("ACLDisabledTTL", "2m0s".into()),
            ("ACLDownPolicy", acl.down_policy.as_str().into()),
            ("ACLEnableKeyListPolicy", acl.enable_key_list_policy.into()),
            ("ACLEnableTokenPersistence", acl.enable_token_persistence.into()),
            ("ACLMasterToken", "hidden".into()),
            ("ACLPolicyTTL", time(acl.policy_ttl)),
            ("ACLReplicationToken", "hidden".into()),
            ("ACLRoleTTL", time(acl.role_ttl)),
            ("ACLToken", "hidden".into()),
            ("ACLTokenReplication", acl.enable_token_replication.into()),
            ("ACLTokenTTL", time(acl.token_ttl)),
            ("ACLsEnabled", acl.enabled.into()),
        ],
    );
}

fn addresses(addresses: &[ListenAddr]) -> Value {
    let url = |address: &ListenAddr| match address {
        ListenAddr::Tcp(address) => format!("tcp://{address}"),
        unix @ ListenAddr::Unix(_) => unix.to_string(),
    };
    addresses.iter().map(url).collect()
}

fn cidrs(cidrs: &[Cidr]) -> Value {
    cidrs.iter().map(ToString::to_string).collect()
}

fn port(port: Option<u16>) -> Value {
    port.map_or(-1, i32::from).into()
}

fn network(fields: &mut Fields, config: &Config) {
    let (network, listen) = (&config.network, &config.listen);
    let tcp = |address: std::net::SocketAddr| shown(format_args!("tcp://{address}"));
    let tcp_or_none = |address: Option<std::net::SocketAddr>| address.map_or(Value::Null, tcp);
    let dns = listen.dns.iter().flat_map(|address| match address {
        ListenAddr::Tcp(address) => vec![format!("tcp://{address}"), format!("udp://{address}")],
        unix @ ListenAddr::Unix(_) => vec![unix.to_string()],
    });
    let join = &config.join;
    put(
        fields,
        [
            ("AdvertiseAddrLAN", shown(network.advertise_lan)),
            ("AdvertiseAddrWAN", shown(network.advertise_wan)),
            ("BindAddr", shown(network.bind_addr)),
            ("ClientAddrs", json!(listen.client_addrs)),
            ("DNSAddrs", dns.collect()),
            ("DNSPort", port(listen.ports.dns)),
            ("GRPCAddrs", addresses(&listen.grpc)),
            ("GRPCPort", port(listen.ports.grpc)),
            ("HTTPAddrs", addresses(&listen.http)),
            ("HTTPPort", port(listen.ports.http)),
            ("HTTPSAddrs", addresses(&listen.https)),
            ("HTTPSPort", port(listen.ports.https)),
            ("RPCAdvertiseAddr", tcp(network.rpc_advertise)),
            ("RPCBindAddr", tcp(network.rpc_bind)),
            ("RejoinAfterLeave", join.rejoin_after_leave.into()),
            ("RetryJoinIntervalLAN", time(join.retry_lan.interval)),
            ("RetryJoinIntervalWAN", time(join.retry_wan.interval)),
            ("RetryJoinLAN", json!(join.retry_lan.addresses)),
            ("RetryJoinMaxAttemptsLAN", join.retry_lan.max_attempts.into()),
            ("RetryJoinMaxAttemptsWAN", join.retry_wan.max_attempts.into()),
            ("RetryJoinWAN", json!(join.retry_wan.addresses)),
            ("SerfAdvertiseAddrLAN", tcp(network.serf_lan_advertise)),
            ("SerfAdvertiseAddrWAN", tcp_or_none(network.serf_wan_advertise)),
            ("SerfAllowedCIDRsLAN", cidrs(&network.serf_lan_allowed)),
            ("SerfAllowedCIDRsWAN", cidrs(&network.serf_wan_allowed)),
            ("SerfBindAddrLAN", tcp(network.serf_lan_bind)),
            ("SerfBindAddrWAN", tcp_or_none(network.serf_wan_bind)),
            ("SerfPortLAN", listen.ports.serf_lan.into()),
            ("SerfPortWAN", port(listen.ports.serf_wan)),
            ("ServerPort", listen.ports.server.into()),
            ("StartJoinAddrsLAN", json!(join.start_lan)),
            ("StartJoinAddrsWAN", json!(join.start_wan)),
            ("TaggedAddresses", json!(network.tagged_addresses)),
        ],
    );
    let sockets = &listen.unix_sockets;
    let mode = sockets.mode.map_or_else(String::new, |mode| format!("{mode:o}"));
    put(
        fields,
        [
            ("UnixSocketGroup", sockets.group.clone().into()),
            ("UnixSocketMode", mode.into()),
            ("UnixSocketUser", sockets.user.clone().into()),
        ],
    );
}

fn dns(fields: &mut Fields, config: &Config) {
    let dns = &config.dns;
    let ttls: BTreeMap<&String, Value> =
        dns.service_ttl.iter().map(|(name, ttl)| (name, time(*ttl))).collect();
    let soa = json!({
        "Expire": dns.soa_expire,
        "Minttl": dns.soa_min_ttl,
        "Refresh": dns.soa_refresh,
        "Retry": dns.soa_retry,
    });
    put(
        fields,
        [
            ("DNSARecordLimit", dns.a_record_limit.into()),
            ("DNSAllowStale", dns.allow_stale.into()),
            ("DNSAltDomain", dns.alt_domain.clone().into()),
            ("DNSCacheMaxAge", time(dns.cache_max_age)),
            ("DNSDisableCompression", dns.disable_compression.into()),
            ("DNSDomain", dns.domain.clone().into()),
            ("DNSEnableTruncate", dns.enable_truncate.into()),
            ("DNSMaxStale", time(dns.max_stale)),
            ("DNSNodeMetaTXT", dns.node_meta_txt.into()),
            ("DNSNodeTTL", time(dns.node_ttl)),
            ("DNSOnlyPassing", dns.only_passing.into()),
            ("DNSRecursorTimeout", time(dns.recursor_timeout)),
            ("DNSRecursors", json!(dns.recursors)),
            ("DNSSOA", soa),
            ("DNSServiceTTL", json!(ttls)),
            ("DNSUDPAnswerLimit", dns.udp_answer_limit.into()),
            ("DNSUseCache", dns.use_cache.into()),
        ],
    );
}

fn checks(fields: &mut Fields, config: &Config) {
    let checks = &config.checks_config;
    put(
        fields,
        [
            ("AEInterval", "1m0s".into()),
            ("CheckDeregisterIntervalMin", "1m0s".into()),
            ("CheckOutputMaxSize", checks.output_max_size_bytes.into()),
            ("CheckReapInterval", "30s".into()),
            ("CheckUpdateInterval", time(checks.update_interval)),
            ("Checks", config.checks.iter().map(check).collect()),
            ("DiscardCheckOutput", checks.discard_output.into()),
            ("EnableAgentTLSForChecks", checks.enable_agent_tls.into()),
            ("EnableLocalScriptChecks", (checks.enable_local_scripts || checks.enable_remote_scripts).into()),
            ("EnableRemoteScriptChecks", checks.enable_remote_scripts.into()),
            ("Services", config.services.iter().map(service).collect()),
        ],
    );
}

fn check(spec: &CheckSpec) -> Value {
    let mut fields = json!({
        "AliasNode": "", "AliasService": "", "Body": "", "CheckID": spec.id.as_str(),
        "DeregisterCriticalServiceAfter": time(spec.deregister_critical_service_after),
        "DockerContainerID": "", "FailuresBeforeCritical": spec.failures_before_critical,
        "GRPC": "", "GRPCUseTLS": false, "HTTP": "", "Header": {}, "Interval": time(spec.interval),
        "Method": "", "Name": spec.name, "Notes": spec.notes, "OutputMaxSize": spec.output_max_size_bytes,
        "ProxyGRPC": "", "ProxyHTTP": "", "ScriptArgs": [], "Shell": "",
        "Status": spec.status.as_ref().map_or("", |status| status.as_str()),
        "SuccessBeforePassing": spec.success_before_passing, "TCP": "", "TLSSkipVerify": false,
        "TTL": "0s", "Timeout": time(spec.timeout),
    });
    match &spec.kind {
        CheckKind::Http { url, method, header, body, tls_skip_verify } => {
            // Headers may carry credentials.
            let header: BTreeMap<&String, &str> = header.keys().map(|name| (name, "hidden")).collect();
            fields["HTTP"] = url.as_str().into();
            fields["Method"] = method.as_str().into();
            fields["Header"] = json!(header);
            fields["Body"] = body.as_str().into();
            fields["TLSSkipVerify"] = (*tls_skip_verify).into();
        }
        CheckKind::Tcp(address) => fields["TCP"] = address.as_str().into(),
        CheckKind::Ttl(ttl) => fields["TTL"] = time(*ttl),
        CheckKind::Script(args) => fields["ScriptArgs"] = json!(args),
        CheckKind::Docker { container_id, shell, args } => {
            fields["DockerContainerID"] = container_id.as_str().into();
            fields["Shell"] = shell.as_str().into();
            fields["ScriptArgs"] = json!(args);
        }
        CheckKind::Grpc { target, use_tls, tls_skip_verify } => {
            fields["GRPC"] = target.as_str().into();
            fields["GRPCUseTLS"] = (*use_tls).into();
            fields["TLSSkipVerify"] = (*tls_skip_verify).into();
        }
        CheckKind::Alias { node, service } => {
            fields["AliasNode"] = node.as_str().into();
            fields["AliasService"] = service.as_str().into();
        }
    }
    fields
}

fn service(spec: &ServiceSpec) -> Value {
    let tagged: BTreeMap<&String, Value> = spec
        .tagged_addresses
        .iter()
        .map(|(tag, at)| (tag, json!({ "Address": at.address, "Port": at.port })))
        .collect();
    let raw = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    json!({
        "Address": spec.address,
        "Checks": spec.checks.iter().map(check).collect::<Value>(),
        "Connect": raw(&spec.connect),
        "EnableTagOverride": spec.enable_tag_override,
        "EnterpriseMeta": {},
        "ID": spec.id.as_str(),
        "Kind": spec.kind,
        "Meta": spec.meta.clone().unwrap_or_default(),
        "Name": spec.name.as_str(),
        "Port": spec.port,
        "Proxy": raw(&spec.proxy),
        "TaggedAddresses": tagged,
        "Tags": spec.tags,
        "Token": "hidden",
        "Weights": { "Passing": spec.weights.passing, "Warning": spec.weights.warning },
    })
}

fn limits(fields: &mut Fields, config: &Config) {
    let (limits, http, cache) = (&config.limits, &config.http, &config.cache);
    let rate = |rate: Option<f64>| rate.map_or(json!(f64::MAX), |rate| json!(rate));
    put(
        fields,
        [
            ("AllowWriteHTTPFrom", cidrs(&http.allow_write_from)),
            (
                "Cache",
                json!({
                    "EntryFetchMaxBurst": cache.entry_fetch_max_burst,
                    "EntryFetchRate": rate(cache.entry_fetch_rate),
                }),
            ),
            ("DefaultQueryTime", time(limits.default_query_time)),
            ("DisableHTTPUnprintableCharFilter", http.disable_unprintable_char_filter.into()),
            ("DiscoveryMaxStale", time(config.discovery_max_stale)),
            ("HTTPBlockEndpoints", json!(http.block_endpoints)),
            ("HTTPMaxConnsPerClient", limits.http_max_conns_per_client.into()),
            ("HTTPResponseHeaders", json!(http.response_headers)),
            ("HTTPSHandshakeTimeout", time(limits.https_handshake_timeout)),
            ("HTTPUseCache", http.use_cache.into()),
            ("KVMaxValueSize", limits.kv_max_value_size_bytes.into()),
            ("MaxQueryTime", time(limits.max_query_time)),
            ("RPCHandshakeTimeout", time(limits.rpc_handshake_timeout)),
            ("RPCMaxBurst", limits.rpc_max_burst.into()),
            ("RPCMaxConnsPerClient", limits.rpc_max_conns_per_client.into()),
            ("RPCRateLimit", limits.rpc_rate.map_or(json!(-1), |rate| json!(rate))),
            ("SessionTTLMin", time(limits.session_ttl_min)),
            ("TxnMaxReqLen", limits.txn_max_req_len_bytes.into()),
        ],
    );
}

fn raft(fields: &mut Fields, config: &Config) {
    let (raft, autopilot) = (&config.raft, &config.autopilot);
    put(
        fields,
        [
            ("AutopilotCleanupDeadServers", autopilot.cleanup_dead_servers.into()),
            ("AutopilotLastContactThreshold", time(autopilot.last_contact_threshold)),
            ("AutopilotMaxTrailingLogs", autopilot.max_trailing_logs.into()),
            ("AutopilotMinQuorum", autopilot.min_quorum.into()),
            ("AutopilotServerStabilizationTime", time(autopilot.server_stabilization_time)),
            ("ConfigEntryBootstrap", json!(config.config_entries)),
            ("ConsulRaftElectionTimeout", time(raft.election_timeout)),
            ("ConsulRaftHeartbeatTimeout", time(raft.heartbeat_timeout)),
            ("ConsulRaftLeaderLeaseTimeout", time(raft.leader_lease)),
            ("LeaveDrainTime", time(raft.leave_drain_time)),
            ("RPCHoldTimeout", time(raft.rpc_hold_timeout)),
            ("RPCProtocol", raft.rpc_protocol.into()),
            ("RaftProtocol", raft.protocol.into()),
            ("RaftSnapshotInterval", time(raft.snapshot_interval)),
            ("RaftSnapshotThreshold", raft.snapshot_threshold.into()),
            ("RaftTrailingLogs", raft.trailing_logs.into()),
        ],
    );
}

fn gossip(fields: &mut Fields, config: &Config) {
    let gossip = &config.gossip;
    put(
        fields,
        [
            ("DisableKeyringFile", gossip.disable_keyring_file.into()),
            ("EncryptKey", "hidden".into()),
            ("EncryptVerifyIncoming", gossip.verify_incoming.into()),
            ("EncryptVerifyOutgoing", gossip.verify_outgoing.into()),
        ],
    );
    let mut timing = |pool: &str, timing: &GossipTiming| {
        for (name, value) in [
            ("GossipInterval", time(timing.gossip_interval)),
            ("GossipNodes", timing.gossip_nodes.into()),
            ("ProbeInterval", time(timing.probe_interval)),
            ("ProbeTimeout", time(timing.probe_timeout)),
            ("RetransmitMult", timing.retransmit_mult.into()),
            ("SuspicionMult", timing.suspicion_mult.into()),
        ] {
            fields.insert(format!("Gossip{pool}{name}"), value);
        }
    };
    timing("LAN", &gossip.lan);
    timing("WAN", &gossip.wan);
}

fn tls(fields: &mut Fields, config: &Config) {
    let (tls, auto, connect) = (&config.tls, &config.auto_encrypt, &config.connect);
    let version = match tls.min_version {
        TlsVersion::Tls12 => "tls12",
        TlsVersion::Tls13 => "tls13",
    };
    put(
        fields,
        [
            ("AutoEncryptAllowTLS", auto.allow_tls.into()),
            ("AutoEncryptDNSSAN", json!(auto.dns_san)),
            ("AutoEncryptIPSAN", auto.ip_san.iter().map(ToString::to_string).collect()),
            ("AutoEncryptTLS", auto.tls.into()),
            ("CAFile", path(tls.ca_file.as_ref())),
            ("CAPath", path(tls.ca_path.as_ref())),
            ("CertFile", path(tls.cert_file.as_ref())),
            ("ConnectCAConfig", json!({})),
            ("ConnectCAProvider", connect.ca_provider.clone().into()),
            ("ConnectEnabled", connect.enabled.into()),
            ("KeyFile", "hidden".into()),
            ("ServerName", tls.server_name.clone().into()),
            ("TLSCipherSuites", json!(tls.cipher_suites)),
            ("TLSMinVersion", version.into()),
            ("VerifyIncoming", (tls.verify_incoming_rpc && tls.verify_incoming_https).into()),
            ("VerifyIncomingHTTPS", tls.verify_incoming_https.into()),
            ("VerifyIncomingRPC", tls.verify_incoming_rpc.into()),
            ("VerifyOutgoing", tls.verify_outgoing.into()),
            ("VerifyServerHostname", tls.verify_server_hostname.into()),
        ],
    );
}

fn telemetry(fields: &mut Fields, config: &Config) {
    let telemetry = &config.telemetry;
    let value = json!({
        "AllowedPrefixes": telemetry.allowed_prefixes,
        "BlockedPrefixes": telemetry.blocked_prefixes,
        "Disable": false,
        "DisableHostname": telemetry.disable_hostname,
        "DogstatsdAddr": telemetry.dogstatsd_addr,
        "DogstatsdTags": telemetry.dogstatsd_tags,
        "FilterDefault": telemetry.filter_default,
        "MetricsPrefix": telemetry.metrics_prefix,
        "PrometheusRetentionTime": time(telemetry.prometheus_retention),
        "StatsdAddr": telemetry.statsd_addr,
        "StatsiteAddr": telemetry.statsite_addr,
    });
    put(fields, [("Telemetry", value)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden() {
        let mut config = Config::dev_defaults();
        config.acl.tokens.master = "opensesame".into();
        config.gossip.encrypt = Some(crs_types::Secret::new(b"opensesame".to_vec()));
        let service =
            ServiceSpec { name: "web".into(), token: "opensesame".into(), ..ServiceSpec::default() };
        config.services.push(service);
        let fields = debug_config(&config, "id");
        let text = json!(fields).to_string();
        assert!(!text.contains("opensesame"));
        assert_eq!(fields["DNSAddrs"], json!(["tcp://127.0.0.1:8600", "udp://127.0.0.1:8600"]));
        assert_eq!(fields["HTTPSPort"], json!(-1));
        assert_eq!(fields["Services"][0]["Name"], json!("web"));
    }
}
