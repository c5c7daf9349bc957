//! What is our own: the second set of variables, old flags, readers that go away, a snapshot that is whole.

use std::path::Path;
use std::process::Stdio;

use crate::pair::Pair;

fn crs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_crs"))
}

#[test]
fn the_own_variables_win() {
    let Some(pair) = Pair::start() else { return };
    let mut command = pair.command(crs(), &["catalog", "datacenters"]);
    command.env("CRS_HTTP_ADDR", "127.0.0.1:1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("dial tcp 127.0.0.1:1: connect: connection refused"), "{text}");
    // A flag wins over both.
    let address = pair.agent.http().to_string();
    let mut command = pair.command(crs(), &["catalog", "datacenters", "-http-addr", &address]);
    command.env("CRS_HTTP_ADDR", "127.0.0.1:1");
    assert_eq!(command.output().unwrap().stdout, b"dc1\n");
}

#[test]
fn old_flags_go_on_working() {
    let Some(pair) = Pair::start() else { return };
    let address = pair.agent.http().to_string();
    let mut command = pair.command(crs(), &["catalog", "datacenters", "-rpc-addr", &address]);
    let output = command.env("CONSUL_HTTP_ADDR", "127.0.0.1:1").output().unwrap();
    assert_eq!(output.stdout, b"dc1\n");
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(warning, "==> WARNING: the 'rpc-addr' flag has been deprecated. Use 'http-addr' instead\n");
}

#[test]
fn a_reader_that_goes_away_is_success() {
    let Some(pair) = Pair::start() else { return };
    for n in 0..40 {
        pair.crs(&["kv", "put", &format!("pipe/{n}"), &"x".repeat(10_000)]);
    }
    let mut child =
        pair.command(crs(), &["kv", "get", "-recurse", "pipe/"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_saved_snapshot_is_whole_and_can_be_restored() {
    let Some(pair) = Pair::start() else { return };
    pair.crs(&["kv", "put", "kept", "yes"]);
    let saved = pair.crs(&["snapshot", "save", "a.snap"]);
    assert!(saved.stdout.starts_with("Saved and verified snapshot to index "), "{saved:?}");
    assert!(!pair.folder().join("a.snap.unverified").exists());
    pair.crs(&["kv", "delete", "kept"]);
    assert_eq!(pair.consul(&["snapshot", "restore", "a.snap"]).code, Some(0));
    assert_eq!(pair.crs(&["kv", "get", "kept"]).stdout, "yes\n");
    // A failure leaves nothing behind.
    let refused = pair.crs(&["snapshot", "save", "-http-addr=127.0.0.1:1", "b.snap"]);
    assert_eq!(refused.code, Some(1));
    let left: Vec<_> =
        std::fs::read_dir(pair.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a.snap"]);
}

#[test]
fn import_takes_all_or_nothing() {
    let Some(pair) = Pair::start() else { return };
    let data = r#"[{"key":"half/a","value":"aGk="},{"key":"half/b","value":"%%%"}]"#;
    let said = pair.crs(&["kv", "import", data]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("half/b"), "{said:?}");
    assert_eq!(pair.crs(&["kv", "get", "-recurse", "half/"]).stdout, "");
}

#[test]
fn a_file_registers_what_consul_makes_of_it() {
    let Some(pair) = Pair::start() else { return };
    let text = r#"
        service {
          name = "web" id = "w1" tags = ["a"] port = 80 address = "10.0.0.1" enable_tag_override = true
          meta { k = "v" }
          tagged_addresses { lan { address = "10.0.0.2" port = 81 } }
          weights { passing = 5 warning = 2 }
          checks = [
            { http = "http://127.0.0.1:1/x" method = "PUT" header { a = ["b"] } body = "c" interval = "1h"
              timeout = "2s" notes = "n" status = "passing" deregister_critical_service_after = "2m"
              success_before_passing = 3 failures_before_critical = 4 tls_skip_verify = true },
            { id = "own" name = "of its own" ttl = "10m" },
            { tcp = "127.0.0.1:1" interval = "1h" },
            { grpc = "127.0.0.1:1/s" grpc_use_tls = true interval = "1h" },
            { alias_service = "other" },
          ]
        }"#;
    std::fs::write(pair.folder().join("s.hcl"), text).unwrap();
    let mut http = pair.agent.client();
    let mut state = || {
        let (services, checks) = (http.get("/v1/agent/services"), http.get("/v1/agent/checks"));
        (services.body(), without_outputs(&checks.body()))
    };
    assert_eq!(pair.consul(&["services", "register", "s.hcl"]).code, Some(0));
    let real = state();
    assert_eq!(pair.consul(&["services", "deregister", "-id=w1"]).code, Some(0));
    let said = pair.crs(&["services", "register", "s.hcl"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(state(), real);
}

/// What a run of a check changes is left out.
fn without_outputs(text: &str) -> serde_json::Value {
    let mut checks: serde_json::Value = serde_json::from_str(text).unwrap();
    for check in checks.as_object_mut().unwrap().values_mut() {
        check["Output"] = serde_json::Value::Null;
        check["Status"] = serde_json::Value::Null;
    }
    checks
}

#[test]
fn data_that_is_no_base64_is_not_written() {
    let Some(pair) = Pair::start() else { return };
    let said = pair.crs(&["kv", "put", "-base64", "b64", "%%%"]);
    assert_eq!(said.stderr, "Error! Cannot base 64 decode data: illegal base64 data at input byte 0\n");
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert_eq!(pair.crs(&["kv", "get", "b64"]).code, Some(1));
}

#[test]
fn certificates_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"data_dir":"/x","bind_addr":"127.0.0.1","ca_file":"/nonexistent/ca.pem"}"#;
    std::fs::write(folder.path().join("a.json"), text).unwrap();
    let output =
        std::process::Command::new(crs()).args(["validate", "."]).current_dir(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        text,
        "Config validation failed: ca_file: open /nonexistent/ca.pem: no such file or directory\n"
    );
}
