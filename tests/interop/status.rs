//! `/v1/status`.

use crate::common::{agent, table};

#[test]
fn leader_and_peers() {
    let (_subject, mut client) = agent();
    client
        .get("/v1/status/leader")
        .ok()
        .has("Content-Type", "application/json")
        .has("Vary", "Accept-Encoding")
        .lacks("X-Consul-Index")
        .lacks("X-Consul-Knownleader")
        .json(r#""<address>:8300""#);
    client.get("/v1/status/peers").ok().lacks("X-Consul-Index").json(r#"["<address>:8300"]"#);
    client.get("/v1/status/leader?dc=dc1").ok().json(r#""<address>:8300""#);
    table(
        &mut client,
        &[
            ("GET", "/v1/status/leader?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/status/peers?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/status/leader?index=x", "", 400, "Invalid index"),
            ("GET", "/v1/status/leader/x", "", 404, ""),
        ],
    );
}
