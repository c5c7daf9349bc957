//! `crs operator raft`.

use clap::{Args, Subcommand};
use crs_client::Response;
use serde::Deserialize;

use crate::failure::{During as _, Failure, OK, Outcome};
use crate::options::ServerOptions;
use crate::output::Out;
use crate::table::{columns, row};

/// Tools for operators of a cluster
#[derive(Subcommand, Debug)]
pub(crate) enum Operator {
    /// Looks at the servers' consensus and removes servers from it
    #[command(subcommand)]
    Raft(Raft),
}

#[derive(Subcommand, Debug)]
pub(crate) enum Raft {
    ListPeers(ListPeers),
    RemovePeer(RemovePeer),
}

impl Operator {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        match self {
            Operator::Raft(Raft::ListPeers(command)) => command.run(out).await,
            Operator::Raft(Raft::RemovePeer(command)) => command.run(out).await,
        }
    }
}

/// Lists the servers that take part
#[derive(Args, Debug)]
pub(crate) struct ListPeers {
    #[command(flatten)]
    server: ServerOptions,
    #[arg(hide = true)]
    _args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    servers: Vec<Peer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Peer {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    leader: bool,
    protocol_version: String,
    voter: bool,
}

impl ListPeers {
    async fn run(self, out: &mut Out) -> Outcome {
        let answer = self.server.client()?.get("/v1/operator/raft/configuration", &self.server.read()).await;
        let found: Configuration = answer
            .and_then(Response::ok)
            .and_then(|answer| answer.json())
            .during("Error getting peers: Failed to retrieve raft configuration")?;
        let mut rows = vec![row(["Node", "ID", "Address", "State", "Voter", "RaftProtocol"])];
        for peer in &found.servers {
            let state = if peer.leader { "leader" } else { "follower" };
            let protocol = if peer.protocol_version.is_empty() { "<=1" } else { &peer.protocol_version };
            rows.push(row([&peer.node, &peer.id, &peer.address, state, &peer.voter.to_string(), protocol]));
        }
        out.line(columns(&rows));
        Ok(OK)
    }
}

/// Removes a server that will not come back
#[derive(Args, Debug)]
pub(crate) struct RemovePeer {
    #[command(flatten)]
    server: ServerOptions,
    /// Its address, host:port.
    #[arg(long, default_value = "")]
    address: String,
    /// Its id.
    #[arg(long, default_value = "")]
    id: String,
    #[arg(hide = true)]
    _args: Vec<String>,
}

impl RemovePeer {
    async fn run(self, out: &mut Out) -> Outcome {
        let (query, what) = match (self.address.as_str(), self.id.as_str()) {
            ("", "") => {
                return Err(Failure::new(
                    "Error removing peer: an address or id is required for the peer to remove",
                ));
            }
            (address, "") => (("address", address), format!("address {address:?}")),
            ("", id) => (("id", id), format!("id {id:?}")),
            _ => return Err(Failure::new("Error removing peer: cannot give both an address and id")),
        };
        let answer = self.server.client()?.delete("/v1/operator/raft/peer", &[query]).await;
        answer.and_then(Response::ok).during("Error removing peer")?;
        out.line(format_args!("Removed peer with {what}"));
        Ok(OK)
    }
}
