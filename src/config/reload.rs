//! What a reload changes, and what waits for a restart.

use crate::config::Config;

/// The difference between the running configuration and a new one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReloadPlan {
    /// Sections that a reload applies and that changed.
    pub apply: Vec<Reloadable>,
    /// Keys that changed but only count after a restart.
    pub needs_restart: Vec<&'static str>,
}

/// A section that a reload applies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reloadable {
    /// `services` and `service`.
    Services,
    /// `checks` and `check`.
    Checks,
    /// `watches`.
    Watches,
    /// `node_meta`.
    NodeMeta,
    /// `acl.tokens`, except `master`.
    Tokens,
    /// `log_level`.
    LogLevel,
    /// `discard_check_output`.
    DiscardCheckOutput,
    /// Certificates and `verify_*`.
    Tls,
    /// `limits.http_max_conns_per_client`, `limits.rpc_*`.
    Limits,
    /// `telemetry.prefix_filter`.
    MetricFilter,
    /// `config_entries.bootstrap`.
    ConfigEntries,
    /// Template blocks; the agent itself does nothing with them.
    Templates,
}

impl ReloadPlan {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.apply.is_empty() && self.needs_restart.is_empty()
    }
}

/// Compares the running configuration with a new one.
pub fn diff(old: &Config, new: &Config) -> ReloadPlan {
    let mut plan = ReloadPlan::default();
    live(old, new, &mut plan.apply);
    let mut restart = |key: &'static str, same: bool| {
        if !same {
            plan.needs_restart.push(key);
        }
    };
    macro_rules! compare {
        ($($key:literal => $($field:ident).+),+ $(,)?) => {
            $(restart($key, old.$($field).+ == new.$($field).+);)+
        };
    }
    compare! {
        "datacenter" => datacenter,
        "primary_datacenter" => primary_datacenter,
        "node_name" => node_name,
        "node_id" => node_id,
        "disable_host_node_id" => disable_host_node_id,
        "data_dir" => data_dir,
        "server" => server,
        "bootstrap" => bootstrap,
        "bootstrap_expect" => bootstrap_expect,
        "bind_addr" => network.bind_addr,
        "advertise_addr" => network.advertise_lan,
        "advertise_addr_wan" => network.advertise_wan,
        "serf_lan_allowed_cidrs" => network.serf_lan_allowed,
        "serf_wan_allowed_cidrs" => network.serf_wan_allowed,
        "client_addr" => listen.client_addrs,
        "ports" => listen.ports,
        "unix_sockets" => listen.unix_sockets,
        "start_join" => join.start_lan,
        "start_join_wan" => join.start_wan,
        "retry_join" => join.retry_lan,
        "retry_join_wan" => join.retry_wan,
        "rejoin_after_leave" => join.rejoin_after_leave,
        "reconnect_timeout" => join.reconnect_timeout_lan,
        "reconnect_timeout_wan" => join.reconnect_timeout_wan,
        "encrypt" => gossip.encrypt,
        "encrypt_verify_incoming" => gossip.verify_incoming,
        "encrypt_verify_outgoing" => gossip.verify_outgoing,
        "disable_keyring_file" => gossip.disable_keyring_file,
        "gossip_lan" => gossip.lan,
        "gossip_wan" => gossip.wan,
        "pid_file" => pid_file,
        "leave_on_terminate" => leave.on_terminate,
        "skip_leave_on_interrupt" => leave.skip_on_interrupt,
        "domain" => dns.domain,
        "alt_domain" => dns.alt_domain,
        "recursors" => dns.recursors,
        "http_config" => http,
        "performance" => raft,
        "autopilot" => autopilot,
        "cache" => cache,
        "auto_encrypt" => auto_encrypt,
        "connect" => connect,
        "ui" => ui,
        "disable_remote_exec" => disable_remote_exec,
        "disable_coordinates" => disable_coordinates,
        "enable_debug" => enable_debug,
        "enable_central_service_config" => enable_central_service_config,
        "discovery_max_stale" => discovery_max_stale,
        "translate_wan_addrs" => translate_wan_addrs,
        "auto_reload_config" => auto_reload_config,
        "acl.tokens.master" => acl.tokens.master,
        "limits.https_handshake_timeout" => limits.https_handshake_timeout,
        "limits.rpc_handshake_timeout" => limits.rpc_handshake_timeout,
        "limits.kv_max_value_size" => limits.kv_max_value_size_bytes,
        "limits.txn_max_req_len" => limits.txn_max_req_len_bytes,
        "default_query_time" => limits.default_query_time,
        "max_query_time" => limits.max_query_time,
        "session_ttl_min" => limits.session_ttl_min,
        "enable_script_checks" => checks_config.enable_remote_scripts,
        "enable_local_script_checks" => checks_config.enable_local_scripts,
        "check_update_interval" => checks_config.update_interval,
        "check_output_max_size" => checks_config.output_max_size_bytes,
        "enable_agent_tls_for_checks" => checks_config.enable_agent_tls,
    }
    // Whole sections, with their live part put on the same footing first.
    let mut log = new.log.clone();
    log.level = old.log.level;
    restart("log", log == old.log);
    let mut dns = new.dns.clone();
    dns.domain.clone_from(&old.dns.domain);
    dns.alt_domain.clone_from(&old.dns.alt_domain);
    dns.recursors.clone_from(&old.dns.recursors);
    restart("dns_config", dns == old.dns);
    let mut acl = new.acl.clone();
    acl.tokens = old.acl.tokens.clone();
    restart("acl", acl == old.acl);
    let mut telemetry = new.telemetry.clone();
    telemetry.allowed_prefixes.clone_from(&old.telemetry.allowed_prefixes);
    telemetry.blocked_prefixes.clone_from(&old.telemetry.blocked_prefixes);
    restart("telemetry", telemetry == old.telemetry);
    let same_addresses = old.listen.ports != new.listen.ports
        || old.listen.client_addrs != new.listen.client_addrs
        || (&old.listen.http, &old.listen.https, &old.listen.dns, &old.listen.grpc)
            == (&new.listen.http, &new.listen.https, &new.listen.dns, &new.listen.grpc);
    restart("addresses", same_addresses);
    let rest = |config: &Config| {
        let network = &config.network;
        (network.bind_addr, network.serf_lan_bind.ip(), network.serf_wan_bind.map(|address| address.ip()))
    };
    restart("serf_lan", old.network.bind_addr != new.network.bind_addr || rest(old) == rest(new));
    plan
}

fn live(old: &Config, new: &Config, apply: &mut Vec<Reloadable>) {
    let mut changed = |what: Reloadable, same: bool| {
        if !same {
            apply.push(what);
        }
    };
    changed(Reloadable::Services, old.services == new.services);
    changed(Reloadable::Checks, old.checks == new.checks);
    changed(Reloadable::Watches, old.watches == new.watches);
    changed(Reloadable::NodeMeta, old.node_meta == new.node_meta);
    let tokens = |config: &Config| {
        let tokens = config.acl.tokens.clone();
        (tokens.agent, tokens.agent_master, tokens.default, tokens.replication)
    };
    changed(Reloadable::Tokens, tokens(old) == tokens(new));
    changed(Reloadable::LogLevel, old.log.level == new.log.level);
    let discard = |config: &Config| config.checks_config.discard_output;
    changed(Reloadable::DiscardCheckOutput, discard(old) == discard(new));
    changed(Reloadable::Tls, old.tls == new.tls);
    let limits = |config: &Config| {
        let l = &config.limits;
        (l.http_max_conns_per_client, l.rpc_max_conns_per_client, l.rpc_rate, l.rpc_max_burst)
    };
    changed(Reloadable::Limits, limits(old) == limits(new));
    let filter = |config: &Config| {
        (config.telemetry.allowed_prefixes.clone(), config.telemetry.blocked_prefixes.clone())
    };
    changed(Reloadable::MetricFilter, filter(old) == filter(new));
    changed(Reloadable::ConfigEntries, old.config_entries == new.config_entries);
    changed(Reloadable::Templates, old.templates == new.templates);
}
