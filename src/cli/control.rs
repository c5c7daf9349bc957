//! Commands that tell an agent to do something: `reload`, `leave`, `join`, `force-leave`, `maint`, `event`.

use std::collections::BTreeMap;

use clap::Args;
use crs_client::Response;
use serde::Deserialize;

use crate::failure::{During as _, Failure, OK, Outcome};
use crate::members::go_regex_error;
use crate::options::HttpOptions;
use crate::output::Out;

/// Makes the agent read its configuration again
#[derive(Args, Debug)]
pub(crate) struct Reload {
    #[command(flatten)]
    http: HttpOptions,
    #[arg(hide = true)]
    _args: Vec<String>,
}

impl Reload {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        let answer = self.http.client()?.put("/v1/agent/reload", &[], "").await;
        answer.and_then(Response::ok).during("Error reloading")?;
        out.line("Configuration reload triggered");
        Ok(OK)
    }
}

/// Leaves the cluster gracefully and ends the agent
#[derive(Args, Debug)]
pub(crate) struct Leave {
    #[command(flatten)]
    http: HttpOptions,
    #[arg(hide = true)]
    args: Vec<String>,
}

impl Leave {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        if !self.args.is_empty() {
            // Here alone Consul prints the help on standard output.
            out.bytes(crate::help::long(&crate::command::tree(), &["leave".to_owned()]).as_bytes());
            let words = self.args.join(" ");
            return Err(Failure::new(format!("Error found unexpected args: [{words}]")));
        }
        let answer = self.http.client()?.put("/v1/agent/leave", &[], "").await;
        answer.and_then(Response::ok).during("Error leaving")?;
        out.line("Graceful leave complete");
        Ok(OK)
    }
}

/// Makes the agent join a cluster
#[derive(Args, Debug)]
pub(crate) struct Join {
    #[command(flatten)]
    http: HttpOptions,
    /// Join a server of another datacenter.
    #[arg(long)]
    wan: bool,
    #[arg(value_name = "address ...")]
    args: Vec<String>,
}

impl Join {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        if self.args.is_empty() {
            return Err(Failure::with_help("At least one address to join must be specified."));
        }
        let client = self.http.client()?;
        let query: &[(&str, &str)] = if self.wan { &[("wan", "1")] } else { &[] };
        let mut joined = 0;
        for address in &self.args {
            let answer = client.put(&format!("/v1/agent/join/{address}"), query, "").await;
            match answer.and_then(Response::ok) {
                Ok(_) => joined += 1,
                Err(error) => out.error(format_args!("Error joining address '{address}': {error}")),
            }
        }
        if joined == 0 {
            return Err(Failure::new("Failed to join any nodes."));
        }
        out.line(format_args!("Successfully joined cluster by contacting {joined} nodes."));
        Ok(OK)
    }
}

/// Makes a failed member count as left
#[derive(Args, Debug)]
pub(crate) struct ForceLeave {
    #[command(flatten)]
    http: HttpOptions,
    /// Forget the member at once.
    #[arg(long)]
    prune: bool,
    #[arg(value_name = "name")]
    args: Vec<String>,
}

impl ForceLeave {
    pub(crate) async fn run(self, _out: &mut Out) -> Outcome {
        let [node] = self.args.as_slice() else {
            return Err(Failure::with_help("A single node name must be specified to force leave."));
        };
        let query: &[(&str, &str)] = if self.prune { &[("prune", "1")] } else { &[] };
        let answer = self.http.client()?.put(&format!("/v1/agent/force-leave/{node}"), query, "").await;
        answer.and_then(Response::ok).during("Error force leaving")?;
        Ok(OK)
    }
}

/// Takes a node or a service out of service, and back
#[derive(Args, Debug)]
pub(crate) struct Maint {
    #[command(flatten)]
    http: HttpOptions,
    /// Maintenance is over.
    #[arg(long)]
    disable: bool,
    /// Maintenance begins.
    #[arg(long)]
    enable: bool,
    /// Why, for those who look at the checks.
    #[arg(long, default_value = "")]
    reason: String,
    /// Only this service of the node.
    #[arg(long, default_value = "")]
    service: String,
    #[arg(hide = true)]
    _args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    node: String,
    #[serde(rename = "CheckID")]
    check_id: String,
    #[serde(rename = "ServiceID", default)]
    service_id: String,
    #[serde(default)]
    notes: String,
}

impl Maint {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        if self.enable && self.disable {
            return Err(Failure::new("Only one of -enable or -disable may be provided"));
        }
        if !self.enable && !self.reason.is_empty() {
            return Err(Failure::new("Reason may only be provided with -enable"));
        }
        if !self.enable && !self.disable {
            if !self.service.is_empty() {
                return Err(Failure::new("Service requires either -enable or -disable"));
            }
            return self.list(out).await;
        }
        let word = if self.enable { "true" } else { "false" };
        let mut query = vec![("enable", word)];
        if self.enable {
            query.push(("reason", &self.reason));
        }
        let (verb, state) = if self.enable { ("enabling", "enabled") } else { ("disabling", "disabled") };
        let client = self.http.client()?;
        if self.service.is_empty() {
            let answer = client.put("/v1/agent/maintenance", &query, "").await;
            answer.and_then(Response::ok).during(&format!("Error {verb} node maintenance"))?;
            out.line(format_args!("Node maintenance is now {state}"));
        } else {
            let path = format!("/v1/agent/service/maintenance/{}", self.service);
            let answer = client.put(&path, &query, "").await;
            answer.and_then(Response::ok).during(&format!("Error {verb} service maintenance"))?;
            out.line(format_args!("Service maintenance is now {state} for {:?}", self.service));
        }
        Ok(OK)
    }

    async fn list(&self, out: &mut Out) -> Outcome {
        let client = self.http.client()?;
        let answer = client.get("/v1/agent/checks", &[]).await.and_then(Response::ok);
        let checks: BTreeMap<String, Check> =
            answer.and_then(|answer| answer.json()).during("Error getting checks")?;
        for check in checks.values().filter(|check| check.check_id == "_node_maintenance") {
            out.line("Node:");
            out.line(format_args!("  Name:   {}", check.node));
            out.line(format_args!("  Reason: {}\n", check.notes));
        }
        for check in checks.values().filter(|check| check.check_id.starts_with("_service_maintenance:")) {
            out.line("Service:");
            out.line(format_args!("  ID:     {}", check.service_id));
            out.line(format_args!("  Reason: {}\n", check.notes));
        }
        Ok(OK)
    }
}

/// Fires an event that agents can act on
#[derive(Args, Debug)]
pub(crate) struct Event {
    #[command(flatten)]
    http: HttpOptions,
    /// Datacenter it is fired in.
    #[arg(long, help_heading = "HTTP API Options")]
    datacenter: Option<String>,
    /// Its name.
    #[arg(long, default_value = "")]
    name: String,
    /// Only for nodes that fit this regular expression.
    #[arg(long, default_value = "")]
    node: String,
    /// Only for nodes with a service that fits this regular expression.
    #[arg(long, default_value = "")]
    service: String,
    /// With -service: only where a tag fits this regular expression.
    #[arg(long, default_value = "")]
    tag: String,
    #[arg(value_name = "[payload]")]
    args: Vec<String>,
}

impl Event {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        if self.name.is_empty() {
            return Err(Failure::with_help("Event name must be specified"));
        }
        for (text, what) in [(&self.node, "node"), (&self.service, "service"), (&self.tag, "tag")] {
            regex::Regex::new(text)
                .map_err(|error| go_regex_error(text, &error))
                .during(&format!("Failed to compile {what} filter regexp"))?;
        }
        if !self.tag.is_empty() && self.service.is_empty() {
            return Err(Failure::new("Cannot provide tag filter without service filter."));
        }
        let payload = match self.args.as_slice() {
            [] => String::new(),
            [payload] => payload.clone(),
            _ => return Err(Failure::with_help("Too many command line arguments.")),
        };
        let mut query = Vec::new();
        for (name, value) in [("node", &self.node), ("service", &self.service), ("tag", &self.tag)] {
            if !value.is_empty() {
                query.push((name, value.as_str()));
            }
        }
        query.extend(self.datacenter.as_deref().map(|datacenter| ("dc", datacenter)));
        let answer = self.http.client()?.put(&format!("/v1/event/fire/{}", self.name), &query, payload).await;
        let fired: Fired =
            answer.and_then(Response::ok).and_then(|answer| answer.json()).during("Error firing event")?;
        out.line(format_args!("Event ID: {}", fired.id));
        Ok(OK)
    }
}

#[derive(Deserialize)]
struct Fired {
    #[serde(rename = "ID")]
    id: String,
}
