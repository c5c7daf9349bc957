//! Rows of the acceptance walkthrough that a single agent serves and that hold for both subjects.

use std::time::Duration;

use crate::agent_services::{REGISTER, comes_to};
use crate::common::{agent, setup};
use crs_testkit::{Json, Request, Subject};

/// What a command printed, and how it ended.
fn command(subject: &Subject, arguments: &[&str]) -> (i32, String, String) {
    let output = subject.run(arguments);
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[track_caller]
fn prints(subject: &Subject, arguments: &[&str], text: &str) {
    let (code, out, err) = command(subject, arguments);
    assert_eq!((code, out.as_str()), (0, text), "{arguments:?}: {err}");
}

#[test]
fn s2_18_services_by_the_api() {
    let (_subject, mut client) = agent();
    for (number, ip) in [(1, "192.168.1.220"), (2, "192.168.1.221"), (3, "192.168.1.222")] {
        let body = format!(
            r#"{{"ID":"node_exporter0{number}","Name":"node_exporter","Address":"{ip}","Port":9100,"Tags":["prod"],"EnableTagOverride":false}}"#
        );
        client.send(Request::new("PUT", REGISTER).header("x-consul-token", "any").body(body)).error(200, "");
    }
    comes_to(&mut client, "/v1/catalog/service/node_exporter", |value| value.len() == 3);
    let value = client
        .send(
            Request::new("GET", "/v1/catalog/service/node_exporter?filter=ServiceID==node_exporter01")
                .header("x-consul-token", "any"),
        )
        .ok()
        .value();
    let service = value.at(0);
    assert_eq!(service.get("ServiceAddress").text(), Some("192.168.1.220"));
    assert_eq!(service.get("ServicePort").number(), Some(9100));
    assert_eq!(service.get("ServiceTags").to_string(), r#"["prod"]"#);
    assert_eq!(service.get("ServiceEnableTagOverride"), &Json::Bool(false));
}

#[test]
fn s2_19_deregister_by_the_api() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"ID":"node_exporter01","Name":"node_exporter","Port":9100}"#).ok();
    comes_to(&mut client, "/v1/catalog/service/node_exporter", |value| value.len() == 1);
    client.put("/v1/agent/service/deregister/node_exporter01", "").error(200, "");
    comes_to(&mut client, "/v1/catalog/service/node_exporter", Json::is_empty);
}

const NGINX: &str = r#"{"service":{"name":"nginx","tags":["web"],"port":80,
  "check":{"http":"http://URL/","interval":"1s"}}}"#;

#[test]
fn s2_20_a_file_and_a_reload() {
    let subject = setup().server().start();
    let web = crs_testkit::Web::start(subject.address());
    subject.write_config("nginx.json", &NGINX.replace("URL", &web.address().to_string()));
    prints(&subject, &["reload"], "Configuration reload triggered\n");
    let mut client = subject.client();
    comes_to(&mut client, "/v1/catalog/service/nginx", |value| value.len() == 1);
    comes_to(&mut client, "/v1/health/service/nginx?passing", |value| value.len() == 1);
    web.answer(500, "broken");
    comes_to(&mut client, "/v1/health/service/nginx?passing", Json::is_empty);
    web.answer(200, "mended");
    comes_to(&mut client, "/v1/health/service/nginx?passing", |value| value.len() == 1);
}

#[test]
fn s2_21_the_fields_of_a_catalog_entry() {
    let subject = setup().server().file("nginx.json", &NGINX.replace("URL", "127.0.0.1:1")).start();
    let mut client = subject.client();
    comes_to(&mut client, "/v1/catalog/service/nginx", |value| value.len() == 1);
    client.get("/v1/catalog/service/nginx").ok().json(
        r#"[{"ID":"<uuid>","Node":"<node>","Address":"<address>","Datacenter":"dc1",
          "TaggedAddresses":{"lan":"<address>","lan_ipv4":"<address>","wan":"<address>","wan_ipv4":"<address>"},
          "NodeMeta":{"consul-network-segment":""},"ServiceKind":"","ServiceID":"nginx","ServiceName":"nginx",
          "ServiceTags":["web"],"ServiceAddress":"","ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{},
          "ServicePort":80,"ServiceEnableTagOverride":false,"ServiceProxy":{"MeshGateway":{},"Expose":{}},
          "ServiceConnect":{},"CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
}

#[test]
fn s4_7_registrations_outlive_the_agent() {
    let mut subject = setup().server().start();
    subject.client().put(REGISTER, r#"{"Name":"kept","Port":7}"#).ok();
    subject.stop();
    subject.launch();
    subject.wait_ready();
    comes_to(&mut subject.client(), "/v1/catalog/service/kept", |value| value.len() == 1);
}

#[test]
fn s5_3_checks_of_a_fresh_agent() {
    let subject = setup().server().start();
    subject.client().get("/v1/agent/checks").ok().text("{}");
}

#[test]
fn s5_11_keys_by_command() {
    let (subject, _client) = agent();
    prints(&subject, &["kv", "put", "name", "ivan"], "Success! Data written to: name\n");
    prints(&subject, &["kv", "get", "name"], "ivan\n");
    let (code, out, _) = command(&subject, &["kv", "get", "-detailed", "name"]);
    assert_eq!(code, 0);
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    let labels: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(labels, ["CreateIndex", "Flags", "Key", "LockIndex", "ModifyIndex", "Session", "Value"]);
    assert_eq!((rows[2][1], rows[5][1], rows[6][1]), ("name", "-", "ivan"));
    assert!(out.starts_with("CreateIndex      "), "columns stand at 17: {out:?}");
    prints(&subject, &["kv", "delete", "name"], "Success! Deleted key: name\n");
    let (code, out, err) = command(&subject, &["kv", "get", "name"]);
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "Error! No key exists at: name\n"));
}

#[test]
fn s5_12_members_by_command() {
    let (subject, _client) = agent();
    let (code, out, err) = command(&subject, &["members"]);
    assert_eq!(code, 0, "{err}");
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"]);
    let address = format!("{}:8301", subject.address());
    assert_eq!(rows[1][..7], ["node-one", &address, "alive", "server", "1.8.7", "2", "dc1"]);
    assert_eq!((rows[1][7], rows.len()), ("<all>", 2));
}

#[test]
fn s1_3_an_agent_alone_knows_itself_only() {
    let (subject, mut client) = agent();
    assert_eq!(client.get("/v1/agent/members").value().len(), 1);
    let (code, out, _) = command(&subject, &["members"]);
    assert_eq!((code, out.lines().count()), (0, 2));
}

#[test]
fn s5_2_a_lone_server_leads_in_seconds() {
    let start = std::time::Instant::now();
    let subject = setup().server().start();
    assert!(start.elapsed() < Duration::from_secs(25));
    subject.client().get("/v1/status/leader").ok().json(r#""<address>:8300""#);
}
