//! The three ways to read.

use crate::common::{agent, differs, table};

const READS: [&str; 8] = [
    "/v1/kv/a",
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/consul",
    "/v1/catalog/node/node-one",
    "/v1/health/service/consul",
    "/v1/health/node/node-one",
    "/v1/health/state/any",
];

#[test]
fn each_way_answers() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    for target in READS {
        let discovery = !target.starts_with("/v1/kv");
        let way = |reply: crs_testkit::Reply, way: &str| {
            if discovery {
                reply.has("X-Consul-Effective-Consistency", way)
            } else {
                reply.lacks("X-Consul-Effective-Consistency")
            }
        };
        way(client.get(target).ok().read_headers(), "leader");
        way(client.get(&format!("{target}?consistent")).ok().read_headers(), "consistent");
        way(client.get(&format!("{target}?stale")).ok().read_headers(), "stale");
    }
}

#[test]
fn ways_that_exclude_each_other() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    for target in READS {
        table(
            &mut client,
            &[
                (
                    "GET",
                    &format!("{target}?stale&consistent"),
                    "",
                    400,
                    "Cannot specify ?stale with ?consistent, conflicting semantics.",
                ),
                (
                    "GET",
                    &format!("{target}?cached&consistent"),
                    "",
                    400,
                    "Cannot specify ?cached with ?consistent, conflicting semantics.",
                ),
                ("GET", &format!("{target}?max_stale=abc"), "", 400, r#"Invalid max_stale value "abc""#),
            ],
        );
        client.get(&format!("{target}?max_stale=10s")).ok();
    }
}

#[test]
fn cached_says_whether_it_hit() {
    let (subject, mut client) = agent();
    if !differs(&subject, "`?cached`") {
        client.get("/v1/health/service/consul?cached").ok().has("X-Cache", "MISS");
    }
    client.get("/v1/health/service/consul?cached").ok().has("X-Cache", "HIT").has("Age", "0");
    client.get("/v1/health/service/consul").ok().lacks("X-Cache");
    client.put("/v1/kv/a", "1").ok();
    client.get("/v1/kv/a?cached").ok().lacks("X-Cache");
}
