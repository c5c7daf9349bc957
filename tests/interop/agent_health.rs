//! `/v1/agent/health`: the state of the agent's own services, as a status code.

use crate::agent_services::REGISTER;
use crate::common::{agent, table};

const EMPTY_DEFINITION: &str = r#"{"Interval":"0s","Timeout":"0s","DeregisterCriticalServiceAfter":"0s","HTTP":"",
 "Header":null,"Method":"","Body":"","TLSSkipVerify":false,"TCP":""}"#;

fn state(status: &str, node_check: &str) -> String {
    format!(
        r#"{{"AggregatedStatus":"{status}",
          "Service":{{"ID":"w1","Service":"web","Tags":["a"],"Meta":{{}},"Port":80,"Address":"",
            "Weights":{{"Passing":1,"Warning":1}},"EnableTagOverride":false}},
          "Checks":[{node_check}{{"Node":"<node>","CheckID":"service:w1","Name":"Service 'web' check","Status":"{status}",
            "Notes":"","Output":"","ServiceID":"w1","ServiceName":"web","ServiceTags":["a"],"Type":"",
            "Definition":{EMPTY_DEFINITION},"CreateIndex":0,"ModifyIndex":0}}]}}"#
    )
}

#[test]
fn the_status_code_says_it() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"ID":"w1","Name":"web","Tags":["a"],"Port":80,"Check":{"TTL":"10m"}}"#).ok();
    for (verb, status, code) in
        [("fail", "critical", 503), ("warn", "warning", 429), ("pass", "passing", 200)]
    {
        client.put(&format!("/v1/agent/check/{verb}/service:w1"), "").ok();
        client
            .get("/v1/agent/health/service/id/w1")
            .status(code)
            .has("Content-Type", "application/json")
            .has("X-Consul-Reason", status)
            .json(&state(status, ""));
        client
            .get("/v1/agent/health/service/name/web")
            .status(code)
            .has("X-Consul-Reason", status)
            .json(&format!("[{}]", state(status, "")));
        for target in ["id/w1", "name/web"] {
            client
                .get(&format!("/v1/agent/health/service/{target}?format=text"))
                .error(code, status)
                .has("Content-Type", "text/plain")
                .has("X-Consul-Reason", status);
        }
    }
    client.put("/v1/agent/service/maintenance/w1?enable=true", "").ok();
    client.get("/v1/agent/health/service/id/w1?format=text").error(503, "maintenance");
}

#[test]
fn a_check_of_the_node_counts() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"ID":"w1","Name":"web"}"#).ok();
    client.get("/v1/agent/health/service/id/w1?format=text").error(200, "passing");
    client.put("/v1/agent/check/register", r#"{"Name":"disk","TTL":"10m"}"#).ok();
    client.get("/v1/agent/health/service/id/w1?format=text").error(503, "critical");
    client.get("/v1/agent/health/service/name/web?format=text").error(503, "critical");
}

#[test]
fn the_worst_instance_decides_for_the_name() {
    let (_subject, mut client) = agent();
    for (id, status) in [("w1", "passing"), ("w2", "warning")] {
        client
            .put(
                REGISTER,
                format!(r#"{{"ID":"{id}","Name":"web","Check":{{"TTL":"10m","Status":"{status}"}}}}"#),
            )
            .ok();
    }
    client.get("/v1/agent/health/service/name/web?format=text").error(429, "warning");
    let value = client.get("/v1/agent/health/service/name/web").status(429).value();
    assert_eq!(value.len(), 2);
}

#[test]
fn unknown_services() {
    let (_subject, mut client) = agent();
    client
        .get("/v1/agent/health/service/id/none")
        .status(404)
        .has("X-Consul-Reason", "ServiceId none not found")
        .json(r#"{"AggregatedStatus":"critical","Service":null,"Checks":null}"#);
    client
        .get("/v1/agent/health/service/id/none?format=text")
        .status(404)
        .has("Content-Type", "application/json")
        .json(r#""ServiceId none not found""#);
    client
        .get("/v1/agent/health/service/name/none")
        .status(404)
        .has("X-Consul-Reason", "ServiceName none Not Found")
        .json("[]");
    client
        .get("/v1/agent/health/service/name/none?format=text")
        .error(404, "ServiceName none Not Found")
        .has("Content-Type", "text/plain");
    table(
        &mut client,
        &[
            ("GET", "/v1/agent/health/service/id/", "", 500, "Bad request: Missing serviceID"),
            ("GET", "/v1/agent/health/service/name/", "", 500, "Bad request: Missing service Name"),
        ],
    );
}
