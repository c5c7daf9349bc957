//! `crs watch`: shows a view of the catalog, or runs a program whenever it changes.

use clap::Args;
use crs_client::{Backoff, Response, Watch as Loop};
use crs_config::WatchKind;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::failure::{During as _, Failure, OK, Outcome};
use crate::go_json;
use crate::options::ServerOptions;
use crate::output::Out;

/// Watches for changes, and runs a program on each
#[derive(Args, Debug)]
pub(crate) struct Watch {
    #[command(flatten)]
    server: ServerOptions,
    /// Key to watch.
    #[arg(long, default_value = "")]
    key: String,
    /// Event to watch; all where none is given.
    #[arg(long, default_value = "")]
    name: String,
    /// Only instances that are healthy: true or false.
    #[arg(long, default_value = "")]
    passingonly: String,
    /// Prefix of keys to watch.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Service to watch.
    #[arg(long, default_value = "")]
    service: String,
    /// Run the program through a shell (the default; -shell=false does not).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    shell: String,
    /// State of checks to watch.
    #[arg(long, default_value = "")]
    state: String,
    /// Only instances with this tag (repeatable).
    #[arg(long)]
    tag: Vec<String>,
    /// What to watch: key, keyprefix, services, nodes, service, checks, event.
    #[arg(long = "type", default_value = "")]
    kind: String,
    #[arg(value_name = "[child...]")]
    args: Vec<String>,
}

/// A request, and how its answer is shown.
pub(crate) struct Plan {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    view: View,
}

impl Plan {
    /// What is watched, out of an answer.
    pub(crate) fn read(&self, answer: Response) -> Result<Value, crs_client::Error> {
        // The query names the event already.
        self.view.read(answer, "")
    }

    /// As a handler reads it.
    pub(crate) fn compact(&self, value: &Value) -> String {
        self.view.compact(value)
    }
}

/// How a watch of the configuration asks; `None` for what this version does not watch.
pub(crate) fn plan_of(kind: &WatchKind) -> Option<Plan> {
    let mut query = Vec::new();
    let (path, view) = match kind {
        WatchKind::Key(key) => (format!("/v1/kv/{key}"), View::Key),
        WatchKind::KeyPrefix(prefix) => {
            query.push(("recurse".to_owned(), String::new()));
            (format!("/v1/kv/{prefix}"), View::KeyPrefix)
        }
        WatchKind::Services => ("/v1/catalog/services".to_owned(), View::Services),
        WatchKind::Nodes => ("/v1/catalog/nodes".to_owned(), View::Nodes),
        WatchKind::Service { service, tags, passing_only } => {
            query.extend(tags.iter().map(|tag| ("tag".to_owned(), tag.clone())));
            if *passing_only {
                query.push(("passing".to_owned(), "1".to_owned()));
            }
            (format!("/v1/health/service/{service}"), View::Service)
        }
        WatchKind::Checks { service, state } => {
            let path = match (service.as_str(), state.as_str()) {
                ("", "") => "/v1/health/state/any".to_owned(),
                ("", state) => format!("/v1/health/state/{state}"),
                (service, _) => format!("/v1/health/checks/{service}"),
            };
            (path, View::Checks)
        }
        WatchKind::Event(name) => {
            if !name.is_empty() {
                query.push(("name".to_owned(), name.clone()));
            }
            ("/v1/event/list".to_owned(), View::Event)
        }
        WatchKind::ConnectRoots | WatchKind::ConnectLeaf(_) | WatchKind::AgentService(_) => return None,
    };
    Some(Plan { path, query, view })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Key,
    KeyPrefix,
    Services,
    Nodes,
    Service,
    Checks,
    Event,
}

impl Watch {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        let shell = parse_bool(&self.shell).ok_or_else(|| {
            Failure::new(format!("invalid boolean value {:?} for -shell: parse error", self.shell))
        })?;
        let plan = self.plan()?;
        let client = self.server.client()?;
        // As Consul does: a wrong address is told at once, not retried.
        client
            .get("/v1/agent/self", &[])
            .await
            .and_then(Response::ok)
            .during("Error querying Consul agent")?;
        let query: Vec<(&str, &str)> =
            plan.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if self.args.is_empty() {
            let answer = client.get(&plan.path, &query).await.during("Error executing watch")?;
            let value = plan.view.read(answer, &self.name).during("Error executing watch")?;
            out.line(plan.view.pretty(&value));
            return Ok(OK);
        }
        let mut watch = Loop::new(client, &plan.path, &query);
        watch.backoff = Backoff::WATCH;
        let stop = stop();
        tokio::pin!(stop);
        let mut last: Option<Value> = None;
        loop {
            let next = tokio::select! {
                next = watch.next() => next,
                () = &mut stop => return Ok(OK),
            };
            let value = match next.and_then(|answer| plan.view.read(answer, &self.name)) {
                Ok(value) => value,
                Err(error) => {
                    out.error(format_args!(
                        "Watch (type: {}) errored: {error}, retry in {:?}",
                        self.kind,
                        watch.backoff.after(watch.failures())
                    ));
                    continue;
                }
            };
            // An index can move without the view; nobody wants to hear of that.
            if last.as_ref() == Some(&value) {
                continue;
            }
            let text = plan.view.compact(&value) + "\n";
            last = Some(value);
            let child = self.child(shell, &text, watch.index());
            tokio::select! {
                result = child => result?,
                () = &mut stop => return Ok(OK),
            }
        }
    }

    async fn child(&self, shell: bool, text: &str, index: u64) -> Result<(), Failure> {
        let mut command = if shell {
            let mut command = tokio::process::Command::new("/bin/sh");
            command.arg("-c").arg(self.args.join(" "));
            command
        } else {
            let mut command = tokio::process::Command::new(&self.args[0]);
            command.args(&self.args[1..]);
            command
        };
        let index = index.to_string();
        command.env("CONSUL_INDEX", &index).env("CRS_INDEX", &index);
        command.stdin(std::process::Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let program = &self.args[0];
            Failure::new(match error.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("Error starting handler: exec: {program:?}: executable file not found in $PATH")
                }
                _ => format!("Error starting handler: {}", crs_client::system_text(&error)),
            })
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that does not read its input is none of our business.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        let status = child.wait().await.during("Error executing handler")?;
        match (status.success(), status.code()) {
            (true, _) => Ok(()),
            (false, Some(code)) => Err(Failure::new(format!("Error executing handler: exit status {code}"))),
            (false, None) => Err(Failure::new(format!("Error executing handler: {status}"))),
        }
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let fail = |text: &str| Err(Failure::new(text));
        if self.kind.is_empty() {
            return Err(Failure::with_help("Watch type must be specified"));
        }
        if matches!(self.kind.as_str(), "connect_roots" | "connect_leaf" | "agent_service") {
            return fail(&format!("Type {} is not supported in the CLI tool", self.kind));
        }
        let passing = match self.passingonly.as_str() {
            "" => false,
            text => parse_bool(text).ok_or_else(|| {
                let why = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
                Failure::new(format!("Failed to parse passingonly flag: {why}"))
            })?,
        };
        let mut known: &[&str] = &[];
        let mut query: Vec<(String, String)> =
            self.server.read().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (path, view) = match self.kind.as_str() {
            "key" if self.key.is_empty() => return fail("Must specify a single key to watch"),
            "key" => {
                known = &["key"];
                (format!("/v1/kv/{}", self.key), View::Key)
            }
            "keyprefix" if self.prefix.is_empty() => return fail("Must specify a single prefix to watch"),
            "keyprefix" => {
                known = &["prefix"];
                query.push(("recurse".into(), String::new()));
                (format!("/v1/kv/{}", self.prefix), View::KeyPrefix)
            }
            "services" => ("/v1/catalog/services".into(), View::Services),
            "nodes" => ("/v1/catalog/nodes".into(), View::Nodes),
            "service" if self.service.is_empty() => return fail("Must specify a single service to watch"),
            "service" => {
                known = &["service", "tag", "passingonly"];
                query.extend(self.tag.iter().map(|tag| ("tag".to_owned(), tag.clone())));
                if passing {
                    query.push(("passing".into(), "1".into()));
                }
                (format!("/v1/health/service/{}", self.service), View::Service)
            }
            "checks" if !self.service.is_empty() && !self.state.is_empty() => {
                return fail("Cannot specify service and state");
            }
            "checks" => {
                known = &["service", "state"];
                let path = match (self.service.as_str(), self.state.as_str()) {
                    ("", "") => "/v1/health/state/any".to_owned(),
                    ("", state) => format!("/v1/health/state/{state}"),
                    (service, _) => format!("/v1/health/checks/{service}"),
                };
                (path, View::Checks)
            }
            "event" => {
                known = &["name"];
                if !self.name.is_empty() {
                    query.push(("name".into(), self.name.clone()));
                }
                ("/v1/event/list".into(), View::Event)
            }
            other => return fail(&format!("Unsupported watch type: {other}")),
        };
        let given = [
            ("key", !self.key.is_empty()),
            ("name", !self.name.is_empty()),
            ("passingonly", passing),
            ("prefix", !self.prefix.is_empty()),
            ("service", !self.service.is_empty()),
            ("state", !self.state.is_empty()),
            ("tag", !self.tag.is_empty()),
        ];
        let unknown: Vec<&str> = given
            .iter()
            .filter(|(name, given)| *given && !known.contains(name))
            .map(|(name, _)| *name)
            .collect();
        if !unknown.is_empty() {
            return fail(&format!("Invalid parameters: [{}]", unknown.join(" ")));
        }
        Ok(Plan { path, query, view })
    }
}

/// SIGINT or SIGTERM: both end a watch in order.
async fn stop() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl View {
    /// What is watched, out of an answer.
    fn read(self, answer: Response, event: &str) -> Result<Value, crs_client::Error> {
        let absent = answer.status == 404;
        Ok(match self {
            View::Key if absent => Value::Null,
            View::KeyPrefix if absent => Value::Null,
            View::Key => {
                let pairs: Value = answer.ok()?.json()?;
                pairs.get(0).cloned().unwrap_or(Value::Null)
            }
            View::Event => {
                let events: Vec<Value> = answer.ok()?.json()?;
                let named = |one: &Value| event.is_empty() || one["Name"] == event;
                events.into_iter().filter(named).collect()
            }
            _ => answer.ok()?.json()?,
        })
    }

    fn shape(self) -> &'static go_json::Shape {
        match self {
            View::Key | View::KeyPrefix => &go_json::KV_PAIR,
            View::Services => &go_json::ANY,
            View::Nodes => &go_json::NODE,
            View::Service => &go_json::SERVICE_ENTRY,
            View::Checks => &go_json::CHECK,
            View::Event => &go_json::EVENT,
        }
    }

    fn pretty(self, value: &Value) -> String {
        go_json::print(value, self.shape(), Some("    "))
    }

    fn compact(self, value: &Value) -> String {
        go_json::print(value, self.shape(), None)
    }
}
