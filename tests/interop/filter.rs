//! `?filter=`.

use crate::catalog::{EXTERNAL, register};
use crate::common::agent;
use crs_testkit::Client;

fn escape(expression: &str) -> String {
    expression
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// How many entries are left of `target` under each expression.
#[track_caller]
fn counts(client: &mut Client, target: &str, rows: &[(&str, usize)]) {
    for (expression, left) in rows {
        let value = client.get(&format!("{target}?filter={}", escape(expression))).ok().value();
        assert_eq!(value.len(), *left, "{target}: {expression}: {value}");
    }
}

#[track_caller]
fn refused(client: &mut Client, target: &str, rows: &[(&str, &str)]) {
    for (expression, text) in rows {
        client
            .get(&format!("{target}?filter={}", escape(expression)))
            .error(500, &format!("Failed to create boolean expression evaluator: {text}"));
    }
}

#[test]
fn nodes() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    counts(
        &mut client,
        "/v1/catalog/nodes",
        &[
            (r#"Node == "ext""#, 1),
            ("Node == ext", 1),
            ("Node != ext", 1),
            (r#"Node matches "^e.t$""#, 1),
            (r#"Node not matches "^e""#, 1),
            (r#"Meta.zone == "a""#, 1),
            (r#"Meta["zone"] == "a""#, 1),
            (r#"Meta.zone != "a""#, 1),
            ("zone in Meta", 1),
            ("zone not in Meta", 1),
            ("Meta contains zone", 1),
            ("Meta is not empty", 2),
            ("Meta is empty", 0),
            (r#"TaggedAddresses.wan == "1.2.3.4""#, 1),
            (r#"Node == "ext" and Address == "10.0.0.9""#, 1),
            (r#"Node == "ext" or Node == "node-one""#, 2),
            (r#"not Node == "ext""#, 1),
            (r#"(Node == "ext" or Node == "x") and not (Address == "y")"#, 1),
            ("Datacenter == dc1", 2),
            (r#"Address matches `^10\.`"#, 1),
            (r#""10.0" in Address"#, 1),
        ],
    );
}

#[test]
fn services_of_the_catalog() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    counts(
        &mut client,
        "/v1/catalog/service/db",
        &[
            ("ServicePort == 5432", 1),
            ("ServicePort != 5432", 0),
            ("primary in ServiceTags", 1),
            ("ServiceTags contains v1", 1),
            ("v2 not in ServiceTags", 1),
            ("ServiceTags is not empty", 1),
            (r#"ServiceMeta.m == "1""#, 1),
            ("ServiceEnableTagOverride == true", 1),
            ("ServiceEnableTagOverride == false", 0),
            ("ServiceWeights.Passing == 3", 1),
            (r#"NodeMeta.zone == "a""#, 1),
            ("ServiceID == db1 and ServiceName == db", 1),
        ],
    );
    refused(
        &mut client,
        "/v1/catalog/service/db",
        &[
            (
                "ServicePort == abc",
                r#"Failed to coerce value "abc" for selector "ServicePort": strconv.ParseInt: parsing "abc": invalid syntax"#,
            ),
            ("Bogus == x", r#"Selector "Bogus" is not valid"#),
        ],
    );
}

#[test]
fn services_with_their_health() {
    let (_subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    counts(
        &mut client,
        "/v1/health/service/db",
        &[
            ("Service.Port == 5432", 1),
            ("primary in Service.Tags", 1),
            (r#"Node.Meta.zone == "a""#, 1),
            (r#"Node.Node == "other""#, 0),
            ("Checks.Status == warning", 1),
            ("Checks.Status == critical", 0),
            ("Checks is not empty", 1),
            (r#"Service.Meta.m == "1" and not Service.Address == "x""#, 1),
        ],
    );
    counts(
        &mut client,
        "/v1/health/node/ext",
        &[
            ("Status == passing", 1),
            ("ServiceName == db", 1),
            ("v1 in ServiceTags", 1),
            ("CheckID == disk", 1),
        ],
    );
    counts(&mut client, "/v1/health/state/any", &[("Node == ext", 2), ("Name contains disk", 1)]);
    counts(&mut client, "/v1/health/checks/db", &[("Output == fine", 1)]);
    counts(&mut client, "/v1/catalog/node-services/ext", &[("Port == 1", 2)]);
}

#[test]
fn the_agents_own() {
    let (_subject, mut client) = agent();
    client
        .put("/v1/agent/service/register", r#"{"Name":"web","Port":80,"Tags":["a"],"Check":{"TTL":"10m"}}"#)
        .ok();
    client.put("/v1/agent/service/register", r#"{"Name":"db"}"#).ok();
    counts(
        &mut client,
        "/v1/agent/services",
        &[
            ("Service == web", 1),
            ("Port == 80", 1),
            ("a in Tags", 1),
            ("ID == none", 0),
            ("Meta is empty", 2),
        ],
    );
    counts(&mut client, "/v1/agent/checks", &[("Status == critical", 1), ("ServiceID == db", 0)]);
    refused(
        &mut client,
        "/v1/agent/services",
        &[
            ("Bogus == x", r#"Selector "Bogus" is not valid"#),
            ("Service is empty", r#"Invalid match operator "Is Empty" for selector "Service""#),
            (
                "((",
                r#"1:3 (2): no match found, expected: "(", "-", "0", "\"", "`", "not", [ \t\r\n], [1-9] or [a-zA-Z]"#,
            ),
        ],
    );
}

#[test]
fn an_unknown_selector_is_an_error_everywhere() {
    let (_subject, mut client) = agent();
    for target in [
        "/v1/catalog/nodes",
        "/v1/catalog/service/x",
        "/v1/catalog/node/x",
        "/v1/health/service/x",
        "/v1/health/node/x",
        "/v1/health/checks/x",
        "/v1/health/state/any",
    ] {
        refused(&mut client, target, &[("Bogus == x", r#"Selector "Bogus" is not valid"#)]);
    }
    client.get("/v1/catalog/services?filter=Bogus==x").ok().json(r#"{"consul":[]}"#);
}
