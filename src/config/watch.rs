//! `watches`: what to observe, and what to do on a change.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::{Secret, parse_duration};

use crate::raw::RawField;
use crate::reading::Reading;
use crate::value::{Entry, Kind, Map, Pos, Value};

/// One entry of `watches`.
#[derive(Clone, PartialEq, Debug)]
pub struct WatchSpec {
    /// What is observed.
    pub kind: WatchKind,
    /// `datacenter`; empty: the agent's own.
    pub datacenter: String,
    /// `token`; empty: the agent's default.
    pub token: Secret<String>,
    /// `stale` reads.
    pub stale: bool,
    /// What is done on a change.
    pub handler: WatchHandler,
}

/// What is observed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchKind {
    /// `key`: one key.
    Key(String),
    /// `keyprefix`: all keys under a prefix.
    KeyPrefix(String),
    /// `services`: the list of services.
    Services,
    /// `nodes`: the list of nodes.
    Nodes,
    /// `service`: the instances of a service.
    Service {
        /// Name.
        service: String,
        /// All of these tags.
        tags: Vec<String>,
        /// Only healthy ones.
        passing_only: bool,
    },
    /// `checks`: of a service, or of a state; both empty: every check.
    Checks {
        /// Service name, or empty.
        service: String,
        /// State, or empty.
        state: String,
    },
    /// `event`: user events, of a name or all.
    Event(String),
    /// `connect_roots`: the CA's roots.
    ConnectRoots,
    /// `connect_leaf`: a service's certificate.
    ConnectLeaf(String),
    /// `agent_service`: one of the agent's services.
    AgentService(String),
}

/// What is done on a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchHandler {
    /// `args`: program and arguments, JSON on standard input.
    Exec(Vec<String>),
    /// `handler`: a line for the shell (legacy).
    Shell(String),
    /// `handler_type = "http"` with `http_handler_config`.
    Http {
        /// `path`: the URL.
        url: String,
        /// `method`; default POST.
        method: String,
        /// `header`.
        header: BTreeMap<String, Vec<String>>,
        /// `timeout`; default 10 s.
        timeout: Duration,
        /// `tls_skip_verify`.
        tls_skip_verify: bool,
    },
}

/// All entries of `watches`.
pub(crate) fn watches(reading: &mut Reading<'_>) -> Vec<WatchSpec> {
    let Some(RawField::Anys(entries)) = reading.field("watches") else { return Vec::new() };
    let mut found = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let Kind::Map(map) = &entry.kind else { continue };
        match Parameters::new(map).watch() {
            Ok(spec) => found.push(spec),
            Err((text, pos)) => {
                let pos = pos.unwrap_or_else(|| entry.pos.clone());
                reading.error(&format!("watches[{n}]"), Some(pos), format!("Failed to parse watch: {text}"));
            }
        }
    }
    found
}

type Fault = (String, Option<Pos>);

fn fault<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err((text.into(), None))
}

/// The keys of one watch; those that were looked at are known.
struct Parameters<'a> {
    map: &'a Map,
    known: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    fn new(map: &'a Map) -> Self {
        Parameters { map, known: Vec::new() }
    }

    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name)
    }

    fn text(&mut self, name: &'static str) -> Result<String, Fault> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value { kind: Kind::String(text), .. }) => Ok(text.clone()),
            Some(value) => Err((format!("Expecting {name} to be a string"), Some(value.pos.clone()))),
        }
    }

    fn bool(&mut self, name: &'static str) -> Result<bool, Fault> {
        match self.get(name) {
            None => Ok(false),
            Some(Value { kind: Kind::Bool(flag), .. }) => Ok(*flag),
            Some(value) => Err((format!("Expecting {name} to be a boolean"), Some(value.pos.clone()))),
        }
    }

    /// A text, or a list of texts.
    fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Fault> {
        let wrong =
            |value: &Value| (format!("Expecting {name} to be a list of strings"), Some(value.pos.clone()));
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value { kind: Kind::String(text), .. }) => Ok(vec![text.clone()]),
            Some(value) => value
                .as_list()
                .ok_or_else(|| wrong(value))?
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(item)))
                .collect(),
        }
    }

    fn needed(&mut self, name: &'static str, what: &str) -> Result<String, Fault> {
        let text = self.text(name)?;
        if text.is_empty() { fault(format!("Must specify a single {what} to watch")) } else { Ok(text) }
    }

    fn watch(mut self) -> Result<WatchSpec, Fault> {
        let word = self.text("type")?;
        let kind = match word.as_str() {
            "" => return fault("Watch type must be specified"),
            "key" => WatchKind::Key(self.needed("key", "key")?),
            "keyprefix" => WatchKind::KeyPrefix(self.needed("prefix", "prefix")?),
            "services" => WatchKind::Services,
            "nodes" => WatchKind::Nodes,
            "service" => WatchKind::Service {
                service: self.needed("service", "service")?,
                tags: self.texts("tag")?,
                passing_only: self.bool("passingonly")?,
            },
            "checks" => {
                let (service, state) = (self.text("service")?, self.text("state")?);
                if !service.is_empty() && !state.is_empty() {
                    return fault("Cannot specify service and state");
                }
                WatchKind::Checks { service, state }
            }
            "event" => WatchKind::Event(self.text("name")?),
            "connect_roots" => WatchKind::ConnectRoots,
            "connect_leaf" => return fault("Watch type connect_leaf is not allowed in agent config"),
            "agent_service" => {
                let id = self.text("service_id")?;
                if id.is_empty() {
                    return fault("Must specify a single service ID to watch");
                }
                WatchKind::AgentService(id)
            }
            other => return fault(format!("Unsupported watch type: {other}")),
        };
        let (datacenter, token, stale) = (self.text("datacenter")?, self.text("token")?, self.bool("stale")?);
        let handler = self.handler()?;
        let unknown: Vec<&Entry> =
            self.map.iter().filter(|entry| !self.known.contains(&entry.key.as_str())).collect();
        if let [first, ..] = unknown.as_slice() {
            let names: Vec<&str> = unknown.iter().map(|entry| entry.key.as_str()).collect();
            return Err((format!("Invalid parameters: [{}]", names.join(" ")), Some(first.pos.clone())));
        }
        Ok(WatchSpec { kind, datacenter, token: Secret::new(token), stale, handler })
    }

    fn handler(&mut self) -> Result<WatchHandler, Fault> {
        let (args, shell) = (self.texts("args")?, self.text("handler")?);
        let word = self.text("handler_type")?;
        let http = self.get("http_handler_config");
        match (word.as_str(), args.is_empty(), shell.is_empty()) {
            (_, false, false) => fault("Only one watch handler allowed"),
            ("http", true, true) => match http {
                Some(value) => http_handler(value),
                None => fault("Handler type 'http' requires 'http_handler_config' to be set"),
            },
            ("http", _, _) => fault("Only one watch handler allowed"),
            ("" | "script", false, true) => Ok(WatchHandler::Exec(args)),
            ("" | "script", true, false) => Ok(WatchHandler::Shell(shell)),
            ("" | "script", true, true) => fault("Must define a watch handler"),
            (other, _, _) => fault(format!("Handler type '{other}' not recognized")),
        }
    }
}

fn http_handler(value: &Value) -> Result<WatchHandler, Fault> {
    let wrap =
        |text: String| (format!("Failed to parse 'http_handler_config': {text}"), Some(value.pos.clone()));
    let Some(map) = value.as_map() else { return Err(wrap("it must be a block".into())) };
    let mut inside = Parameters::new(map);
    let within = |(text, _): Fault| wrap(text);
    let url = inside.text("path").map_err(within)?;
    if url.is_empty() {
        return Err(wrap("Requires 'path' to be set".into()));
    }
    let method = match inside.text("method").map_err(within)? {
        method if method.is_empty() => "POST".to_owned(),
        method => method,
    };
    let timeout = match inside.text("timeout").map_err(within)? {
        text if text.is_empty() => Duration::from_secs(10),
        text => parse_duration(&text).map_err(|error| wrap(format!("Failed to parse timeout: {error}")))?,
    };
    let tls_skip_verify = inside.bool("tls_skip_verify").map_err(within)?;
    let mut header = BTreeMap::new();
    if let Some(lists) = inside.get("header") {
        let lists = lists.as_map().ok_or_else(|| wrap("'header' must be a block".into()))?;
        for entry in lists.iter() {
            let items = match &entry.value.kind {
                Kind::String(text) => vec![text.clone()],
                _ => entry
                    .value
                    .as_list()
                    .unwrap_or(&[])
                    .iter()
                    .filter_map(|item| item.as_str().map(str::to_owned))
                    .collect(),
            };
            header.insert(entry.key.clone(), items);
        }
    }
    if let Some(entry) = map.iter().find(|entry| !inside.known.contains(&entry.key.as_str())) {
        return Err(wrap(format!("invalid config key {}", entry.key)));
    }
    Ok(WatchHandler::Http { url, method, header, timeout, tls_skip_verify })
}
