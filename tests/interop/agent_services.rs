//! Services of the agent: registration, what the agent and the catalog then say, and what is refused.

use std::time::Duration;

use crate::common::{agent, differs, setup, table};
use crs_testkit::{Client, Json, eventually};

pub const REGISTER: &str = "/v1/agent/service/register";

/// Waits until the catalog says of `target` what the pattern says.
#[track_caller]
pub fn comes_to(client: &mut Client, target: &str, fits: impl Fn(&Json) -> bool) -> Json {
    eventually(Duration::from_secs(10), target, || {
        let value = client.get(target).value();
        if fits(&value) { Ok(value) } else { Err(value) }
    })
}

#[test]
fn register_and_read_back() {
    let (_subject, mut client) = agent();
    client
        .put(
            REGISTER,
            r#"{"ID":"web1","Name":"web","Tags":["a","b"],"Port":80,"Address":"10.1.1.1","Meta":{"k":"v"},
              "Weights":{"Passing":2,"Warning":1},
              "Check":{"HTTP":"http://127.0.0.1:1/","Interval":"10s","Timeout":"1s","Method":"POST",
                "Header":{"X":["y"]},"Body":"b","TLSSkipVerify":true,"DeregisterCriticalServiceAfter":"90m","Notes":"nn"}}"#,
        )
        .error(200, "")
        .lacks("Content-Type")
        .has("Vary", "Accept-Encoding")
        .lacks("X-Consul-Index");
    let service = |more: &str| {
        format!(
            r#"{{"ID":"web1","Service":"web","Tags":["a","b"],"Meta":{{"k":"v"}},"Port":80,"Address":"10.1.1.1",
              "TaggedAddresses":{{"lan_ipv4":{{"Address":"10.1.1.1","Port":80}},"wan_ipv4":{{"Address":"10.1.1.1","Port":80}}}},
              "Weights":{{"Passing":2,"Warning":1}},"EnableTagOverride":false{more}}}"#
        )
    };
    client
        .get("/v1/agent/services")
        .ok()
        .has("Content-Type", "application/json")
        .lacks("X-Consul-Index")
        .json(&format!(r#"{{"web1":{}}}"#, service("")));
    let one = client
        .get("/v1/agent/service/web1")
        .ok()
        .has("X-Consul-Contenthash", "<any>")
        .json(&service(r#","ContentHash":"<text>""#));
    assert_eq!(one.header("x-consul-contenthash"), one.value().get("ContentHash").text());
    client.get("/v1/agent/checks").ok().lacks("X-Consul-Index").json(
        r#"{"service:web1":{"Node":"<node>","CheckID":"service:web1","Name":"Service 'web' check","Status":"critical",
          "Notes":"nn","Output":"<text>","ServiceID":"web1","ServiceName":"web","ServiceTags":["a","b"],"Type":"http",
          "Definition":{},"CreateIndex":0,"ModifyIndex":0}}"#,
    );
    comes_to(&mut client, "/v1/catalog/service/web", |value| value.len() == 1);
    client.get("/v1/catalog/service/web").ok().json(
        r#"[{"ID":"<uuid>","Node":"<node>","Address":"<address>","Datacenter":"dc1",
          "TaggedAddresses":{"lan":"<address>","lan_ipv4":"<address>","wan":"<address>","wan_ipv4":"<address>"},
          "NodeMeta":{"consul-network-segment":""},"ServiceKind":"","ServiceID":"web1","ServiceName":"web",
          "ServiceTags":["a","b"],"ServiceAddress":"10.1.1.1",
          "ServiceTaggedAddresses":{"lan_ipv4":{"Address":"10.1.1.1","Port":80},"wan_ipv4":{"Address":"10.1.1.1","Port":80}},
          "ServiceWeights":{"Passing":2,"Warning":1},"ServiceMeta":{"k":"v"},"ServicePort":80,
          "ServiceEnableTagOverride":false,"ServiceProxy":{"MeshGateway":{},"Expose":{}},"ServiceConnect":{},
          "CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
    comes_to(&mut client, "/v1/health/checks/web", |value| value.len() == 1);
    client.get("/v1/health/checks/web").ok().json(
        r#"[{"Node":"<node>","CheckID":"service:web1","Name":"Service 'web' check","Status":"critical","Notes":"nn",
          "Output":"<text>","ServiceID":"web1","ServiceName":"web","ServiceTags":["a","b"],"Type":"http",
          "Definition":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
}

#[test]
fn a_bare_registration_takes_its_defaults() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"bare"}"#).error(200, "");
    client.get("/v1/agent/services").ok().json(
        r#"{"bare":{"ID":"bare","Service":"bare","Tags":[],"Meta":{},"Port":0,"Address":"",
          "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false}}"#,
    );
    client.get("/v1/agent/checks").ok().json("{}");
}

#[test]
fn several_checks_are_numbered() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x","Checks":[{"TTL":"10m"},{"TTL":"20m","Name":"two"}]}"#).ok();
    let value = client.get("/v1/agent/checks").value();
    assert_eq!(value.keys(), ["service:x:1", "service:x:2"]);
    assert_eq!(value.get("service:x:2").get("Name").text(), Some("two"));
    client.put(REGISTER, r#"{"Name":"y","Check":{"TTL":"10m","CheckID":"own"}}"#).ok();
    assert_eq!(client.get("/v1/agent/checks").value().keys(), ["own", "service:x:1", "service:x:2"]);
}

#[test]
fn registrations_that_are_refused() {
    let (_subject, mut client) = agent();
    for (body, status, text) in [
        ("{}", 400, "Missing service name"),
        ("", 400, "Request decode failed: EOF"),
        (r#"{"Name":"x""#, 400, "Request decode failed: unexpected EOF"),
        (r#"{"Name":"x","Bogus":1}"#, 400, r#"Request decode failed: json: unknown field "Bogus""#),
        (
            r#"{"Name":"x","Port":"80"}"#,
            400,
            "Request decode failed: json: cannot unmarshal string into Go struct field .Port of type int",
        ),
        (
            r#"{"Name":"x","EnableTagOverride":"yes"}"#,
            400,
            "Request decode failed: json: cannot unmarshal string into Go struct field .EnableTagOverride of type bool",
        ),
        (
            r#"{"Name":"x","Tags":"a"}"#,
            400,
            "Request decode failed: json: cannot unmarshal string into Go struct field .Tags of type []string",
        ),
        (
            r#"{"Name":"x","Check":{"HTTP":"http://x"}}"#,
            400,
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            r#"{"Name":"x","Check":{"TTL":"10s","Interval":"5s"}}"#,
            400,
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (r#"{"Name":"x","Check":{"Name":"n"}}"#, 400, "Invalid check: TTL must be > 0 for TTL checks"),
        (
            r#"{"Name":"x","Check":{"TTL":"10s","Status":"bogus"}}"#,
            400,
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            r#"{"Name":"x","Check":{"TTL":"10s","OutputMaxSize":-1}}"#,
            400,
            "Invalid check: MaxOutputMaxSize must be positive",
        ),
        (
            r#"{"Name":"x","Check":{"TTL":"zz"}}"#,
            400,
            r#"Request decode failed: time: invalid duration "zz""#,
        ),
        (
            r#"{"Name":"x","Check":{"Script":"x"}}"#,
            400,
            r#"Request decode failed: json: unknown field "Script""#,
        ),
        (
            r#"{"Name":"x","Check":{"TTL":"10s","check_id":"q"}}"#,
            400,
            r#"Request decode failed: json: unknown field "check_id""#,
        ),
        (
            r#"{"Name":"x","Check":{"Args":["true"],"Interval":"5s"}}"#,
            500,
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
        ),
        (
            r#"{"Name":"x","Meta":{"bad key!":"x"}}"#,
            400,
            "Invalid Service Meta: Couldn't load metadata pair ('bad key!', 'x'): Key contains invalid characters",
        ),
        (
            r#"{"Name":"x","Weights":{"Passing":0,"Warning":1}}"#,
            400,
            "Invalid Weights: Passing must be greater than 0",
        ),
        (
            r#"{"Name":"x","Weights":{"Passing":1,"Warning":-1}}"#,
            400,
            "Invalid Weights: Warning must be greater or equal than 0",
        ),
        (r#"{"Name":"x","Address":"0.0.0.0"}"#, 400, "Invalid service address"),
        (r#"{"Name":"x","Address":"::"}"#, 400, "Invalid service address"),
    ] {
        client.put(REGISTER, body).error(status, text);
    }
    client.get("/v1/agent/services").ok().json("{}");
}

#[test]
fn registrations_that_are_accepted_all_the_same() {
    let (_subject, mut client) = agent();
    for body in [
        r#"{"Name":"x","Kind":"zzz"}"#,
        r#"{"Name":"x","Check":{"TCP":"127.0.0.1:1","Interval":"1ms"}}"#,
        r#"{"Name":"x","Check":{"HTTP":"http://127.0.0.1:1","TCP":"127.0.0.1:1","Interval":"5m"}}"#,
        r#"{"Name":"x","Check":{"HTTP":"http://127.0.0.1:1","Interval":600000000000}}"#,
        r#"{"Name":"x","Meta":{"k":""}}"#,
        r#"{"Name":"not dns safe_","Tags":["neither is. this"]}"#,
        r#"{"Name":"x","Port":-1}"#,
        r#"{"Name":"x","Port":70000}"#,
        r#"{"name":"x","tags":["lower"],"port":1}"#,
    ] {
        client.put(REGISTER, body).error(200, "");
    }
    let value = client.get("/v1/agent/service/x").ok().value();
    assert_eq!(value.get("Tags").at(0).text(), Some("lower"), "names match in any case");
}

#[test]
fn snake_case_is_read_in_registrations() {
    let (_subject, mut client) = agent();
    client
        .put(
            REGISTER,
            r#"{"name":"x","enable_tag_override":true,"tagged_addresses":{"lan":{"address":"1.2.3.4","port":5}},
              "check":{"ttl":"10m","deregister_critical_service_after":"2m","checkid":"own"}}"#,
        )
        .error(200, "");
    client.get("/v1/agent/services").ok().json(
        r#"{"x":{"ID":"x","Service":"x","Tags":[],"Meta":{},"Port":0,"Address":"",
          "TaggedAddresses":{"lan":{"Address":"1.2.3.4","Port":5}},
          "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":true}}"#,
    );
    assert_eq!(client.get("/v1/agent/checks").value().keys(), ["own"]);
}

#[test]
fn registering_again_replaces_what_is_not_named() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x","Tags":["a"],"Meta":{"k":"v"},"Port":1,"Check":{"TTL":"10m"}}"#).ok();
    client.put(REGISTER, r#"{"Name":"x","Port":2}"#).ok();
    let value = client.get("/v1/agent/service/x").value();
    assert!(value.get("Tags").is_empty() && value.get("Meta").is_empty());
    assert_eq!(value.get("Port").number(), Some(2));
    assert_eq!(client.get("/v1/agent/checks").value().keys(), ["service:x"], "checks stay");
    client
        .put(
            &format!("{REGISTER}?replace-existing-checks=true"),
            r#"{"Name":"x","Check":{"TTL":"10m","CheckID":"new"}}"#,
        )
        .ok();
    assert_eq!(client.get("/v1/agent/checks").value().keys(), ["new"], "checks are replaced");
    client.put(&format!("{REGISTER}?replace-existing-checks=zz"), r#"{"Name":"x"}"#).ok();
}

#[test]
fn registering_again_reaches_the_catalog() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x","Port":1}"#).ok();
    comes_to(&mut client, "/v1/catalog/service/x", |value| {
        value.at(0).get("ServicePort").number() == Some(1)
    });
    client.put(REGISTER, r#"{"Name":"x","Port":2}"#).ok();
    comes_to(&mut client, "/v1/catalog/service/x", |value| {
        value.at(0).get("ServicePort").number() == Some(2)
    });
}

#[test]
fn deregister() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x","Check":{"TTL":"10m"}}"#).ok();
    comes_to(&mut client, "/v1/catalog/service/x", |value| value.len() == 1);
    client.put("/v1/agent/service/deregister/x", "").error(200, "").lacks("Content-Type");
    client.get("/v1/agent/services").ok().json("{}");
    client.get("/v1/agent/checks").ok().json("{}");
    comes_to(&mut client, "/v1/catalog/service/x", Json::is_empty);
    comes_to(&mut client, "/v1/health/checks/x", Json::is_empty);
    table(
        &mut client,
        &[
            ("PUT", "/v1/agent/service/deregister/none", "", 200, ""),
            ("PUT", "/v1/agent/service/deregister/", "", 500, "ServiceID missing"),
        ],
    );
}

#[test]
fn ids_may_hold_anything() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x","ID":"x y/z%"}"#).ok();
    client.get("/v1/agent/service/x%20y/z%25").ok();
    client.put("/v1/agent/service/deregister/x%20y/z%25", "").ok();
    client.get("/v1/agent/services").ok().json("{}");
}

#[test]
fn unknown_services() {
    let (_subject, mut client) = agent();
    table(
        &mut client,
        &[
            ("GET", "/v1/agent/service/none", "", 404, "unknown service ID: none"),
            ("GET", "/v1/agent/service/", "", 404, "unknown service ID: "),
        ],
    );
}

#[test]
fn a_service_blocks_on_its_hash() {
    let (subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x","Port":1}"#).ok();
    let hash = client.get("/v1/agent/service/x").header("X-Consul-Contenthash").unwrap().to_string();
    let started = std::time::Instant::now();
    let again = client.get(&format!("/v1/agent/service/x?hash={hash}&wait=300ms")).ok();
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(again.header("X-Consul-Contenthash"), Some(hash.as_str()));

    let mut other = subject.client();
    let waiting =
        std::thread::spawn(move || other.get(&format!("/v1/agent/service/x?hash={hash}&wait=20s")).ok());
    std::thread::sleep(Duration::from_millis(100));
    let changed = std::time::Instant::now();
    client.put(REGISTER, r#"{"Name":"x","Port":2}"#).ok();
    let woken = waiting.join().unwrap();
    assert!(changed.elapsed() < Duration::from_secs(3));
    assert_eq!(woken.value().get("Port").number(), Some(2));
}

#[test]
fn maintenance_of_a_service() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"ID":"w1","Name":"web","Tags":["a"]}"#).ok();
    let check = |notes: &str| {
        format!(
            r#"{{"_service_maintenance:w1":{{"Node":"<node>","CheckID":"_service_maintenance:w1",
              "Name":"Service Maintenance Mode","Status":"critical","Notes":"{notes}","Output":"","ServiceID":"w1",
              "ServiceName":"web","ServiceTags":["a"],"Type":"maintenance","Definition":{{}},"CreateIndex":0,"ModifyIndex":0}}}}"#
        )
    };
    client.put("/v1/agent/service/maintenance/w1?enable=true&reason=why", "").error(200, "");
    client.get("/v1/agent/checks").ok().json(&check("why"));
    comes_to(&mut client, "/v1/health/state/critical", |value| value.len() == 1);
    client.put("/v1/agent/service/maintenance/w1?enable=false", "").ok();
    client.get("/v1/agent/checks").ok().json("{}");
    client.put("/v1/agent/service/maintenance/w1?enable=1", "").ok();
    client.get("/v1/agent/checks").ok().json(&check(
        "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.",
    ));
    table(
        &mut client,
        &[
            ("PUT", "/v1/agent/service/maintenance/w1", "", 400, "Missing value for enable"),
            (
                "PUT",
                "/v1/agent/service/maintenance/w1?enable=zz",
                "",
                400,
                r#"Invalid value for enable: "zz""#,
            ),
            ("PUT", "/v1/agent/service/maintenance/?enable=true", "", 400, "Missing service ID"),
            (
                "PUT",
                "/v1/agent/service/maintenance/none?enable=true",
                "",
                404,
                r#"No service registered with ID "none""#,
            ),
        ],
    );
}

#[test]
fn services_survive_a_restart() {
    let mut subject = setup().server().start();
    let mut client = subject.client();
    client.put(REGISTER, r#"{"Name":"kept","Port":7,"Check":{"TTL":"10m","Status":"passing"}}"#).ok();
    client.put("/v1/agent/service/maintenance/kept?enable=true&reason=r", "").ok();
    let before = client.get("/v1/agent/services").ok().body();
    subject.stop();
    subject.launch();
    subject.wait_ready();
    let mut client = subject.client();
    client.get("/v1/agent/services").ok().text(&before);
    assert_eq!(client.get("/v1/agent/checks").value().keys(), ["_service_maintenance:kept", "service:kept"]);
    comes_to(&mut client, "/v1/catalog/service/kept", |value| value.len() == 1);
}

#[test]
fn a_catalog_that_was_changed_behind_the_agent_is_put_right() {
    let (subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x","Port":1}"#).ok();
    comes_to(&mut client, "/v1/catalog/service/x", |value| value.len() == 1);
    client.put("/v1/catalog/deregister", r#"{"Node":"node-one","ServiceID":"x"}"#).ok();
    // the next full comparison would come within a minute; a change brings one forward
    client.put(REGISTER, r#"{"Name":"x","Port":2}"#).ok();
    comes_to(&mut client, "/v1/catalog/service/x", |value| {
        value.at(0).get("ServicePort").number() == Some(2)
    });
    drop(subject);
}

#[test]
fn services_registered_by_the_api_in_dev_mode_and_a_reload() {
    let (subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"x"}"#).ok();
    client.put("/v1/agent/reload", "").ok();
    if differs(&subject, "Reload in -dev mode") {
        assert_eq!(client.get("/v1/agent/services").value().keys(), ["x"]);
    } else {
        client.get("/v1/agent/services").ok().json("{}");
    }
}
