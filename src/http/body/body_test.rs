//! Expected texts were read off the reference.

use std::time::Duration;

use crs_types::{CheckKind, CheckStatus, Weights};

use super::{check_definition, deregistration, registration, service_definition};
use crate::error::Failure;

fn why<T>(result: Result<T, Failure>) -> String {
    let Err(failure) = result else { return "accepted".to_owned() };
    let text = failure.text.into_owned();
    match text.strip_prefix("Request decode failed: ") {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

#[test]
fn a_registration_is_read_whole() {
    let body = br#"{"node":"x","ADDRESS":"1","ID":"40E4A748-2192-161A-0510-9BF59FE950B5","NodeMeta":{},
        "Service":{"Service":"s","Port":-5,"Weights":{"Passing":5},"Connect":{"Native":true,"Bogus":1},
        "Proxy":{"Config":{"a":1},"destination_service_name":"d"},"CreateIndex":9},
        "Checks":[{"CheckID":"b"}],
        "Check":{"Name":"a","Definition":{"HTTP":"http://x/","Interval":"10s","Timeout":5,"Bogus":1}}} trailing"#;
    let registration = registration(body).unwrap().registration;
    assert_eq!(registration.node.node, "x");
    assert_eq!(registration.node.id, "40e4a748-2192-161a-0510-9bf59fe950b5");
    assert_eq!(registration.node.meta, Some([].into()));
    assert_eq!(registration.node.tagged_addresses, None);
    let service = registration.service.unwrap();
    assert_eq!((service.port, service.weights), (-5, Weights { passing: 5, warning: 0 }));
    assert_eq!(service.connect, r#"{"Native":true}"#);
    assert_eq!(
        service.proxy,
        r#"{"DestinationServiceName":"d","Config":{"a":1},"MeshGateway":{},"Expose":{}}"#
    );
    let [first, second] = &registration.checks[..] else { panic!("two checks") };
    assert_eq!((first.name.as_str(), second.check_id.as_str()), ("a", "b"));
    assert_eq!((first.kind.as_str(), second.kind.as_str()), ("http", ""));
    assert_eq!(first.definition.timeout, Duration::from_nanos(5));
}

#[test]
fn a_catalog_registration_that_cannot_be_read_is_named() {
    for (body, text) in [
        ("", "EOF"),
        ("{", "unexpected EOF"),
        ("[]", "json: cannot unmarshal array into Go value of type structs.RegisterRequest"),
        (r#"{"Bogus":1}"#, r#"json: unknown field "Bogus""#),
        (
            r#"{"Node":1}"#,
            "json: cannot unmarshal number into Go struct field RegisterRequest.Node of type string",
        ),
        (
            r#"{"Service":{"Port":"80"}}"#,
            "json: cannot unmarshal string into Go struct field NodeService.Service.Port of type int",
        ),
        (
            r#"{"Service":{"Port":80.5}}"#,
            "json: cannot unmarshal number 80.5 into Go struct field NodeService.Service.Port of type int",
        ),
        (
            r#"{"Service":{"Tags":[1]}}"#,
            "json: cannot unmarshal number into Go struct field NodeService.Service.Tags of type string",
        ),
        (
            r#"{"Service":{"TaggedAddresses":{"lan":{"port":"2"}}}}"#,
            "json: cannot unmarshal string into Go struct field ServiceAddress.Service.TaggedAddresses.Port of type int",
        ),
        (
            r#"{"Check":{"Definition":{"Header":{"a":"b"}}}}"#,
            "json: cannot unmarshal string into Go struct field HealthCheck.Check.Definition of type []string",
        ),
        (
            r#"{"Checks":{}}"#,
            "json: cannot unmarshal object into Go struct field RegisterRequest.Checks of type structs.HealthChecks",
        ),
        (r#"{"Check":{"Definition":{"Interval":"zz"}}}"#, r#"time: invalid duration "zz""#),
        (
            r#"{"Service":{"Namespace":"q"}}"#,
            r#"json: unknown field "Namespace" - Namespaces are a Consul Enterprise feature"#,
        ),
        // The first mistake in the text is the one that is named.
        (
            r#"{"Node":1,"Bogus":1}"#,
            "json: cannot unmarshal number into Go struct field RegisterRequest.Node of type string",
        ),
        (r#"{"Bogus":1,"Node":1}"#, r#"json: unknown field "Bogus""#),
    ] {
        assert_eq!(why(registration(body.as_bytes())), text, "{body}");
    }
    assert_eq!(
        why(deregistration(br#"{"Node":1}"#)),
        "json: cannot unmarshal number into Go struct field .Node of type string"
    );
    assert_eq!(why(deregistration(br#"{"service_id":"s"}"#)), r#"json: unknown field "service_id""#);
    assert_eq!(
        why(registration(br#"{"Service":{"Kind":"connect-proxy","Service":"s"}}"#)),
        "2 errors occurred:\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n\t* Port must be set for a Connect proxy\n\n"
    );
}

#[test]
fn a_service_definition_gets_its_ids() {
    let spec = service_definition(
        br#"{"Name":"web","enable_tag_override":true,"tagged_addresses":{"lan":{"Address":"1.2.3.4"}},"Check":{},
            "Checks":[{"TTL":"5s","deregister_critical_service_after":"1m"},{"CheckID":"own","TCP":"x:1","Interval":"1s"}]}"#,
    )
    .unwrap();
    assert_eq!((spec.id.as_str(), spec.enable_tag_override), ("web", true));
    assert_eq!(spec.weights, Weights::default());
    let [ttl, tcp] = &spec.checks[..] else { panic!("two checks") };
    assert_eq!((ttl.id.as_str(), ttl.name.as_str()), ("service:web:1", "Service 'web' check"));
    assert_eq!(ttl.kind, CheckKind::Ttl(Duration::from_secs(5)));
    assert_eq!(ttl.deregister_critical_service_after, Duration::from_secs(60));
    assert_eq!((tcp.id.as_str(), &tcp.kind), ("own", &CheckKind::Tcp("x:1".to_owned())));
    let single =
        service_definition(br#"{"Name":"web","ID":"w1","Check":{"TTL":"5s","Status":"passing"}}"#).unwrap();
    assert_eq!(single.checks[0].id, "service:w1");
    assert_eq!(single.checks[0].status, Some(CheckStatus::Passing));
}

#[test]
fn a_service_definition_that_is_none_is_named() {
    for (body, text) in [
        ("", "EOF"),
        ("null", "Missing service name"),
        ("{}", "Missing service name"),
        (r#"{"Name":1}"#, "json: cannot unmarshal number into Go struct field .Name of type string"),
        (r#"{"Port":"x"}"#, "json: cannot unmarshal string into Go struct field .Port of type int"),
        (r#"{"Tags":"x"}"#, "json: cannot unmarshal string into Go struct field .Tags of type []string"),
        (r#"{"Check":{"Script":"x"}}"#, r#"json: unknown field "Script""#),
        (r#"{"Check":{"check_id":"b"}}"#, r#"json: unknown field "check_id""#),
        (
            r#"{"Check":{"HTTP":1}}"#,
            "json: cannot unmarshal number into Go struct field .Check of type string",
        ),
        (r#"{"Check":{"TTL":"zz"}}"#, r#"time: invalid duration "zz""#),
        (
            r#"{"Checks":{"TTL":"5s"}}"#,
            "json: cannot unmarshal object into Go struct field .Checks of type structs.CheckTypes",
        ),
        (
            r#"{"Weights":{"Passing":"x"}}"#,
            "json: cannot unmarshal string into Go struct field Weights.Weights.Passing of type int",
        ),
        (
            r#"{"Weights":5}"#,
            "json: cannot unmarshal number into Go struct field .Weights of type structs.Weights",
        ),
        (
            r#"{"Connect":{"Native":"x"}}"#,
            "json: cannot unmarshal string into Go struct field .Connect of type bool",
        ),
        (r#"{"Proxy":{"Bogus":1}}"#, r#"json: unknown field "Bogus""#),
        (r#"{"Name":"s","Namespace":"x"}"#, r#"json: unknown field "Namespace""#),
        (r#"{"Name":"s","Address":"[::]"}"#, "Invalid service address"),
        (r#"{"Name":"s","Address":"0.0.0.0"}"#, "Invalid service address"),
        (r#"{"Name":"s","Weights":{"Passing":0}}"#, "Invalid Weights: Passing must be greater than 0"),
        (
            r#"{"Name":"s","Weights":{"Passing":1,"Warning":-1}}"#,
            "Invalid Weights: Warning must be greater or equal than 0",
        ),
        (
            r#"{"Name":"s","Weights":{"Passing":70000}}"#,
            "Invalid Weights: DNS Weight must be between 0 and 65535",
        ),
        (
            r#"{"Name":"s","Meta":{"bad key!":"x"}}"#,
            "Invalid Service Meta: Couldn't load metadata pair ('bad key!', 'x'): Key contains invalid characters",
        ),
        (
            r#"{"Name":"s","Meta":{"consul-x":"x"}}"#,
            "Invalid Service Meta: Couldn't load metadata pair ('consul-x', 'x'): Key prefix 'consul-' is reserved for internal use",
        ),
        (
            r#"{"Name":"s","Check":{"TCP":"x:1"}}"#,
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            r#"{"Name":"s","Check":{"HTTP":"http://x","TTL":"10s","Interval":"10s"}}"#,
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (
            r#"{"Name":"s","Check":{"AliasService":"x","TTL":"10s"}}"#,
            "Invalid check: TTL must be not be set for Alias checks",
        ),
        (r#"{"Name":"s","Check":{"Name":"x"}}"#, "Invalid check: TTL must be > 0 for TTL checks"),
        (r#"{"Name":"s","Check":{"ttl":"-5s"}}"#, "Invalid check: TTL must be > 0 for TTL checks"),
        (r#"{"Name":"s","Checks":[{}]}"#, "Invalid check: TTL must be > 0 for TTL checks"),
        (
            r#"{"Name":"s","Check":{"ttl":"5s","OutputMaxSize":-1}}"#,
            "Invalid check: MaxOutputMaxSize must be positive",
        ),
        (
            r#"{"Name":"s","Check":{"Status":"bogus","ttl":"5s"}}"#,
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
    ] {
        assert_eq!(why(service_definition(body.as_bytes())), text, "{body}");
    }
}

#[test]
fn a_check_definition_is_read_or_named() {
    let check = check_definition(br#"{"Name":"c","TTL":"5s","service_id":"web","Notes":"n"}"#).unwrap();
    assert_eq!((check.id.as_str(), check.service_id.as_str(), check.notes.as_str()), ("c", "web", "n"));
    for (body, text) in [
        ("{}", "Missing check name"),
        (r#"{"Name":1}"#, "json: cannot unmarshal number into Go struct field .Name of type string"),
        (r#"{"Name":"c","TTL":"5s","Status":"bogus"}"#, "Bad check status"),
        (r#"{"Name":"c"}"#, "Invalid check: TTL must be > 0 for TTL checks"),
        (r#"{"Name":"c","TTL":"5s","CheckID":"x"}"#, r#"json: unknown field "CheckID""#),
    ] {
        assert_eq!(why(check_definition(body.as_bytes())), text, "{body}");
    }
}

proptest::proptest! {
    #[test]
    fn survives_junk(text in r#"[{}\[\]":,a-zA-Z0-9 ]{0,60}"#) {
        let _ = registration(text.as_bytes());
        let _ = service_definition(text.as_bytes());
        let _ = check_definition(text.as_bytes());
    }
}
