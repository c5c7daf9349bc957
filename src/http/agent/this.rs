//! `self` and `members`: who this agent is and whom it knows.

use std::collections::BTreeMap;

use crs_acl::{Access, Resource};
use crs_agent::{Agent, SPOKEN_VERSION};
use serde_json::json;

use super::debug_config::debug_config;
use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::reply::Reply;

pub(crate) async fn this(call: Call) -> Outcome {
    call.require_on_own_node(Resource::Agent, Access::Read)?;
    let agent = call.agent()?;
    let config = agent.config();
    let meta = agent.node().meta.unwrap_or_default();
    // By hand: the outer objects have an order of their own.
    let body = format!(
        concat!(
            r#"{{"Config":{{"Datacenter":{},"NodeName":{},"NodeID":{},"Revision":"","Server":{},"Version":{}}},"#,
            r#""DebugConfig":{},"Coord":{},"Member":{},"Stats":{},"Meta":{},"xDS":{{"SupportedProxies":{{}}}}}}"#
        ),
        json!(config.datacenter.as_str()),
        json!(config.node_name.as_str()),
        json!(agent.node_id().as_str()),
        config.server,
        json!(SPOKEN_VERSION),
        json!(debug_config(&config, agent.node_id().as_str())),
        COORDINATE,
        member(agent, false),
        json!(stats(&call, agent)),
        json!(meta),
    );
    Ok(Reply::json(body.into_bytes()))
}

/// Where a node stands that has never heard of another.
const COORDINATE: &str = r#"{"Vec":[0,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.00001}"#;

pub(crate) async fn members(call: Call) -> Outcome {
    // `_all` is what the command line asks for unless told otherwise.
    if !matches!(call.param("segment"), "" | "_all") {
        return Err(Failure::refused("Network segments are not supported in this version of Consul"));
    }
    // An empty value means no, as in Consul.
    let wan = !call.param("wan").is_empty();
    let agent = call.agent()?;
    let config = agent.config();
    let seen = call.authorizer()?.allows(Resource::Node, config.node_name.as_str(), Access::Read);
    let exists = !wan || (config.server && config.network.serf_wan_bind.is_some());
    let body = if seen && exists { format!("[{}]", member(agent, wan)) } else { "[]".to_owned() };
    Ok(Reply::json(body.into_bytes()))
}

/// This agent as a member of its pool.
fn member(agent: &Agent, wan: bool) -> String {
    let config = agent.config();
    let network = &config.network;
    let lan_or_wan =
        if wan { network.serf_wan_advertise } else { None }.unwrap_or(network.serf_lan_advertise);
    let name = if wan {
        format!("{}.{}", config.node_name, config.datacenter)
    } else {
        config.node_name.as_str().to_owned()
    };
    let mut tags: BTreeMap<&str, String> = BTreeMap::from([
        ("acls", if config.acl.enabled { "1" } else { "0" }.to_owned()),
        ("build", format!("{SPOKEN_VERSION}:")),
        ("dc", config.datacenter.as_str().to_owned()),
        ("id", agent.node_id().as_str().to_owned()),
        ("role", if config.server { "consul" } else { "node" }.to_owned()),
        ("segment", String::new()),
        ("vsn", "2".to_owned()),
        ("vsn_max", "3".to_owned()),
        ("vsn_min", "2".to_owned()),
    ]);
    if config.server {
        tags.insert("ft_fs", "1".to_owned());
        tags.insert("port", network.rpc_advertise.port().to_string());
        tags.insert("raft_vsn", config.raft.protocol.to_string());
        if let (false, Some(port)) = (wan, config.listen.ports.serf_wan) {
            tags.insert("wan_join_port", port.to_string());
        }
    }
    format!(
        concat!(
            r#"{{"Name":{},"Addr":{},"Port":{},"Tags":{},"Status":1,"ProtocolMin":1,"ProtocolMax":5,"#,
            r#""ProtocolCur":2,"DelegateMin":2,"DelegateMax":5,"DelegateCur":4}}"#
        ),
        json!(name),
        json!(lan_or_wan.ip().to_string()),
        lan_or_wan.port(),
        json!(tags)
    )
}

type Section = BTreeMap<&'static str, String>;

/// What `info` prints. Only what is known is said.
fn stats(call: &Call, agent: &Agent) -> BTreeMap<&'static str, Section> {
    let config = agent.config();
    let server = call.api.server();
    let (services, checks) = agent.local().counts();
    let (monitors, ttls) = agent.check_counts();
    let leader = server.leader().unwrap_or_default();
    let leads = server.leads();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let word = |word: &str| word.to_owned();
    let mut stats = BTreeMap::from([
        (
            "agent",
            Section::from([
                ("check_monitors", monitors.to_string()),
                ("check_ttls", ttls.to_string()),
                ("checks", checks.to_string()),
                ("services", services.to_string()),
            ]),
        ),
        (
            "build",
            Section::from([
                ("prerelease", String::new()),
                ("revision", String::new()),
                ("version", word(SPOKEN_VERSION)),
            ]),
        ),
        (
            "runtime",
            Section::from([
                ("arch", word(go_arch())),
                ("cpu_count", cpus.clone()),
                ("goroutines", tasks.to_string()),
                ("max_procs", cpus),
                ("os", word(std::env::consts::OS)),
                ("version", format!("crs {}", env!("CARGO_PKG_VERSION"))),
            ]),
        ),
        ("serf_lan", serf_stats(&config)),
    ]);
    if config.server {
        stats.insert(
            "consul",
            Section::from([
                ("acl", word(if config.acl.enabled { "enabled" } else { "disabled" })),
                ("bootstrap", (config.bootstrap && !config.dev_mode).to_string()),
                ("known_datacenters", word("1")),
                ("leader", leads.to_string()),
                ("leader_addr", leader),
                ("server", word("true")),
            ]),
        );
        stats.insert("raft", raft_stats(call, &config));
        if config.network.serf_wan_bind.is_some() {
            stats.insert("serf_wan", serf_stats(&config));
        }
    }
    stats
}

fn raft_stats(call: &Call, config: &crs_config::Config) -> Section {
    let server = call.api.server();
    let metrics = server.raft().metrics();
    let voters = metrics.voters.iter().map(|server| ("Voter", server));
    let all = voters.chain(metrics.learners.iter().map(|server| ("Nonvoter", server)));
    let all: Vec<String> = all
        .map(|(suffrage, (id, node))| format!("{{Suffrage:{suffrage} ID:{id} Address:{}}}", node.address))
        .collect();
    Section::from([
        ("applied_index", metrics.applied_index.to_string()),
        ("commit_index", metrics.commit_index.to_string()),
        ("last_log_index", metrics.last_log_index.to_string()),
        ("last_snapshot_index", metrics.snapshot_index.to_string()),
        ("latest_configuration", format!("[{}]", all.join(" "))),
        ("num_peers", metrics.voters.len().saturating_sub(1).to_string()),
        ("protocol_version", config.raft.protocol.to_string()),
        ("state", if server.leads() { "Leader" } else { "Follower" }.to_owned()),
        ("term", metrics.term.to_string()),
    ])
}

/// A pool of one.
fn serf_stats(config: &crs_config::Config) -> Section {
    let mut section: Section =
        ["coordinate_resets", "event_queue", "failed", "health_score", "intent_queue", "left", "query_queue"]
            .into_iter()
            .map(|key| (key, "0".to_owned()))
            .collect();
    for key in ["event_time", "member_time", "members", "query_time"] {
        section.insert(key, "1".to_owned());
    }
    section.insert("encrypted", config.gossip.encrypt.is_some().to_string());
    section
}

/// Go's names of architectures, which clients compare.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinate_is_json() {
        let value: serde_json::Value = serde_json::from_str(COORDINATE).unwrap();
        assert_eq!(value["Vec"].as_array().unwrap().len(), 8);
    }
}
