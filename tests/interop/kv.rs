//! `/v1/kv`.

use crate::common::{agent, table};
use crs_testkit::{Client, Request};

const UNKNOWN: &str = "11111111-2222-3333-4444-555555555555";

fn put(client: &mut Client, key: &str, value: &str) {
    client.put(&format!("/v1/kv/{key}"), value).ok().json("true");
}

#[test]
fn put_and_get() {
    let (_subject, mut client) = agent();
    client
        .put("/v1/kv/a", "hello")
        .ok()
        .has("Content-Type", "application/json")
        .has("Vary", "Accept-Encoding")
        .lacks("X-Consul-Index")
        .json("true");
    client
        .get("/v1/kv/a")
        .ok()
        .has("Content-Type", "application/json")
        .has("Vary", "Accept-Encoding")
        .read_headers()
        .lacks("X-Consul-Effective-Consistency")
        .json(
            r#"[{"LockIndex":0,"Key":"a","Flags":0,"Value":"aGVsbG8=","CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
        );
}

#[test]
fn a_second_write_keeps_create_and_moves_modify() {
    let (_subject, mut client) = agent();
    put(&mut client, "a", "1");
    let first = client.get("/v1/kv/a");
    put(&mut client, "a", "2");
    let second = client.get("/v1/kv/a");
    let (before, after) = (first.value(), second.value());
    assert_eq!(before.at(0).get("CreateIndex"), after.at(0).get("CreateIndex"));
    assert!(before.at(0).get("ModifyIndex").number() < after.at(0).get("ModifyIndex").number());
    assert_eq!(after.at(0).get("ModifyIndex").number(), Some(second.index()));
}

#[test]
fn the_same_value_again_changes_nothing() {
    let (_subject, mut client) = agent();
    put(&mut client, "a", "1");
    let before = client.get("/v1/kv/a");
    put(&mut client, "a", "1");
    let after = client.get("/v1/kv/a");
    assert_eq!((before.index(), before.body()), (after.index(), after.body()));
}

#[test]
fn a_missing_key_is_404_with_an_index() {
    let (_subject, mut client) = agent();
    client.get("/v1/kv/none").error(404, "").has("X-Consul-Index", "1").has("X-Consul-Knownleader", "true");
    client.get("/v1/kv/none?recurse").error(404, "").has("X-Consul-Index", "1");
    client.get("/v1/kv/none?keys").error(404, "").has("X-Consul-Index", "1");
    client.get("/v1/kv/none?raw").error(404, "").has("X-Consul-Index", "1");
}

#[test]
fn raw_is_the_bytes_and_guards_browsers() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/bin", [0u8, 255, 10, b'<'].as_slice()).ok();
    let reply = client
        .get("/v1/kv/bin?raw")
        .ok()
        .has("Content-Type", "text/plain")
        .has("X-Content-Type-Options", "nosniff")
        .has("Content-Security-Policy", "sandbox")
        .read_headers();
    assert_eq!(reply.bytes(), [0, 255, 10, b'<']);
    client.get("/v1/kv/bin").ok().json(
        r#"[{"LockIndex":0,"Key":"bin","Flags":0,"Value":"AP8KPA==","CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
}

#[test]
fn an_empty_value_is_null() {
    let (_subject, mut client) = agent();
    put(&mut client, "e", "");
    client.get("/v1/kv/e").ok().json(
        r#"[{"LockIndex":0,"Key":"e","Flags":0,"Value":null,"CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
    client.get("/v1/kv/e?raw").ok().text("").has("Content-Length", "0");
}

#[test]
fn flags_are_64_bits() {
    let (_subject, mut client) = agent();
    put(&mut client, "f?flags=18446744073709551615", "x");
    client.get("/v1/kv/f").ok().json(
        r#"[{"LockIndex":0,"Key":"f","Flags":18446744073709551615,"Value":"eA==","CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
    put(&mut client, "f", "x");
    client.get("/v1/kv/f").ok().json(
        r#"[{"LockIndex":0,"Key":"f","Flags":0,"Value":"eA==","CreateIndex":"<index>","ModifyIndex":"<index>"}]"#,
    );
    table(
        &mut client,
        &[
            ("PUT", "/v1/kv/f?flags=-1", "x", 500, r#"strconv.ParseUint: parsing "-1": invalid syntax"#),
            ("PUT", "/v1/kv/f?flags=xx", "x", 500, r#"strconv.ParseUint: parsing "xx": invalid syntax"#),
            ("PUT", "/v1/kv/f?flags=", "x", 500, r#"strconv.ParseUint: parsing "": invalid syntax"#),
            (
                "PUT",
                "/v1/kv/f?flags=18446744073709551616",
                "x",
                500,
                r#"strconv.ParseUint: parsing "18446744073709551616": value out of range"#,
            ),
        ],
    );
}

#[test]
fn check_and_set() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/c?cas=0", "1").ok().json("true");
    client.put("/v1/kv/c?cas=0", "2").ok().json("false");
    client.put("/v1/kv/c?cas=1", "2").ok().json("false");
    let index = client.get("/v1/kv/c").index();
    client.put(&format!("/v1/kv/c?cas={index}"), "3").ok().json("true");
    client.put(&format!("/v1/kv/c?cas={index}"), "4").ok().json("false");
    client.get("/v1/kv/c?raw").ok().text("3");
    client.put("/v1/kv/absent?cas=9", "x").ok().json("false");
    table(
        &mut client,
        &[
            ("PUT", "/v1/kv/c?cas=x", "1", 500, r#"strconv.ParseUint: parsing "x": invalid syntax"#),
            ("PUT", "/v1/kv/c?cas=", "1", 500, r#"strconv.ParseUint: parsing "": invalid syntax"#),
        ],
    );
}

#[test]
fn recurse_is_by_prefix_and_in_order() {
    let (_subject, mut client) = agent();
    for (key, value) in [("x/y", "1"), ("x/z/w", "2"), ("x/z/v", "3"), ("xx", "4"), ("y", "5")] {
        put(&mut client, key, value);
    }
    let entry = |key: &str, value: &str| {
        format!(
            r#"{{"LockIndex":0,"Key":"{key}","Flags":0,"Value":"{value}","CreateIndex":"<index>","ModifyIndex":"<index>"}}"#
        )
    };
    let all = [entry("x/y", "MQ=="), entry("x/z/v", "Mw=="), entry("x/z/w", "Mg=="), entry("xx", "NA==")];
    client.get("/v1/kv/x?recurse").ok().read_headers().json(&format!("[{}]", all.join(",")));
    client.get("/v1/kv/x/z/?recurse").ok().json(&format!("[{}]", all[1..3].join(",")));
    client.get("/v1/kv/x?recurse&raw").ok().json(&format!("[{}]", all.join(",")));
    assert_eq!(client.get("/v1/kv/?recurse").ok().value().len(), 5);
}

#[test]
fn keys_fold_at_the_separator() {
    let (_subject, mut client) = agent();
    for key in ["x/y", "x/z/w", "x/z/v", "xx", "a"] {
        put(&mut client, key, "1");
    }
    for (target, keys) in [
        ("/v1/kv/x?keys", r#"["x/y","x/z/v","x/z/w","xx"]"#),
        ("/v1/kv/x/?keys&separator=/", r#"["x/y","x/z/"]"#),
        ("/v1/kv/?keys&separator=/", r#"["a","x/","xx"]"#),
        ("/v1/kv/x?keys&separator=", r#"["x/y","x/z/v","x/z/w","xx"]"#),
        ("/v1/kv/x?recurse&keys", r#"["x/y","x/z/v","x/z/w","xx"]"#),
        ("/v1/kv/x/z/?keys&separator=z", r#"["x/z/v","x/z/w"]"#),
        ("/v1/kv/x?keys&separator=z/", r#"["x/y","x/z/","xx"]"#),
        ("/v1/kv/?keys", r#"["a","x/y","x/z/v","x/z/w","xx"]"#),
    ] {
        client.get(target).ok().read_headers().json(keys);
    }
    client.get("/v1/kv/x?separator=/").status(404);
}

#[test]
fn delete_one_many_and_by_index() {
    let (_subject, mut client) = agent();
    for key in ["a", "d/1", "d/2", "dd", "c"] {
        put(&mut client, key, "1");
    }
    client
        .delete("/v1/kv/a")
        .ok()
        .has("Content-Type", "application/json")
        .lacks("X-Consul-Index")
        .json("true");
    client.get("/v1/kv/a").status(404);
    client.delete("/v1/kv/none").ok().json("true");
    client.delete("/v1/kv/d/?recurse").ok().json("true");
    client.get("/v1/kv/?keys").ok().json(r#"["c","dd"]"#);
    client.delete("/v1/kv/none?recurse").ok().json("true");
    client.delete("/v1/kv/c?cas=0").ok().json("false");
    client.delete("/v1/kv/c?cas=1").ok().json("false");
    client.delete("/v1/kv/none?cas=0").ok().json("true");
    client.delete("/v1/kv/none?cas=5").ok().json("true");
    let index = client.get("/v1/kv/c").index();
    client.delete(&format!("/v1/kv/c?cas={index}")).ok().json("true");
    client.get("/v1/kv/c").status(404);
    client.delete("/v1/kv/?recurse").ok().json("true");
    client.get("/v1/kv/?keys").ok().json("[]");
    client.get("/v1/kv/?recurse").status(404);
    table(
        &mut client,
        &[
            ("DELETE", "/v1/kv/", "", 400, "Missing key name"),
            ("DELETE", "/v1/kv/c?cas=1&recurse", "", 400, "Conflicting flags: cas=1&recurse="),
            ("DELETE", "/v1/kv/c?cas=x", "", 500, r#"strconv.ParseUint: parsing "x": invalid syntax"#),
        ],
    );
}

#[test]
fn the_index_of_a_prefix_moves_when_a_key_is_deleted() {
    let (_subject, mut client) = agent();
    put(&mut client, "p/1", "1");
    put(&mut client, "p/2", "1");
    let before = client.get("/v1/kv/p/?recurse").index();
    client.delete("/v1/kv/p/1").ok();
    assert!(client.get("/v1/kv/p/?recurse").index() > before);
    client.delete("/v1/kv/p/2").ok();
    let gone = client.get("/v1/kv/p/?recurse").status(404);
    assert!(gone.index() > before + 1, "the tombstone carries the index");
}

#[test]
fn a_key_needs_a_name() {
    let (_subject, mut client) = agent();
    table(
        &mut client,
        &[
            ("GET", "/v1/kv/", "", 400, "Missing key name"),
            ("PUT", "/v1/kv/", "x", 400, "Missing key name"),
            ("GET", "/v1/kv/?raw", "", 400, "Missing key name"),
        ],
    );
    client.get("/v1/kv").status(301).has("Location", "/v1/kv/");
}

#[test]
fn names_are_taken_as_decoded() {
    let (_subject, mut client) = agent();
    for key in ["%E2%98%83", "a%20b", "p%2Fq", "a+b", "q%3Fx", "100%25", "tilde~", "%C3%A9"] {
        put(&mut client, key, "x");
    }
    client.get("/v1/kv/?keys").ok().json(r#"["100%","a b","a+b","p/q","q?x","tilde~","é","☃"]"#);
    client.get("/v1/kv/p/q?raw").ok().text("x");
    client.get("/v1/kv/a%2Bb?raw").ok().text("x");
}

#[test]
fn unprintable_names_are_refused() {
    let (_subject, mut client) = agent();
    table(
        &mut client,
        &[
            ("GET", "/v1/kv/%00", "", 400, ""),
            ("PUT", "/v1/kv/%07", "x", 400, ""),
            ("PUT", "/v1/kv/a%0Ab", "x", 400, ""),
            ("DELETE", "/v1/kv/%7F", "", 400, ""),
        ],
    );
}

#[test]
fn unclean_paths_redirect_and_write_nothing() {
    let (_subject, mut client) = agent();
    for (method, target, location) in [
        ("PUT", "/v1/kv//lead", "/v1/kv/lead"),
        ("PUT", "/v1/kv/dot/../up", "/v1/kv/up"),
        ("GET", "/v1/kv/a//b?raw", "/v1/kv/a/b?raw"),
        ("GET", "//v1/kv/a", "/v1/kv/a"),
        ("DELETE", "/v1/kv/./a", "/v1/kv/a"),
    ] {
        client.send(Request::new(method, target).body("x")).status(301).has("Location", location);
    }
    client.get("/v1/kv/?keys").ok().json("[]");
}

#[test]
fn a_value_has_a_largest_size() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/big", vec![b'x'; 524_288]).ok().json("true");
    assert_eq!(client.get("/v1/kv/big?raw").ok().bytes().len(), 524_288);
    let refused = |size: usize| {
        format!(
            "Request body({size} bytes) too large, max size: 524288 bytes. \
             See https://www.consul.io/docs/agent/options.html#kv_max_value_size."
        )
    };
    for size in [524_289, 600_000] {
        client.put("/v1/kv/big", vec![b'y'; size]).error(413, &refused(size));
    }
    assert_eq!(client.get("/v1/kv/big?raw").ok().bytes()[0], b'x');
}

#[test]
fn flags_that_exclude_each_other() {
    let (_subject, mut client) = agent();
    table(
        &mut client,
        &[
            ("PUT", "/v1/kv/a?acquire=x&release=y", "1", 400, "Conflicting flags: acquire=x&release=y"),
            ("PUT", "/v1/kv/a?cas=1&acquire=x", "1", 400, "Conflicting flags: acquire=x&cas=1"),
            ("PUT", "/v1/kv/a?cas=1&release=x", "1", 400, "Conflicting flags: cas=1&release=x"),
        ],
    );
}

#[test]
fn locks_need_a_session() {
    let (_subject, mut client) = agent();
    put(&mut client, "a", "1");
    table(
        &mut client,
        &[
            (
                "PUT",
                "/v1/kv/a?acquire=x",
                "1",
                500,
                "failed session lookup: index error: UUID must be 36 characters",
            ),
            ("PUT", "/v1/kv/a?acquire=", "1", 500, "missing session"),
            ("PUT", "/v1/kv/a?release=", "1", 500, "missing session"),
            (
                "PUT",
                &format!("/v1/kv/a?acquire={UNKNOWN}"),
                "1",
                500,
                &format!("invalid session {UNKNOWN:?}"),
            ),
        ],
    );
    client.put(&format!("/v1/kv/a?release={UNKNOWN}"), "1").ok().json("false");
}

#[test]
fn a_client_of_another_datacenter_is_told() {
    let (_subject, mut client) = agent();
    put(&mut client, "a?dc=dc1", "1");
    client.get("/v1/kv/a?dc=").ok();
    table(
        &mut client,
        &[
            ("GET", "/v1/kv/a?dc=bogus", "", 500, "No path to datacenter"),
            ("PUT", "/v1/kv/a?dc=bogus", "1", 500, "No path to datacenter"),
            ("DELETE", "/v1/kv/a?dc=bogus", "", 500, "No path to datacenter"),
        ],
    );
}
