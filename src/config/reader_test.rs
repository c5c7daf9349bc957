//! The readers: HCL1's own constructs, junk, and the same tree back from what `hcl-rs` writes.

use proptest::prelude::*;

use crate::source::{Format, Source, read};
use crate::value::{Kind, Value};

fn hcl(text: &str) -> Result<serde_json::Value, String> {
    read(&Source::new("t.hcl", Format::Hcl, text)).map(|doc| doc.root.to_json()).map_err(|error| error.text)
}

#[test]
fn reads_the_constructs_of_hcl1() {
    for (text, wanted) in [
        ("a = 1 b = \"x\"", r#"{"a":1,"b":"x"}"#),
        ("\"rack.id\" = \"r1\"", r#"{"rack.id":"r1"}"#),
        ("rack.id = \"r1\"", r#"{"rack.id":"r1"}"#),
        ("\"ports\" { http = 1, dns = 2 }", r#"{"ports":[{"http":1,"dns":2}]}"#),
        ("p = { a = 1 b = 2 }", r#"{"p":[{"a":1,"b":2}]}"#),
        ("p { a = 1 } p { b = 2 }", r#"{"p":[{"a":1},{"b":2}]}"#),
        ("s \"web\" \"x\" { a = 1 }", r#"{"s":[{"web":[{"x":[{"a":1}]}]}]}"#),
        ("a = 1\na = 2", r#"{"a":2}"#),
        ("l = [1]\nl = [2]", r#"{"l":[1,2]}"#),
        ("a = 0644 b = 0x1F c = -7 d = 1.5 e = 1e3", r#"{"a":420,"b":31,"c":-7,"d":1.5,"e":1000.0}"#),
        ("a = \"%{x} ${y \"q\"}\"", r#"{"a":"%{x} ${y \"q\"}"}"#),
        ("a = \"\\u00e9\\n\\\"\\x41\\101\"", r#"{"a":"é\n\"AA"}"#),
        ("a = <<EOF\nx\n  y\nEOF\nb = 1", r#"{"a":"x\n  y\n","b":1}"#),
        ("a = <<-EOF\n    x\n      y\n    EOF\n", r#"{"a":"x\n  y\n"}"#),
        ("a = <<-EOF\n  x\n y\n    EOF\n", r#"{"a":"  x\n y\n"}"#),
        ("l = [{ a = 1 } { b = 2 }, [1, 2,],]", r#"{"l":[{"a":1},{"b":2},[1,2]]}"#),
        ("# c\n// c\n/* c\n */ a = true", r#"{"a":true}"#),
        ("{\"a\": {\"b\": [1]}}", r#"{"a":{"b":[1]}}"#),
        ("\u{feff}a = 1", r#"{"a":1}"#),
    ] {
        let wanted: serde_json::Value = serde_json::from_str(wanted).unwrap();
        assert_eq!(hcl(text), Ok(wanted), "{text}");
    }
}

#[test]
fn refuses_what_hcl1_refuses() {
    for text in [
        "a = ",
        "a",
        "a {",
        "a = [1 2]",
        "a = foo",
        "= 1",
        "a \"b\" = 1",
        "a = \"x",
        "a = \"x\ny\"",
        "a = <<EOF\nx",
        "}",
        "a = 08",
        "a = \"\\q\"",
        "/* a",
        "a = 1 ]",
        "a = 99999999999999999999",
    ] {
        assert!(hcl(text).is_err(), "{text}: {:?}", hcl(text));
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(hcl(&deep).unwrap_err().contains("nested too deeply"));
    let deep = "a {".repeat(100_000);
    assert!(hcl(&deep).unwrap_err().contains("nested too deeply"));
    let deep = "[".repeat(100_000);
    assert!(read(&Source::new("t.json", Format::Json, deep)).is_err());
}

#[test]
fn knows_where_everything_stands() {
    let document = read(&Source::new("t.hcl", Format::Hcl, "a = 1\n  b {\n    c = \"x\"\n  }\n")).unwrap();
    let Kind::Map(root) = &document.root.kind else { panic!() };
    assert_eq!(root.0[1].pos.to_string(), "t.hcl:2:3");
    let inner = &root.0[1].value.as_map().unwrap().0[0];
    assert_eq!(
        (inner.pos.to_string(), inner.value.pos.to_string()),
        ("t.hcl:3:5".into(), "t.hcl:3:9".into())
    );
    let document = read(&Source::new("t.json", Format::Json, "{\n \"a\": [1,\n 2]}")).unwrap();
    let items = document.root.as_map().unwrap().get("a").unwrap().as_list().unwrap();
    assert_eq!(items[1].pos.to_string(), "t.json:3:2");
}

/// Text of the kind that gets a parser into trouble.
fn junk() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".into()),
        Just("[".into()),
        Just("]".into()),
        Just("\"".into()),
        Just("=".into()),
        Just("<<EOF\n".into()),
        Just("<<-X\n".into()),
        Just("EOF\n".into()),
        Just("${".into()),
        Just("\\u12".into()),
        Just("\\".into()),
        Just(",".into()),
        Just(":".into()),
        Just("0x".into()),
        Just("-".into()),
        Just("1e".into()),
        Just("a = ".into()),
        Just("\n".into()),
        Just("/*".into()),
        Just("é".into()),
        Just("null".into()),
        "[a-z]{1,3}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        "[ -~é\n\t]{0,12}"
            .prop_filter("${ is another language in HCL2", |text| !text.contains("${")
                && !text.contains("%{"))
            .prop_map(serde_json::Value::from),
    ];
    let inner = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-z_]{1,6}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-z_]{1,8}", inner, 0..5)
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
}

/// HCL1's shape rule undone: a list of one map is that map. The same is done to what was written, so that lists that
/// really hold one map compare equal too.
fn flat(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(items) => match items.as_slice() {
            [one @ serde_json::Value::Object(_)] => flat(one),
            items => items.iter().map(flat).collect(),
        },
        serde_json::Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), flat(value))).collect(),
        value => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn survives_junk(text in junk()) {
        let _ = read(&Source::new("t.hcl", Format::Hcl, text.as_str()));
        let _ = read(&Source::new("t.json", Format::Json, text.as_str()));
    }

    #[test]
    fn survives_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&Source::new("t.hcl", Format::Hcl, bytes.clone()));
        let _ = read(&Source::new("t.json", Format::Json, bytes));
    }

    #[test]
    fn json_reads_back_what_serde_writes(value in tree()) {
        let text = serde_json::to_string(&value).unwrap();
        let read: Value = read(&Source::new("t.json", Format::Json, text)).unwrap().root;
        prop_assert_eq!(read.to_json(), value);
    }

    #[test]
    fn hcl_reads_back_what_hcl_rs_writes(value in tree()) {
        let text = ::hcl::to_string(&value).unwrap();
        let read = hcl(&text);
        prop_assert_eq!(read.as_ref().map(flat), Ok(flat(&value)), "{}", text);
    }
}
