//! From sources to a [`Config`]: read, check, merge, build. All faults of a stage are reported at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::{Datacenter, NodeId, NodeName, ServiceSpec};

use crate::config::{Config, Gossip, GossipTiming, Join, RetryJoin};
use crate::definition::{check_metadata, services_and_checks};
use crate::diagnostic::{Diagnostic, Errors, Stage};
use crate::flags::Flags;
use crate::placeholder::Lookup;
use crate::raw::{Checker, RawConfig};
use crate::reading::Reading;
use crate::sections;
use crate::settings::{Checks, Leave, LogLevel};
use crate::sockaddr::{Machine, expand};
use crate::source::{Format, Source, read};
use crate::templates::TemplateSettings;
use crate::{network, watch};

/// Everything a configuration is made from.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Files, in the order in which they were named; those of a directory in lexical order.
    pub files: &'a [Source],
    /// `-hcl` fragments.
    pub fragments: &'a [Source],
    /// The other flags.
    pub flags: &'a Flags,
    /// `-dev`.
    pub dev: bool,
    /// The machine.
    pub machine: &'a Machine,
    /// Environment and files, for placeholders.
    pub lookup: &'a dyn Lookup,
}

/// A configuration that can be used.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What an operator should know.
    pub warnings: Vec<Diagnostic>,
}

/// Reads, merges and validates.
///
/// # Errors
/// Everything that is wrong. When a source is not of its grammar, what the sources mean together is not looked at.
pub fn load(request: &Request<'_>) -> Result<Loaded, Errors> {
    let mut raw = request.flags.lists.clone();
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    for source in request.files.iter().chain(request.fragments) {
        match parse(source, request.lookup) {
            Ok((one, faults, notes)) => {
                raw.merge(one);
                errors.extend(faults);
                warnings.extend(notes);
            }
            Err(fault) => errors.push(fault),
        }
    }
    if errors.iter().any(|fault| fault.stage == Stage::Syntax) {
        return Err(Errors(errors));
    }
    raw.merge(request.flags.rest.clone());
    let mut reading = Reading::new(&raw);
    let config = build(&mut reading, request);
    errors.extend(reading.errors);
    warnings.extend(reading.warnings);
    if errors.is_empty() { Ok(Loaded { config, warnings }) } else { Err(Errors(errors)) }
}

/// Only the services of the sources, for a command that registers them; nothing else has to be there or to make sense.
///
/// # Errors
/// Everything that is wrong with the sources' keys and with the services.
pub fn load_services(request: &Request<'_>) -> Result<Vec<ServiceSpec>, Errors> {
    let mut raw = RawConfig::default();
    let mut errors = Vec::new();
    for source in request.files {
        match parse(source, request.lookup) {
            Ok((one, faults, _)) => {
                raw.merge(one);
                errors.extend(faults);
            }
            Err(fault) => errors.push(fault),
        }
    }
    let mut reading = Reading::new(&raw);
    // Whether scripts are allowed is the agent's to say.
    let (services, _) = services_and_checks(&mut reading, true);
    errors.extend(reading.errors);
    if errors.is_empty() { Ok(services) } else { Err(Errors(errors)) }
}

/// One source, checked against the table of keys.
fn parse(
    source: &Source,
    lookup: &dyn Lookup,
) -> Result<(RawConfig, Vec<Diagnostic>, Vec<Diagnostic>), Diagnostic> {
    let document = read(source).map_err(|fault| Diagnostic {
        text: fault.text,
        key: String::new(),
        pos: Some(fault.pos),
        meant: None,
        stage: Stage::Syntax,
    })?;
    let json_in_braces = source.format == Format::Hcl && document.is_json;
    let format = if json_in_braces { Format::Json } else { source.format };
    Ok(Checker::new(format, lookup).check(&document))
}

fn build(reading: &mut Reading<'_>, request: &Request<'_>) -> Config {
    let dev = request.dev;
    let defaults = if dev { Config::dev_defaults() } else { Config::default() };
    let server = reading.bool("server", dev);
    let (datacenter, primary_datacenter, acl_by_datacenter) = datacenters(reading);
    let (bootstrap, bootstrap_expect) = bootstrap(reading, server, dev);
    let (network, listen) = network::network(reading, request.machine, dev);
    let dns = sections::dns(reading, &datacenter);
    let acl = sections::acl(reading, acl_by_datacenter);
    let http = sections::http(reading);
    let checks_config = checks(reading, dev, acl.enabled, http.allow_write_from.is_empty());
    let local_scripts = checks_config.enable_local_scripts || checks_config.enable_remote_scripts;
    let (services, checks) = services_and_checks(reading, local_scripts);
    let config = Config {
        datacenter: Datacenter::from(datacenter),
        primary_datacenter: Datacenter::from(primary_datacenter),
        node_name: node_name(reading, request.machine),
        node_id: node_id(reading),
        disable_host_node_id: reading.bool("disable_host_node_id", true),
        node_meta: node_meta(reading),
        dev_mode: dev,
        data_dir: data_dir(reading, dev),
        server,
        bootstrap,
        bootstrap_expect,
        network,
        listen,
        join: join(reading, request.machine),
        gossip: gossip(reading, &defaults),
        log: sections::log(reading, if dev { LogLevel::Debug } else { LogLevel::Info }),
        pid_file: reading.path("pid_file"),
        leave: Leave {
            on_terminate: reading.bool("leave_on_terminate", !server),
            skip_on_interrupt: reading.bool("skip_leave_on_interrupt", server),
        },
        dns,
        acl,
        checks_config,
        services,
        checks,
        watches: watch::watches(reading),
        http,
        limits: sections::limits(reading),
        raft: sections::raft(reading, defaults.raft.clone()),
        autopilot: sections::autopilot(reading),
        cache: sections::cache(reading),
        tls: sections::tls(reading),
        auto_encrypt: sections::auto_encrypt(reading, server),
        connect: sections::connect(reading, dev),
        telemetry: sections::telemetry(reading),
        ui: sections::ui(reading, dev),
        disable_remote_exec: reading.bool("disable_remote_exec", defaults.disable_remote_exec),
        disable_coordinates: reading.bool("disable_coordinates", false),
        enable_debug: reading.bool("enable_debug", defaults.enable_debug),
        enable_central_service_config: reading.bool("enable_central_service_config", false),
        config_entries: sections::config_entries(reading),
        discovery_max_stale: reading.duration("discovery_max_stale", Duration::ZERO),
        translate_wan_addrs: reading.bool("translate_wan_addrs", false),
        auto_reload_config: reading.bool("auto_reload_config", false),
        templates: templates(reading.raw),
    };
    if !reading.list("primary_gateways").is_empty() && !server {
        let place = reading.place("primary_gateways");
        reading.error("primary_gateways", place, "'primary_gateways' requires 'server = true'");
    }
    if let Some(at) = reading.str_set("segment").filter(|at| !at.value.is_empty()) {
        let text = "Network segments are not supported in this version of Consul";
        reading.error("segment", at.pos.clone(), text);
    }
    config
}

fn templates(raw: &RawConfig) -> TemplateSettings {
    let mut found = TemplateSettings::default();
    for (key, value) in &raw.templates {
        if key == "template" {
            found.templates.push(value.clone());
        } else {
            found.settings.push((key.clone(), value.clone()));
        }
    }
    found
}

fn data_dir(reading: &mut Reading<'_>, dev: bool) -> Option<std::path::PathBuf> {
    let path = reading.path("data_dir");
    if path.is_none() && !dev && !reading.is_poisoned("data_dir") {
        let place = reading.place("data_dir");
        reading.error("data_dir", place, "data_dir cannot be empty");
    }
    path
}

/// The own one, the primary one, and whether the old `acl_datacenter` turned ACLs on.
fn datacenters(reading: &mut Reading<'_>) -> (String, String, bool) {
    let mut named = |key: &str, shown: &str, default: &str| {
        let name = reading.text(key, default).to_lowercase();
        let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let place = reading.place(key);
        if name.is_empty() && key == "datacenter" {
            reading.error(key, place, "datacenter cannot be empty");
        } else if !valid {
            reading.error(key, place, format!("{shown} cannot be {name:?}. Please use only [a-z0-9-_]"));
        }
        name
    };
    let own = named("datacenter", "datacenter", "dc1");
    // Consul's text names the old key.
    let primary = named("primary_datacenter", "acl_datacenter", "");
    let old = named("acl_datacenter", "acl_datacenter", "");
    let primary = [primary, old.clone(), own.clone()].into_iter().find(|name| !name.is_empty());
    (own, primary.unwrap_or_default(), !old.is_empty())
}

fn node_name(reading: &mut Reading<'_>, machine: &Machine) -> NodeName {
    let name = reading.text("node_name", &machine.hostname);
    let place = reading.place("node_name");
    if name.trim().is_empty() && !reading.is_poisoned("node_name") {
        reading.error("node_name", place, "node_name cannot be empty");
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        reading.warn("node_name", place, format!(
            "Node name {name:?} will not be discoverable via DNS due to invalid characters. Valid characters include \
             all alpha-numerics and dashes."
        ));
    } else if name.len() > 63 {
        reading.warn("node_name", place, format!(
            "Node name {name:?} will not be discoverable via DNS due to it being too long. Valid lengths are between \
             1 and 63 bytes."
        ));
    }
    NodeName::from(name)
}

fn node_id(reading: &mut Reading<'_>) -> Option<NodeId> {
    let at = reading.str_set("node_id").filter(|at| !at.value.is_empty())?;
    let why = match uuid::Uuid::try_parse(&at.value) {
        Ok(id) if id.hyphenated().to_string() == at.value => return Some(NodeId::from(at.value.as_str())),
        Ok(_) => "it must be written in lower case with dashes",
        Err(_) if at.value.len() != 36 => "uuid string is wrong length",
        Err(_) => "uuid is improperly formatted",
    };
    let text = format!("failed to setup node ID: specified NodeID is invalid: {why}");
    reading.error("node_id", at.pos.clone(), text);
    None
}

fn node_meta(reading: &mut Reading<'_>) -> BTreeMap<String, String> {
    let meta = reading.map("node_meta");
    if let Err(why) = check_metadata(&meta) {
        let place = reading.place("node_meta");
        reading.error("node_meta", place, format!("node_meta invalid: {why}"));
    }
    meta
}

fn bootstrap(reading: &mut Reading<'_>, server: bool, dev: bool) -> (bool, u32) {
    let mut bootstrap = reading.bool("bootstrap", false);
    let mut expect: u32 = reading.count("bootstrap_expect", 0, 0);
    let (place, expect_place) = (reading.place("bootstrap"), reading.place("bootstrap_expect"));
    let server_known = !reading.is_poisoned("server");
    if bootstrap && !server && server_known {
        reading.error("bootstrap", place.clone(), "'bootstrap = true' requires 'server = true'");
    }
    if expect > 0 && !server && server_known {
        reading.error(
            "bootstrap_expect",
            expect_place.clone(),
            "'bootstrap_expect > 0' requires 'server = true'",
        );
    }
    if expect > 0 && dev {
        reading.error(
            "bootstrap_expect",
            expect_place.clone(),
            "'bootstrap_expect > 0' not allowed in dev mode",
        );
    }
    if bootstrap && expect > 0 {
        let text = "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive";
        reading.error("bootstrap_expect", expect_place.clone(), text);
    }
    const SEE: &str = "See https://www.consul.io/docs/internals/consensus.html#deployment-table";
    if expect == 1 {
        let text = "BootstrapExpect is set to 1; this is the same as Bootstrap mode.";
        reading.warn("bootstrap_expect", expect_place.clone(), text);
        bootstrap = true;
        expect = 0;
    } else if expect == 2 {
        let text = format!(
            "bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance. {SEE}"
        );
        reading.warn("bootstrap_expect", expect_place.clone(), text);
    } else if expect > 2 && expect.is_multiple_of(2) {
        let text = format!(
            "bootstrap_expect is even number: A cluster with an even number of servers does not achieve optimum fault \
             tolerance. {SEE}"
        );
        reading.warn("bootstrap_expect", expect_place.clone(), text);
    }
    if expect > 0 {
        let text = format!("bootstrap_expect > 0: expecting {expect} servers");
        reading.warn("bootstrap_expect", expect_place, text);
    } else if bootstrap && !dev {
        reading.warn("bootstrap", place.or(expect_place), "bootstrap = true: do not enable unless necessary");
    }
    (bootstrap || dev, expect)
}

fn join(reading: &mut Reading<'_>, machine: &Machine) -> Join {
    let mut addresses = |key: &str| -> Vec<String> {
        let mut found = Vec::new();
        for at in reading.list(key) {
            match expand(&at.value, machine) {
                Ok(text) if text.starts_with("provider=") || text.contains("provider=") => found.push(text),
                Ok(text) => found.extend(text.split_whitespace().map(str::to_owned)),
                Err(why) => reading.error(key, at.pos.clone(), format!("{key}: {why}")),
            }
        }
        found
    };
    let start_lan = addresses("start_join");
    let start_wan = addresses("start_join_wan");
    let lan = addresses("retry_join");
    let wan = addresses("retry_join_wan");
    let mut retry = |addresses, interval: &str, max: &str| RetryJoin {
        addresses,
        interval: reading.duration(interval, Duration::from_secs(30)),
        max_attempts: reading.count(max, 0, 0),
    };
    let retry_lan = retry(lan, "retry_interval", "retry_max");
    let retry_wan = retry(wan, "retry_interval_wan", "retry_max_wan");
    let mut reconnect = |key: &str| {
        let time = reading.duration_set(key)?;
        if time < Duration::from_secs(8 * 3600) {
            let place = reading.place(key);
            let shown = crs_types::format_duration(time);
            reading.error(key, place, format!("{key} cannot be {shown}. Must be at least 8h0m0s"));
        }
        Some(time)
    };
    Join {
        start_lan,
        start_wan,
        retry_lan,
        retry_wan,
        reconnect_timeout_lan: reconnect("reconnect_timeout"),
        reconnect_timeout_wan: reconnect("reconnect_timeout_wan"),
        rejoin_after_leave: reading.bool("rejoin_after_leave", false),
    }
}

fn gossip(reading: &mut Reading<'_>, defaults: &Config) -> Gossip {
    Gossip {
        encrypt: sections::encrypt(reading),
        verify_incoming: reading.bool("encrypt_verify_incoming", true),
        verify_outgoing: reading.bool("encrypt_verify_outgoing", true),
        disable_keyring_file: reading.bool("disable_keyring_file", false),
        lan: timing(reading, "gossip_lan", defaults.gossip.lan),
        wan: timing(reading, "gossip_wan", defaults.gossip.wan),
    }
}

fn timing(reading: &mut Reading<'_>, block: &str, default: GossipTiming) -> GossipTiming {
    let key = |name: &str| format!("{block}.{name}");
    GossipTiming {
        gossip_interval: reading.duration(&key("gossip_interval"), default.gossip_interval),
        gossip_nodes: reading.count(&key("gossip_nodes"), default.gossip_nodes, 0),
        probe_interval: reading.duration(&key("probe_interval"), default.probe_interval),
        probe_timeout: reading.duration(&key("probe_timeout"), default.probe_timeout),
        retransmit_mult: reading.count(&key("retransmit_mult"), default.retransmit_mult, 0),
        suspicion_mult: reading.count(&key("suspicion_mult"), default.suspicion_mult, 0),
    }
}

fn checks(reading: &mut Reading<'_>, dev: bool, acl: bool, anyone_writes: bool) -> Checks {
    let remote = reading.bool("enable_script_checks", false);
    if remote && !acl && anyone_writes {
        let place = reading.place("enable_script_checks");
        reading.warn(
            "enable_script_checks",
            place,
            "using enable-script-checks without ACLs and without allow_write_http_from is DANGEROUS, use \
             enable-local-script-checks instead, see \
             https://www.hashicorp.com/blog/protecting-consul-from-rce-risk-in-specific-configurations/",
        );
    }
    let size = reading.int_set("check_output_max_size");
    let mut output_max_size_bytes = 4096;
    if let Some(at) = size {
        match usize::try_from(at.value) {
            Ok(size) if size > 0 => output_max_size_bytes = size,
            _ => reading.error(
                "check_output_max_size",
                at.pos.clone(),
                "check_output_max_size must be positive, to discard check output use the discard_check_output flag",
            ),
        }
    }
    Checks {
        enable_remote_scripts: remote,
        enable_local_scripts: reading.bool("enable_local_script_checks", false),
        update_interval: {
            let default = if dev { Duration::ZERO } else { Duration::from_secs(300) };
            reading.duration("check_update_interval", default)
        },
        output_max_size_bytes,
        discard_output: reading.bool("discard_check_output", false),
        enable_agent_tls: reading.bool("enable_agent_tls_for_checks", false),
    }
}

#[cfg(test)]
#[path = "load_test.rs"]
mod tests;
