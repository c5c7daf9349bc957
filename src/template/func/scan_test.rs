use proptest::prelude::*;

use crate::{Answer, Dep, DepSnapshot, Dialect, Options, Template, Value, render};

/// The text as the template language sees it, written as JSON.
fn json(yaml: &str) -> Result<String, String> {
    let mut snapshot = DepSnapshot::new();
    let dep = Dep::Key { path: "y".to_owned(), dc: String::new() };
    snapshot.insert(dep, Answer::Value(Value::text(yaml)));
    let text = b"{{key \"y\" | parseYAML | toJSON}}";
    let template = Template::parse("t", text, Dialect::Go, Options::default()).unwrap();
    let rendered = render(&template, &snapshot).map_err(|error| error.message)?;
    Ok(String::from_utf8(rendered.output.unwrap()).unwrap())
}

#[test]
fn reads_what_configuration_is_written_in() {
    let cases = [
        ("a: 1\nb:\n  - x\n  - y\n", r#"{"a":1,"b":["x","y"]}"#),
        ("a:\n- 1\n- b: 2\n  c: 3\n-\n  d: 4\n", r#"{"a":[1,{"b":2,"c":3},{"d":4}]}"#),
        ("- - 1\n  - 2\n- []\n- {}\n", r#"[[1,2],[],{}]"#),
        (
            "a: {b: [1, 'two', \"th\\u0072ee\"], c: d e, f: }\n",
            r#"{"a":{"b":[1,"two","three"],"c":"d e","f":null}}"#,
        ),
        ("a: [1,\n  2, # two\n  3]\nb: x", r#"{"a":[1,2,3],"b":"x"}"#),
        (
            "a: |\n  one\n   two\n\n  three\n\nb: |-\n  x\nc: |+\n  y\n\n",
            "{\"a\":\"one\\n two\\n\\nthree\\n\",\"b\":\"x\",\"c\":\"y\\n\\n\"}",
        ),
        ("a: >\n  one\n  two\n\n  three\n", "{\"a\":\"one two\\nthree\\n\"}"),
        (
            "a: plain text\n  goes on\nb: \"quoted\n  goes on\"\n",
            r#"{"a":"plain text goes on","b":"quoted goes on"}"#,
        ),
        (
            "t: yes\nf: off\nn: ~\nx: 0x1f\no: 017\ni: -5\nd: 1.5\ne: 1e3\ns: '1'\nu: 1_000\n",
            r#"{"d":1.5,"e":1000,"f":false,"i":-5,"n":null,"o":15,"s":"1","t":true,"u":1000,"x":31}"#,
        ),
        (
            "base: &b\n  x: 1\n  y: 2\nmore:\n  <<: *b\n  y: 3\nagain: *b\n",
            r#"{"again":{"x":1,"y":2},"base":{"x":1,"y":2},"more":{"x":1,"y":3}}"#,
        ),
        (
            "# comment\n---\n\na: b # not this\nurl: http://x:80/#frag\n...\nrest",
            r#"{"a":"b","url":"http://x:80/#frag"}"#,
        ),
        ("\"quoted key\": 1\n'it''s': 2\na b: 3\n", r#"{"a b":3,"it's":2,"quoted key":1}"#),
        ("v: !!str 5\nw: it's\nx: -\ny: a-b\n", r#"{"v":"5","w":"it's","x":"-","y":"a-b"}"#),
        ("plain", r#""plain""#),
        ("{\"json\": [1, 2.5, null, true]}", r#"{"json":[1,2.5,null,true]}"#),
    ];
    for (yaml, expected) in cases {
        assert_eq!(json(yaml).unwrap(), expected, "{yaml}");
    }
}

#[test]
fn refuses_what_it_does_not_know() {
    for yaml in [
        "a: 1\n b: 2\n",
        "a: [1, 2",
        "a: \"x",
        "a: !thing 1",
        "? a\n: b",
        "a: *none",
        "a: 1\na: 2",
        "\ta: 1",
        "a: @x",
    ] {
        let error = json(yaml).unwrap_err();
        assert!(error.contains("parseYAML: line "), "{yaml}: {error}");
    }
    assert!(json(&"- ".repeat(5000)).is_err());
    assert!(json(&"[".repeat(5000)).is_err());
}

proptest! {
    #[test]
    fn junk_never_panics(text in "[a-c0-9:\\-\\[\\]{},#&*!|>'\"%@ \n\t\\\\é]{0,60}") {
        let _ = json(&text);
    }
}
