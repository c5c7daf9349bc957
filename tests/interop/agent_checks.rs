//! Checks of the agent: registration, the kinds that can be followed from here, and what they do to the catalog.

use std::time::Duration;

use crate::agent_services::{REGISTER, comes_to};
use crate::common::{agent, setup, table};
use crs_testkit::{Client, Json, Web};

const CHECK: &str = "/v1/agent/check/register";

fn status_of(client: &mut Client, id: &str) -> (String, String) {
    let value = client.get("/v1/agent/checks").value();
    let check = value.get(id);
    let text = |key: &str| check.get(key).text().unwrap_or("").to_string();
    (text("Status"), text("Output"))
}

#[track_caller]
fn check_comes_to(client: &mut Client, id: &str, status: &str) -> String {
    let value =
        comes_to(client, "/v1/agent/checks", |value| value.get(id).get("Status").text() == Some(status));
    value.get(id).get("Output").text().unwrap_or("").to_string()
}

#[test]
fn registrations_that_are_refused() {
    let (_subject, mut client) = agent();
    table(
        &mut client,
        &[
            ("PUT", CHECK, "{}", 400, "Missing check name"),
            ("PUT", CHECK, "", 400, "Request decode failed: EOF"),
            ("PUT", CHECK, r#"{"ID":"x","TTL":"10s"}"#, 400, "Missing check name"),
            ("PUT", CHECK, r#"{"Name":"c"}"#, 400, "Invalid check: TTL must be > 0 for TTL checks"),
            ("PUT", CHECK, r#"{"Name":"c","TTL":"10s","Status":"bogus"}"#, 400, "Bad check status"),
            (
                "PUT",
                CHECK,
                r#"{"Name":"c","TTL":"10s","ServiceID":"none"}"#,
                500,
                r#"ServiceID "none" does not exist"#,
            ),
            (
                "PUT",
                CHECK,
                r#"{"Name":"c","TTL":"10s","Bogus":1}"#,
                400,
                r#"Request decode failed: json: unknown field "Bogus""#,
            ),
            (
                "PUT",
                CHECK,
                r#"{"CheckID":"x","TTL":"10s"}"#,
                400,
                r#"Request decode failed: json: unknown field "CheckID""#,
            ),
            (
                "PUT",
                CHECK,
                r#"{"Name":"c","Args":["true"],"Interval":"10s"}"#,
                500,
                "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
            ),
            ("PUT", "/v1/agent/check/deregister/", "", 500, "CheckID missing"),
            ("PUT", "/v1/agent/check/deregister/none", "", 200, ""),
        ],
    );
}

#[test]
fn a_ttl_check_is_told_its_state() {
    let (_subject, mut client) = agent();
    client.put(CHECK, r#"{"Name":"mem","TTL":"10m","Notes":"ram"}"#).error(200, "").lacks("Content-Type");
    let check = |status: &str, output: &str| {
        format!(
            r#"{{"mem":{{"Node":"<node>","CheckID":"mem","Name":"mem","Status":"{status}","Notes":"ram","Output":"{output}",
              "ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"ttl","Definition":{{}},"CreateIndex":0,"ModifyIndex":0}}}}"#
        )
    };
    client.get("/v1/agent/checks").ok().json(&check("critical", ""));
    for (target, status, output) in [
        ("/v1/agent/check/pass/mem", "passing", ""),
        ("/v1/agent/check/warn/mem?note=careful", "warning", "careful"),
        ("/v1/agent/check/fail/mem?note=dead%20now", "critical", "dead now"),
        ("/v1/agent/check/pass/mem", "passing", ""),
    ] {
        client.put(target, "").error(200, "");
        client.get("/v1/agent/checks").ok().json(&check(status, output));
        comes_to(&mut client, "/v1/health/node/node-one", |value| {
            value.at(0).get("CheckID").text() == Some("mem")
                && value.at(0).get("Status").text() == Some(status)
        });
    }
    client.put("/v1/agent/check/update/mem", r#"{"Status":"warning","Output":"upd"}"#).error(200, "");
    client.get("/v1/agent/checks").ok().json(&check("warning", "upd"));
    table(
        &mut client,
        &[
            (
                "PUT",
                "/v1/agent/check/update/mem",
                r#"{"Status":"bogus"}"#,
                400,
                "Invalid check status: 'bogus'",
            ),
            ("PUT", "/v1/agent/check/update/mem", "", 400, "Request decode failed: EOF"),
            (
                "PUT",
                "/v1/agent/check/update/mem",
                r#"{"Status":"passing","X":1}"#,
                400,
                r#"Request decode failed: json: unknown field "X""#,
            ),
            ("PUT", "/v1/agent/check/pass/none", "", 500, r#"CheckID "none" does not have associated TTL"#),
            ("PUT", "/v1/agent/check/pass/", "", 500, r#"CheckID "" does not have associated TTL"#),
            (
                "PUT",
                "/v1/agent/check/update/none",
                r#"{"Status":"passing"}"#,
                500,
                r#"CheckID "none" does not have associated TTL"#,
            ),
        ],
    );
    client.put("/v1/agent/check/deregister/mem", "").error(200, "");
    client.get("/v1/agent/checks").ok().json("{}");
    comes_to(&mut client, "/v1/health/node/node-one", |value| value.len() == 1);
}

#[test]
fn a_ttl_that_runs_out_is_critical() {
    let (_subject, mut client) = agent();
    client.put(CHECK, r#"{"Name":"mem","TTL":"200ms"}"#).ok();
    client.put("/v1/agent/check/pass/mem?note=fine", "").ok();
    let output = check_comes_to(&mut client, "mem", "critical");
    assert_eq!(output, "TTL expired (last output before timeout follows): fine");
    client.put(CHECK, r#"{"Name":"mute","TTL":"200ms","Status":"passing"}"#).ok();
    assert_eq!(check_comes_to(&mut client, "mute", "critical"), "TTL expired");
}

#[test]
fn a_check_of_a_service_takes_its_name_and_tags() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"ID":"w1","Name":"web","Tags":["a"]}"#).ok();
    client.put(CHECK, r#"{"Name":"up","ID":"up1","TTL":"10m","ServiceID":"w1","Status":"passing"}"#).ok();
    client.get("/v1/agent/checks").ok().json(
        r#"{"up1":{"Node":"<node>","CheckID":"up1","Name":"up","Status":"passing","Notes":"","Output":"",
          "ServiceID":"w1","ServiceName":"web","ServiceTags":["a"],"Type":"ttl","Definition":{},
          "CreateIndex":0,"ModifyIndex":0}}"#,
    );
    comes_to(&mut client, "/v1/health/service/web?passing", |value| value.len() == 1);
    client.put("/v1/agent/service/deregister/w1", "").ok();
    client.get("/v1/agent/checks").ok().json("{}");
}

#[test]
fn an_http_check_follows_the_status() {
    let (subject, mut client) = agent();
    let mut web = Web::start(subject.address());
    let url = format!("http://{}/health", web.address());
    client
        .put(
            REGISTER,
            format!(
                r#"{{"Name":"web","Check":{{"HTTP":"{url}","Interval":"1s","Timeout":"2s","Header":{{"X-Probe":["yes"]}}}}}}"#
            ),
        )
        .ok();
    let output = check_comes_to(&mut client, "service:web", "passing");
    assert_eq!(output, format!("HTTP GET {url}: 200 Status Output: ok"));
    let seen = web.seen().join("\n");
    assert!(seen.starts_with("GET /health HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("X-Probe: yes\r\n") && seen.contains("User-Agent: Consul Health Check\r\n"),
        "{seen}"
    );
    assert!(seen.contains("Accept: text/plain, text/*, */*\r\n"), "{seen}");

    web.answer(429, "slow down");
    assert_eq!(
        check_comes_to(&mut client, "service:web", "warning"),
        format!("HTTP GET {url}: 429 Status Output: slow down")
    );
    web.answer(503, "broken");
    assert_eq!(
        check_comes_to(&mut client, "service:web", "critical"),
        format!("HTTP GET {url}: 503 Status Output: broken")
    );
    comes_to(&mut client, "/v1/health/service/web?passing", Json::is_empty);
    web.answer(204, "");
    check_comes_to(&mut client, "service:web", "passing");
    comes_to(&mut client, "/v1/health/service/web?passing", |value| value.len() == 1);
    web.down();
    let output = check_comes_to(&mut client, "service:web", "critical");
    assert_eq!(output, format!("Get {url:?}: dial tcp {}: connect: connection refused", web.address()));
    web.up();
    check_comes_to(&mut client, "service:web", "passing");
}

#[test]
fn an_http_check_sends_method_and_body() {
    let (subject, mut client) = agent();
    let web = Web::start(subject.address());
    client
        .put(
            CHECK,
            format!(
                r#"{{"Name":"w","HTTP":"http://{}/p?q=1","Method":"POST","Body":"ping","Interval":"1s",
                  "Header":{{"Content-Type":["text/x"],"Host":["other"]}}}}"#,
                web.address()
            ),
        )
        .ok();
    check_comes_to(&mut client, "w", "passing");
    let seen = web.seen()[0].clone();
    assert!(seen.starts_with("POST /p?q=1 HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nping"), "{seen}");
    assert!(seen.contains("Host: other\r\n") && seen.contains("Content-Type: text/x\r\n"), "{seen}");
}

#[test]
fn an_http_check_times_out() {
    let (subject, mut client) = agent();
    let web = Web::start(subject.address());
    web.delay(Duration::from_secs(3));
    client
        .put(
            CHECK,
            format!(r#"{{"Name":"w","HTTP":"http://{}/","Interval":"1s","Timeout":"100ms"}}"#, web.address()),
        )
        .ok();
    comes_to(&mut client, "/v1/agent/checks", |value| {
        value.get("w").get("Output").text().is_some_and(|output| {
            output.contains("context deadline exceeded") && output.contains("Client.Timeout exceeded")
        })
    });
}

#[test]
fn output_is_cut_at_its_limit() {
    let (subject, mut client) = agent();
    let web = Web::start(subject.address());
    web.answer(200, &"x".repeat(10_000));
    for (id, limit) in [("d", ""), ("s", r#","OutputMaxSize":10"#)] {
        client
            .put(
                CHECK,
                format!(r#"{{"Name":"{id}","HTTP":"http://{}/","Interval":"1s"{limit}}}"#, web.address()),
            )
            .ok();
        check_comes_to(&mut client, id, "passing");
    }
    let count = |output: String| output.matches('x').count();
    assert_eq!(count(status_of(&mut client, "d").1), 4096);
    assert_eq!(count(status_of(&mut client, "s").1), 10);
}

#[test]
fn a_tcp_check_follows_the_port() {
    let (subject, mut client) = agent();
    let mut web = Web::start(subject.address());
    client.put(CHECK, format!(r#"{{"Name":"t","TCP":"{}","Interval":"1s"}}"#, web.address())).ok();
    let output = check_comes_to(&mut client, "t", "passing");
    assert_eq!(output, format!("TCP connect {}: Success", web.address()));
    web.down();
    let output = check_comes_to(&mut client, "t", "critical");
    assert_eq!(output, format!("dial tcp {}: connect: connection refused", web.address()));
}

#[test]
fn a_script_check_follows_the_exit_code() {
    let subject = setup().script_checks().start();
    let mut client = subject.client();
    let file = subject.folder().join("state");
    let script = format!("echo out; exit $(cat {})", file.display());
    std::fs::write(&file, "0").unwrap();
    let body = format!(r#"{{"Name":"s","Args":["sh","-c",{}],"Interval":"1s"}}"#, Json::Text(script));
    client.put(CHECK, body).ok();
    for (code, status) in [("0", "passing"), ("1", "warning"), ("2", "critical"), ("0", "passing")] {
        std::fs::write(&file, code).unwrap();
        assert_eq!(check_comes_to(&mut client, "s", status), "out\n");
    }
}

#[test]
fn a_script_check_that_hangs_is_ended() {
    let subject = setup().script_checks().start();
    let mut client = subject.client();
    client.put(CHECK, r#"{"Name":"s","Args":["sh","-c","sleep 30"],"Interval":"1s","Timeout":"1s"}"#).ok();
    comes_to(&mut client, "/v1/agent/checks", |value| {
        value
            .get("s")
            .get("Output")
            .text()
            .is_some_and(|output| output.starts_with("Timed out (1s) running check"))
    });
}

#[test]
fn an_alias_check_follows_a_service() {
    let (_subject, mut client) = agent();
    client.put(REGISTER, r#"{"Name":"real","Check":{"TTL":"10m","CheckID":"ttl"}}"#).ok();
    client.put(REGISTER, r#"{"Name":"shadow","Check":{"AliasService":"real","CheckID":"alias"}}"#).ok();
    comes_to(&mut client, "/v1/agent/checks", |value| {
        value.get("alias").get("Output").text() == Some("Aliased check \"Service 'real' check\" failing: ")
    });
    client.put("/v1/agent/check/pass/ttl", "").ok();
    assert_eq!(check_comes_to(&mut client, "alias", "passing"), "All checks passing.");
    client.put("/v1/agent/check/warn/ttl?note=hm", "").ok();
    check_comes_to(&mut client, "alias", "warning");
}

#[test]
fn thresholds_hold_the_state_back() {
    let (subject, mut client) = agent();
    let web = Web::start(subject.address());
    client
        .put(
            CHECK,
            format!(
                r#"{{"Name":"w","HTTP":"http://{}/","Interval":"1s","Status":"passing",
                  "SuccessBeforePassing":2,"FailuresBeforeCritical":2}}"#,
                web.address()
            ),
        )
        .ok();
    comes_to(&mut client, "/v1/agent/checks", |_| !web.seen().is_empty());
    web.answer(500, "down");
    let before = web.seen().len();
    check_comes_to(&mut client, "w", "critical");
    let failures = web.seen().len() - before;
    assert!(failures >= 2, "critical after {failures} failures, not before the second");
    web.answer(200, "up");
    let before = web.seen().len();
    check_comes_to(&mut client, "w", "passing");
    let successes = web.seen().len() - before;
    assert!(successes >= 2, "passing after {successes} successes, not before the second");
}
