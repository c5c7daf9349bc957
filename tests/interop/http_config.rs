//! What the configuration changes about the HTTP server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::{differs, setup};
use crs_testkit::Request;

#[test]
fn headers_of_every_answer() {
    let subject = setup()
        .file(
            "c.json",
            r#"{"http_config":{"response_headers":{"Access-Control-Allow-Origin":"*","X-Own":"yes"}}}"#,
        )
        .start();
    let mut client = subject.client();
    client.get("/v1/status/leader").ok().has("X-Own", "yes").has("Access-Control-Allow-Origin", "*");
    client.get("/v1/kv/none").status(404).has("X-Own", "yes");
    client.get("/v1/kv/").error(400, "Missing key name").has("X-Own", "yes");
    client.send(Request::new("OPTIONS", "/v1/kv/a")).ok().has("X-Own", "yes");
    client.get("/v1/bogus").error(404, "").lacks("X-Own");
}

#[test]
fn endpoints_that_are_blocked() {
    let subject = setup()
        .file("c.json", r#"{"http_config":{"block_endpoints":["/v1/agent/metrics","/v1/kv"]}}"#)
        .start();
    let mut client = subject.client();
    let text = "Endpoint is blocked by agent configuration";
    client.get("/v1/agent/metrics").error(403, text).has("Content-Type", "text/plain; charset=utf-8");
    client.put("/v1/kv/a", "1").error(403, text);
    client.get("/v1/agent/members").ok();
}

#[test]
fn writes_from_elsewhere() {
    let subject =
        setup().file("c.json", r#"{"http_config":{"allow_write_http_from":["10.0.0.0/8"]}}"#).start();
    let mut client = subject.client();
    client.put("/v1/kv/a", "1").error(403, "Access is restricted");
    client.delete("/v1/kv/a").error(403, "Access is restricted");
    client.get("/v1/catalog/nodes").ok();
}

#[test]
fn more_connections_than_allowed() {
    let subject = setup().file("c.json", r#"{"limits":{"http_max_conns_per_client":5}}"#).prepare();
    let mut subject = subject;
    subject.launch();
    subject.wait_ready();
    let ask = |stream: &mut TcpStream| -> String {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 1000];
        // the other side may have closed before this is written
        let _ = stream.write_all(b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n");
        let count = stream.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    // the connections of the preparation have to be gone first
    let mut streams = crs_testkit::eventually(Duration::from_secs(5), "five connections", || {
        let mut streams: Vec<TcpStream> =
            (0..5).map(|_| TcpStream::connect(subject.http()).unwrap()).collect();
        let served = streams.iter_mut().map(ask).filter(|answer| answer.starts_with("HTTP/1.1 200")).count();
        if served == 5 { Ok(streams) } else { Err(format!("{served} served")) }
    });
    let mut sixth = TcpStream::connect(subject.http()).unwrap();
    if differs(&subject, "More connections than `limits.http_max_conns_per_client`") {
        assert!(ask(&mut sixth).starts_with("HTTP/1.1 429 "), "one too many is told so");
    } else {
        assert_eq!(ask(&mut sixth), "", "one too many is closed without a word");
    }
    assert!(ask(&mut streams[0]).starts_with("HTTP/1.1 200"), "the others go on");
    drop(streams.pop());
    crs_testkit::eventually(Duration::from_secs(5), "a place is free again", || {
        let answer = ask(&mut TcpStream::connect(subject.http()).unwrap());
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
    });
}
