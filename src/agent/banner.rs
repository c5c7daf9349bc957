//! What an operator sees first.

use std::fmt::Write as _;

use crs_config::Config;
use crs_types::NodeId;

/// The generation of Consul whose API and wire are spoken; machines read it.
pub const SPOKEN_VERSION: &str = "1.8.7";

/// Consul's labels, right-aligned to one column.
pub(crate) fn text(config: &Config, node_id: &NodeId, version: &str) -> String {
    let mut out = String::from("==> Starting crs agent...\n");
    let port = |port: Option<u16>| port.map_or(-1, i32::from);
    let ports = &config.listen.ports;
    let segment = if config.server { "<all>" } else { "" };
    let tls_incoming = config.tls.verify_incoming_rpc || config.tls.verify_incoming_https;
    let data = config.data_dir.as_ref().map_or_else(
        || "none: everything is gone when this agent stops".to_owned(),
        |path| format!("'{}'", path.display()),
    );
    let rows = [
        ("Version", format!("'{version}' (speaks Consul {SPOKEN_VERSION})")),
        ("Node ID", format!("'{node_id}'")),
        ("Node name", format!("'{}'", config.node_name)),
        ("Datacenter", format!("'{}' (Segment: '{segment}')", config.datacenter)),
        ("Server", format!("{} (Bootstrap: {})", config.server, config.bootstrap && !config.dev_mode)),
        (
            "Client Addr",
            format!(
                "[{}] (HTTP: {}, HTTPS: {}, gRPC: {}, DNS: {})",
                config.listen.client_addrs.join(" "),
                port(ports.http),
                port(ports.https),
                port(ports.grpc),
                port(ports.dns)
            ),
        ),
        (
            "Cluster Addr",
            format!(
                "{} (LAN: {}, WAN: {})",
                config.network.advertise_lan,
                ports.serf_lan,
                port(ports.serf_wan)
            ),
        ),
        (
            "Encrypt",
            format!(
                "Gossip: {}, TLS-Outgoing: {}, TLS-Incoming: {tls_incoming}, Auto-Encrypt-TLS: {}",
                config.gossip.encrypt.is_some(),
                config.tls.verify_outgoing,
                config.auto_encrypt.tls || config.auto_encrypt.allow_tls
            ),
        ),
        ("Data", data),
    ];
    for (label, value) in rows {
        _ = writeln!(out, "{label:>17}: {value}");
    }
    out.push_str("\n==> Log data will now stream in as it occurs:\n\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_as_consuls_do() {
        let config = Config { node_name: "n1".into(), ..Config::dev_defaults() };
        let text = text(&config, &"id".into(), "0.1.0");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "==> Starting crs agent...");
        assert_eq!(lines[1], "          Version: '0.1.0' (speaks Consul 1.8.7)");
        assert_eq!(lines[4], "       Datacenter: 'dc1' (Segment: '<all>')");
        assert_eq!(lines[5], "           Server: true (Bootstrap: false)");
        assert_eq!(lines[6], "      Client Addr: [127.0.0.1] (HTTP: 8500, HTTPS: -1, gRPC: 8502, DNS: 8600)");
        assert_eq!(lines[7], "     Cluster Addr: 127.0.0.1 (LAN: 8301, WAN: 8302)");
        assert!(text.ends_with("==> Log data will now stream in as it occurs:\n\n"));
    }
}
