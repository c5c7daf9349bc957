//! The whole way from a request to its answer, over a state without a log. Expected answers were read off the reference.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use crs_raft::{Options, Raft, ServerNode, Storage};
use crs_server::{Published, Server, ServerSettings};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;

use crate::{Api, Peer, Router, Settings};

pub(crate) async fn api(settings: Settings) -> Arc<Api> {
    let published = Arc::new(Published::default());
    let node = ServerNode { name: "s1".into(), address: "127.0.0.1:8300".into() };
    let raft = Raft::start(Options::new(1.into(), node, Storage::Memory), published.clone()).await.unwrap();
    raft.bootstrap_alone().await.unwrap();
    let server = ServerSettings {
        datacenter: "dc1".into(),
        node: crs_types::Node::default(),
        rpc_port: 8300,
        query_limits: Default::default(),
        rpc_hold_timeout: Duration::from_secs(7),
        session_ttl_min: Duration::from_secs(10),
    };
    let server = Server::new(server, raft, published, CancellationToken::new());
    Arc::new(Api::new(settings, Arc::new(server)))
}

struct Client {
    api: Arc<Api>,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    async fn new(settings: Settings) -> Client {
        Client { api: api(settings).await, router: Router::new() }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let peer = Peer::Tcp("10.0.0.1:1".parse().unwrap());
        let (parts, body) = request.into_parts();
        let (parts, body) = self.router.serve(&self.api, peer, parts, body).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn ask(&self, method: &str, uri: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::builder().method(method).uri(uri).body(body.into()).unwrap()).await
    }

    async fn get(&self, uri: &str) -> Answer {
        self.ask("GET", uri, "").await
    }

    async fn put(&self, uri: &str, body: &'static str) -> Answer {
        self.ask("PUT", uri, body).await
    }

    async fn register(&self, body: &'static str) {
        let answer = self.put("/v1/catalog/register", body).await;
        assert_eq!((answer.status, answer.body.trim_end()), (StatusCode::OK, "true"), "{body}");
    }
}

const WEB: &str = r#"{"Node":"web-1","Address":"10.0.0.1","ID":"40e4a748-2192-161a-0510-9bf59fe950b5",
    "TaggedAddresses":{"lan":"10.0.0.1","wan":"1.2.3.4"},"NodeMeta":{"os":"linux","a<b":"x&y"},
    "Service":{"ID":"nginx-1","Service":"nginx","Tags":["a","b\u2028","<t>"],"Address":"10.0.0.9","Port":80,"Meta":{"v":"1"},
        "TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":80},"wan":{"Address":"1.2.3.4","Port":8080}},
        "Weights":{"Passing":3,"Warning":2},"EnableTagOverride":true},
    "Checks":[{"Node":"web-1","CheckID":"service:nginx-1","Name":"HTTP","Status":"passing","Notes":"n","Output":"out\n\t\"<>&",
        "ServiceID":"nginx-1","Definition":{"HTTP":"http://x/","Interval":"10s","Timeout":"1m30s",
        "DeregisterCriticalServiceAfter":"1h","Header":{"X":["y","z"]},"Method":"POST","Body":"b","TLSSkipVerify":true}},
        {"CheckID":"alive","Name":"node alive","Status":"warning","Type":"ttl"}]}"#;

const WEB_NODE: &str = r#"{"ID":"40e4a748-2192-161a-0510-9bf59fe950b5","Node":"web-1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"10.0.0.1","wan":"1.2.3.4"},"Meta":{"a\u003cb":"x\u0026y","os":"linux"},"CreateIndex":1,"ModifyIndex":1}"#;
const WEB_SERVICE: &str = r#"{"ID":"nginx-1","Service":"nginx","Tags":["a","b\u2028","\u003ct\u003e"],"Address":"10.0.0.9","TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":80},"wan":{"Address":"1.2.3.4","Port":8080}},"Meta":{"v":"1"},"Port":80,"Weights":{"Passing":3,"Warning":2},"EnableTagOverride":true,"Proxy":{"MeshGateway":{},"Expose":{}},"Connect":{},"CreateIndex":1,"ModifyIndex":1}"#;
const WEB_CHECKS: [&str; 2] = [
    r#"{"Node":"web-1","CheckID":"alive","Name":"node alive","Status":"warning","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"ttl","Definition":{},"CreateIndex":1,"ModifyIndex":1}"#,
    r#"{"Node":"web-1","CheckID":"service:nginx-1","Name":"HTTP","Status":"passing","Notes":"n","Output":"out\n\t\"\u003c\u003e\u0026","ServiceID":"nginx-1","ServiceName":"nginx","ServiceTags":["a","b\u2028","\u003ct\u003e"],"Type":"http","Definition":{"Interval":"10s","Timeout":"1m30s","DeregisterCriticalServiceAfter":"1h0m0s","HTTP":"http://x/","TLSSkipVerify":true,"Header":{"X":["y","z"]},"Method":"POST","Body":"b"},"CreateIndex":1,"ModifyIndex":1}"#,
];

#[tokio::test]
async fn the_catalog_is_shown_byte_for_byte() {
    let client = Client::new(Settings::default()).await;
    client.register(WEB).await;
    client.register(r#"{"Node":"bare","Address":"10.0.0.2"}"#).await;
    client.register(r#"{"Node":"bare2","Address":"10.0.0.3","NodeMeta":{},"TaggedAddresses":{},"Service":{"Service":"bare"}}"#).await;
    let bare = r#"{"ID":"","Node":"bare","Address":"10.0.0.2","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":2,"ModifyIndex":2}"#;
    let bare2 = r#"{"ID":"","Node":"bare2","Address":"10.0.0.3","Datacenter":"dc1","TaggedAddresses":{},"Meta":{},"CreateIndex":3,"ModifyIndex":3}"#;
    let [alive, http] = WEB_CHECKS;
    for (uri, body) in [
        ("/v1/catalog/nodes", format!("[{bare},{bare2},{WEB_NODE}]")),
        ("/v1/catalog/nodes?node-meta=os:linux", format!("[{WEB_NODE}]")),
        ("/v1/catalog/nodes?filter=Meta.os==linux", format!("[{WEB_NODE}]")),
        ("/v1/catalog/services?node-meta=os:none", "{}".to_owned()),
        ("/v1/catalog/node/web-1", format!(r#"{{"Node":{WEB_NODE},"Services":{{"nginx-1":{WEB_SERVICE}}}}}"#)),
        ("/v1/catalog/node/bare", format!(r#"{{"Node":{bare},"Services":{{}}}}"#)),
        ("/v1/catalog/node/none", "null".to_owned()),
        ("/v1/catalog/node-services/WEB-1", format!(r#"{{"Node":{WEB_NODE},"Services":[{WEB_SERVICE}]}}"#)),
        ("/v1/catalog/node-services/bare", format!(r#"{{"Node":{bare},"Services":null}}"#)),
        ("/v1/catalog/node-services/none", r#"{"Node":null,"Services":null}"#.to_owned()),
        ("/v1/health/service/nginx", format!(r#"[{{"Node":{WEB_NODE},"Service":{WEB_SERVICE},"Checks":[{alive},{http}]}}]"#)),
        ("/v1/health/service/nginx?passing", "[]".to_owned()),
        ("/v1/health/service/nginx?tag=A&tag=zz", "[]".to_owned()),
        ("/v1/health/node/web-1", format!("[{alive},{http}]")),
        ("/v1/health/checks/nginx", format!("[{http}]")),
        ("/v1/health/state/warning", format!("[{alive}]")),
        ("/v1/health/state/zz", "[]".to_owned()),
        (
            "/v1/catalog/service/bare",
            r#"[{"ID":"","Node":"bare2","Address":"10.0.0.3","Datacenter":"dc1","TaggedAddresses":{},"NodeMeta":{},"ServiceKind":"","ServiceID":"bare","ServiceName":"bare","ServiceTags":[],"ServiceAddress":"","ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{},"ServicePort":0,"ServiceEnableTagOverride":false,"ServiceProxy":{"MeshGateway":{},"Expose":{}},"ServiceConnect":{},"CreateIndex":3,"ModifyIndex":3}]"#.to_owned(),
        ),
        ("/v1/catalog/service/none", "[]".to_owned()),
        ("/v1/catalog/datacenters", r#"["dc1"]"#.to_owned()),
        ("/v1/status/leader", r#""127.0.0.1:8300""#.to_owned()),
        ("/v1/status/peers", r#"["127.0.0.1:8300"]"#.to_owned()),
    ] {
        let answer = client.get(uri).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, body.as_str()), "{uri}");
        assert_eq!(answer.header("content-type"), "application/json", "{uri}");
        assert_eq!(answer.header("vary"), "Accept-Encoding", "{uri}");
    }
}

#[tokio::test]
async fn keys_are_written_and_read() {
    let client = Client::new(Settings::default()).await;
    assert_eq!(client.get("/v1/kv/a").await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.put("/v1/kv/a", "hello <world>").await.body, "true");
    assert_eq!(client.put("/v1/kv/a/b?flags=18446744073709551615", "").await.body, "true");
    assert_eq!(client.put("/v1/kv/a/c/%C3%A4%20d", "x").await.body, "true");
    let a = r#"{"LockIndex":0,"Key":"a","Flags":0,"Value":"aGVsbG8gPHdvcmxkPg==","CreateIndex":1,"ModifyIndex":1}"#;
    let b = r#"{"LockIndex":0,"Key":"a/b","Flags":18446744073709551615,"Value":null,"CreateIndex":2,"ModifyIndex":2}"#;
    let c = r#"{"LockIndex":0,"Key":"a/c/ä d","Flags":0,"Value":"eA==","CreateIndex":3,"ModifyIndex":3}"#;
    for (uri, body) in [
        ("/v1/kv/a", format!("[{a}]")),
        ("/v1/kv/a?recurse=false", format!("[{a},{b},{c}]")),
        ("/v1/kv/a?recurse&separator=/", format!("[{a},{b},{c}]")),
        ("/v1/kv/?keys", r#"["a","a/b","a/c/ä d"]"#.to_owned()),
        ("/v1/kv/?keys&separator=/", r#"["a","a/"]"#.to_owned()),
        ("/v1/kv/a/?keys&separator=/", r#"["a/b","a/c/"]"#.to_owned()),
        ("/v1/kv/a?keys&recurse", r#"["a","a/b","a/c/ä d"]"#.to_owned()),
    ] {
        let answer = client.get(uri).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, body.as_str()), "{uri}");
    }
    let raw = client.get("/v1/kv/a?raw&pretty").await;
    assert_eq!(raw.body, "hello <world>");
    assert_eq!(raw.header("content-type"), "text/plain");
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
    assert_eq!(raw.header("content-security-policy"), "sandbox");
    assert_eq!(raw.header("x-consul-index"), "1");
    assert_eq!(client.put("/v1/kv/a?cas=0", "y").await.body, "false");
    assert_eq!(client.put("/v1/kv/a?cas=1", "y").await.body, "true");
    assert_eq!(client.ask("DELETE", "/v1/kv/a?cas=1", "").await.body, "false");
    assert_eq!(client.ask("DELETE", "/v1/kv/a?recurse", "").await.body, "true");
    let gone = client.get("/v1/kv/?recurse").await;
    assert_eq!((gone.status, gone.body.as_str()), (StatusCode::NOT_FOUND, ""));
    assert_eq!(gone.header("x-consul-index"), "7");
}

#[tokio::test]
async fn mistakes_answer_consuls_status_and_text() {
    let client = Client::new(Settings::default()).await;
    client.register(WEB).await;
    let big = "a".repeat(600_000);
    let bad = StatusCode::BAD_REQUEST;
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    for (method, uri, status, text) in [
        ("GET", "/v1/kv/", bad, "Missing key name"),
        ("PUT", "/v1/kv/", bad, "Missing key name"),
        ("DELETE", "/v1/kv/", bad, "Missing key name"),
        ("GET", "/v1/kv/x%01y", bad, ""),
        ("PUT", "/v1/kv/x%01y", bad, ""),
        ("PUT", "/v1/kv/q?flags=xx", failed, "strconv.ParseUint: parsing \"xx\": invalid syntax"),
        ("PUT", "/v1/kv/q?cas=", failed, "strconv.ParseUint: parsing \"\": invalid syntax"),
        ("PUT", "/v1/kv/q?release=y&cas=1&acquire=x", bad, "Conflicting flags: acquire=x&cas=1&release=y"),
        ("DELETE", "/v1/kv/q?recurse&cas=1", bad, "Conflicting flags: cas=1&recurse="),
        (
            "GET",
            "/v1/kv/a?ns=x",
            bad,
            "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature",
        ),
        ("GET", "/v1/kv/a?dc=none", failed, "No path to datacenter"),
        ("GET", "/v1/status/leader?dc=none", failed, "No path to datacenter"),
        ("GET", "/v1/catalog/service/", bad, "Missing service name"),
        ("GET", "/v1/catalog/node/", bad, "Missing node name"),
        ("GET", "/v1/health/state/", bad, "Missing check state"),
        ("GET", "/v1/health/service/nginx?passing=zz", bad, "Invalid value for ?passing"),
        (
            "GET",
            "/v1/catalog/nodes?filter=Bogus==x",
            failed,
            "Failed to create boolean expression evaluator: Selector \"Bogus\" is not valid",
        ),
        ("PUT", "/v1/catalog/register", bad, "Request decode failed: EOF"),
        ("PUT", "/v1/catalog/deregister", bad, "Request decode failed: EOF"),
        ("PUT", "/v1/acl/token", StatusCode::UNAUTHORIZED, "ACL support disabled"),
        (
            "PUT",
            "/v1/snapshot",
            StatusCode::NOT_IMPLEMENTED,
            "Snapshots over HTTP are not part of this version of crs",
        ),
        ("POST", "/v1/kv/a", StatusCode::METHOD_NOT_ALLOWED, "method POST not allowed"),
        ("HEAD", "/v1/kv/a", StatusCode::METHOD_NOT_ALLOWED, "method HEAD not allowed"),
        ("GET", "/nope", StatusCode::NOT_FOUND, ""),
        ("OPTIONS", "/nope", StatusCode::NOT_FOUND, ""),
        ("GET", "/v1/catalog/nodes/", StatusCode::NOT_FOUND, ""),
        ("GET", "/v1/kv/%zz", bad, "400 Bad Request"),
    ] {
        let answer = client.ask(method, uri, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{method} {uri}");
        if !text.is_empty() {
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{method} {uri}");
        }
    }
    let large =
        Request::put("/v1/kv/big").header("content-length", "600000").body(big.clone().into()).unwrap();
    let answer = client.send(large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        answer.body,
        "Request body(600000 bytes) too large, max size: 524288 bytes. See \
         https://www.consul.io/docs/agent/options.html#kv_max_value_size."
    );
    // Without a declared length it is found out on the way.
    assert_eq!(client.ask("PUT", "/v1/kv/big", big).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn methods_and_paths_are_told() {
    let client = Client::new(Settings { ui: true, ..Settings::default() }).await;
    let options = client.ask("OPTIONS", "/v1/kv/x", "").await;
    assert_eq!((options.status, options.header("allow")), (StatusCode::OK, "OPTIONS,GET,PUT,DELETE"));
    assert_eq!(client.ask("PUT", "/v1/catalog/nodes", "").await.header("allow"), "OPTIONS,GET");
    for (uri, location) in [
        ("/", "/ui/"),
        ("/v1/kv", "/v1/kv/"),
        ("/v1/kv//x", "/v1/kv/x"),
        ("/v1/kv/a/./b?x=1", "/v1/kv/a/b?x=1"),
        ("/v1/kv/a%2F%2Fb", "/v1/kv/a/b"),
    ] {
        let answer = client.get(uri).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (StatusCode::MOVED_PERMANENTLY, location),
            "{uri}"
        );
        assert_eq!(answer.body, format!("<a href=\"{location}\">Moved Permanently</a>.\n\n"), "{uri}");
    }
    let moved = client.put("/v1/kv//x", "v").await;
    assert_eq!((moved.status, moved.body.as_str()), (StatusCode::MOVED_PERMANENTLY, ""));
    let root = Client::new(Settings::default()).await.get("/").await;
    assert_eq!((root.status, root.body.as_str()), (StatusCode::OK, "Consul Agent"));
}

#[tokio::test]
async fn reads_tell_how_they_were_made() {
    let client = Client::new(Settings::default()).await;
    client.register(WEB).await;
    let headers = |answer: &Answer| {
        [
            "x-consul-index",
            "x-consul-knownleader",
            "x-consul-lastcontact",
            "x-consul-effective-consistency",
            "x-cache",
        ]
        .map(|name| answer.header(name).to_owned())
    };
    assert_eq!(headers(&client.get("/v1/kv/none").await), ["1", "true", "0", "", ""]);
    assert_eq!(headers(&client.get("/v1/catalog/nodes").await), ["1", "true", "0", "leader", ""]);
    assert_eq!(headers(&client.get("/v1/catalog/nodes?stale").await), ["1", "true", "0", "stale", ""]);
    assert_eq!(
        headers(&client.get("/v1/health/service/nginx?consistent").await),
        ["1", "true", "0", "consistent", ""]
    );
    assert_eq!(
        headers(&client.get("/v1/health/service/nginx?cached").await),
        ["1", "true", "0", "leader", "HIT"]
    );
    assert_eq!(headers(&client.get("/v1/catalog/nodes?cached").await), ["1", "true", "0", "leader", ""]);
    assert_eq!(headers(&client.get("/v1/catalog/nodes?dc=none").await), ["1", "false", "0", "", ""]);
    assert_eq!(headers(&client.get("/v1/catalog/nodes?index=x").await), ["", "", "", "", ""]);
}

#[tokio::test]
async fn answers_are_pretty_or_small_on_request() {
    let client = Client::new(Settings { pretty: true, ..Settings::default() }).await;
    client.register(r#"{"Node":"a","Address":"1","Service":{"Service":"s","Tags":["t"]}}"#).await;
    let services = client.get("/v1/catalog/services").await;
    assert_eq!(services.body, "{\n    \"s\": [\n        \"t\"\n    ]\n}\n");
    let client = Client::new(Settings::default()).await;
    client.register(WEB).await;
    let request = Request::get("/v1/health/service/nginx").header("accept-encoding", "deflate, gzip");
    let packed = client.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let refused = Request::get("/v1/health/service/nginx").header("accept-encoding", "gzip;q=0");
    assert_eq!(client.send(refused.body(Body::empty()).unwrap()).await.header("content-encoding"), "");
}

#[tokio::test]
async fn a_blocked_read_wakes_for_its_own_answer_only() {
    let client = Client::new(Settings::default()).await;
    client.put("/v1/kv/a", "1").await;
    let changed = std::cell::Cell::new(false);
    let watch = async {
        let answer = client.get("/v1/kv/a?index=1&wait=60s").await;
        assert!(changed.get(), "woken by another key");
        answer
    };
    let writes = async {
        client.put("/v1/kv/b", "1").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        changed.set(true);
        client.put("/v1/kv/a", "2").await;
    };
    let (answer, ()) = tokio::join!(watch, writes);
    assert_eq!(answer.header("x-consul-index"), "3");
    let timed_out = client.get("/v1/kv/a?index=3&wait=20ms").await;
    assert_eq!(timed_out.header("x-consul-index"), "3");
}

#[tokio::test]
async fn the_configuration_may_block_paths_and_writes() {
    let client = Client::new(Settings {
        block_endpoints: vec!["/v1/catalog".to_owned()],
        allow_write_from: vec![("127.0.0.0".parse().unwrap(), 8)],
        response_headers: vec![("x-own".parse().unwrap(), "1".parse().unwrap())],
        ..Settings::default()
    })
    .await;
    let blocked = client.get("/v1/catalog/nodes").await;
    assert_eq!(
        (blocked.status, blocked.body.as_str()),
        (StatusCode::FORBIDDEN, "Endpoint is blocked by agent configuration")
    );
    assert_eq!(blocked.header("x-own"), "1");
    let write = client.put("/v1/kv/a", "1").await;
    assert_eq!((write.status, write.body.as_str()), (StatusCode::FORBIDDEN, "Access is restricted"));
    assert_eq!(client.get("/v1/status/leader").await.status, StatusCode::OK);
}

const NODE: &str = r#"{"Node":"n1","Address":"1","Check":{"CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing"}}"#;

#[tokio::test]
async fn sessions_hold_locks() {
    let client = Client::new(Settings { node: "n1".into(), ..Settings::default() }).await;
    client.register(NODE).await;
    let create =
        client.put("/v1/session/create", r#"{"Name":"n","TTL":"15s","LockDelay":5,"Bogus":1}"#).await;
    let id = create.body.trim_start_matches(r#"{"ID":""#).trim_end_matches(r#""}"#).to_owned();
    assert_eq!((create.status, id.len()), (StatusCode::OK, 36), "{}", create.body);
    let session = format!(
        r#"[{{"ID":"{id}","Name":"n","Node":"n1","LockDelay":5000000000,"Behavior":"release","TTL":"15s","NodeChecks":["serfHealth"],"ServiceChecks":null,"CreateIndex":2,"ModifyIndex":2}}]"#
    );
    for uri in
        [format!("/v1/session/info/{id}"), "/v1/session/node/n1".to_owned(), "/v1/session/list".to_owned()]
    {
        let answer = client.get(&uri).await;
        assert_eq!(
            (answer.body, answer.headers.contains_key("x-consul-index")),
            (session.clone(), true),
            "{uri}"
        );
    }
    assert_eq!(client.put(&format!("/v1/session/renew/{id}"), "").await.body, session);
    assert_eq!(client.put(&format!("/v1/kv/lock?acquire={id}"), "v").await.body, "true");
    let locked = client.get("/v1/kv/lock").await.body;
    assert!(
        locked.contains(&format!(r#""LockIndex":1,"Key":"lock","Flags":0,"Value":"dg==","Session":"{id}""#)),
        "{locked}"
    );
    let other = "40e4a748-2192-161a-0510-9bf59fe950b5";
    assert_eq!(client.put(&format!("/v1/kv/lock?release={other}"), "").await.body, "false");
    assert_eq!(client.put(&format!("/v1/kv/lock?release={id}"), "").await.body, "true");
    assert_eq!(client.put(&format!("/v1/session/destroy/{id}"), "").await.body, "true");
    assert_eq!(client.get("/v1/session/list").await.body, "[]");
}

#[tokio::test]
async fn what_sessions_refuse_is_named() {
    let client = Client::new(Settings { node: "n1".into(), ..Settings::default() }).await;
    client.register(NODE).await;
    let (bad, failed) = (StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR);
    for (uri, body, status, text) in [
        (
            "/v1/session/create",
            r#"{"TTL":5}"#,
            bad,
            "Request decode failed: json: cannot unmarshal number into Go struct field .TTL of type string",
        ),
        (
            "/v1/session/create",
            r#"{"LockDelay":"zz"}"#,
            bad,
            "Request decode failed: time: invalid duration \"zz\"",
        ),
        (
            "/v1/session/create",
            r#"{"TTL":"5s"}"#,
            failed,
            "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]",
        ),
        ("/v1/session/create", r#"{"Behavior":"zz"}"#, failed, "Invalid Behavior setting 'zz'"),
        ("/v1/session/create", r#"{"Node":"none"}"#, failed, "Missing node registration"),
        ("/v1/session/create", r#"{"Checks":["nochk"]}"#, failed, "Missing check 'nochk' registration"),
        ("/v1/session/renew/", "", bad, "Missing session"),
        ("/v1/session/renew/x", "", failed, "failed session lookup: index error: UUID must be 36 characters"),
        (
            "/v1/session/destroy/40e4a748-2192-161a-0510-9bf59fe950bZ",
            "",
            failed,
            "failed session lookup: index error: Invalid UUID: encoding/hex: invalid byte: U+005A 'Z'",
        ),
        (
            "/v1/session/renew/40e4a748-2192-161a-0510-9bf59fe950b5",
            "",
            StatusCode::NOT_FOUND,
            "Session id '40e4a748-2192-161a-0510-9bf59fe950b5' not found",
        ),
        ("/v1/kv/q?acquire=", "v", failed, "missing session"),
        ("/v1/kv/q?acquire=x", "v", failed, "failed session lookup: index error: UUID must be 36 characters"),
        (
            "/v1/kv/q?acquire=40e4a748-2192-161a-0510-9bf59fe950b5",
            "v",
            failed,
            "invalid session \"40e4a748-2192-161a-0510-9bf59fe950b5\"",
        ),
    ] {
        let answer = client.put(uri, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{uri} {body}");
    }
}

#[tokio::test]
async fn transactions_answer_all_or_nothing() {
    let client = Client::new(Settings::default()).await;
    let (ok, conflict, bad) = (StatusCode::OK, StatusCode::CONFLICT, StatusCode::BAD_REQUEST);
    const READ: &str = r#","Index":0,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":""}"#;
    for (body, status, text) in [
        ("", bad, "Failed to parse body: EOF".to_owned()),
        ("{}", bad, "Failed to parse body: json: cannot unmarshal object into Go value of type api.TxnOps".to_owned()),
        (r#"[{"Bogus":1}]"#, bad, r#"Failed to parse body: json: unknown field "Bogus""#.to_owned()),
        (r#"[{"KV":{"Verb":1}}]"#, bad, "Failed to parse body: json: cannot unmarshal number into Go struct field KVTxnOp.KV.Verb of type api.KVOp".to_owned()),
        (r#"[{"KV":{"Verb":"set","Key":"t1","Value":"!!"}}]"#, bad, "Failed to parse body: illegal base64 data at input byte 0".to_owned()),
        (r#"[{"KV":{"Flags":-1}}]"#, bad, "Failed to parse body: json: cannot unmarshal number -1 into Go struct field KVTxnOp.KV.Flags of type uint64".to_owned()),
        ("[{}]", ok, format!(r#"{{"Results":[],"Errors":null{READ}"#)),
        (r#"[{"KV":{"Verb":"set","Key":"t1","Value":"aGk=","Flags":7}}]"#, ok, r#"{"Results":[{"KV":{"LockIndex":0,"Key":"t1","Flags":7,"Value":null,"CreateIndex":1,"ModifyIndex":1}}],"Errors":null}"#.to_owned()),
        (r#"[{"kv":{"verb":"get","key":"t1"}}]"#, ok, format!(r#"{{"Results":[{{"KV":{{"LockIndex":0,"Key":"t1","Flags":7,"Value":"aGk=","CreateIndex":1,"ModifyIndex":1}}}}],"Errors":null{READ}"#)),
        (r#"[{"KV":{"Verb":"get","Key":"none"}}]"#, conflict, format!(r#"{{"Results":null,"Errors":[{{"OpIndex":0,"What":"key \"none\" doesn't exist"}}]{READ}"#)),
        (r#"[{"KV":{"Verb":"bogus","Key":"a"}}]"#, conflict, format!(r#"{{"Results":null,"Errors":[{{"OpIndex":0,"What":"unknown KV verb \"bogus\""}}]{READ}"#)),
        (r#"[{"KV":{"Verb":"cas","Key":"t1","Index":0,"Value":"eA=="}}]"#, conflict, r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"t1\", index is stale"}]}"#.to_owned()),
        (r#"[{"Node":{"Verb":"set","Node":{"Node":"tn","Address":"1.1.1.1","Meta":{"a":"b"}}}}]"#, ok, r#"{"Results":[{"Node":{"ID":"","Node":"tn","Address":"1.1.1.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":{"a":"b"},"CreateIndex":4,"ModifyIndex":4}}],"Errors":null}"#.to_owned()),
    ] {
        let answer = client.put("/v1/txn", body).await;
        assert_eq!((answer.status, answer.body), (status, text), "{body}");
    }
    let many = format!("[{}]", vec![r#"{"KV":{"Verb":"get","Key":"a"}}"#; 65].join(","));
    let answer = client.ask("PUT", "/v1/txn", many).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.body, "Transaction contains too many operations (65 > 64)");
}
