//! Expected texts and results were read off the reference.

use crs_types::{Node, NodeService, ServiceAddress, Weights};

use super::{CatalogService, Record, compile};

fn web() -> (Node, NodeService) {
    let pairs = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    };
    let node = Node {
        node: "web-1".into(),
        datacenter: "dc1".into(),
        meta: pairs(&[("os", "linux")]),
        ..Node::default()
    };
    let address = ServiceAddress { address: "1.2.3.4".to_owned(), port: 8080 };
    let service = NodeService {
        id: "nginx-1".into(),
        service: "nginx".into(),
        tags: vec!["a".to_owned(), "b".to_owned()],
        port: 80,
        meta: pairs(&[("v", "1")]),
        weights: Weights { passing: 3, warning: 2 },
        tagged_addresses: [("wan".to_owned(), address)].into(),
        connect: r#"{"Native":true}"#.to_owned(),
        ..NodeService::default()
    };
    (node, service)
}

fn on(record: &dyn Record, text: &str) -> bool {
    compile(text, record)
        .unwrap_or_else(|failure| panic!("{text}: {}", failure.text))
        .unwrap()
        .matches(record)
}

fn refused(record: &dyn Record, text: &str) -> String {
    let text = compile(text, record).unwrap_err().text.into_owned();
    text.strip_prefix("Failed to create boolean expression evaluator: ").unwrap().to_owned()
}

#[test]
fn values_are_compared_in_the_fields_own_way() {
    let (node, service) = web();
    let record = CatalogService { node: &node, service: &service };
    for text in [
        r#"Node == "web-1""#,
        "Datacenter==dc1",
        "Node != other",
        "NodeMeta.os == linux",
        r#"NodeMeta["os"]==linux"#,
        "NodeMeta.os != windows",
        "os in NodeMeta",
        "NodeMeta contains os",
        "NodeMeta is not empty",
        "TaggedAddresses is empty",
        "zz not in NodeMeta",
        "ServicePort == 80",
        "ServicePort != 81",
        "a in ServiceTags and b in ServiceTags",
        "ServiceTags not contains c",
        "ServiceWeights.Passing == 3",
        "ServiceTaggedAddresses.wan.Port == 8080",
        "wan in ServiceTaggedAddresses",
        "ServiceEnableTagOverride == false",
        "ServiceConnect.Native == true",
        r#"ServiceKind == """#,
        r#"ServiceName matches "^ng.*x$""#,
        "not ServiceName == other",
        "not not ServiceName == nginx",
        "ServiceName == x or ServiceName == nginx and ServicePort == 80",
        "(ServiceName == nginx or ServicePort == 1) and ServicePort == 80",
        "ServiceName contains gin",
        "ServiceProxy.Upstreams is empty",
        "ServiceMeta.v == 1",
    ] {
        assert!(on(&record, text), "{text}");
    }
}

#[test]
fn a_missing_key_fails_claims_and_passes_the_rest() {
    let (node, service) = web();
    let record = CatalogService { node: &node, service: &service };
    for text in ["NodeMeta.zz == x", "ServiceTaggedAddresses.zz.Port == 1", "x in NodeMeta.zz"] {
        assert!(!on(&record, text), "{text}");
    }
    for text in [
        "NodeMeta.zz != x",
        "ServiceTaggedAddresses.zz.Port != 1",
        "NodeMeta.zz matches x",
        "NodeMeta.zz not matches x",
    ] {
        assert!(on(&record, text), "{text}");
    }
}

#[test]
fn what_does_not_fit_the_fields_is_named() {
    let (node, service) = web();
    let record = CatalogService { node: &node, service: &service };
    for (text, why) in [
        ("Bogus==x", r#"Selector "Bogus" is not valid"#),
        ("Service.Port==80", r#"Selector "Service" is not valid"#),
        ("Node.x==y", r#"Selector "Node.x" is not valid"#),
        ("NodeMeta.os.x==1", r#"Selector "NodeMeta.os.x" is not valid"#),
        ("ServiceProxy.Config.a==1", r#"Selector "ServiceProxy.Config" is not valid"#),
        ("CreateIndex==1", r#"Selector "CreateIndex" is not valid"#),
        ("Meta.os==1", r#"Selector "Meta" is not valid"#),
        ("NodeMeta==y", r#"Invalid match operator "Equal" for selector "NodeMeta""#),
        ("Node is empty", r#"Invalid match operator "Is Empty" for selector "Node""#),
        ("ServiceProxy is empty", r#"Invalid match operator "Is Empty" for selector "ServiceProxy""#),
        ("ServiceTags matches a", r#"Invalid match operator "Matches" for selector "ServiceTags""#),
        (
            "ServicePort==x",
            r#"Failed to coerce value "x" for selector "ServicePort": strconv.ParseInt: parsing "x": invalid syntax"#,
        ),
        (
            "ServiceEnableTagOverride==zz",
            r#"Failed to coerce value "zz" for selector "ServiceEnableTagOverride": strconv.ParseBool: parsing "zz": invalid syntax"#,
        ),
        (
            r#"Node matches "(""#,
            r#"Failed to compile regular expression "(": error parsing regexp: missing closing ): `(`"#,
        ),
    ] {
        assert_eq!(refused(&record, text), why, "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    let node = Node::default();
    for (text, why) in [
        ("Node", r#"1:5 (4): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_]"#),
        ("Node==", r#"1:7 (6): no match found, expected: "-", "0", "\"", "`", [ \t\r\n], [1-9] or [a-zA-Z]"#),
        (
            "Node == ",
            r#"1:9 (8): no match found, expected: "-", "0", "\"", "`", [ \t\r\n], [1-9] or [a-zA-Z]"#,
        ),
        (r#""bare"==Node"#, r#"1:7 (6): no match found, expected: [ \t\r\n]"#),
        ("(Node==bare", r#"1:12 (11): rule "grouping": Unmatched parentheses"#),
        (r#"Node=="bare"#, r#"1:12 (11): rule "string": Unterminated string literal"#),
        ("Node==bare foo", r#"1:12 (11): no match found, expected: "and", "or", [ \t\r\n] or EOF"#),
        ("Node==bare and", r#"1:15 (14): no match found, expected: [ \t\r\n]"#),
        ("and", r#"1:4 (3): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_]"#),
        (
            " ",
            r#"1:2 (1): no match found, expected: "(", "-", "0", "\"", "`", "not", [ \t\r\n], [1-9] or [a-zA-Z]"#,
        ),
        ("Node==a/b", r#"1:8 (7): no match found, expected: ".", "[", [ \t\r\n], [a-zA-Z0-9_] or EOF"#),
        ("Node==10.0.0.1", r#"1:11 (10): rule "number": Invalid number literal"#),
        (r#"Kind in "x""#, r#"1:9 (8): rule "match": Invalid selector"#),
        ("x in 1", r#"1:6 (5): rule "match": Invalid selector"#),
        ("Meta[x]==1", r#"1:6 (5): rule "index": Invalid index"#),
        (r#"Meta["x"==1"#, r#"1:9 (8): rule "index": Unclosed index expression"#),
        ("Service==\"a\nb\" x", r#"1:10 (9): rule "string": invalid syntax"#),
        (r#"Service=="a\"b""#, r#"1:10 (9): rule "string": invalid syntax"#),
        (r#"Service=="ä" x"#, r#"1:14 (14): no match found, expected: "and", "or", [ \t\r\n] or EOF"#),
        (
            "not(Service==x)",
            r#"1:4 (3): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_]"#,
        ),
        ("(Service==x)or(Service==y)", r#"1:13 (12): no match found, expected: [ \t\r\n] or EOF"#),
        ("Service==x)", r#"1:11 (10): no match found, expected: ".", "[", [ \t\r\n], [a-zA-Z0-9_] or EOF"#),
        ("Service is", r#"1:11 (10): no match found, expected: [ \t\r\n]"#),
        ("Service not", r#"1:12 (11): no match found, expected: [ \t\r\n]"#),
        (
            "Service foo bar",
            r#"1:9 (8): no match found, expected: "!=", "==", "contains", "in", "is", "matches", "not" or [ \t\r\n]"#,
        ),
        (
            "ä==1",
            r#"1:1 (0): no match found, expected: "(", "-", "0", "\"", "`", "not", [ \t\r\n], [1-9] or [a-zA-Z]"#,
        ),
    ] {
        assert_eq!(refused(&node, text), why, "{text:?}");
    }
}

#[test]
fn deep_nesting_is_refused_and_quickly() {
    let node = Node::default();
    let deep = "(".repeat(10_000) + "Node==a";
    assert!(refused(&node, &deep).contains("nested too deeply"));
    let deep = "not ".repeat(10_000) + "Node==a";
    assert!(refused(&node, &deep).contains("nested too deeply"));
    let nested = "(".repeat(40) + "Node==a" + &")".repeat(40);
    assert!(!on(&node, &nested));
}

proptest::proptest! {
    #[test]
    fn survives_junk(text in "[a-z(). \\[\\]\"`=!0-9-]{0,40}") {
        let _ = compile(&text, &Node::default());
    }

    #[test]
    fn survives_anything(text in ".{0,60}") {
        let _ = compile(&text, &Node::default());
    }
}
