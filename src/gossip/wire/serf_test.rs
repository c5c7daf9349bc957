use super::*;
use crate::vectors::hex;
use proptest::prelude::*;

#[test]
fn tags_are_read_and_written() {
    let meta = hex("ff82a16ea132a4726f6c65a3776562");
    let tags = decode_tags(&meta);
    assert_eq!(tags, [("n", "2"), ("role", "web")].map(|(k, v)| (k.into(), v.into())).into());
    assert_eq!(encode_tags(&tags), meta);
    assert_eq!(encode_tags(&Tags::new()), hex("ff80"));
    assert_eq!(decode_tags(b"web")["role"], "web");
}

#[test]
fn key_queries_have_the_captured_bytes() {
    let key: Vec<u8> = (0..16).collect();
    let raw = hex("0781a34b6579b0000102030405060708090a0b0c0d0e0f");
    assert_eq!(encode_key_request(&key), raw);
    assert_eq!(decode_key_request(&raw), Ok(&key[..]));
    let raw = hex("0884a44b657973c0a74d657373616765a0aa5072696d6172794b6579a0a6526573756c74c3");
    let answer = KeyResponse { result: true, ..KeyResponse::default() };
    assert_eq!(answer.encode(), raw);
    assert_eq!(KeyResponse::decode(&raw), Ok(answer));
}

#[test]
fn a_conflict_response_has_the_captured_bytes() {
    let raw = hex(
        "0585a5466c61677300a446726f6da27331a24944ce0eafed88a54c54696d6501a75061796c6f6164da008c068ba4\
        41646472a47f4d0102ab44656c656761746543757205ab44656c65676174654d617805ab44656c65676174654d696e02a44e61\
        6d65a27332a4506f7274cd1f0aab50726f746f636f6c43757202ab50726f746f636f6c4d617805ab50726f746f636f6c4d696e\
        01a653746174757301a45461677383a16ea132a4726f6c65a3776562a47a6f6e65a162",
    );
    let SerfMessage::Response(response) = SerfMessage::decode(&raw).unwrap() else { panic!() };
    let member = WireMember::decode(response.payload).unwrap().unwrap();
    assert_eq!((member.name.as_str(), member.port, member.status), ("s2", 7946, 1));
    assert_eq!(member.vsn, [1, 5, 2, 2, 5, 5]);
    assert_eq!(WireMember::encode(Some(&member)), response.payload);
    assert_eq!(WireMember::decode(&WireMember::encode(None)), Ok(None));
}

proptest! {
    #[test]
    fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u8..11) {
        let raw = [&[kind][..], &junk].concat();
        for raw in [&junk, &raw] {
            if let Ok(message) = SerfMessage::decode(raw) {
                let again = message.encode();
                let _ = SerfMessage::decode(&again);
            }
            let _ = SerfState::decode(raw);
            let _ = WireMember::decode(raw);
            let _ = KeyResponse::decode(raw);
            let _ = decode_key_request(raw);
            let _ = decode_tags(raw);
        }
    }

    #[test]
    fn queries_round_trip(ltime: u64, id in 0u32..1 << 31, name in "[a-z]{0,20}", payload in proptest::collection::vec(any::<u8>(), 0..300), filter in proptest::collection::vec(any::<u8>(), 1..30), timeout_ns in 0i64..i64::MAX, flags in 0u32..4, relay_factor: u8) {
        let query = SerfMessage::Query(Query {
            ltime, id, addr: Some(([127, 0, 0, 1], 7946).into()), source: "me", filters: vec![&filter],
            flags, relay_factor, timeout_ns, name: &name, payload: &payload,
        });
        let raw = query.encode();
        prop_assert_eq!(SerfMessage::decode(&raw), Ok(query));
    }
}
