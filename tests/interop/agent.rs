//! `/v1/agent` itself: who it is, who it knows, maintenance of the node, joining and leaving.

use std::time::Duration;

use crate::common::{agent, differs, setup, table};
use crs_testkit::{Json, Request, eventually};

const MEMBER: &str = r#"{"Name":"<node>","Addr":"<address>","Port":8301,"Tags":"<object>","Status":1,
 "ProtocolMin":1,"ProtocolMax":5,"ProtocolCur":2,"DelegateMin":2,"DelegateMax":5,"DelegateCur":4}"#;

#[test]
fn self_names_node_version_and_member() {
    let (_subject, mut client) = agent();
    let reply = client.get("/v1/agent/self").ok().lacks("X-Consul-Index");
    let value = reply.value();
    let config = Json::parse(
        r#"{"Datacenter":"dc1","NodeName":"node-one","NodeID":"<uuid>","Revision":"<text>","Server":true,"Version":"1.8.7"}"#,
    );
    value.get("Config").fits(&config.unwrap()).unwrap();
    assert_eq!(value.get("Member").get("Name").text(), Some("node-one"));
    assert_eq!(value.get("Member").get("Status").number(), Some(1));
    assert_eq!(value.get("Meta").get("consul-network-segment").text(), Some(""));
    for group in ["agent", "build", "consul", "raft", "runtime", "serf_lan", "serf_wan"] {
        assert!(!value.get("Stats").get(group).is_empty(), "no group {group}");
    }
    for (key, held) in [("Datacenter", "dc1"), ("NodeName", "node-one"), ("EncryptKey", "hidden")] {
        assert_eq!(value.get("DebugConfig").get(key).text(), Some(held), "{key}");
    }
    assert_eq!(value.get("Coord").get("Vec").len(), 8);
}

#[test]
fn members_is_itself() {
    let (_subject, mut client) = agent();
    let reply = client.get("/v1/agent/members").ok().lacks("X-Consul-Index").json(&format!("[{MEMBER}]"));
    let value = reply.value();
    let tags = value.at(0).get("Tags");
    for (tag, held) in [("role", "consul"), ("dc", "dc1"), ("port", "8300"), ("vsn", "2"), ("raft_vsn", "3")]
    {
        assert_eq!(tags.get(tag).text(), Some(held), "{tag}");
    }
    client.get("/v1/agent/members?wan").ok();
    table(
        &mut client,
        &[(
            "GET",
            "/v1/agent/members?segment=x",
            "",
            500,
            "Network segments are not supported in this version of Consul",
        )],
    );
}

#[test]
fn maintenance_of_the_node() {
    let (_subject, mut client) = agent();
    let check = |notes: &str| {
        format!(
            r#"{{"_node_maintenance":{{"Node":"<node>","CheckID":"_node_maintenance","Name":"Node Maintenance Mode",
              "Status":"critical","Notes":"{notes}","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],
              "Type":"maintenance","Definition":{{}},"CreateIndex":0,"ModifyIndex":0}}}}"#
        )
    };
    client.put("/v1/agent/maintenance?enable=true&reason=upgrade", "").error(200, "").lacks("Content-Type");
    client.get("/v1/agent/checks").ok().json(&check("upgrade"));
    // on again keeps the first reason
    client.put("/v1/agent/maintenance?enable=true&reason=other", "").ok();
    client.get("/v1/agent/checks").ok().json(&check("upgrade"));
    eventually(Duration::from_secs(5), "the catalog knows", || {
        let value = client.get("/v1/health/state/critical").value();
        if value.len() == 1 { Ok(()) } else { Err(value) }
    });
    client.put("/v1/agent/maintenance?enable=false", "").ok();
    client.get("/v1/agent/checks").ok().json("{}");
    client.put("/v1/agent/maintenance?enable=true", "").ok();
    client.get("/v1/agent/checks").ok().json(&check(
        "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.",
    ));
    table(
        &mut client,
        &[
            ("PUT", "/v1/agent/maintenance", "", 400, "Missing value for enable"),
            ("PUT", "/v1/agent/maintenance?enable=zz", "", 400, r#"Invalid value for enable: "zz""#),
            ("PUT", "/v1/agent/maintenance?enable=", "", 400, r#"Invalid value for enable: """#),
        ],
    );
}

#[test]
fn joining_nobody_fails_with_the_reason() {
    let (subject, mut client) = agent();
    let reason = if differs(&subject, "`PUT /v1/agent/join`") {
        "this version of crs runs alone, it does not join other agents"
    } else {
        "dial tcp 127.0.0.1:1: connect: connection refused"
    };
    client
        .put("/v1/agent/join/127.0.0.1:1", "")
        .error(500, &format!("1 error occurred:\n\t* Failed to join 127.0.0.1: {reason}\n\n"));
    client.put("/v1/agent/force-leave/nobody", "").error(500, "agent: No node found with name 'nobody'");
}

#[test]
fn reload_answers_nothing() {
    let (_subject, mut client) = agent();
    client.put("/v1/agent/reload", "").error(200, "").lacks("Content-Type");
}

#[test]
fn metrics() {
    let (_subject, mut client) = agent();
    let value = client.get("/v1/agent/metrics").ok().value();
    assert_eq!(value.keys(), ["Timestamp", "Gauges", "Points", "Counters", "Samples"]);
    client
        .get("/v1/agent/metrics?format=prometheus")
        .error(415, "Prometheus is not enabled since its retention time is not positive");
}

#[test]
fn monitor_wants_a_known_level() {
    let (_subject, mut client) = agent();
    client.get("/v1/agent/monitor?loglevel=bogus").error(400, "Bad request: Unknown log level: bogus");
}

#[test]
fn later_endpoints_are_unknown() {
    let (_subject, mut client) = agent();
    client.get("/v1/agent/version").error(404, "");
}

#[test]
fn leave_ends_the_process_well() {
    let mut subject = setup().server().start();
    let mut client = subject.client().timeout(Duration::from_secs(20));
    client.send(Request::new("PUT", "/v1/agent/leave")).error(200, "");
    let status = subject.wait_end(Duration::from_secs(20));
    assert!(status.success(), "{status}");
}
