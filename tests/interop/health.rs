//! `/v1/health`.

use crate::catalog::{EXTERNAL, EXTERNAL_NODE, EXTERNAL_SERVICE, register};
use crate::common::{agent, table};

const SERF: &str = r#"{"Node":"<node>","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing",
 "Notes":"","Output":"Agent alive and reachable","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"",
 "Definition":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}"#;

const UP: &str = r#"{"Node":"ext","CheckID":"db1-up","Name":"db up","Status":"passing","Notes":"n","Output":"fine",
 "ServiceID":"db1","ServiceName":"db","ServiceTags":["primary","v1"],"Type":"","Definition":{},
 "CreateIndex":"<index>","ModifyIndex":"<index>"}"#;

const DISK: &str = r#"{"Node":"ext","CheckID":"disk","Name":"disk","Status":"warning","Notes":"","Output":"",
 "ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Definition":{},
 "CreateIndex":"<index>","ModifyIndex":"<index>"}"#;

#[test]
fn a_fresh_agent_is_alive() {
    let (_subject, mut client) = agent();
    client
        .get("/v1/health/node/node-one")
        .ok()
        .read_headers()
        .has("X-Consul-Effective-Consistency", "leader")
        .json(&format!("[{SERF}]"));
    client.get("/v1/health/state/passing").ok().read_headers().json(&format!("[{SERF}]"));
    client.get("/v1/health/state/critical").ok().read_headers().json("[]");
    client
        .get("/v1/health/service/consul")
        .ok()
        .json(&format!(r#"[{{"Node":"<object>","Service":"<object>","Checks":[{SERF}]}}]"#));
}

#[test]
fn an_external_service() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    client
        .get("/v1/health/service/db")
        .ok()
        .read_headers()
        .has("X-Consul-Effective-Consistency", "leader")
        .json(&format!(
            r#"[{{"Node":{EXTERNAL_NODE},"Service":{EXTERNAL_SERVICE},"Checks":[{DISK},{UP}]}}]"#
        ));
    client.get("/v1/health/node/ext").ok().read_headers().json(&format!("[{UP},{DISK}]"));
    client.get("/v1/health/checks/db").ok().read_headers().json(&format!("[{UP}]"));
    client.get("/v1/health/state/any").ok().json(&format!("[{UP},{DISK},{SERF}]"));
    client.get("/v1/health/state/warning").ok().json(&format!("[{DISK}]"));
}

#[test]
fn passing_means_every_check_of_node_and_service() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    client.get("/v1/health/service/db?passing").ok().json("[]");
    client.get("/v1/health/service/db?passing=true").ok().json("[]");
    client.get("/v1/health/service/db?passing=1").ok().json("[]");
    assert_eq!(client.get("/v1/health/service/db?passing=false").ok().value().len(), 1);
    assert_eq!(client.get("/v1/health/service/db?passing=0").ok().value().len(), 1);
    register(
        &mut client,
        r#"{"Node":"ext","SkipNodeUpdate":true,"Check":{"CheckID":"disk","Name":"disk","Status":"passing"}}"#,
    );
    assert_eq!(client.get("/v1/health/service/db?passing").ok().value().len(), 1);
    table(&mut client, &[("GET", "/v1/health/service/db?passing=zz", "", 400, "Invalid value for ?passing")]);
}

#[test]
fn unknown_names_are_empty() {
    let (_subject, mut client) = agent();
    for target in
        ["/v1/health/service/none", "/v1/health/node/none", "/v1/health/checks/none", "/v1/health/state/zz"]
    {
        client.get(target).ok().has("X-Consul-Index", "<index>").json("[]");
    }
    table(
        &mut client,
        &[
            ("GET", "/v1/health/service/", "", 400, "Missing service name"),
            ("GET", "/v1/health/node/", "", 400, "Missing node name"),
            ("GET", "/v1/health/checks/", "", 400, "Missing service name"),
            ("GET", "/v1/health/state/", "", 400, "Missing check state"),
            ("GET", "/v1/health/service/x?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/health/node/x?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/health/checks/x?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/health/state/any?dc=bogus", "", 500, "No path to datacenter"),
        ],
    );
}

#[test]
fn meta_of_nodes_selects() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    client.get("/v1/health/service/db?node-meta=zone:b").ok().json("[]");
    assert_eq!(client.get("/v1/health/service/db?node-meta=zone:a").ok().value().len(), 1);
    client.get("/v1/health/checks/db?node-meta=zone:b").ok().json("[]");
    client.get("/v1/health/state/any?node-meta=zone:a").ok().json(&format!("[{UP},{DISK}]"));
}

#[test]
fn a_check_that_changes_keeps_its_create_index() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    let before = client.get("/v1/health/checks/db").value();
    register(
        &mut client,
        r#"{"Node":"ext","SkipNodeUpdate":true,
          "Check":{"CheckID":"db1-up","Name":"db up","Status":"critical","ServiceID":"db1"}}"#,
    );
    let after = client.get("/v1/health/checks/db").value();
    assert_eq!(before.at(0).get("CreateIndex"), after.at(0).get("CreateIndex"));
    assert!(before.at(0).get("ModifyIndex").number() < after.at(0).get("ModifyIndex").number());
    assert_eq!(after.at(0).get("Output").text(), Some(""));
}
