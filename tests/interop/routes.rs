//! Which methods each path takes.

use crate::common::agent;
use crs_testkit::Request;

const READ: &str = "OPTIONS,GET";
const WRITE: &str = "OPTIONS,PUT";

const ROUTES: [(&str, &str); 39] = [
    ("/v1/status/leader", READ),
    ("/v1/status/peers", READ),
    ("/v1/kv/a", "OPTIONS,GET,PUT,DELETE"),
    ("/v1/catalog/register", WRITE),
    ("/v1/catalog/deregister", WRITE),
    ("/v1/catalog/datacenters", READ),
    ("/v1/catalog/nodes", READ),
    ("/v1/catalog/services", READ),
    ("/v1/catalog/service/x", READ),
    ("/v1/catalog/node/x", READ),
    ("/v1/catalog/node-services/x", READ),
    ("/v1/health/service/x", READ),
    ("/v1/health/node/x", READ),
    ("/v1/health/checks/x", READ),
    ("/v1/health/state/any", READ),
    ("/v1/agent/self", READ),
    ("/v1/agent/members", READ),
    ("/v1/agent/join/1", WRITE),
    ("/v1/agent/leave", WRITE),
    ("/v1/agent/force-leave/x", WRITE),
    ("/v1/agent/reload", WRITE),
    ("/v1/agent/metrics", READ),
    ("/v1/agent/monitor", READ),
    ("/v1/agent/maintenance", WRITE),
    ("/v1/agent/token/x", WRITE),
    ("/v1/agent/services", READ),
    ("/v1/agent/service/x", READ),
    ("/v1/agent/service/register", WRITE),
    ("/v1/agent/service/deregister/x", WRITE),
    ("/v1/agent/service/maintenance/x", WRITE),
    ("/v1/agent/health/service/id/x", READ),
    ("/v1/agent/health/service/name/x", READ),
    ("/v1/agent/checks", READ),
    ("/v1/agent/check/register", WRITE),
    ("/v1/agent/check/deregister/x", WRITE),
    ("/v1/agent/check/pass/x", WRITE),
    ("/v1/agent/check/warn/x", WRITE),
    ("/v1/agent/check/fail/x", WRITE),
    ("/v1/agent/check/update/x", WRITE),
];

#[test]
fn options_names_the_methods() {
    let (_subject, mut client) = agent();
    for (path, methods) in ROUTES {
        client
            .send(Request::new("OPTIONS", path))
            .error(200, "")
            .has("Allow", methods)
            .has("Vary", "Accept-Encoding")
            .lacks("Content-Type");
    }
}

#[test]
fn other_methods_are_refused() {
    let (_subject, mut client) = agent();
    for (path, methods) in ROUTES {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            if !methods.split(',').any(|allowed| allowed == method) {
                client
                    .send(Request::new(method, path))
                    .error(405, &format!("method {method} not allowed"))
                    .has("Allow", methods);
            }
        }
    }
}
