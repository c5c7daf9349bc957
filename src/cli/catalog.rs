//! `crs catalog`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use crs_client::Response;
use serde::Deserialize;

use crate::failure::{During as _, OK, Outcome, at_most};
use crate::options::{NamespaceOption, Pair, ServerOptions};
use crate::output::Out;
use crate::table::{columns, row};

/// Reads the catalog
#[derive(Subcommand, Debug)]
pub(crate) enum Catalog {
    Datacenters(Datacenters),
    Nodes(Nodes),
    Services(Services),
}

impl Catalog {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        match self {
            Catalog::Datacenters(command) => command.run(out).await,
            Catalog::Nodes(command) => command.run(out).await,
            Catalog::Services(command) => command.run(out).await,
        }
    }
}

/// Lists all known datacenters
#[derive(Args, Debug)]
pub(crate) struct Datacenters {
    #[command(flatten)]
    server: ServerOptions,
    #[arg(hide = true)]
    args: Vec<String>,
}

impl Datacenters {
    async fn run(self, out: &mut Out) -> Outcome {
        at_most(&self.args, 0)?;
        let answer = self.server.client()?.get("/v1/catalog/datacenters", &self.server.read()).await;
        let names: Vec<String> = answer
            .and_then(Response::ok)
            .and_then(|answer| answer.json())
            .during("Error listing datacenters")?;
        names.iter().for_each(|name| out.line(name));
        Ok(OK)
    }
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Node", default)]
    node: String,
    #[serde(rename = "Address", default)]
    address: String,
    #[serde(rename = "Datacenter", default)]
    datacenter: String,
    #[serde(rename = "TaggedAddresses", default)]
    tagged_addresses: Option<BTreeMap<String, String>>,
    #[serde(rename = "Meta", default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(rename = "NodeMeta", default)]
    node_meta: Option<BTreeMap<String, String>>,
}

/// Lists the nodes of a datacenter
#[derive(Args, Debug)]
pub(crate) struct Nodes {
    #[command(flatten)]
    server: ServerOptions,
    /// Whole ids, tagged addresses and metadata.
    #[arg(long)]
    detailed: bool,
    /// Only nodes that this expression selects.
    #[arg(long)]
    filter: Option<String>,
    /// Sort by distance from this node.
    #[arg(long)]
    near: Option<String>,
    /// Only nodes with this key=value (repeatable).
    #[arg(long)]
    node_meta: Vec<Pair>,
    /// Only nodes that provide this service.
    #[arg(long)]
    service: Option<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

impl Nodes {
    async fn run(self, out: &mut Out) -> Outcome {
        at_most(&self.args, 0)?;
        let client = self.server.client()?;
        let mut query = self.server.read();
        query.extend(self.near.as_deref().map(|near| ("near", near)));
        query.extend(self.filter.as_deref().map(|filter| ("filter", filter)));
        let metas: Vec<String> =
            self.node_meta.iter().map(|pair| format!("{}:{}", pair.key, pair.value)).collect();
        query.extend(metas.iter().map(|meta| ("node-meta", meta.as_str())));
        let (path, what) = match &self.service {
            Some(service) => (format!("/v1/catalog/service/{service}"), "Error listing service nodes"),
            None => ("/v1/catalog/nodes".to_owned(), "Error listing nodes"),
        };
        let answer = client.get(&path, &query).await.and_then(Response::ok);
        let nodes: Vec<Node> = answer.and_then(|answer| answer.json()).during(what)?;
        if nodes.is_empty() {
            out.error("No nodes match the given query - try expanding your search.");
            return Ok(OK);
        }
        out.line(columns(&self.rows(&nodes)));
        Ok(OK)
    }

    fn rows(&self, nodes: &[Node]) -> Vec<Vec<String>> {
        let pairs = |map: &Option<BTreeMap<String, String>>| {
            let pairs = map.iter().flatten().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(", ")
        };
        let mut rows = vec![if self.detailed {
            row(["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"])
        } else {
            row(["Node", "ID", "Address", "DC"])
        }];
        for node in nodes {
            if self.detailed {
                let meta = pairs(if self.service.is_some() { &node.node_meta } else { &node.meta });
                let addresses = pairs(&node.tagged_addresses);
                rows.push(row([&node.node, &node.id, &node.address, &node.datacenter, &addresses, &meta]));
            } else {
                let id = node.id.get(..8).unwrap_or(&node.id);
                rows.push(row([&node.node, id, &node.address, &node.datacenter]));
            }
        }
        rows
    }
}

/// Lists the services of a datacenter
#[derive(Args, Debug)]
pub(crate) struct Services {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    /// Only services of this node, by id or name.
    #[arg(long)]
    node: Option<String>,
    /// Only services of nodes with this key=value (repeatable).
    #[arg(long)]
    node_meta: Vec<Pair>,
    /// The tags of each service too.
    #[arg(long)]
    tags: bool,
    #[arg(hide = true)]
    args: Vec<String>,
}

#[derive(Deserialize)]
struct OfNode {
    #[serde(rename = "Services")]
    services: BTreeMap<String, Instance>,
}

#[derive(Deserialize)]
struct Instance {
    #[serde(rename = "Service")]
    service: String,
    #[serde(rename = "Tags", default)]
    tags: Option<Vec<String>>,
}

impl Services {
    async fn run(self, out: &mut Out) -> Outcome {
        at_most(&self.args, 0)?;
        let client = self.server.client()?;
        let mut query = self.server.read();
        self.namespace.add(&mut query);
        let metas: Vec<String> =
            self.node_meta.iter().map(|pair| format!("{}:{}", pair.key, pair.value)).collect();
        query.extend(metas.iter().map(|meta| ("node-meta", meta.as_str())));
        let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if let Some(node) = &self.node {
            const WHAT: &str = "Error listing services for node";
            let answer = client.get(&format!("/v1/catalog/node/{node}"), &query).await.and_then(Response::ok);
            let found: Option<OfNode> = answer.and_then(|answer| answer.json()).during(WHAT)?;
            for instance in found.into_iter().flat_map(|found| found.services.into_values()) {
                services.entry(instance.service).or_default().extend(instance.tags.unwrap_or_default());
            }
        } else {
            let answer = client.get("/v1/catalog/services", &query).await.and_then(Response::ok);
            services = answer.and_then(|answer| answer.json()).during("Error listing services")?;
        }
        if services.is_empty() {
            out.error("No services match the given query - try expanding your search.");
            return Ok(OK);
        }
        if !self.tags {
            services.keys().for_each(|name| out.line(name));
            return Ok(OK);
        }
        let rows: Vec<Vec<String>> = services
            .iter_mut()
            .map(|(name, tags)| {
                tags.sort();
                // Consul pads this table by hand, to a width of its own.
                vec![name.clone(), tags.join(",")]
            })
            .collect();
        let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
        for (n, row) in rows.iter().enumerate() {
            // An empty cell at the end of the last line is not padded to.
            let width = if n + 1 == rows.len() && row[1].is_empty() { 0 } else { width + 6 };
            out.line(format_args!("{:width$}{}", row[0], row[1]));
        }
        Ok(OK)
    }
}
