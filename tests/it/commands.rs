//! Commands and starts whose text is ours, or that need no agent.

use std::process::{Command, Output};
use std::time::Duration;

use crate::common::{CRS, crs};
use crs_testkit::eventually;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(CRS);
    for name in ["CONSUL_HTTP_ADDR", "CRS_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CRS_HTTP_TOKEN"] {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn s2_1_version() {
    for word in ["version", "--version", "-version", "-v"] {
        let output = run(&[word]);
        let out = text(&output.stdout);
        assert!(output.status.success(), "{word}: {}", text(&output.stderr));
        let first = out.lines().next().unwrap_or("");
        let version = first.split(' ').nth(1).unwrap_or("");
        assert!(first.starts_with("crs v"), "{word}: {first}");
        assert_eq!(
            version,
            format!("v{}", env!("CARGO_PKG_VERSION")),
            "scripts take the second word: {first}"
        );
        assert!(
            out.lines().nth(1).is_some_and(|line| line.starts_with("Protocol 2 spoken by default")),
            "{out}"
        );
    }
}

#[test]
fn s2_22_version_of_the_renderer() {
    for word in ["-v", "--version", "-version"] {
        let output = run(&["template", word]);
        assert!(output.status.success(), "{word}");
        let lines = text(&output.stdout).lines().count() + text(&output.stderr).lines().count();
        assert_eq!(lines, 1, "{word}");
    }
}

#[test]
fn s1_1_a_server_on_its_own() {
    let subject = crs().server().start();
    let log = subject.log();
    for part in ["==> Starting", "Node name: 'node-one'", "Datacenter: 'dc1'", "Server: true"] {
        assert!(log.contains(part), "no {part:?} in\n{log}");
    }
    assert!(log.contains("cluster leadership acquired"), "{log}");
    let missing = subject.folder().join("missing");
    let output = run(&["agent", "-dev", &format!("-config-dir={}", missing.display())]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr) + &text(&output.stdout);
    assert!(err.contains("Open failed on") && err.contains("missing"), "{err}");
}

#[test]
fn s4_2_the_banner() {
    let subject = crs().server().start();
    let log = subject.log();
    let address = subject.address();
    let labels: Vec<&str> = log
        .lines()
        .skip_while(|line| !line.starts_with("==> Starting"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter_map(|line| line.split(':').next())
        .map(str::trim)
        .collect();
    assert_eq!(
        labels[..8],
        ["Version", "Node ID", "Node name", "Datacenter", "Server", "Client Addr", "Cluster Addr", "Encrypt"]
    );
    for line in [
        "Node name: 'node-one'".to_string(),
        "Datacenter: 'dc1' (Segment: '<all>')".into(),
        "Server: true (Bootstrap: true)".into(),
        format!("Client Addr: [{address}] (HTTP: 8500, HTTPS: -1, gRPC: -1, DNS: 8600)"),
        format!("Cluster Addr: {address} (LAN: 8301, WAN: 8302)"),
    ] {
        assert!(log.contains(&line), "no {line:?} in\n{log}");
    }
    assert!(!log.contains("Newer Consul version"), "S5.14: no notice of updates");
}

#[test]
fn s5_14_no_notice_of_updates() {
    let subject = crs().start();
    assert!(!subject.log().to_lowercase().contains("newer"), "{}", subject.log());
}

#[test]
fn s4_9_every_flag_of_the_list() {
    let pid_file = tempfile::tempdir().unwrap();
    let path = pid_file.path().join("crs.pid");
    let subject = crs()
        .server()
        .argument("-dc=mydc")
        .argument("--log-level=debug")
        .argument("-protocol=2")
        .argument("-rejoin")
        .argument("-retry-interval=30s")
        .argument("-retry-max=3")
        .argument(&format!("-pid-file={}", path.display()))
        .argument("-encrypt=pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=")
        .start();
    let pid: u32 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
    assert_eq!(pid, subject.pid());
    subject.client().get("/v1/catalog/datacenters").ok().json(r#"["mydc"]"#);
    let log = subject.log();
    assert!(log.contains("the 'dc' flag has been deprecated. Use 'datacenter' instead"), "{log}");
    // a reload by that process id
    subject.write_config("s.json", r#"{"service":{"name":"by-hup"}}"#);
    crs_testkit::signal(pid, 1).unwrap();
    let mut client = subject.client();
    eventually(Duration::from_secs(10), "the service of the new file", || {
        let value = client.get("/v1/agent/services").value();
        if value.keys() == ["by-hup"] { Ok(()) } else { Err(value) }
    });
}

#[test]
fn s4_8_no_call_to_anybody() {
    let subject = crs().file("update.json", r#"{"disable_update_check":false}"#).start();
    let log = subject.log();
    assert!(!log.contains("checkpoint"), "{log}");
}

fn render_once(template: &str) -> (i32, String, String) {
    let subject =
        crs().file("nginx.json", r#"{"service":{"name":"nginx","tags":["web"],"port":80}}"#).start();
    let mut client = subject.client();
    eventually(Duration::from_secs(10), "the service in the catalog", || {
        let value = client.get("/v1/catalog/service/nginx").value();
        if value.len() == 1 { Ok(()) } else { Err(value) }
    });
    let source = subject.folder().join("t.ctmpl");
    let result = subject.folder().join("result");
    std::fs::write(&source, template).unwrap();
    let output = run(&[
        "template",
        "-consul-addr",
        &subject.http().to_string(),
        "-template",
        &format!("{}:{}", source.display(), result.display()),
        "-once",
    ]);
    (
        output.status.code().unwrap_or(-1),
        std::fs::read_to_string(&result).unwrap_or_default(),
        text(&output.stderr),
    )
}

#[test]
fn s2_23_services_rendered_once() {
    let (code, result, err) = render_once("{{range services}}{{.Name}} {{range .Tags}}{{.}}{{end}}\n{{end}}");
    assert_eq!((code, result.as_str()), (0, "consul \nnginx web\n"), "{err}");
}

#[test]
fn s2_24_nginx_rendered_once() {
    let (code, result, err) = render_once(
        "{{range services}} {{$name := .Name}} {{$service := service .Name}}\nupstream {{$name}} {\n  zone upstream-{{$name}} 64k;\n  \
         {{range $service}}server {{.Address}}:{{.Port}} max_fails=3 fail_timeout=60 weight=1;\n  {{else}}server 127.0.0.1:65535; # force a 502{{end}}\n} {{end}}\n",
    );
    assert_eq!(code, 0, "{err}");
    assert!(result.contains("upstream nginx {\n  zone upstream-nginx 64k;\n  server 127."), "{result}");
    assert!(result.contains(":80 max_fails=3 fail_timeout=60 weight=1;\n"), "{result}");
    assert!(result.starts_with("  \nupstream consul {\n"), "{result}");
}

#[test]
fn s2_26_a_template_given_as_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.hcl");
    std::fs::write(&file, "").unwrap();
    let output = run(&["template", "-config", &format!("{}:test.out", file.display()), "-once"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(15), "{err}");
    assert!(err.contains("-template"), "{err}");
}
