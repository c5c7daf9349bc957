use proptest::prelude::*;

use super::*;

fn some_membership() -> impl Strategy<Value = Membership> {
    (proptest::collection::btree_set(any::<u128>(), 1..5), any::<bool>(), "[a-z]{0,9}").prop_map(
        |(ids, joint, name)| {
            let voters: BTreeSet<ServerId> = ids.iter().copied().map(ServerId).collect();
            let nodes: BTreeMap<_, _> = voters
                .iter()
                .map(|id| (*id, ServerNode { name: name.clone(), address: format!("{name}:8300") }))
                .collect();
            let first = voters.iter().take(1).copied().collect();
            let configs = if joint { vec![voters, first] } else { vec![first] };
            Membership::new(configs, nodes).unwrap()
        },
    )
}

fn some_entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(EntryPayload::Blank),
        proptest::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| EntryPayload::Normal(Batch(bytes.into()))),
        some_membership().prop_map(EntryPayload::Membership),
    ];
    (any::<u64>(), any::<u64>(), payload)
        .prop_map(|(term, index, payload)| Entry::new(log_id(term, index), payload))
}

proptest! {
    #[test]
    fn entries_read_as_they_are_written(entry in some_entry()) {
        let mut out = Vec::new();
        put_entry(&mut out, &entry);
        let whole = Bytes::from(out);
        let mut reader = Reader(&whole);
        prop_assert_eq!(&reader.entry(Some(&whole)).unwrap(), &entry);
        prop_assert_eq!(reader.end(), Ok(()));
        prop_assert_eq!(&Reader(&whole).entry(None).unwrap(), &entry);
    }

    #[test]
    fn junk_is_an_error_and_never_a_panic(junk in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Reader(&junk).entry(None);
        let _ = Reader(&junk).stored_membership();
        let _ = Reader(&junk).vote();
    }

    #[test]
    fn a_cut_entry_is_an_error(entry in some_entry(), cut in any::<proptest::sample::Index>()) {
        let mut out = Vec::new();
        put_entry(&mut out, &entry);
        out.truncate(cut.index(out.len()));
        prop_assert!(Reader(&out).entry(None).is_err());
    }
}

#[test]
fn the_bytes_of_an_entry_are_these() {
    let mut out = Vec::new();
    put_entry(&mut out, &Entry::new(log_id(3, 9), EntryPayload::Normal(Batch(Bytes::from_static(b"ab")))));
    assert_eq!(out, [3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, b'a', b'b']);
    let mut out = Vec::new();
    put_vote(&mut out, &Vote::new_committed(2, ServerId(5)));
    assert_eq!(out, [2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}
