//! What sources mean together.

use std::time::Duration;

use crs_types::CheckKind;

use super::*;
use crate::config::ListenAddr;

struct Env;

impl Lookup for Env {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("t0ken".into()),
            "PORT" => Some("8555".into()),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "/run/key" {
            Ok("abc\n".into())
        } else {
            Err("No such file or directory (os error 2)".into())
        }
    }
}

fn machine() -> Machine {
    let interface = crate::Interface {
        name: "eth0".into(),
        address: "10.1.2.3".parse().unwrap(),
        prefix: 24,
        up: true,
        loopback: false,
        default_route: true,
    };
    Machine { hostname: "host1".into(), interfaces: vec![interface] }
}

fn with(files: &[(&str, &str)], flags: &[(&str, &str)], fragments: &[&str]) -> Result<Loaded, Errors> {
    let files: Vec<Source> =
        files.iter().map(|(name, text)| Source::new(*name, Format::of_name(name).unwrap(), *text)).collect();
    let fragments: Vec<Source> =
        fragments.iter().enumerate().map(|(n, text)| Source::fragment(n, *text)).collect();
    let mut given = Flags::default();
    for (name, value) in flags {
        given.set(name, value).unwrap();
    }
    let (machine, dev) = (machine(), false);
    let (files, fragments) = (&files, &fragments);
    load(&Request { files, fragments, flags: &given, dev, machine: &machine, lookup: &Env })
}

fn one(text: &str) -> Result<Loaded, Errors> {
    with(&[("a.hcl", &format!("data_dir = \"/d\"\n{text}"))], &[], &[])
}

fn texts(result: Result<Loaded, Errors>) -> Vec<String> {
    result.unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_but_a_data_directory_gives_the_defaults() {
    let config = one("").unwrap().config;
    let network = crate::Network::on([0, 0, 0, 0].into(), [10, 1, 2, 3].into());
    let wanted =
        Config { data_dir: Some("/d".into()), node_name: "host1".into(), network, ..Config::default() };
    assert_eq!(config, wanted);
}

#[test]
fn dev_mode_gives_the_dev_defaults() {
    let (flags, machine) = (Flags::default(), machine());
    let request =
        Request { files: &[], fragments: &[], flags: &flags, dev: true, machine: &machine, lookup: &Env };
    let config = load(&request).unwrap().config;
    assert_eq!(config, Config { node_name: "host1".into(), ..Config::dev_defaults() });
}

#[test]
fn later_scalars_win_lists_append_and_maps_merge() {
    let loaded = with(
        &[
            (
                "a.json",
                r#"{"data_dir":"/d","log_level":"WARN","recursors":["1.1.1.1"],"node_meta":{"a":"1","b":"1"},
                "ports":{"http":1000},"service":{"name":"s1"}}"#,
            ),
            (
                "b.hcl",
                "log_level = \"ERR\" recursors = [\"2.2.2.2\"] node_meta { b = \"2\" c = \"3\" } \
                ports { dns = 1001 } service { name = \"s2\" } services { name = \"s3\" }",
            ),
        ],
        &[("recursor", "3.3.3.3"), ("node-meta", "d:4"), ("http-port", "1002")],
        &["log_level = \"DEBUG\" ports { https = 1003 }"],
    );
    let config = loaded.unwrap().config;
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.dns.recursors, ["3.3.3.3", "1.1.1.1", "2.2.2.2"]);
    let meta: Vec<String> = config.node_meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(meta, ["a=1", "b=2", "c=3", "d=4"]);
    let ports = config.listen.ports;
    assert_eq!((ports.http, ports.dns, ports.https), (Some(1002), Some(1001), Some(1003)));
    let names: Vec<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["s3", "s1", "s2"]);
}

#[test]
fn all_faults_come_at_once_with_their_places() {
    let result = with(
        &[
            (
                "a.json",
                "{\"data_dir\":\"/d\",\n \"datacentre\": \"x\",\n \"server\": \"yes\",\n \"log_level\": \"zz\"}",
            ),
            ("b.hcl", "retry_interval = \"zz\"\nservice {\n  port = 80\n}\n"),
        ],
        &[("bootstrap-expect", "3")],
        &[],
    );
    assert_eq!(
        texts(result),
        [
            "invalid config key datacentre (a.json:2:2; did you mean datacenter?)",
            "'server' expected type 'bool', got unconvertible type 'string' (a.json:3:12)",
            "Service missing Name field: name cannot be empty (b.hcl:2:9)",
            "retry_interval: invalid duration: \"zz\": time: invalid duration \"zz\" (b.hcl:1:18)",
            "Invalid log level: zz. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR] (a.json:4:15)",
        ]
    );
}

#[test]
fn errors_print_in_the_form_of_consul() {
    let shown = |files: &[(&str, &str)]| with(files, &[], &[]).unwrap_err().to_string();
    assert_eq!(
        shown(&[("d/a.json", r#"{"data_dir":"/d","bogus_key":1}"#)]),
        "failed to parse d/a.json: 1 error occurred:\n\t* invalid config key bogus_key (d/a.json:1:18)"
    );
    assert_eq!(
        shown(&[("d/a.json", "{")]),
        "failed to parse d/a.json: unexpected end of JSON input (d/a.json:1:2)"
    );
    assert_eq!(shown(&[]), "data_dir cannot be empty");
    let two = shown(&[("a.hcl", "data_dir = \"/d\"\nbogus = 1\nencrypt = \"zz\"")]);
    assert_eq!(
        two,
        "2 errors occurred:\n\t* failed to parse a.hcl: invalid config key bogus (a.hcl:2:1)\n\
         \t* encrypt has invalid key: illegal base64 data at input byte 0 (a.hcl:3:11)"
    );
}

#[test]
fn services_and_checks_get_ids_and_names() {
    let config = one(r#"
        service {
          name = "web"
          check { http = "http://x" interval = "10s" timeout = "1s" header { a = ["b"] } }
        }
        services {
          id = "db1" name = "db"
          checks = [{ ttl = "15s" }, { id = "own" name = "n" tcp = "x:1" interval = "1ms" }]
        }
        check { name = "disk" alias_service = "web" }
        "#)
    .unwrap();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    let config = config.config;
    let [db, web] = config.services.as_slice() else { panic!() };
    assert_eq!((db.id.as_str(), db.name.as_str()), ("db1", "db"));
    assert_eq!((web.id.as_str(), web.name.as_str()), ("web", "web"));
    let ids: Vec<(&str, &str)> =
        db.checks.iter().chain(&web.checks).map(|check| (check.id.as_str(), check.name.as_str())).collect();
    assert_eq!(
        ids,
        [("service:db1:1", "Service 'db' check"), ("own", "n"), ("service:web", "Service 'web' check")]
    );
    assert_eq!(db.checks[0].kind, CheckKind::Ttl(Duration::from_secs(15)));
    assert_eq!(db.checks[1].interval, Duration::from_secs(1));
    assert_eq!(config.checks[0].id.as_str(), "disk");
}

#[test]
fn scripts_need_the_switch() {
    let script = "service { name = \"a\" check { args = [\"/bin/true\"] interval = \"1s\" } }";
    assert!(texts(one(script))[0].starts_with("Scripts are disabled on this agent; to enable, configure"));
    one(&format!("{script} enable_local_script_checks = true")).unwrap();
    one(&format!("{script} enable_script_checks = true")).unwrap();
}

#[test]
fn placeholders_are_replaced_before_the_value_is_read() {
    let config = one(
        "acl { tokens { agent = \"${env:TOKEN}\" default = \"x-${file:/run/key}\" } } ports { http = \"${env:PORT}\" } \
         template { contents = \"${env:NOT_SET}\" } node_name = \"$${env:A}\"",
    )
    .unwrap()
    .config;
    assert_eq!(config.acl.tokens.agent.reveal(), "t0ken");
    assert_eq!(config.acl.tokens.default.reveal(), "x-abc");
    assert_eq!(config.listen.ports.http, Some(8555));
    assert_eq!(config.node_name.as_str(), "${env:A}");
    assert_eq!(config.templates.templates.len(), 1);
    assert_eq!(
        texts(one("encrypt = \"${env:NOPE}\"")),
        ["encrypt: environment variable \"NOPE\" is not set (a.hcl:2:11)"]
    );
}

#[test]
fn known_keys_that_are_not_acted_on_are_warnings() {
    let loaded =
        one("auto_config { enabled = true }\nacl_datacenter = \"dc2\"\nsegments = []\nreap = true").unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "config key auto_config is known but not acted on (a.hcl:2:1)",
            "The 'acl_datacenter' field is deprecated. Use the 'primary_datacenter' field instead. (a.hcl:3:1)",
            "\"segments\" is a Consul Enterprise configuration and will have no effect (a.hcl:4:1)",
            "config key \"reap\" is deprecated and should be removed (a.hcl:5:1)",
        ]
    );
    assert!(loaded.config.acl.enabled);
    assert_eq!(loaded.config.primary_datacenter.as_str(), "dc2");
}

#[test]
fn addresses_follow_the_interfaces_of_the_machine() {
    let config = one("bind_addr = \"{{ GetPrivateIP }}\" client_addr = \"127.0.0.1 ::1\" \
        addresses { http = \"unix:///run/http.sock 127.0.0.9\" }")
    .unwrap()
    .config;
    assert_eq!(config.network.serf_lan_bind, ([10, 1, 2, 3], 8301).into());
    let http: Vec<String> = config.listen.http.iter().map(ToString::to_string).collect();
    assert_eq!(http, ["unix:///run/http.sock", "127.0.0.9:8500"]);
    assert_eq!(config.listen.dns.len(), 2);
    assert!(matches!(config.listen.dns[0], ListenAddr::Tcp(_)));
    let alone = Machine { hostname: "h".into(), interfaces: Vec::new() };
    let files = [Source::new("a.hcl", Format::Hcl, "data_dir = \"/d\"")];
    let flags = Flags::default();
    let request =
        Request { files: &files, fragments: &[], flags: &flags, dev: false, machine: &alone, lookup: &Env };
    assert_eq!(load(&request).unwrap_err().to_string(), "No private IPv4 address found");
}

#[test]
fn a_reload_applies_what_it_can_and_names_the_rest() {
    let old = one("service { name = \"a\" } log_level = \"INFO\"").unwrap().config;
    let same = crate::diff(&old, &old.clone());
    assert!(same.is_empty(), "{same:?}");
    let new = one("service { name = \"b\" } log_level = \"DEBUG\" node_name = \"x\" ports { http = 1 } \
        acl { tokens { agent = \"t\" } } telemetry { prefix_filter = [\"+a\"] }")
    .unwrap()
    .config;
    let plan = crate::diff(&old, &new);
    use crate::Reloadable::{LogLevel, MetricFilter, Services, Tokens};
    assert_eq!(plan.apply, [Services, Tokens, LogLevel, MetricFilter]);
    assert_eq!(plan.needs_restart, ["node_name", "ports"]);
}

mod merging {
    use proptest::prelude::*;

    use super::*;

    /// A source with some of each kind of key.
    fn source() -> impl Strategy<Value = serde_json::Value> {
        let maybe = |strategy: BoxedStrategy<serde_json::Value>| proptest::option::of(strategy);
        let word = || "[a-c]".prop_map(serde_json::Value::from).boxed();
        let words = || proptest::collection::vec("[a-c]", 0..3).prop_map(serde_json::Value::from).boxed();
        let map = |values: BoxedStrategy<serde_json::Value>| {
            proptest::collection::btree_map("[a-c]", values, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
                .boxed()
        };
        let ports = proptest::collection::btree_map(
            prop_oneof![Just("http".to_owned()), Just("dns".into())],
            (1..9i64).prop_map(serde_json::Value::from),
            0..3,
        )
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
        .boxed();
        let service = "[a-c]".prop_map(|name| serde_json::json!({ "name": name })).boxed();
        (maybe(word()), maybe(words()), maybe(map(word())), maybe(ports), maybe(service)).prop_map(
            |(name, recursors, meta, ports, service)| {
                let mut all = serde_json::Map::new();
                for (key, value) in [
                    ("node_name", name),
                    ("recursors", recursors),
                    ("node_meta", meta),
                    ("ports", ports),
                    ("service", service),
                ] {
                    all.extend(value.map(|value| (key.to_owned(), value)));
                }
                serde_json::Value::Object(all)
            },
        )
    }

    fn raw(value: &serde_json::Value) -> RawConfig {
        parse(&Source::new("a.json", Format::Json, value.to_string()), &Env).unwrap().0
    }

    fn over(mut under: RawConfig, later: RawConfig) -> RawConfig {
        under.merge(later);
        under
    }

    proptest! {
        #[test]
        fn grouping_does_not_matter(a in source(), b in source(), c in source()) {
            let left = over(over(raw(&a), raw(&b)), raw(&c));
            let right = over(raw(&a), over(raw(&b), raw(&c)));
            prop_assert_eq!(left, right);
        }

        #[test]
        fn nothing_changes_nothing(a in source()) {
            prop_assert_eq!(over(raw(&a), RawConfig::default()).root.fields, raw(&a).root.fields);
            prop_assert_eq!(over(RawConfig::default(), raw(&a)).root.fields, raw(&a).root.fields);
        }

        #[test]
        fn the_later_scalar_is_the_one(a in source(), b in source()) {
            let merged = over(raw(&a), raw(&b));
            let wanted = b.get("node_name").or_else(|| a.get("node_name")).and_then(|name| name.as_str());
            let found = match merged.root.fields.get("node_name") {
                Some(crate::raw::RawField::Str(at)) => Some(at.value.as_str()),
                _ => None,
            };
            prop_assert_eq!(found, wanted);
        }
    }
}
