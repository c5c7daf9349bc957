//! Input that cannot be used ends in one clear line and exit code 1, and nothing on disk is damaged.

use std::net::TcpListener;
use std::time::Duration;

use crate::common::crs;
use crs_testkit::{Setup, Subject};

const DEADLINE: Duration = Duration::from_secs(15);

/// Starts it, expects it to end with code 1, and returns what it printed.
#[track_caller]
fn ends(subject: &mut Subject) -> String {
    subject.launch();
    let status = subject.wait_end(DEADLINE);
    let text = subject.log();
    assert_eq!(status.code(), Some(1), "{text}");
    text
}

/// Expects one line that holds all of `parts`.
#[track_caller]
fn says(text: &str, parts: &[&str]) {
    assert!(
        text.lines().any(|line| parts.iter().all(|part| line.contains(part))),
        "no line with all of {parts:?} in\n{text}"
    );
}

#[track_caller]
fn refused(setup: Setup, parts: &[&str]) {
    let mut subject = setup.prepare();
    let text = ends(&mut subject);
    says(&text, parts);
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn files_that_cannot_be_read() {
    for (name, text, parts) in [
        ("cut.json", r#"{"server":true,"#, &["cut.json", "unexpected end of JSON input"][..]),
        ("type.json", "{\n  \"server\": \"yes please\"\n}", &["type.json:2", "server"]),
        ("port.json", "{\"ports\":\n {\"http\": 70000}}", &["port.json:2", "ports.http"]),
        ("unknown.json", r#"{"sevrer":true}"#, &["unknown.json", "sevrer", "server"]),
        ("cut.hcl", "service {\n  name = \"x\"\n", &["cut.hcl"]),
    ] {
        refused(crs().server().file(name, text), parts);
    }
}

#[test]
fn all_errors_at_once() {
    let mut subject = crs()
        .server()
        .file("a.json", r#"{"sevrer":true}"#)
        .file("b.json", r#"{"ports":{"http":70000}}"#)
        .prepare();
    let text = ends(&mut subject);
    says(&text, &["a.json", "sevrer"]);
    says(&text, &["b.json", "ports.http"]);
}

#[test]
fn a_service_id_twice() {
    refused(
        crs()
            .server()
            .file("a.json", r#"{"service":{"id":"same","name":"a"}}"#)
            .file("b.json", r#"{"service":{"id":"same","name":"b"}}"#),
        &["same"],
    );
}

#[test]
fn a_file_that_cannot_be_opened() {
    let mut subject = crs().server().prepare();
    std::os::unix::fs::symlink("/nonexistent/target", subject.config_dir().join("gone.json")).unwrap();
    says(&ends(&mut subject), &["gone.json"]);
}

#[test]
fn a_port_that_is_taken() {
    let mut subject = crs().server().prepare();
    let _taken = TcpListener::bind(subject.http()).unwrap();
    let text = ends(&mut subject);
    says(&text, &[&subject.http().to_string()]);
    assert!(!subject.data_dir().join("raft").join("lost").exists());
}

#[test]
fn a_data_directory_in_use() {
    let first = crs().server().start();
    let mut second = crs().server().argument(&format!("-data-dir={}", first.data_dir().display())).prepare();
    let text = ends(&mut second);
    says(&text, &[&first.data_dir().to_string_lossy()]);
    // the first one goes on
    first.client().put("/v1/kv/a", "1").ok();
}

#[test]
fn a_data_directory_of_another_node() {
    let mut subject = crs().server().start();
    subject.client().put("/v1/kv/a", "1").ok();
    subject.stop();
    let other = subject.data_dir();
    let mut second = crs()
        .server()
        .argument(&format!("-data-dir={}", other.display()))
        .argument("-node-id=11111111-2222-3333-4444-555555555555")
        .prepare();
    let text = ends(&mut second);
    says(&text, &[&other.to_string_lossy()]);
    // nothing was damaged: its own node starts on it as before
    subject.launch();
    subject.wait_ready();
    subject.client().get("/v1/kv/a?raw").ok().text("1");
}

#[test]
fn a_disk_without_space() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_string_lossy().into_owned();
    // a file system of its own that is too small to hold a log, in a mount namespace of its own
    let mut subject = crs()
        .server()
        .argument(&format!("-data-dir={data}"))
        .under(&[
            "unshare",
            "-rm",
            "sh",
            "-c",
            "mount -t tmpfs -o size=64k tmpfs \"$0\" && exec \"$@\"",
            &data,
        ])
        .prepare();
    let text = ends(&mut subject);
    says(&text, &[&data]);
    assert!(text.contains("space"), "{text}");
}

#[test]
fn a_data_directory_that_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "x").unwrap();
    refused(crs().server().argument(&format!("-data-dir={}", path.display())), &[&path.to_string_lossy()]);
}

#[test]
fn a_damaged_record_that_was_durable_stops_the_start() {
    let mut subject = crs().server().start();
    let mut client = subject.client();
    for number in 0..200 {
        client.put(&format!("/v1/kv/damage/{number}"), "x".repeat(100)).ok();
    }
    subject.kill();
    let (path, place) =
        find_in(&subject.data_dir(), b"damage/20").expect("the key stands in a file of the log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[place] ^= 0xff;
    std::fs::write(&path, &bytes).unwrap();
    let text = ends(&mut subject);
    says(&text, &[&path.file_name().unwrap().to_string_lossy()]);
    assert!(text.contains("offset") || text.contains("byte"), "{text}");
    // it changed nothing: put right, it starts
    let mut after = std::fs::read(&path).unwrap();
    assert_eq!(after, bytes, "the start wrote into the damaged file");
    after[place] ^= 0xff;
    std::fs::write(&path, &after).unwrap();
    subject.launch();
    subject.wait_ready();
    assert_eq!(subject.client().get("/v1/kv/damage/?keys").value().len(), 200);
}

/// The first file below `folder` that holds `wanted`, and where.
fn find_in(folder: &std::path::Path, wanted: &[u8]) -> Option<(std::path::PathBuf, usize)> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find_in(&path, wanted) {
                return Some(found);
            }
        } else if let Ok(bytes) = std::fs::read(&path)
            && let Some(place) = bytes.windows(wanted.len()).position(|window| window == wanted)
        {
            return Some((path, place));
        }
    }
    None
}

#[test]
fn an_alias_of_nothing_is_survived() {
    let subject = crs().start();
    let mut client = subject.client();
    client
        .put(
            "/v1/agent/service/register",
            r#"{"Name":"x","Check":{"AliasNode":"nobody","AliasService":"nothing","CheckID":"alias"}}"#,
        )
        .ok();
    crs_testkit::eventually(DEADLINE, "the alias is critical", || {
        let value = client.get("/v1/agent/checks").value();
        if value.get("alias").get("Status").text() == Some("critical") { Ok(()) } else { Err(value) }
    });
    client.get("/v1/status/leader").ok();
}
