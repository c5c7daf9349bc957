//! A question as the path and query string of the HTTP API.

use crs_template::Dep;

/// Percent-encodes everything but unreserved characters; `keep` stays as well.
fn encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The target of a question that the server answers; `None` for one that it does not.
///
/// The local agent's own node is asked for in two steps: first its name, then as any other.
pub(crate) fn target(dep: &Dep) -> Option<String> {
    let mut query: Vec<(&str, &str)> = Vec::new();
    let path = match dep {
        Dep::Health(health) => {
            query.extend([("dc", &*health.dc), ("near", &*health.near), ("tag", &*health.tag)]);
            query.push(("filter", &*health.filter));
            if health.passing {
                query.push(("passing", "1"));
            }
            let kind = if health.connect { "connect" } else { "service" };
            format!("/v1/health/{kind}/{}", encode(&health.name, b""))
        }
        Dep::Services { dc } => {
            query.push(("dc", dc));
            "/v1/catalog/services".to_owned()
        }
        Dep::Nodes { dc, near } => {
            query.extend([("dc", &**dc), ("near", &**near)]);
            "/v1/catalog/nodes".to_owned()
        }
        Dep::Node { name, dc } => {
            query.push(("dc", dc));
            if name.is_empty() {
                return Some("/v1/agent/self".to_owned());
            }
            format!("/v1/catalog/node/{}", encode(name, b""))
        }
        Dep::Key { path, dc } => {
            query.push(("dc", dc));
            format!("/v1/kv/{}", encode(path, b"/"))
        }
        Dep::Tree { prefix, dc } => {
            query.extend([("dc", &**dc), ("recurse", "1")]);
            format!("/v1/kv/{}", encode(prefix, b"/"))
        }
        Dep::Datacenters { .. } => "/v1/catalog/datacenters".to_owned(),
        Dep::File { .. } | Dep::Env(_) | Dep::Plugin(_) | Dep::Now | Dep::Interfaces => return None,
    };
    let query: Vec<String> = query
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", encode(value, b"")))
        .collect();
    Some(if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) })
}

/// Does the server hold the request until something changes?
pub(crate) fn blocks(dep: &Dep) -> bool {
    !matches!(dep, Dep::Datacenters { .. })
}
