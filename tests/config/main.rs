//! The same small files for the real `consul validate` and for crs: the same verdict and the same words, except where a
//! row says why not.
//!
//! Needs the real binary in `$CRS_PEERS` (default `target/peers`); without it the test says so, and fails when `CI=true`.

// every item is a test: an unwrap is an assertion, and a skipped test says so
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::Command;

use crs_config::{Flags, Format, Interface, Machine, NoLookup, Request, Source, load};

/// What is expected of crs beside Consul's verdict.
enum Want {
    /// The same verdict; when it is an error, Consul's words are in ours.
    Same,
    /// The same verdict in other words.
    OtherWords,
    /// Consul accepts it, crs does not.
    Stricter,
    /// Consul refuses it, crs does not.
    Laxer,
}
use Want::{Laxer, OtherWords, Same, Stricter};

/// Bodies of a JSON object behind `data_dir` and `bind_addr`.
const JSON: &[(&str, Want)] = &[
    (r#""server":true"#, Same),
    (r#""bogus":1"#, Same),
    (r#""bogus":1,"acl":{"x":1},"dc":"a""#, Same),
    (r#""server":"true""#, Same),
    (r#""server":1"#, Same),
    (r#""ports":{"http":"1"}"#, Same),
    (r#""ports":{"http":80.5}"#, Stricter),
    (r#""ports":null,"services":null"#, Same),
    (r#""ports":{"http":70000}"#, Same),
    (r#""ports":{"dns":-5}"#, Stricter),
    (r#""ports":{"http":8600}"#, Same),
    (r#""ports":{"server":8301}"#, Same),
    (r#""ports":{"serf_lan":8500}"#, Same),
    (r#""ports":{"serf_wan":8301}"#, Same),
    (r#""ports":{"http":0,"serf_wan":-1}"#, Same),
    (r#""ports":{"server":-1}"#, Stricter),
    (r#""recursors":"1.1.1.1""#, Same),
    (r#""recursors":[1,2]"#, Same),
    (r#""recursors":["zz"]"#, Stricter),
    (r#""node_meta":{"a":1}"#, Same),
    (r#""node_meta":{"bad key":"x"}"#, Same),
    (r#""node_meta":{"consul-x":"y"}"#, Same),
    (r#""retry_interval":10"#, Same),
    (r#""retry_interval":"zz""#, Same),
    (r#""Server":true,"ports":{"HTTP":5}"#, Same),
    (r#""Data_Dir":"y""#, Same),
    (r#""datacenter":"My DC""#, Same),
    (r#""datacenter":"""#, Same),
    (r#""primary_datacenter":"A B""#, Same),
    (r#""node_name":"""#, Stricter),
    (r#""node_name":"bad name""#, Same),
    (r#""node_id":"zz""#, Stricter),
    (r#""bootstrap":true"#, Same),
    (r#""bootstrap_expect":3"#, Same),
    (r#""server":true,"bootstrap":true,"bootstrap_expect":3"#, Same),
    (r#""server":true,"bootstrap_expect":-1"#, Same),
    (r#""server":true,"bootstrap_expect":4"#, Same),
    (r#""encrypt":"zz""#, Same),
    (r#""encrypt":"AAAA""#, Stricter),
    (r#""bind_addr":"unix:///x""#, Same),
    (r#""bind_addr":"127.0.0.1 127.0.0.2""#, Same),
    (r#""bind_addr":"zz""#, Same),
    (r#""advertise_addr":"zz""#, Same),
    (r#""advertise_addr":"0.0.0.0""#, Same),
    (r#""advertise_addr_wan":"::""#, Same),
    (r#""advertise_addr_ipv4":"::1""#, Same),
    (r#""advertise_addr_ipv6":"1.1.1.1""#, Same),
    (r#""client_addr":"localhost""#, Same),
    (r#""client_addr":"[::1]""#, Laxer),
    (r#""client_addr":"{{ zz }}""#, Same),
    (r#""client_addr":"127.0.0.1 unix:///x","addresses":{"dns":"127.0.0.1"}"#, Same),
    (r#""addresses":{"http":"unix:///x","dns":"unix:///y"}"#, Same),
    (r#""addresses":{"http":"zz"}"#, Same),
    (r#""serf_wan":"unix:///x""#, Same),
    (r#""serf_lan_allowed_cidrs":["zz"]"#, OtherWords),
    (r#""http_config":{"allow_write_http_from":["zz"]}"#, Same),
    (r#""performance":{"raft_multiplier":11}"#, Same),
    (r#""performance":{"raft_multiplier":0}"#, Same),
    (r#""autopilot":{"max_trailing_logs":-1}"#, Same),
    (r#""autopilot":{"min_quorum":-1}"#, Same),
    (r#""dns_config":{"udp_answer_limit":-2}"#, Same),
    (r#""dns_config":{"service_ttl":{"x":"zz"}}"#, Same),
    (r#""dns_config":{"soa":{"refresh":-1}}"#, Same),
    (r#""alt_domain":"service.consul""#, Same),
    (r#""domain":"a b""#, Stricter),
    (r#""ui":true,"ui_dir":"/x""#, Same),
    (r#""ui_content_path":"/a b!/""#, Same),
    (r#""segment":"x""#, Same),
    (r#""non_voting_server":true"#, Same),
    (r#""acl_datacenter":"x","acl_token":"y""#, Same),
    (r#""acl":{"default_policy":"zz"}"#, Stricter),
    (r#""acl":{"down_policy":"zz"}"#, Stricter),
    (r#""auto_encrypt":{"allow_tls":true}"#, Same),
    (r#""auto_encrypt":{"tls":true},"server":true"#, Same),
    (r#""verify_incoming":true"#, Stricter),
    (r#""tls_cipher_suites":"zz""#, Same),
    (r#""tls_min_version":"zz""#, Stricter),
    (r#""connect":{"ca_provider":"zz"}"#, Same),
    (r#""primary_gateways":["x"]"#, Same),
    (r#""config_entries":{"bootstrap":[{"kind":"zz","name":"x"}]}"#, Same),
    (r#""telemetry":{"prefix_filter":["zz","","+a"]}"#, Same),
    (r#""log_level":"zz""#, Stricter),
    (r#""syslog_facility":"zz""#, Stricter),
    (r#""protocol":9"#, Stricter),
    (r#""raft_protocol":9"#, Stricter),
    (r#""reconnect_timeout":"1h""#, Stricter),
    (r#""check_output_max_size":0"#, Same),
    (r#""unix_sockets":{"mode":"zz"}"#, Stricter),
    (r#""watches":["x"]"#, Same),
    (r#""watches":[{"type":"zz"}]"#, Stricter),
    (r#""watches":[{"type":"key","args":["x"]}]"#, Stricter),
    (r#""watches":[{"type":"key","key":"a","args":["x"]}]"#, Same),
    (r#""services":{"name":"x"}"#, Same),
    (r#""service":[{"name":"x"}]"#, Same),
    (r#""service":[{"name":"x"},{"name":"y"}]"#, Same),
    (r#""service":{"name":"x","bogus":1}"#, Same),
    (r#""service":{"port":80}"#, Stricter),
    (r#""services":[{"name":"x"},{"name":"x"}]"#, Stricter),
    (r#""service":{"name":"x","address":"0.0.0.0"}"#, Stricter),
    (r#""service":{"name":"x","meta":{"bad key":"x"}}"#, Same),
    (r#""service":{"name":"x","meta":{"consul-a":"x"}}"#, Same),
    (r#""service":{"name":"x","weights":{"passing":-1}}"#, Same),
    (r#""service":{"name":"x","tagged_addresses":{"lan":{"address":"1.1.1.1","port":80}}}"#, Same),
    (r#""service":{"name":"x","tagged_addresses":{"lan":{"address":"1.1.1.1","port":"x"}}}"#, Same),
    (r#""service":{"name":"x","port":"80"}"#, Same),
    (r#""service":{"name":"x","enableTagOverride":true}"#, Same),
    (r#""service":{"name":"x","check":{"interval":"zz","http":"http://x"}}"#, Same),
    (r#""service":{"name":"x","check":{"script":"y","interval":"10s"}}"#, Same),
    (
        r#""service":{"name":"x","check":{"HTTP":"http://x","Interval":"10s","DeregisterCriticalServiceAfter":"1m"}}"#,
        Same,
    ),
    (r#""service":{"name":"x","check":{"http":"http://x"}}"#, Stricter),
    (r#""service":{"name":"x","check":{"ttl":"10s","status":"zz"}}"#, Stricter),
    (r#""check":{"ttl":"10s"}"#, Stricter),
    (r#""check":{"name":"a","http":"http://x","interval":"1s","header":{"a":["b"]}}"#, Same),
    (r#""check":{"check_id":"a","name":"a","ttl":"1s"}"#, Same),
    (r#""start_join":["{{ x }}"]"#, Same),
    (r#""session_ttl_min":"zz""#, Same),
    (r#""auto_reload_config":true"#, Laxer),
    (r#""template":[{"source":"a","destination":"b"}]"#, Laxer),
    (r#""reap":true"#, Laxer),
];

/// Whole files.
const FILES: &[(Format, &str, Want)] = &[
    (Format::Json, "", Same),
    (Format::Json, "   ", Same),
    (Format::Json, "[]", Same),
    (Format::Json, r#"{"data_dir":"/x""#, Same),
    (Format::Json, r#"{"data_dir":"/x",}"#, Same),
    (Format::Json, r#"{"data_dir":"/x"} x"#, Same),
    (Format::Json, "{\"data_dir\":\nx}", Same),
    (Format::Json, r#"{"data_dir" "/x"}"#, Same),
    (Format::Json, r#"{"data_dir":"/x" "a":1}"#, Same),
    (Format::Json, r#"{"data_dir":tru}"#, Same),
    (Format::Json, r#"{"recursors":[1 2]}"#, Same),
    (Format::Json, "{\"data_dir\":\"a\nb\"}", Same),
    (Format::Json, r#"{"data_dir":"\q"}"#, Same),
    (Format::Json, r#"{"data_dir":01}"#, Same),
    (Format::Json, r#"{"data_dir":-x}"#, Same),
    (Format::Hcl, "", Same),
    (Format::Hcl, "data_dir = \"/x\"\nnode_name = ", Stricter),
    (Format::Hcl, "data_dir = \"/x\" }", Same),
    (Format::Hcl, "data_dir = \"/x\" a {", OtherWords),
    (Format::Hcl, "data_dir = \"/x\" recursors = [\"1.1.1.1\" \"2.2.2.2\"]", OtherWords),
    (Format::Hcl, "data_dir = \"/x\" node_name = foo", OtherWords),
    (Format::Hcl, "data_dir = \"/x\nnode_name = \"a\"", OtherWords),
    (Format::Hcl, "data_dir = \"/x\" service \"web\" { name = \"x\" }", Same),
    (Format::Hcl, "data_dir = \"/x\" service { name = \"x\" } ports { http = 1, dns = 2 }", Same),
    (Format::Hcl, "data_dir = \"/x\" ports { http = 1 } ports { dns = 2 }", Same),
    (Format::Hcl, "data_dir = \"/x\" ports = { \"http\" = 010 }", Same),
    (Format::Hcl, "data_dir = \"/x\" ports { http = \"1\" }", Same),
    (Format::Hcl, "data_dir = \"/x\" node_name = 1", Same),
    (Format::Hcl, "data_dir = \"/x\" ports.http = 1", Same),
    (Format::Hcl, "data_dir = <<EOF\n/x\nEOF\n", Same),
    (Format::Hcl, "{\"data_dir\": \"/x\", \"server\": true}", Same),
    (Format::Hcl, "data_dir = \"/x\" services = [{ name = \"a\" }, { name = \"b\" }]", Same),
    (Format::Hcl, "data_dir = \"/x\" services { name = \"a\" } services { name = \"b\" }", Same),
    (Format::Hcl, "data_dir = \"/x\" /* c */ # d\n// e\nserver = true", Same),
    (Format::Hcl, "data_dir = \"/x\" node_name = \"${a\" \"b} %{c}\"", Same),
];

fn consul() -> Option<PathBuf> {
    let peers = std::env::var("CRS_PEERS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers").into());
    let path = PathBuf::from(peers).join("bin/consul");
    if path.exists() {
        return Some(path);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no real consul at {}", path.display());
    eprintln!("SKIPPED: no real consul at {}; set CRS_PEERS", path.display());
    None
}

/// Consul's verdict: what it complains about, one text per fault.
fn of_consul(consul: &PathBuf, format: Format, text: &str) -> Result<(), Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let name = if format == Format::Json { "a.json" } else { "a.hcl" };
    std::fs::write(directory.path().join(name), text).unwrap();
    let output = Command::new(consul).args(["validate", "."]).current_dir(&directory).output().unwrap();
    let all = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(());
    }
    let all =
        all.split_once("Config validation failed: ").map_or(all.as_str(), |(_, rest)| rest).trim().to_owned();
    let bullets: Vec<String> =
        all.lines().filter_map(|line| line.trim_start().strip_prefix("* ")).map(str::to_owned).collect();
    Err(if bullets.is_empty() { vec![all] } else { bullets })
}

fn of_crs(format: Format, text: &str) -> Result<(), String> {
    let machine = Machine {
        hostname: "host".into(),
        interfaces: vec![Interface {
            name: "eth0".into(),
            address: "192.0.2.2".parse().unwrap(),
            prefix: 24,
            up: true,
            loopback: false,
            default_route: true,
        }],
    };
    let name = if format == Format::Json { "a.json" } else { "a.hcl" };
    let files = [Source::new(name, format, text)];
    let flags = Flags::default();
    let request = Request {
        files: &files,
        fragments: &[],
        flags: &flags,
        dev: false,
        machine: &machine,
        lookup: &NoLookup,
    };
    load(&request).map(|_| ()).map_err(|errors| errors.to_string())
}

#[test]
fn validates_like_consul() {
    let Some(consul) = consul() else { return };
    let bodies = JSON.iter().map(|(body, want)| {
        let bind = if body.contains("bind_addr") { "" } else { r#""bind_addr":"127.0.0.1","# };
        (Format::Json, format!(r#"{{"data_dir":"/x",{bind}{body}}}"#), want)
    });
    let files = FILES.iter().map(|(format, text, want)| (*format, (*text).to_owned(), want));
    let mut wrong = Vec::new();
    for (format, text, want) in bodies.chain(files) {
        let (real, ours) = (of_consul(&consul, format, &text), of_crs(format, &text));
        let fits = match (want, &real, &ours) {
            (Same, Ok(()), Ok(())) | (Stricter, Ok(()), Err(_)) | (Laxer | OtherWords, Err(_), _) => {
                ours.is_ok() == matches!(want, Same | Laxer)
            }
            (Same, Err(faults), Err(ours)) => faults.iter().all(|fault| ours.contains(fault.as_str())),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{text}\n   consul: {real:?}\n   crs:    {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of the files differ:\n{}", wrong.len(), wrong.join("\n"));
}
