use std::collections::BTreeMap;

use bytes::Bytes;
use crs_types::{HealthCheck, KvEntry, Node, NodeService};
use proptest::prelude::*;

use super::*;
use crate::methods::{acl, catalog, health, internal, kv, prepared_query, txn};

fn int(value: i64) -> Vec<u8> {
    encode(&value)
}

#[test]
fn numbers_take_their_smallest_form() {
    assert_eq!(int(0), [0]);
    assert_eq!(int(127), [0x7f]);
    assert_eq!(int(128), [0xcc, 0x80]);
    assert_eq!(int(256), [0xcd, 1, 0]);
    assert_eq!(int(65536), [0xce, 0, 1, 0, 0]);
    assert_eq!(int(5_000_000_000), [0xcf, 0, 0, 0, 1, 0x2a, 0x05, 0xf2, 0]);
    assert_eq!(int(-1), [0xff]);
    assert_eq!(int(-32), [0xe0]);
    assert_eq!(int(-33), [0xd0, 0xdf]);
    assert_eq!(int(-129), [0xd1, 0xff, 0x7f]);
    assert_eq!(int(-32769), [0xd2, 0xff, 0xff, 0x7f, 0xff]);
    assert_eq!(int(i64::MIN), [0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn text_is_raw_of_the_old_family() {
    assert_eq!(encode(&"a".repeat(31))[0], 0xbf);
    assert_eq!(encode(&"a".repeat(32))[..3], [0xda, 0, 32]);
    assert_eq!(encode(&"a".repeat(65536))[..5], [0xdb, 0, 1, 0, 0]);
    for (head, len) in [(&[0xd9, 1][..], 1), (&[0xc4, 1], 1), (&[0xc5, 0, 1], 1), (&[0xa1], 1), (&[0xc0], 0)]
    {
        let mut bytes = head.to_vec();
        bytes.extend_from_slice(&b"x"[..len]);
        assert_eq!(decode::<String>(&bytes).unwrap(), "x"[..len]);
    }
}

#[test]
fn errors_name_field_and_place() {
    let bytes = [0x81, 0xa3, b'K', b'e', b'y', 0x93];
    let error = decode::<KvEntry>(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "msgpack: expected text, found byte 0x93 at byte 5");
    let bytes = [0x81, 0xa2, b'O', b'p', 0x93];
    let error = decode::<kv::ApplyRequest>(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "msgpack: expected text, found byte 0x93 at byte 4 in Op");
}

#[test]
fn a_small_message_cannot_become_large() {
    // A megabyte of empty maps, each a check with its strings.
    let mut bytes = vec![0x81, 0xa6];
    bytes.extend_from_slice(b"Checks");
    bytes.extend_from_slice(&[0xdd, 0, 0x10, 0, 0]);
    bytes.resize(bytes.len() + 0x10_0000, 0x80);
    let error = decode::<catalog::RegisterRequest>(&bytes).unwrap_err();
    assert_eq!(error.fault, Fault::Bloated);
    // A count without its elements.
    let error = decode::<Vec<String>>(&[0xdd, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
    assert_eq!(error.fault, Fault::Truncated);
}

#[test]
fn depth_is_bounded() {
    let deep = vec![0x91; 100_000];
    assert_eq!(decode::<Value>(&deep).unwrap_err().fault, Fault::TooDeep);
    assert_eq!(Extent::new(1 << 20).scan(&deep).unwrap_err().fault, Fault::TooDeep);
    let mut bytes = vec![0x81, 0xa5];
    bytes.extend_from_slice(b"Proxy");
    bytes.extend_from_slice(&[0x81, 0xa6]);
    bytes.extend_from_slice(b"Config");
    bytes.resize(bytes.len() + 1000, 0x91);
    assert_eq!(decode::<NodeService>(&bytes).unwrap_err().fault, Fault::TooDeep);
}

#[test]
fn announced_lengths_are_refused_before_they_arrive() {
    let announced = [0xdb, 0x7f, 0xff, 0xff, 0xff];
    assert_eq!(Extent::new(1000).scan(&announced).unwrap_err().fault, Fault::TooLarge { limit: 1000 });
    let announced = [0xdd, 0x7f, 0xff, 0xff, 0xff];
    assert_eq!(Extent::new(1000).scan(&announced).unwrap_err().fault, Fault::TooLarge { limit: 1000 });
    let announced = [0xdf, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(Extent::new(1000).scan(&announced).unwrap_err().fault, Fault::TooLarge { limit: 1000 });
}

#[test]
fn moments_keep_every_bit() {
    let bytes = [0xaf, 1, 0, 0, 0, 0x0e, 0xe2, 0x92, 0x2c, 0xc5, 0, 0, 0, 0, 0xff, 0xff];
    let time: Time = decode(&bytes).unwrap();
    assert_eq!(time.to_unix(), Some(std::time::Duration::from_secs(1_795_175_877)));
    assert_eq!(Time::from_unix(std::time::Duration::from_secs(1_795_175_877)), time);
    assert_eq!(encode(&time), bytes);
    assert!(Time::default().is_zero());
    assert_eq!(encode(&Time::default())[1..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
}

#[test]
fn proxy_settings_keep_their_meaning() {
    let json = r#"{"Config":{"a":1,"b":[true,null,"x"],"c":1.5},"DestinationServiceName":"web","Upstreams":[{"DestinationName":"db","LocalBindPort":9191}]}"#;
    let service = NodeService { proxy: json.to_owned(), ..NodeService::default() };
    let bytes = encode(&service);
    let read: NodeService = decode(&bytes).unwrap();
    assert_eq!(read.proxy, json);
    assert_eq!(encode(&read), bytes);
    let other = json.replace("DestinationServiceName", "destination_service_name");
    assert_eq!(encode(&NodeService { proxy: other, ..NodeService::default() }), bytes);
}

fn names() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é/_-]{0,40}"
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(names(), ".{0,20}", 0..5)
}

prop_compose! {
    fn nodes()(
        id in names(), node in names(), address in names(), datacenter in names(),
        tagged_addresses in proptest::option::of(texts()), meta in proptest::option::of(texts()),
    ) -> Node {
        Node { id: id.into(), node: node.into(), address, datacenter: datacenter.into(), tagged_addresses, meta }
    }
}

prop_compose! {
    fn checks()(
        check_id in names(), name in ".{0,40}", status in "passing|warning|critical||maintenance", output in ".{0,200}",
        service_tags in proptest::collection::vec(names(), 0..4), interval in 0..u64::MAX >> 1,
        header in proptest::collection::btree_map(names(), proptest::collection::vec(names(), 1..3), 0..3),
    ) -> HealthCheck {
        let definition = crs_types::CheckDefinition {
            interval: std::time::Duration::from_nanos(interval), header, ..Default::default()
        };
        HealthCheck {
            check_id: check_id.into(), name, status: status.as_str().into(), output, service_tags, definition,
            ..HealthCheck::default()
        }
    }
}

prop_compose! {
    fn entries()(
        key in names(), flags: u64, value in proptest::collection::vec(any::<u8>(), 0..300), lock_index: u64,
        session in proptest::option::of("[a-z0-9-]{36}"), create: u64, modify: u64,
    ) -> KvEntry {
        KvEntry {
            key: key.into(), flags, value: value.into(), lock_index, session: session.map(Into::into),
            create_index: crs_types::Index(create), modify_index: crs_types::Index(modify),
        }
    }
}

/// What can be read is written in one form, which reads the same.
fn settles<T: Wire>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes) {
        let written = encode(&value);
        assert_eq!(encode(&decode::<T>(&written).unwrap()), written);
    }
}

/// Reads junk as everything there is; none of it may panic.
fn read_as_everything(bytes: &[u8]) {
    let _ = decode::<Value>(bytes);
    settles::<catalog::RegisterRequest>(bytes);
    let _ = decode::<catalog::Services>(bytes);
    let _ = decode::<catalog::ServiceNodes>(bytes);
    let _ = decode::<catalog::NodeServices>(bytes);
    let _ = decode::<health::Instances>(bytes);
    let _ = decode::<kv::Entries>(bytes);
    let _ = decode::<internal::NodeDump>(bytes);
    let _ = decode::<txn::ApplyRequest>(bytes);
    let _ = decode::<txn::ReadReply>(bytes);
    let _ = decode::<prepared_query::Executed>(bytes);
    let _ = decode::<acl::TokenReply>(bytes);
    let _ = decode::<Vec<Time>>(bytes);
    let _ = crate::envelope::take_response(bytes);
    let whole = Extent::new(1 << 16).scan(bytes);
    assert_eq!(matches!(whole, Ok(Some(_))), Decoder::new(bytes).skip().is_ok() && whole.is_ok());
}

proptest! {
    #[test]
    fn records_come_back(node in nodes(), check in checks(), entry in entries()) {
        prop_assert_eq!(&decode::<Node>(&encode(&node)).unwrap(), &node);
        prop_assert_eq!(&decode::<HealthCheck>(&encode(&check)).unwrap(), &check);
        prop_assert_eq!(&decode::<KvEntry>(&encode(&entry)).unwrap(), &entry);
    }

    #[test]
    fn plain_values_come_back(text in ".{0,300}", n: i64, u: u64, x: f64, bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(&decode::<String>(&encode(&text)).unwrap(), &text);
        prop_assert_eq!(decode::<i64>(&encode(&n)).unwrap(), n);
        prop_assert_eq!(decode::<u64>(&encode(&u)).unwrap(), u);
        prop_assert_eq!(decode::<f64>(&encode(&x)).unwrap().to_bits(), x.to_bits());
        let bytes = Bytes::from(bytes);
        prop_assert_eq!(decode::<Bytes>(&encode(&bytes)).unwrap(), bytes);
    }

    #[test]
    fn junk_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_messages_are_survived(
        check in checks(), node in nodes(), at in any::<proptest::sample::Index>(), byte: u8, cut in any::<proptest::sample::Index>(),
    ) {
        let request = catalog::RegisterRequest {
            node: node.node, node_meta: node.meta, checks: vec![check.clone(), check],
            service: Some(NodeService::default()), ..Default::default()
        };
        let mut bytes = encode(&request);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_as_everything(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_as_everything(&bytes);
    }
}
