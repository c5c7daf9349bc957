//! A question as the path and query string of the HTTP API.

use crs_template::Dep;

/// Path and query of a question that the server answers, not encoded yet; `None` for one that it does not.
///
/// The local agent's own node is asked for in two steps: first its name, then as any other.
pub(crate) fn target(dep: &Dep) -> Option<(String, Vec<(&'static str, String)>)> {
    let mut query: Vec<(&'static str, &str)> = Vec::new();
    let path = match dep {
        Dep::Health(health) => {
            query.extend([("dc", &*health.dc), ("near", &*health.near), ("tag", &*health.tag)]);
            query.push(("filter", &*health.filter));
            if health.passing {
                query.push(("passing", "1"));
            }
            let kind = if health.connect { "connect" } else { "service" };
            format!("/v1/health/{kind}/{}", health.name)
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
            format!("/v1/catalog/node/{name}")
        }
        Dep::Key { path, dc } => {
            query.push(("dc", dc));
            format!("/v1/kv/{path}")
        }
        Dep::Tree { prefix, dc } => {
            query.extend([("dc", &**dc), ("recurse", "1")]);
            format!("/v1/kv/{prefix}")
        }
        Dep::Datacenters { .. } => "/v1/catalog/datacenters".to_owned(),
        Dep::File { .. } | Dep::Env(_) | Dep::Plugin(_) | Dep::Now => return None,
    };
    let given = query.into_iter().filter(|(_, value)| !value.is_empty());
    Some((path, given.map(|(name, value)| (name, value.to_owned())).collect()))
}

/// Does the server hold the request until something changes?
pub(crate) fn blocks(dep: &Dep) -> bool {
    !matches!(dep, Dep::Datacenters { .. })
}
