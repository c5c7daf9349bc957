//! `/v1/catalog`.

use crate::common::{agent, table};
use crs_testkit::Client;

pub const EXTERNAL: &str = r#"{"Node":"ext","Address":"10.0.0.9","TaggedAddresses":{"lan":"10.0.0.9","wan":"1.2.3.4"},
 "NodeMeta":{"zone":"a"},
 "Service":{"ID":"db1","Service":"db","Tags":["primary","v1"],"Address":"10.0.0.10","Port":5432,"Meta":{"m":"1"},
   "Weights":{"Passing":3,"Warning":2},"EnableTagOverride":true,
   "TaggedAddresses":{"lan":{"Address":"10.0.0.10","Port":5432}}},
 "Checks":[{"CheckID":"db1-up","Name":"db up","Status":"passing","ServiceID":"db1","Notes":"n","Output":"fine"},
   {"Name":"disk","Status":"warning"}]}"#;

pub const EXTERNAL_NODE: &str = r#"{"ID":"","Node":"ext","Address":"10.0.0.9","Datacenter":"dc1",
 "TaggedAddresses":{"lan":"10.0.0.9","wan":"1.2.3.4"},"Meta":{"zone":"a"},
 "CreateIndex":"<index>","ModifyIndex":"<index>"}"#;

pub const EXTERNAL_SERVICE: &str = r#"{"ID":"db1","Service":"db","Tags":["primary","v1"],"Address":"10.0.0.10",
 "TaggedAddresses":{"lan":{"Address":"10.0.0.10","Port":5432}},"Meta":{"m":"1"},"Port":5432,
 "Weights":{"Passing":3,"Warning":2},"EnableTagOverride":true,
 "Proxy":{"MeshGateway":{},"Expose":{}},"Connect":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}"#;

const OWN_NODE: &str = r#"{"ID":"<uuid>","Node":"<node>","Address":"<address>","Datacenter":"dc1",
 "TaggedAddresses":{"lan":"<address>","lan_ipv4":"<address>","wan":"<address>","wan_ipv4":"<address>"},
 "Meta":{"consul-network-segment":""},"CreateIndex":"<index>","ModifyIndex":"<index>"}"#;

const REGISTER: &str = "/v1/catalog/register";
const DEREGISTER: &str = "/v1/catalog/deregister";

pub fn register(client: &mut Client, body: &str) {
    client.put(REGISTER, body).ok().json("true");
}

fn names(client: &mut Client, target: &str, field: &str) -> Vec<String> {
    let value = client.get(target).ok().value();
    (0..value.len()).filter_map(|place| value.at(place).get(field).text().map(String::from)).collect()
}

#[test]
fn datacenters() {
    let (_subject, mut client) = agent();
    client.get("/v1/catalog/datacenters").ok().lacks("X-Consul-Index").json(r#"["dc1"]"#);
}

#[test]
fn a_fresh_agent_has_itself_only() {
    let (_subject, mut client) = agent();
    client
        .get("/v1/catalog/nodes")
        .ok()
        .read_headers()
        .has("X-Consul-Effective-Consistency", "leader")
        .json(&format!("[{OWN_NODE}]"));
    client
        .get("/v1/catalog/services")
        .ok()
        .read_headers()
        .has("X-Consul-Effective-Consistency", "leader")
        .json(r#"{"consul":[]}"#);
    client.get("/v1/catalog/service/consul").ok().json(
        r#"[{"ID":"<uuid>","Node":"<node>","Address":"<address>","Datacenter":"dc1",
          "TaggedAddresses":{"lan":"<address>","lan_ipv4":"<address>","wan":"<address>","wan_ipv4":"<address>"},
          "NodeMeta":{"consul-network-segment":""},"ServiceKind":"","ServiceID":"consul","ServiceName":"consul",
          "ServiceTags":[],"ServiceAddress":"","ServiceWeights":{"Passing":1,"Warning":1},
          "ServiceMeta":{"non_voter":"false","raft_version":"3","serf_protocol_current":"2",
            "serf_protocol_max":"5","serf_protocol_min":"1","version":"1.8.7"},
          "ServicePort":8300,"ServiceEnableTagOverride":false,"ServiceProxy":{"MeshGateway":{},"Expose":{}},
          "ServiceConnect":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
}

#[test]
fn an_external_service() {
    let (_subject, mut client) = agent();
    client
        .put(REGISTER, EXTERNAL)
        .ok()
        .has("Content-Type", "application/json")
        .lacks("X-Consul-Index")
        .json("true");
    client
        .get("/v1/catalog/service/db")
        .ok()
        .read_headers()
        .has("X-Consul-Effective-Consistency", "leader")
        .json(
            r#"[{"ID":"","Node":"ext","Address":"10.0.0.9","Datacenter":"dc1",
              "TaggedAddresses":{"lan":"10.0.0.9","wan":"1.2.3.4"},"NodeMeta":{"zone":"a"},
              "ServiceKind":"","ServiceID":"db1","ServiceName":"db","ServiceTags":["primary","v1"],
              "ServiceAddress":"10.0.0.10",
              "ServiceTaggedAddresses":{"lan":{"Address":"10.0.0.10","Port":5432}},
              "ServiceWeights":{"Passing":3,"Warning":2},"ServiceMeta":{"m":"1"},"ServicePort":5432,
              "ServiceEnableTagOverride":true,"ServiceProxy":{"MeshGateway":{},"Expose":{}},
              "ServiceConnect":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
        );
    client
        .get("/v1/catalog/node/ext")
        .ok()
        .read_headers()
        .json(&format!(r#"{{"Node":{EXTERNAL_NODE},"Services":{{"db1":{EXTERNAL_SERVICE}}}}}"#));
    client
        .get("/v1/catalog/node-services/ext")
        .ok()
        .read_headers()
        .json(&format!(r#"{{"Node":{EXTERNAL_NODE},"Services":[{EXTERNAL_SERVICE}]}}"#));
    client.get("/v1/catalog/services").ok().json_by("", r#"{"consul":[],"db":["primary","v1"]}"#);
}

#[test]
fn a_bare_node_shows_null_where_it_gave_nothing() {
    let (_subject, mut client) = agent();
    register(&mut client, r#"{"Node":"bare","Address":"10.0.0.1"}"#);
    client.get("/v1/catalog/node/bare").ok().json(
        r#"{"Node":{"ID":"","Node":"bare","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":null,
          "Meta":null,"CreateIndex":"<index>","ModifyIndex":"<index>"},"Services":{}}"#,
    );
    register(&mut client, r#"{"Node":"bare","Address":"10.0.0.1","Service":{"Service":"s"}}"#);
    client.get("/v1/catalog/service/s").ok().json(
        r#"[{"ID":"","Node":"bare","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":null,
          "NodeMeta":null,"ServiceKind":"","ServiceID":"s","ServiceName":"s","ServiceTags":[],
          "ServiceAddress":"","ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{},"ServicePort":0,
          "ServiceEnableTagOverride":false,"ServiceProxy":{"MeshGateway":{},"Expose":{}},
          "ServiceConnect":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
    client.get("/v1/catalog/node/bare").ok().json(
        r#"{"Node":{"ID":"","Node":"bare","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":null,
          "Meta":null,"CreateIndex":"<index>","ModifyIndex":"<index>"},
          "Services":{"s":{"ID":"s","Service":"s","Tags":[],"Address":"","Meta":null,"Port":0,
            "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,
            "Proxy":{"MeshGateway":{},"Expose":{}},"Connect":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}}}"#,
    );
}

#[test]
fn unknown_names_are_not_errors() {
    let (_subject, mut client) = agent();
    client.get("/v1/catalog/service/none").ok().has("X-Consul-Index", "<index>").json("[]");
    client.get("/v1/catalog/node/none").ok().has("X-Consul-Index", "<index>").json("null");
    client.get("/v1/catalog/node-services/none").ok().json(r#"{"Node":null,"Services":null}"#);
    client.get("/v1/catalog/nodes?node-meta=a:b").ok().json("[]");
    client.get("/v1/catalog/nodes?near=none").ok().json(&format!("[{OWN_NODE}]"));
    client.get("/v1/catalog/services?node-meta=a:b").ok().json("{}");
}

#[test]
fn names_are_needed() {
    let (_subject, mut client) = agent();
    table(
        &mut client,
        &[
            ("GET", "/v1/catalog/node/", "", 400, "Missing node name"),
            ("GET", "/v1/catalog/node-services/", "", 400, "Missing node name"),
            ("GET", "/v1/catalog/service/", "", 400, "Missing service name"),
        ],
    );
}

#[test]
fn registrations_that_are_refused() {
    let (_subject, mut client) = agent();
    table(
        &mut client,
        &[
            ("PUT", REGISTER, "{}", 500, "Must provide node"),
            ("PUT", REGISTER, r#"{"Address":"1.1.1.1"}"#, 500, "Must provide node"),
            ("PUT", REGISTER, r#"{"Node":"x"}"#, 500, "Must provide address if SkipNodeUpdate is not set"),
            (
                "PUT",
                REGISTER,
                r#"{"Node":"x","Address":"1.1.1.1","Service":{"ID":"a"}}"#,
                500,
                "Must provide service name with ID",
            ),
            (
                "PUT",
                REGISTER,
                r#"{"ID":"zz","Node":"x","Address":"1.1.1.1"}"#,
                500,
                "Bad node ID: uuid string is wrong length",
            ),
            (
                "PUT",
                REGISTER,
                r#"{"Node":"x","Address":"1.1.1.1","Check":{"Name":"c","Node":"y"}}"#,
                500,
                r#"check node "y" does not match node "x""#,
            ),
            (
                "PUT",
                REGISTER,
                r#"{"Node":"x","Address":"1.1.1.1","Check":{"Name":"c","ServiceID":"none"}}"#,
                500,
                r#"failed inserting check: Missing service registration on node "x""#,
            ),
            (
                "PUT",
                REGISTER,
                r#"{"Node":"x","Address":"1.1.1.1","Datacenter":"bogus"}"#,
                500,
                "No path to datacenter",
            ),
            ("GET", "/v1/catalog/nodes?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/catalog/services?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/catalog/service/x?dc=bogus", "", 500, "No path to datacenter"),
            ("GET", "/v1/catalog/node/x?dc=bogus", "", 500, "No path to datacenter"),
        ],
    );
}

#[test]
fn deregister_check_service_node() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    client.put(DEREGISTER, r#"{"Node":"ext","CheckID":"disk"}"#).ok().json("true");
    assert_eq!(names(&mut client, "/v1/health/node/ext", "CheckID"), ["db1-up"]);
    client.put(DEREGISTER, r#"{"Node":"ext","ServiceID":"db1"}"#).ok().json("true");
    client.get("/v1/catalog/service/db").ok().json("[]");
    client.get("/v1/health/node/ext").ok().json("[]");
    client.put(DEREGISTER, r#"{"Node":"ext"}"#).ok().json("true");
    client.get("/v1/catalog/node/ext").ok().json("null");
    client.get("/v1/catalog/services").ok().json(r#"{"consul":[]}"#);
}

#[test]
fn deregistering_the_unknown_is_no_error() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    for body in [
        r#"{"Node":"none"}"#,
        r#"{"Node":"ext","ServiceID":"none"}"#,
        r#"{"Node":"ext","CheckID":"none"}"#,
        r#"{"Datacenter":"dc1","Node":"none"}"#,
    ] {
        client.put(DEREGISTER, body).ok().json("true");
    }
    assert_eq!(names(&mut client, "/v1/health/node/ext", "CheckID"), ["db1-up", "disk"]);
    table(
        &mut client,
        &[
            ("PUT", DEREGISTER, "{}", 500, "Must provide node"),
            ("PUT", DEREGISTER, "", 400, "Request decode failed: EOF"),
            (
                "PUT",
                DEREGISTER,
                r#"{"Node":"x","Bogus":1}"#,
                400,
                r#"Request decode failed: json: unknown field "Bogus""#,
            ),
        ],
    );
}

#[test]
fn deleting_a_node_takes_its_services_and_checks() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    client.put(DEREGISTER, r#"{"Node":"ext"}"#).ok().json("true");
    client.get("/v1/catalog/service/db").ok().json("[]");
    client.get("/v1/health/service/db").ok().json("[]");
    client.get("/v1/health/state/warning").ok().json("[]");
    register(&mut client, r#"{"Node":"ext","Address":"10.0.0.9"}"#);
    client.get("/v1/health/node/ext").ok().json("[]");
}

#[test]
fn registering_again_replaces() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    let before = client.get("/v1/catalog/node/ext").value();
    register(&mut client, EXTERNAL);
    let same = client.get("/v1/catalog/node/ext").value();
    assert_eq!(before, same, "the same registration again changes nothing");

    register(
        &mut client,
        r#"{"Node":"ext","Address":"10.0.0.11","Service":{"ID":"db1","Service":"db","Port":1}}"#,
    );
    let after = client.get("/v1/catalog/node/ext").value();
    let (node, service) = (after.get("Node"), after.get("Services").get("db1"));
    assert_eq!(node.get("Address").text(), Some("10.0.0.11"));
    assert!(node.get("Meta").is_empty() && service.get("Tags").is_empty() && service.get("Meta").is_empty());
    assert_eq!(node.get("CreateIndex"), before.get("Node").get("CreateIndex"));
    assert!(node.get("ModifyIndex").number() > before.get("Node").get("ModifyIndex").number());
    assert_eq!(names(&mut client, "/v1/health/node/ext", "CheckID"), ["db1-up", "disk"]);
}

#[test]
fn skip_node_update_leaves_the_node() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    register(
        &mut client,
        r#"{"Node":"ext","SkipNodeUpdate":true,"Address":"9.9.9.9","Service":{"Service":"more"}}"#,
    );
    client.get("/v1/catalog/node/ext").ok().json(&format!(
        r#"{{"Node":{EXTERNAL_NODE},"Services":{{"db1":{EXTERNAL_SERVICE},"more":{{"ID":"more","Service":"more","Tags":[],"Address":"","Meta":null,"Port":0,"Weights":{{"Passing":1,"Warning":1}},"EnableTagOverride":false,"Proxy":{{"MeshGateway":{{}},"Expose":{{}}}},"Connect":{{}},"CreateIndex":"<index>","ModifyIndex":"<index>"}}}}}}"#
    ));
}

#[test]
fn tags_select_and_must_all_be_there() {
    let (_subject, mut client) = agent();
    for (node, tags) in [("n1", r#"["a","b"]"#), ("n2", r#"["a"]"#), ("n3", "[]")] {
        register(
            &mut client,
            &format!(r#"{{"Node":"{node}","Address":"10.0.0.1","Service":{{"Service":"s","Tags":{tags}}}}}"#),
        );
    }
    for (query, nodes) in [
        ("", vec!["n1", "n2", "n3"]),
        ("?tag=a", vec!["n1", "n2"]),
        ("?tag=a&tag=b", vec!["n1"]),
        ("?tag=c", vec![]),
        ("?tag=A", vec!["n1", "n2"]),
    ] {
        assert_eq!(names(&mut client, &format!("/v1/catalog/service/s{query}"), "Node"), nodes, "{query}");
        let healthy = client.get(&format!("/v1/health/service/s{query}")).ok().value();
        assert_eq!(healthy.len(), nodes.len(), "health {query}");
    }
}

#[test]
fn meta_of_nodes_selects() {
    let (_subject, mut client) = agent();
    for (node, meta) in [("n1", r#"{"rack":"1","os":"linux"}"#), ("n2", r#"{"rack":"2","os":"linux"}"#)] {
        register(
            &mut client,
            &format!(
                r#"{{"Node":"{node}","Address":"10.0.0.1","NodeMeta":{meta},"Service":{{"Service":"s-{node}"}}}}"#
            ),
        );
    }
    assert_eq!(names(&mut client, "/v1/catalog/nodes?node-meta=os:linux", "Node"), ["n1", "n2"]);
    assert_eq!(names(&mut client, "/v1/catalog/nodes?node-meta=os:linux&node-meta=rack:2", "Node"), ["n2"]);
    client.get("/v1/catalog/services?node-meta=rack:1").ok().json(r#"{"s-n1":[]}"#);
    assert_eq!(names(&mut client, "/v1/catalog/service/s-n1?node-meta=rack:1", "Node"), ["n1"]);
    client.get("/v1/catalog/service/s-n1?node-meta=rack:2").ok().json("[]");
}

#[test]
fn nodes_and_instances_come_in_order_of_their_names() {
    let (_subject, mut client) = agent();
    for node in ["zeta", "alpha", "mid"] {
        for id in ["2", "1"] {
            register(
                &mut client,
                &format!(
                    r#"{{"Node":"{node}","Address":"10.0.0.1","Service":{{"ID":"{id}","Service":"s"}}}}"#
                ),
            );
        }
    }
    assert_eq!(names(&mut client, "/v1/catalog/nodes", "Node"), ["alpha", "mid", "node-one", "zeta"]);
    assert_eq!(
        names(&mut client, "/v1/catalog/service/s", "Node"),
        ["alpha", "alpha", "mid", "mid", "zeta", "zeta"]
    );
    assert_eq!(names(&mut client, "/v1/catalog/service/s", "ServiceID"), ["1", "2", "1", "2", "1", "2"]);
}

#[test]
fn checks_of_a_service_keep_its_name_and_tags() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    register(
        &mut client,
        r#"{"Node":"ext","Address":"10.0.0.9","Check":{"CheckID":"def","Name":"defined","Status":"passing",
          "Definition":{"HTTP":"http://x","Header":{"A":["b"]},"Method":"POST","TLSSkipVerify":true,
            "Interval":"10s","Timeout":"5s","DeregisterCriticalServiceAfter":"90m"}}}"#,
    );
    let value = client.get("/v1/health/node/ext?filter=CheckID==def").ok();
    value.json(
        r#"[{"Node":"ext","CheckID":"def","Name":"defined","Status":"passing","Notes":"","Output":"",
          "ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"http",
          "Definition":{"Interval":"10s","Timeout":"5s","DeregisterCriticalServiceAfter":"1h30m0s","HTTP":"http://x",
            "TLSSkipVerify":true,"Header":{"A":["b"]},"Method":"POST"},
          "CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
}

#[test]
fn a_status_is_taken_as_given() {
    let (_subject, mut client) = agent();
    register(
        &mut client,
        r#"{"Node":"x","Address":"1.1.1.1","Checks":[{"Name":"c","Status":"bogus"},{"Name":"d"}]}"#,
    );
    let value = client.get("/v1/health/node/x").ok().value();
    assert_eq!(value.at(0).get("Status").text(), Some("bogus"));
    assert_eq!(value.at(1).get("Status").text(), Some("critical"));
    assert_eq!(names(&mut client, "/v1/health/state/bogus", "Node"), ["x"]);
}

#[test]
fn a_node_id_under_a_new_name_renames_the_node() {
    let (_subject, mut client) = agent();
    let id = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
    register(&mut client, &format!(r#"{{"ID":"{id}","Node":"before","Address":"10.0.0.1"}}"#));
    register(&mut client, &format!(r#"{{"ID":"{id}","Node":"after","Address":"10.0.0.1"}}"#));
    client.get("/v1/catalog/node/before").ok().json("null");
    assert_eq!(client.get("/v1/catalog/node/after").value().get("Node").get("ID").text(), Some(id));
}
