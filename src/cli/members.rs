//! `crs members`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;

use crate::failure::{During as _, EMPTY, OK, Outcome};
use crate::options::HttpOptions;
use crate::output::Out;
use crate::table::{columns, row};

/// Lists the members of a cluster
#[derive(Args, Debug)]
pub(crate) struct Members {
    #[command(flatten)]
    http: HttpOptions,
    /// All tags of each node.
    #[arg(long)]
    detailed: bool,
    /// (Enterprise.) Only members of this segment.
    #[arg(long, default_value = "_all")]
    segment: String,
    /// Only members whose status fits this regular expression.
    #[arg(long, default_value = ".*")]
    status: String,
    /// Members of the WAN pool: the servers of all datacenters.
    #[arg(long)]
    wan: bool,
    #[arg(hide = true)]
    _args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    name: String,
    addr: String,
    port: u16,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    status: i64,
}

impl Member {
    fn status(&self) -> &'static str {
        match self.status {
            0 => "none",
            1 => "alive",
            2 => "leaving",
            3 => "left",
            4 => "failed",
            _ => "unknown",
        }
    }

    fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("", String::as_str)
    }

    fn address(&self) -> String {
        if self.addr.contains(':') {
            format!("[{}]:{}", self.addr, self.port)
        } else {
            format!("{}:{}", self.addr, self.port)
        }
    }

    fn segment(&self) -> &str {
        match (self.tag("role"), self.tag("segment")) {
            ("consul", _) => "<all>",
            (_, "") => "<default>",
            (_, segment) => segment,
        }
    }

    fn build(&self) -> &str {
        match self.tag("build").split(':').next() {
            None | Some("") => "< 0.3",
            Some(build) => build,
        }
    }
}

impl Members {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        let status = regex::Regex::new(&self.status).map_err(|error| go_regex_error(&self.status, &error));
        let status = status.during("Failed to compile status regexp")?;
        let client = self.http.client()?;
        let mut query = vec![("segment", self.segment.as_str())];
        if self.wan {
            query.push(("wan", "1"));
        }
        let answer = client.get("/v1/agent/members", &query).await.and_then(crs_client::Response::ok);
        let mut members: Vec<Member> =
            answer.and_then(|answer| answer.json()).during("Error retrieving members")?;
        members.retain(|member| status.is_match(member.status()));
        if members.is_empty() {
            return Ok(EMPTY);
        }
        members.sort_by(|a, b| (&a.name, a.segment()).cmp(&(&b.name, b.segment())));
        let rows = if self.detailed { detailed(&members) } else { plain(&members) };
        out.line(columns(&rows));
        Ok(OK)
    }
}

fn plain(members: &[Member]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"])];
    for member in members {
        let kind = match member.tag("role") {
            "node" => "client",
            "consul" => "server",
            _ => "unknown",
        };
        let (address, status) = (member.address(), member.status());
        rows.push(if kind == "unknown" {
            row([&member.name, &address, status, kind, "", "", "", ""])
        } else {
            let (build, dc) = (member.build(), member.tag("dc"));
            row([&member.name, &address, status, kind, build, member.tag("vsn"), dc, member.segment()])
        });
    }
    rows
}

fn detailed(members: &[Member]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["Node", "Address", "Status", "Tags"])];
    for member in members {
        let mut tags = member.tags.clone();
        if tags.contains_key("segment") {
            tags.insert("segment".into(), member.segment().to_owned());
        }
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        rows.push(row([&member.name, &member.address(), member.status(), &tags.join(",")]));
    }
    rows
}

/// The fault of a regular expression as Go words it, where the two have a word in common.
pub(crate) fn go_regex_error(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let why = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    match why {
        "unclosed group" => format!("error parsing regexp: missing closing ): `{pattern}`"),
        why => format!("error parsing regexp: {why}: `{pattern}`"),
    }
}
