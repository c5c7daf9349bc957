//! `crs rtt`: the distance between two nodes, by their network coordinates.

use clap::Args;
use crs_client::{Client, Response};
use serde::Deserialize;

use crate::failure::{During as _, Failure, OK, Outcome};
use crate::options::HttpOptions;
use crate::output::Out;

/// Estimates the round trip time between two nodes
#[derive(Args, Debug)]
pub(crate) struct Rtt {
    #[command(flatten)]
    http: HttpOptions,
    /// Use WAN coordinates; names are node.datacenter.
    #[arg(long)]
    wan: bool,
    #[arg(value_name = "node1 [node2]")]
    args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Coordinate {
    vec: Vec<f64>,
    adjustment: f64,
    height: f64,
}

impl Coordinate {
    /// Vivaldi's distance in seconds: the vectors apart, both heights, and the adjustments unless they make it negative.
    fn seconds_to(&self, other: &Coordinate) -> f64 {
        let square: f64 = self.vec.iter().zip(&other.vec).map(|(a, b)| (a - b) * (a - b)).sum();
        let raw = square.sqrt() + self.height + other.height;
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: String,
    #[serde(default)]
    segment: String,
    coord: Coordinate,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Area {
    datacenter: String,
    coordinates: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Itself {
    config: Names,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Names {
    node_name: String,
    datacenter: String,
}

impl Rtt {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        let (first, second) = match self.args.as_slice() {
            [first] => (first.clone(), None),
            [first, second] => (first.clone(), Some(second.clone())),
            _ => return Err(Failure::with_help("One or two node names must be specified")),
        };
        let named_with_datacenter =
            |name: &str| name.rsplit_once('.').is_some_and(|(node, dc)| !node.is_empty() && !dc.is_empty());
        if self.wan && !std::iter::once(&first).chain(&second).all(|name| named_with_datacenter(name)) {
            return Err(Failure::new("Node names must be specified as <node name>.<datacenter> with -wan"));
        }
        let client = self.http.client()?;
        let second = match second {
            Some(second) => second,
            None => self.own_name(&client).await?,
        };
        let list = if self.wan { wan(&client).await? } else { lan(&client).await? };
        let of = |name: &str| -> Result<Vec<&Entry>, Failure> {
            let found: Vec<&Entry> = list.iter().filter(|entry| entry.node == name).collect();
            if found.is_empty() {
                return Err(Failure::new(format!("Could not find a coordinate for node {name:?}")));
            }
            Ok(found)
        };
        let (a, b) = (of(&first)?, of(&second)?);
        let pair = a.iter().find_map(|a| b.iter().find(|b| b.segment == a.segment).map(|b| (a, b)));
        let Some((a, b)) = pair else {
            return Err(Failure::new("Could not find a compatible coordinate for nodes"));
        };
        let ms = a.coord.seconds_to(&b.coord) * 1000.0;
        let which = if self.wan { "WAN" } else { "LAN" };
        out.line(format_args!("Estimated {first} <-> {second} rtt: {ms:.3} ms (using {which} coordinates)"));
        Ok(OK)
    }

    async fn own_name(&self, client: &Client) -> Result<String, Failure> {
        let answer = client.get("/v1/agent/self", &[]).await.and_then(Response::ok);
        let itself: Itself =
            answer.and_then(|answer| answer.json()).during("Unable to look up local node name")?;
        let names = itself.config;
        Ok(if self.wan { format!("{}.{}", names.node_name, names.datacenter) } else { names.node_name })
    }
}

async fn lan(client: &Client) -> Result<Vec<Entry>, Failure> {
    let answer = client.get("/v1/coordinate/nodes", &[]).await.and_then(Response::ok);
    answer.and_then(|answer| answer.json()).during("Error getting coordinates")
}

async fn wan(client: &Client) -> Result<Vec<Entry>, Failure> {
    let answer = client.get("/v1/coordinate/datacenters", &[]).await.and_then(Response::ok);
    let areas: Vec<Area> = answer.and_then(|answer| answer.json()).during("Error getting coordinates")?;
    let named = areas.into_iter().flat_map(|area| {
        let datacenter = area.datacenter;
        area.coordinates.into_iter().map(move |entry| {
            let name = entry.node.strip_suffix(&format!(".{datacenter}")).unwrap_or(&entry.node).to_owned();
            Entry { node: format!("{name}.{datacenter}"), ..entry }
        })
    });
    Ok(named.collect())
}
