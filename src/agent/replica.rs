//! Starts the server's part in its cluster: raft on the data directory, or in memory with `-dev`.

use std::path::Path;
use std::sync::Arc;

use crs_config::Config;
use crs_raft::{Options, Raft, ServerId, ServerNode, SnapshotRules, Storage, Timings};
use crs_server::{Published, QueryLimits, Server, ServerSettings};
use crs_types::NodeId;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::agent::node_of;

/// The folder of log and snapshots in the data directory.
const RAFT_FOLDER: &str = "raft";

/// Starts raft and the server on it. A server that is told to stand alone makes its cluster at the first start, and
/// leads when this returns.
pub(crate) async fn start_server(
    config: &Config,
    node_id: &NodeId,
    data_dir: Option<&Path>,
    stop: &CancellationToken,
) -> Result<Arc<Server>, String> {
    if !config.server {
        return Err("client agents are not part of this version: set 'server = true'".to_owned());
    }
    if !config.bootstrap {
        return Err(
            "clusters of several servers are not part of this version: set 'bootstrap_expect = 1'".to_owned()
        );
    }
    // Tokens are not resolved yet: whoever asked for protection must not be served without it.
    if config.acl.enabled {
        return Err(
            "ACLs are not part of this version, and everything would be open: set 'acl.enabled = false' to \
                    start without protection"
                .to_owned(),
        );
    }
    let published = Arc::new(Published::default());
    let options = options(config, node_id, data_dir)?;
    let raft = Raft::start(options, published.clone()).await.map_err(|error| error.to_string())?;
    let metrics = raft.metrics();
    info!(
        target: "agent.server.raft",
        last_log_index = metrics.last_log_index,
        snapshot_index = metrics.snapshot_index,
        index = published.state().index().0,
        "initial state read"
    );
    raft.bootstrap_alone().await.map_err(|error| error.to_string())?;
    let settings = ServerSettings {
        datacenter: config.datacenter.clone(),
        node: node_of(config, node_id).0,
        rpc_port: config.network.rpc_advertise.port(),
        query_limits: QueryLimits {
            default_wait: config.limits.default_query_time,
            max_wait: config.limits.max_query_time,
        },
        rpc_hold_timeout: config.raft.rpc_hold_timeout,
        session_ttl_min: config.limits.session_ttl_min,
    };
    Ok(Arc::new(Server::new(settings, raft, published, stop.child_token())))
}

fn options(config: &Config, node_id: &NodeId, data_dir: Option<&Path>) -> Result<Options, String> {
    let id: ServerId = node_id.as_str().parse().map_err(|error| format!("node_id: {error}"))?;
    let node =
        ServerNode { name: config.node_name.to_string(), address: config.network.rpc_advertise.to_string() };
    let storage = match data_dir {
        Some(path) => Storage::Directory(path.join(RAFT_FOLDER)),
        None => Storage::Memory,
    };
    Ok(Options {
        timings: Timings::default().scaled(config.raft.multiplier),
        snapshots: SnapshotRules {
            threshold: config.raft.snapshot_threshold,
            trailing: config.raft.trailing_logs,
            interval: config.raft.snapshot_interval,
            ..SnapshotRules::default()
        },
        ..Options::new(id, node, storage)
    })
}

/// Returns when raft has failed for good: the process must end, since it can acknowledge nothing any more.
pub(crate) async fn watch_raft(server: Arc<Server>, stop: CancellationToken) -> Result<(), String> {
    tokio::select! {
        reason = server.raft().stopped() => Err(reason),
        () = stop.cancelled() => Ok(()),
    }
}
