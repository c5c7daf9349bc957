//! What a template can ask for: one `Dep` per distinct query, however many templates share it.
//!
//! The grammar of the query texts (`tag.name@dc~near|filter`) is consul-template's.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// A question that somebody outside has to answer before a template can be rendered.
///
/// Environment, files, programs and the clock are asked for like keys of the catalog: rendering itself looks at
/// nothing but its snapshot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dep {
    /// Instances of a service: `/v1/health/service/:name` (or `connect`).
    Health(HealthQuery),
    /// Names and tags of all services: `/v1/catalog/services`.
    Services {
        /// Empty: the agent's own.
        dc: String,
    },
    /// All nodes: `/v1/catalog/nodes`.
    Nodes {
        /// Empty: the agent's own.
        dc: String,
        /// Sorted by distance from that node; empty: by name.
        near: String,
    },
    /// One node and its services: `/v1/catalog/node/:name`.
    Node {
        /// Empty: the local agent's.
        name: String,
        /// Empty: the agent's own.
        dc: String,
    },
    /// One key: `/v1/kv/:key`.
    Key {
        /// Without a slash in front.
        path: String,
        /// Empty: the agent's own.
        dc: String,
    },
    /// All keys under a prefix: `/v1/kv/:prefix?recurse`; `ls` and `tree` share it.
    Tree {
        /// Without a slash in front.
        prefix: String,
        /// Empty: the agent's own.
        dc: String,
    },
    /// The known datacenters: `/v1/catalog/datacenters`.
    Datacenters {
        /// Leave out those that do not answer.
        reachable_only: bool,
    },
    /// A file's text.
    File {
        /// As the template spells it.
        path: String,
        /// The file has to lie below this folder, after all symlinks are followed; empty: anywhere.
        sandbox: String,
    },
    /// A variable of the environment.
    Env(String),
    /// The output of a program.
    Plugin(Vec<String>),
    /// The time of the rendering; never a reason to render again.
    Now,
}

/// A query for the instances of a service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct HealthQuery {
    /// The service.
    pub name: String,
    /// Only instances with that tag; empty: all.
    pub tag: String,
    /// Empty: the agent's own.
    pub dc: String,
    /// Sorted by distance from that node; empty: by node name, then id.
    pub near: String,
    /// Let the server leave out what is not passing.
    pub passing: bool,
    /// A filter expression for the server; empty: none.
    pub filter: String,
    /// Ask for mesh-capable instances.
    pub connect: bool,
}

impl Dep {
    /// Answered by the server, as opposed to this machine.
    pub fn is_remote(&self) -> bool {
        match self {
            Dep::Health(_)
            | Dep::Services { .. }
            | Dep::Nodes { .. }
            | Dep::Node { .. }
            | Dep::Key { .. }
            | Dep::Tree { .. }
            | Dep::Datacenters { .. } => true,
            Dep::File { .. } | Dep::Env(_) | Dep::Plugin(_) | Dep::Now => false,
        }
    }
}

fn at(f: &mut fmt::Formatter<'_>, mark: char, text: &str) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { write!(f, "{mark}{text}") }
}

impl fmt::Display for Dep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dep::Health(query) => {
                write!(f, "{}(", if query.connect { "health.connect" } else { "health.service" })?;
                if !query.tag.is_empty() {
                    write!(f, "{}.", query.tag)?;
                }
                f.write_str(&query.name)?;
                at(f, '@', &query.dc)?;
                at(f, '~', &query.near)?;
                if query.passing {
                    f.write_str("|passing")?;
                }
                at(f, '?', &query.filter)?;
                f.write_str(")")
            }
            Dep::Services { dc } => {
                f.write_str("catalog.services")?;
                at(f, '@', dc)
            }
            Dep::Nodes { dc, near } => {
                f.write_str("catalog.nodes")?;
                at(f, '@', dc)?;
                at(f, '~', near)
            }
            Dep::Node { name, dc } => {
                write!(f, "catalog.node({name}")?;
                at(f, '@', dc)?;
                f.write_str(")")
            }
            Dep::Key { path, dc } => {
                write!(f, "kv.get({path}")?;
                at(f, '@', dc)?;
                f.write_str(")")
            }
            Dep::Tree { prefix, dc } => {
                write!(f, "kv.list({prefix}")?;
                at(f, '@', dc)?;
                f.write_str(")")
            }
            Dep::Datacenters { .. } => f.write_str("catalog.datacenters"),
            Dep::File { path, .. } => write!(f, "file({path})"),
            Dep::Env(name) => write!(f, "env({name})"),
            Dep::Plugin(words) => write!(f, "plugin({})", words.join(" ")),
            Dep::Now => f.write_str("timestamp"),
        }
    }
}

fn grammar(parts: &[&str]) -> Regex {
    let pattern = format!(r"\A{}\z", parts.concat());
    // the parts are constants of this file, and the tests run through each of them
    #[allow(clippy::expect_used)]
    Regex::new(&pattern).expect("constant pattern")
}

const DC: &str = r"(@(?P<dc>[0-9A-Za-z_.\-]+))?";
const NEAR: &str = r"(~(?P<near>[0-9A-Za-z_.\-]+))?";
const TAG: &str = r"((?P<tag>[0-9A-Za-z_=:.\-]+)\.)?";
const SERVICE: &str = r"(?P<name>[0-9A-Za-z_\-]+)";
const NODE: &str = r"(?P<name>[0-9A-Za-z_.\-]+)";
const STATUS: &str = r"(\|(?P<filter>[0-9A-Za-z_,]+))?";
const PATH: &str = r"/?(?P<path>[^@]+)";

static SERVICE_QUERY: LazyLock<Regex> = LazyLock::new(|| grammar(&[TAG, SERVICE, DC, NEAR, STATUS]));
static SERVICES_QUERY: LazyLock<Regex> = LazyLock::new(|| grammar(&[DC]));
static NODES_QUERY: LazyLock<Regex> = LazyLock::new(|| grammar(&[DC, NEAR]));
static NODE_QUERY: LazyLock<Regex> = LazyLock::new(|| grammar(&[NODE, DC]));
static PATH_QUERY: LazyLock<Regex> = LazyLock::new(|| grammar(&[PATH, DC]));

/// Which states of an instance a template wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Statuses(Vec<String>);

impl Statuses {
    pub(crate) fn accept(&self, status: &[u8]) -> bool {
        self.0.iter().any(|wanted| wanted == "any" || wanted.as_bytes() == status)
    }
}

fn group(found: &regex::Captures<'_>, name: &str) -> String {
    found.name(name).map_or_else(String::new, |text| text.as_str().to_owned())
}

/// `[tag.]name[@dc][~near][|status,...]`
pub(crate) fn health_query(what: &str, text: &str) -> Result<(HealthQuery, Statuses), String> {
    let found = SERVICE_QUERY.captures(text).ok_or_else(|| format!("{what}: invalid format: {text:?}"))?;
    let filter = group(&found, "filter");
    let statuses = if filter.is_empty() {
        vec!["passing".to_owned()]
    } else {
        statuses(&filter).map_err(|bad| format!("{what}: invalid filter: {bad:?} in {text:?}"))?
    };
    let query = HealthQuery {
        name: group(&found, "name"),
        tag: group(&found, "tag"),
        dc: group(&found, "dc"),
        near: group(&found, "near"),
        passing: statuses == ["passing"],
        filter: String::new(),
        connect: what == "health.connect",
    };
    Ok((query, Statuses(statuses)))
}

fn statuses(list: &str) -> Result<Vec<String>, String> {
    let mut wanted = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "any" | "passing" | "warning" | "critical" | "maintenance" => wanted.push(word.to_owned()),
            bad => return Err(bad.to_owned()),
        }
    }
    Ok(wanted)
}

/// The status list of the Handlebars form; empty: passing.
pub(crate) fn status_list(list: &str) -> Result<Statuses, String> {
    let wanted = statuses(list).map_err(|bad| format!("service: invalid status: {bad:?} in {list:?}"))?;
    Ok(Statuses(if wanted.is_empty() { vec!["passing".to_owned()] } else { wanted }))
}

impl Statuses {
    pub(crate) fn is_passing_only(&self) -> bool {
        self.0 == ["passing"]
    }
}

/// `[@dc]`
pub(crate) fn services_query(text: &str) -> Result<Dep, String> {
    let found =
        SERVICES_QUERY.captures(text).ok_or_else(|| format!("catalog.services: invalid format: {text:?}"))?;
    Ok(Dep::Services { dc: group(&found, "dc") })
}

/// `[@dc][~near]`
pub(crate) fn nodes_query(text: &str) -> Result<Dep, String> {
    let found =
        NODES_QUERY.captures(text).ok_or_else(|| format!("catalog.nodes: invalid format: {text:?}"))?;
    Ok(Dep::Nodes { dc: group(&found, "dc"), near: group(&found, "near") })
}

/// `[name[@dc]]`
pub(crate) fn node_query(text: &str) -> Result<Dep, String> {
    if text.is_empty() {
        return Ok(Dep::Node { name: String::new(), dc: String::new() });
    }
    let found = NODE_QUERY.captures(text).ok_or_else(|| format!("catalog.node: invalid format: {text:?}"))?;
    Ok(Dep::Node { name: group(&found, "name"), dc: group(&found, "dc") })
}

/// `path[@dc]`; `None` for an empty text, which asks for nothing.
pub(crate) fn key_query(text: &str) -> Result<Option<Dep>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = PATH_QUERY.captures(text).ok_or_else(|| format!("kv.get: invalid format: {text:?}"))?;
    Ok(Some(Dep::Key { path: group(&found, "path"), dc: group(&found, "dc") }))
}

/// `prefix[@dc]`; `None` for an empty text, which asks for nothing.
pub(crate) fn tree_query(text: &str) -> Result<Option<Dep>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = PATH_QUERY.captures(text).ok_or_else(|| format!("kv.list: invalid format: {text:?}"))?;
    Ok(Some(Dep::Tree { prefix: group(&found, "path"), dc: group(&found, "dc") }))
}
