//! What holds for every endpoint.

use std::io::Read;

use crate::common::{agent, setup, table};
use crs_testkit::{Json, Request};
use flate2::read::GzDecoder;

#[test]
fn unknown_paths_are_404_without_a_word() {
    let (_subject, mut client) = agent();
    for target in
        ["/v1/bogus", "/v1", "/v1/", "/v2/x", "/v1/catalog", "/v1/agent", "/v1/agent/self/x", "/bogus"]
    {
        client.get(target).error(404, "").lacks("Vary").lacks("Content-Type");
    }
    client.put("/v1/bogus", "x").error(404, "");
}

#[test]
fn the_root_without_a_web_page_says_who_it_is() {
    let subject = setup().server().start();
    subject.client().get("/").ok().has("Content-Type", "text/plain; charset=utf-8").text("Consul Agent");
}

#[test]
fn head_is_not_a_method_here() {
    let (_subject, mut client) = agent();
    client.send(Request::new("HEAD", "/v1/kv/a")).status(405).has("Allow", "OPTIONS,GET,PUT,DELETE");
    client.send(Request::new("HEAD", "/v1/status/leader")).status(405).has("Allow", "OPTIONS,GET");
}

#[test]
fn errors_are_plain_text() {
    let (_subject, mut client) = agent();
    client
        .get("/v1/kv/")
        .error(400, "Missing key name")
        .has("Content-Type", "text/plain; charset=utf-8")
        .has("Vary", "Accept-Encoding");
    client
        .put("/v1/catalog/register", "{}")
        .error(500, "Must provide node")
        .has("Content-Type", "text/plain; charset=utf-8");
    client
        .send(Request::new("POST", "/v1/kv/a"))
        .error(405, "method POST not allowed")
        .has("Content-Type", "text/plain; charset=utf-8");
}

#[test]
fn json_is_compact_unless_asked() {
    let subject = setup().server().start();
    let mut client = subject.client();
    client.get("/v1/status/peers").ok().text(r#"["<address>:8300"]"#);
    for pretty in ["?pretty", "?pretty=true", "?pretty=false", "?pretty=&dc=dc1"] {
        client.get(&format!("/v1/status/peers{pretty}")).ok().text("[\n    \"<address>:8300\"\n]\n");
    }
    client.put("/v1/kv/a?pretty", "1").ok().text("true\n");
    client.put("/v1/kv/a", "1").ok().text("true");
    client.get("/v1/agent/checks").ok().text("{}");
    client.get("/v1/health/service/none").ok().text("[]");
    client.get("/v1/catalog/nodes?pretty").ok().json(
        r#"[{"ID":"<uuid>","Node":"<node>","Address":"<address>","Datacenter":"dc1",
            "TaggedAddresses":{"lan":"<address>","lan_ipv4":"<address>","wan":"<address>","wan_ipv4":"<address>"},
            "Meta":{"consul-network-segment":""},"CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
}

#[test]
fn json_is_always_laid_out_in_dev_mode() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok().text("true\n");
    client.get("/v1/agent/checks").ok().text("{}\n");
}

#[test]
fn characters_that_mean_something_in_html_are_escaped() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/%3Ca%26b%3E%22%5C", "1").ok();
    client.get("/v1/kv/?keys").ok().text("[\n    \"\\u003ca\\u0026b\\u003e\\\"\\\\\"\n]\n");
}

#[test]
fn gzip_when_accepted() {
    let (_subject, mut client) = agent();
    let plain = client.get("/v1/agent/self").ok().lacks("Content-Encoding");
    let packed = client
        .send(Request::new("GET", "/v1/agent/self").header("Accept-Encoding", "gzip"))
        .ok()
        .has("Content-Encoding", "gzip")
        .has("Content-Type", "application/json")
        .has("Vary", "Accept-Encoding");
    let mut unpacked = String::new();
    GzDecoder::new(packed.bytes()).read_to_string(&mut unpacked).unwrap();
    let (plain, unpacked) = (plain.value(), Json::parse(&unpacked).unwrap());
    assert_eq!(plain.get("Config"), unpacked.get("Config"));

    client.put("/v1/kv/big", vec![b'x'; 100_000]).ok();
    let packed = client
        .send(Request::new("GET", "/v1/kv/big?raw").header("Accept-Encoding", "deflate, gzip;q=1.0"))
        .ok()
        .has("Content-Encoding", "gzip");
    assert!(packed.bytes().len() < 10_000);
    let refused = Request::new("GET", "/v1/kv/big?raw").header("Accept-Encoding", "gzip;q=0");
    assert_eq!(client.send(refused).ok().lacks("Content-Encoding").bytes().len(), 100_000);
}

#[test]
fn any_token_is_accepted_without_acls() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/a?token=whatever", "1").ok();
    for (name, value) in
        [("x-consul-token", "abc"), ("X-Consul-Token", "abc"), ("Authorization", "Bearer abc")]
    {
        client.send(Request::new("GET", "/v1/kv/a?raw").header(name, value)).ok().text("1");
    }
    table(
        &mut client,
        &[
            ("GET", "/v1/acl/tokens", "", 401, "ACL support disabled"),
            ("PUT", "/v1/agent/token/default", r#"{"Token":"x"}"#, 401, "ACL support disabled"),
        ],
    );
}

#[test]
fn namespaces_are_not_here() {
    let (_subject, mut client) = agent();
    let text = "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature";
    table(
        &mut client,
        &[
            ("GET", "/v1/kv/a?ns=x", "", 400, text),
            ("PUT", "/v1/kv/a?ns=x", "1", 400, text),
            ("PUT", "/v1/agent/service/register?ns=x", r#"{"Name":"a"}"#, 400, text),
        ],
    );
    client.get("/v1/catalog/nodes?ns=x").ok();
}

#[test]
fn bodies_that_cannot_be_decoded() {
    let (_subject, mut client) = agent();
    let register = "/v1/catalog/register";
    let decode = |what: &str| format!("Request decode failed: {what}");
    for (body, what) in [
        ("", "EOF"),
        ("{\"Node\":\"x\"", "unexpected EOF"),
        (r#"{"Node":"x","Address":"1.1.1.1","Bogus":1}"#, r#"json: unknown field "Bogus""#),
        ("[1]", "json: cannot unmarshal array into Go value of type structs.RegisterRequest"),
        (
            r#"{"Node":5}"#,
            "json: cannot unmarshal number into Go struct field RegisterRequest.Node of type string",
        ),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("nojson", "invalid character 'o' in literal null (expecting 'u')"),
        (r#"{"Node":"x",}"#, "invalid character '}' looking for beginning of object key string"),
    ] {
        client.put(register, body).error(400, &decode(what));
    }
}

#[test]
fn several_requests_share_a_connection() {
    let (_subject, mut client) = agent();
    for round in 0..20 {
        client.put("/v1/kv/a", round.to_string()).ok().lacks("Connection");
        client.get("/v1/kv/a?raw").ok().text(&round.to_string());
    }
}

#[test]
fn a_body_may_come_in_chunks() {
    let (_subject, mut client) = agent();
    client
        .send(
            Request::new("PUT", "/v1/kv/chunked")
                .header("Transfer-Encoding", "chunked")
                .body("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        )
        .ok();
    client.get("/v1/kv/chunked?raw").ok().text("abcde");
}
