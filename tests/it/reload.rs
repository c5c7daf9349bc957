//! Reload: what it takes over, what it names as needing a restart, and that a broken file changes nothing.

use std::time::Duration;

use crate::common::crs;
use crs_testkit::{Subject, eventually};

fn services(subject: &Subject) -> Vec<String> {
    subject.client().get("/v1/agent/services").value().keys().into_iter().map(String::from).collect()
}

#[track_caller]
fn services_come_to(subject: &Subject, wanted: &[&str]) {
    eventually(Duration::from_secs(10), &format!("the services {wanted:?}"), || {
        let now = services(subject);
        if now == wanted { Ok(()) } else { Err(format!("{now:?}")) }
    });
}

#[test]
fn the_api_the_signal_and_the_command_reload() {
    let subject = crs().server().start();
    subject.write_config("a.json", r#"{"service":{"name":"a"}}"#);
    subject.client().put("/v1/agent/reload", "").ok();
    services_come_to(&subject, &["a"]);
    subject.write_config("b.hcl", "service {\n  name = \"b\"\n  port = 80\n}\n");
    subject.signal(1);
    services_come_to(&subject, &["a", "b"]);
    std::fs::remove_file(subject.config_dir().join("a.json")).unwrap();
    assert!(subject.run(&["reload"]).status.success());
    services_come_to(&subject, &["b"]);
}

#[test]
fn services_of_the_api_stay_beside_those_of_files() {
    let subject = crs().server().file("a.json", r#"{"service":{"name":"a"}}"#).start();
    subject.client().put("/v1/agent/service/register", r#"{"Name":"by-api"}"#).ok();
    subject.write_config("a.json", r#"{"service":{"name":"renamed"}}"#);
    subject.client().put("/v1/agent/reload", "").ok();
    services_come_to(&subject, &["by-api", "renamed"]);
}

#[test]
fn a_check_keeps_its_state_over_a_reload() {
    let subject = crs().server().file("a.json", r#"{"service":{"name":"a","check":{"ttl":"10m"}}}"#).start();
    let mut client = subject.client();
    client.put("/v1/agent/check/pass/service:a?note=fine", "").ok();
    subject.write_config("b.json", r#"{"service":{"name":"b"}}"#);
    client.put("/v1/agent/reload", "").ok();
    services_come_to(&subject, &["a", "b"]);
    let value = client.get("/v1/agent/checks").value();
    assert_eq!(value.get("service:a").get("Status").text(), Some("passing"));
    assert_eq!(value.get("service:a").get("Output").text(), Some("fine"));
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let subject = crs().server().file("a.json", r#"{"ports":{"dns":8600}}"#).start();
    subject.write_config("a.json", r#"{"ports":{"dns":8700},"service":{"name":"a"}}"#);
    subject.client().put("/v1/agent/reload", "").ok();
    services_come_to(&subject, &["a"]);
    eventually(Duration::from_secs(5), "the log names the ports", || {
        let log = subject.log();
        if log.lines().any(|line| line.contains("ports") && line.contains("restart")) {
            Ok(())
        } else {
            Err(log)
        }
    });
}

#[test]
fn auto_reload_follows_the_files() {
    let subject = crs().server().file("a.json", r#"{"auto_reload_config":true}"#).start();
    subject.write_config("b.json", r#"{"service":{"name":"b"}}"#);
    services_come_to(&subject, &["b"]);
    // half a file changes nothing
    subject.write_config("c.json", r#"{"service":{"name":"c","#);
    eventually(Duration::from_secs(10), "the log names c.json", || {
        let log = subject.log();
        if log.contains("c.json") { Ok(()) } else { Err(log) }
    });
    assert_eq!(services(&subject), ["b"]);
    subject.write_config("c.json", r#"{"service":{"name":"c"}}"#);
    services_come_to(&subject, &["b", "c"]);
    std::fs::remove_file(subject.config_dir().join("b.json")).unwrap();
    services_come_to(&subject, &["c"]);
}

#[test]
fn the_log_level_is_taken_over() {
    let subject = crs().server().file("a.json", r#"{"log_level":"info"}"#).start();
    assert!(!subject.log().contains("[DEBUG]"));
    subject.write_config("a.json", r#"{"log_level":"debug"}"#);
    subject.client().put("/v1/agent/reload", "").ok();
    eventually(Duration::from_secs(10), "a line of level debug", || {
        subject.client().get("/v1/agent/self").ok();
        if subject.log().contains("[DEBUG]") { Ok(()) } else { Err(subject.log()) }
    });
}
