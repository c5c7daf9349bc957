//! The command line against a running agent: what is printed where, and the exit code.

use crate::common::{agent, setup};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crs_testkit::Subject;

/// What a command ended with, and printed.
pub fn run(subject: &Subject, arguments: &[&str]) -> (i32, String, String) {
    let output = subject.run(arguments);
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Rows: the words of a command, its exit code, what it prints on its output and for its errors.
#[track_caller]
fn rows(subject: &Subject, rows: &[(&[&str], i32, &str, &str)]) {
    for (words, code, out, err) in rows {
        let got = run(subject, words);
        assert_eq!(got, (*code, (*out).to_string(), (*err).to_string()), "{words:?}");
    }
}

fn columns(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn keys() {
    let (subject, _client) = agent();
    rows(
        &subject,
        &[
            (&["kv", "put", "a", "1"], 0, "Success! Data written to: a\n", ""),
            (&["kv", "put", "a/b"], 0, "Success! Data written to: a/b\n", ""),
            (&["kv", "get", "a"], 0, "1\n", ""),
            (&["kv", "get", "-keys", ""], 0, "a\na/\n", ""),
            (&["kv", "get", "-keys", "a/"], 0, "a/b\n", ""),
            (&["kv", "get", "-recurse", "a"], 0, "a:1\na/b:\n", ""),
            (&["kv", "get", "none"], 1, "", "Error! No key exists at: none\n"),
            (&["kv", "delete", "-recurse", "a"], 0, "Success! Deleted keys with prefix: a\n", ""),
            (&["kv", "put", "-flags=42", "f", "1"], 0, "Success! Data written to: f\n", ""),
            (&["kv", "get", "-base64", "f"], 0, "MQ==\n", ""),
            (&["kv", "put", "-base64", "b", "aGk="], 0, "Success! Data written to: b\n", ""),
            (&["kv", "get", "b"], 0, "hi\n", ""),
            (&["kv", "put", "--flags", "7", "g", "x y"], 0, "Success! Data written to: g\n", ""),
            (&["kv", "get", "g"], 0, "x y\n", ""),
            (&["kv", "delete", "none"], 0, "Success! Deleted key: none\n", ""),
        ],
    );
    let (code, out, _) = run(&subject, &["kv", "get", "-detailed", "f"]);
    let index = columns(&out)[0][1].to_string();
    assert_eq!(code, 0);
    assert_eq!(
        out,
        format!(
            "CreateIndex      {index}\nFlags            42\nKey              f\nLockIndex        0\n\
             ModifyIndex      {index}\nSession          -\nValue            1\n"
        )
    );
}

#[test]
fn keys_that_are_refused() {
    let (subject, _client) = agent();
    rows(
        &subject,
        &[
            (&["kv", "get"], 1, "", "Error! Missing KEY argument\n"),
            (&["kv", "put"], 1, "", "Error! Missing KEY argument\n"),
            (&["kv", "delete"], 1, "", "Error! Missing KEY argument\n"),
            (&["kv", "get", "a", "b"], 1, "", "Too many arguments (expected 1, got 2)\n"),
            (&["kv", "get", "a", "-keys"], 1, "", "Too many arguments (expected 1, got 2)\n"),
            (
                &["kv", "put", "-cas", "-modify-index=99", "x", "1"],
                1,
                "",
                "Error! Did not write to x: CAS failed\n",
            ),
            (&["kv", "put", "-cas", "x", "1"], 1, "", "Must specify -modify-index with -cas!\n"),
            (&["kv", "put", "f", "1"], 0, "Success! Data written to: f\n", ""),
            (
                &["kv", "delete", "-cas", "-modify-index=1", "f"],
                1,
                "",
                "Error! Did not delete key f: CAS failed\n",
            ),
        ],
    );
}

#[test]
fn keys_out_and_in() {
    let (subject, _client) = agent();
    rows(
        &subject,
        &[
            (&["kv", "put", "-flags=42", "f", "1"], 0, "Success! Data written to: f\n", ""),
            (
                &["kv", "export", "f"],
                0,
                "[\n\t{\n\t\t\"key\": \"f\",\n\t\t\"flags\": 42,\n\t\t\"value\": \"MQ==\"\n\t}\n]\n",
                "",
            ),
            (&["kv", "import", r#"[{"key":"i/a","flags":0,"value":"aGk="}]"#], 0, "Imported: i/a\n", ""),
            (&["kv", "get", "i/a"], 0, "hi\n", ""),
        ],
    );
}

#[test]
fn catalog() {
    let (subject, mut client) = agent();
    let id =
        client.get("/v1/agent/self").value().get("Config").get("NodeID").text().unwrap_or("").to_string();
    let address = subject.address().to_string();
    let width = address.len();
    rows(
        &subject,
        &[
            (&["catalog", "datacenters"], 0, "dc1\n", ""),
            (
                &["catalog", "nodes"],
                0,
                &format!(
                    "Node      ID        {:width$}  DC\nnode-one  {}  {address}  dc1\n",
                    "Address",
                    &id[..8]
                ),
                "",
            ),
            (&["catalog", "services"], 0, "consul\n", ""),
            (
                &["catalog", "nodes", "-service=none"],
                0,
                "",
                "No nodes match the given query - try expanding your search.\n",
            ),
            (
                &["catalog", "services", "-node=none"],
                0,
                "",
                "No services match the given query - try expanding your search.\n",
            ),
        ],
    );
    let (code, out, _) = run(&subject, &["catalog", "nodes", "-detailed"]);
    let text = columns(&out);
    assert_eq!((code, text[0].join(" ").as_str()), (0, "Node ID Address DC TaggedAddresses Meta"));
    assert_eq!(text[1][1], id);
    assert!(
        out.contains(&format!("lan={address}, lan_ipv4={address}, wan={address}, wan_ipv4={address}")),
        "{out}"
    );
}

#[test]
fn services() {
    let (subject, mut client) = agent();
    rows(
        &subject,
        &[
            (
                &["services", "register", "-name=web", "-port=80", "-tag=a", "-tag=b", "-id=w1"],
                0,
                "Registered service: web\n",
                "",
            ),
            (
                &["services", "register"],
                1,
                "",
                "Service registration requires at least one argument or flags.\n",
            ),
            (
                &["services", "deregister"],
                1,
                "",
                "Service deregistration requires at least one argument or -id.\n",
            ),
        ],
    );
    crate::agent_services::comes_to(&mut client, "/v1/catalog/service/web", |value| value.len() == 1);
    rows(
        &subject,
        &[
            (&["catalog", "services", "-tags"], 0, "consul      \nweb         a,b\n", ""),
            (&["services", "deregister", "-id=w1"], 0, "Deregistered service: w1\n", ""),
            (&["services", "deregister", "-id=none"], 0, "Deregistered service: none\n", ""),
        ],
    );
    let file = subject.folder().join("web.json");
    std::fs::write(&file, r#"{"service":{"name":"filed","port":81,"check":{"ttl":"10m"}}}"#).unwrap();
    let path = file.to_string_lossy().into_owned();
    rows(&subject, &[(&["services", "register", &path], 0, "Registered service: filed\n", "")]);
    assert_eq!(client.get("/v1/agent/checks").value().keys(), ["service:filed"]);
    rows(&subject, &[(&["services", "deregister", &path], 0, "Deregistered service: filed\n", "")]);
}

#[test]
fn maintenance() {
    let (subject, _client) = agent();
    rows(
        &subject,
        &[
            (&["maint"], 0, "", ""),
            (&["maint", "-enable", "-reason=why"], 0, "Node maintenance is now enabled\n", ""),
            (&["maint"], 0, "Node:\n  Name:   node-one\n  Reason: why\n\n", ""),
            (&["maint", "-disable"], 0, "Node maintenance is now disabled\n", ""),
            (
                &["maint", "-enable", "-service=none"],
                1,
                "",
                "Error enabling service maintenance: Unexpected response code: 404 (No service registered with ID \"none\")\n",
            ),
        ],
    );
    let (code, _, err) = run(&subject, &["maint", "-enable", "-disable"]);
    assert_eq!((code, err.lines().next()), (1, Some("Only one of -enable or -disable may be provided")));
}

#[test]
fn members() {
    let (subject, _client) = agent();
    rows(&subject, &[(&["members", "-status=failed"], 2, "", "")]);
    let (code, out, _) = run(&subject, &["members", "-detailed"]);
    let text = columns(&out);
    assert_eq!((code, text[0].join(" ").as_str()), (0, "Node Address Status Tags"));
    assert_eq!(text[1][..3], ["node-one", &format!("{}:8301", subject.address()), "alive"]);
    assert!(text[1][3].contains(",dc=dc1,") && text[1][3].contains(",segment=<all>,"), "{out}");
}

#[test]
fn s5_8_info() {
    let (subject, _client) = agent();
    let (code, out, _) = run(&subject, &["info"]);
    assert_eq!(code, 0);
    let groups: Vec<&str> =
        out.lines().filter(|line| !line.starts_with('\t')).map(|line| line.trim_end_matches(':')).collect();
    assert_eq!(groups, ["agent", "build", "consul", "raft", "runtime", "serf_lan", "serf_wan"]);
    for line in [
        "\tchecks = 0",
        "\tservices = 0",
        "\tleader = true",
        "\tserver = true",
        "\tstate = Leader",
        "\tnum_peers = 0",
        "\tmembers = 1",
        "\tos = linux",
    ] {
        assert!(out.lines().any(|have| have == line), "no line {line:?} in {out}");
    }
}

#[test]
fn s2_4_keygen() {
    let (subject, _client) = agent();
    let (code, first, _) = run(&subject, &["keygen"]);
    let (_, second, _) = run(&subject, &["keygen"]);
    assert_eq!(code, 0);
    assert_ne!(first, second);
    assert_eq!(STANDARD.decode(first.trim_end()).unwrap().len(), 32);
    assert_eq!(first.lines().count(), 1);
}

#[test]
fn nobody_answers() {
    let (subject, _client) = agent();
    let there = format!("{}:1", subject.address());
    rows(
        &subject,
        &[
            (
                &["members", &format!("-http-addr={there}")],
                1,
                "",
                &format!(
                    "Error retrieving members: Get \"http://{there}/v1/agent/members?segment=_all\": \
                     dial tcp {there}: connect: connection refused\n"
                ),
            ),
            (
                &["force-leave", "nobody"],
                1,
                "",
                "Error force leaving: Unexpected response code: 500 (agent: No node found with name 'nobody')\n",
            ),
        ],
    );
}

#[test]
fn words_that_are_not_known() {
    let (subject, _client) = agent();
    for (words, code, out, err) in [
        (&["bogus"][..], 127, false, "Usage: "),
        (&["kv"], 1, false, "Usage: "),
        (&["catalog"], 1, false, "Usage: "),
        (&["members", "-bogus"], 1, false, "flag provided but not defined: -bogus\n"),
        (&["force-leave"], 1, false, "A single node name must be specified to force leave.\n"),
        (&["--help"], 0, true, "Usage: "),
    ] {
        let (got, stdout, stderr) = run(&subject, words);
        assert_eq!(got, code, "{words:?}: {stderr}");
        let text = if out { stdout } else { stderr };
        assert!(text.starts_with(err), "{words:?}: {text}");
    }
}

#[test]
fn validate() {
    let (subject, _client) = agent();
    let folder = subject.folder().join("candidate");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.to_string_lossy().into_owned();
    std::fs::write(folder.join("a.json"), r#"{"data_dir":"/tmp/x","server":true}"#).unwrap();
    rows(&subject, &[(&["validate", &path], 0, "Configuration is valid!\n", "")]);
    rows(&subject, &[(&["validate", "-quiet", &path], 0, "", "")]);
    std::fs::write(folder.join("b.json"), r#"{"data_dir":"/tmp/x","#).unwrap();
    let (code, _, err) = run(&subject, &["validate", &path]);
    assert_eq!(code, 1);
    assert!(
        err.starts_with("Config validation failed: failed to parse ")
            && err.contains("/b.json: unexpected end of JSON input"),
        "{err}"
    );
    let (code, _, err) = run(&subject, &["validate"]);
    assert_eq!((code, err.as_str()), (1, "Must specify at least one config file or directory\n"));
    let none = format!("{path}/none");
    let (code, _, err) = run(&subject, &["validate", &none]);
    assert_eq!(code, 1);
    assert!(err.contains(&format!("Open failed on {none}. open {none}: no such file or directory")), "{err}");
}

#[test]
fn a_broken_file_does_not_survive_a_reload() {
    let subject = setup().server().file("good.json", r#"{"service":{"name":"good"}}"#).start();
    let mut client = subject.client();
    crate::agent_services::comes_to(&mut client, "/v1/catalog/service/good", |value| value.len() == 1);
    subject.write_config("bad.json", r#"{"service":{"name":"bad","#);
    let (code, out, err) = run(&subject, &["reload"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("Error reloading: Unexpected response code: 500 ("), "{err}");
    assert!(err.contains("/bad.json"), "{err}");
    assert_eq!(client.get("/v1/agent/services").value().keys(), ["good"]);
    subject.write_config("bad.json", r#"{"service":{"name":"mended"}}"#);
    assert_eq!(run(&subject, &["reload"]).0, 0);
    assert_eq!(client.get("/v1/agent/services").value().keys(), ["good", "mended"]);
    std::fs::remove_file(subject.config_dir().join("bad.json")).unwrap();
    subject.signal(1);
    crate::agent_services::comes_to(&mut client, "/v1/agent/services", |value| value.keys() == ["good"]);
    crate::agent_services::comes_to(&mut client, "/v1/catalog/services", |value| {
        value.get("mended").is_empty() && value.len() == 2
    });
}

#[test]
fn leave() {
    let mut subject = setup().server().start();
    assert_eq!(run(&subject, &["leave"]), (0, "Graceful leave complete\n".into(), String::new()));
    assert!(subject.wait_end(std::time::Duration::from_secs(20)).success());
}

#[test]
fn the_environment_names_the_agent() {
    let (subject, _client) = agent();
    let (code, out, _) = run(&subject, &["members", &format!("-http-addr=http://{}", subject.http())]);
    assert_eq!((code, out.lines().count()), (0, 2));
}
