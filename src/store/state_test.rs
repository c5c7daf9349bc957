//! The state against its invariants: determinism, snapshots, and that changes name exactly the answers that changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use crs_types::{
    CheckDefinition, CheckId, CheckStatus, HealthCheck, Index, Node, NodeName, NodeService, ServiceAddress,
    ServiceId, ServiceName, Session, SessionBehavior, SessionId, Weights,
};
use proptest::prelude::*;

use crate::{
    CatalogVerb, Command, DecodeError, KvCondition, KvVerb, Registration, Reply, State, Topic, TxnOp,
};

const NODES: [&str; 3] = ["n1", "N2", "n3"];
const SERVICES: [&str; 3] = ["web", "Db", "mail"];
const SESSIONS: [&str; 2] = ["aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"];
const KEYS: [&str; 6] = ["a", "a/b", "a/b/c", "ab", "b", "é/ü"];

fn node_strategy() -> impl Strategy<Value = Node> {
    (0..3usize, 0..3usize, 0..4usize, 0..2u8).prop_map(|(name, address, id, meta)| Node {
        id: if id == 0 {
            Default::default()
        } else {
            format!("00000000-0000-0000-0000-00000000000{id}").into()
        },
        node: NODES[name].into(),
        address: format!("10.0.0.{address}"),
        datacenter: "dc1".into(),
        tagged_addresses: None,
        meta: (meta == 1).then(|| BTreeMap::from([("rack".to_owned(), "r1".to_owned())])),
    })
}

fn service_strategy() -> impl Strategy<Value = NodeService> {
    (0..3usize, 0..3usize, prop::collection::vec("[xy]", 0..2), 0..2i64).prop_map(|(id, name, tags, port)| {
        NodeService {
            id: format!("s{id}").into(),
            service: SERVICES[name].into(),
            tags,
            port,
            ..NodeService::default()
        }
    })
}

fn check_strategy() -> impl Strategy<Value = HealthCheck> {
    (0..4usize, 0..4usize, 0..3usize).prop_map(|(id, service, status)| HealthCheck {
        check_id: format!("c{id}").into(),
        status: [CheckStatus::Passing, CheckStatus::Critical, CheckStatus::Other("odd".into())][status]
            .clone(),
        service_id: if service == 3 { ServiceId::default() } else { format!("s{service}").into() },
        ..HealthCheck::default()
    })
}

fn condition_strategy() -> impl Strategy<Value = KvCondition> {
    prop_oneof![
        3 => Just(KvCondition::None),
        1 => (0..20u64).prop_map(|n| KvCondition::Cas(Index(n))),
        2 => session_id_strategy().prop_map(KvCondition::Acquire),
        1 => session_id_strategy().prop_map(KvCondition::Release),
    ]
}

fn cas_strategy() -> impl Strategy<Value = KvCondition> {
    prop_oneof![3 => Just(KvCondition::None), 1 => (0..20u64).prop_map(|n| KvCondition::Cas(Index(n)))]
}

fn session_id_strategy() -> impl Strategy<Value = SessionId> {
    (0..SESSIONS.len()).prop_map(|i| SESSIONS[i].into())
}

fn session_strategy() -> impl Strategy<Value = Session> {
    (session_id_strategy(), 0..3usize, prop::option::of(0..4usize), any::<bool>(), 0..2u64).prop_map(
        |(id, node, check, delete, delay)| Session {
            id,
            node: NODES[node].into(),
            node_checks: check.map(|check| vec![format!("c{check}").into()]),
            behavior: if delete { SessionBehavior::Delete } else { SessionBehavior::Release },
            lock_delay: std::time::Duration::from_secs(delay),
            ttl: "10s".to_owned(),
            ..Session::default()
        },
    )
}

fn op_strategy() -> impl Strategy<Value = TxnOp> {
    let kv_verbs = [
        KvVerb::Set,
        KvVerb::Cas,
        KvVerb::Lock,
        KvVerb::Unlock,
        KvVerb::Get,
        KvVerb::GetTree,
        KvVerb::CheckNotExists,
        KvVerb::Delete,
        KvVerb::DeleteTree,
        KvVerb::Unknown("odd".into()),
    ];
    let catalog_verbs = [CatalogVerb::Get, CatalogVerb::Set, CatalogVerb::Cas, CatalogVerb::Delete];
    let verb = prop::sample::select(catalog_verbs.to_vec()).boxed();
    let catalog_verbs = verb.clone();
    prop_oneof![
        4 => (
            prop::sample::select(kv_verbs.to_vec()),
            (0..KEYS.len()).prop_map(|i| Arc::from(KEYS[i])),
            0..20u64,
            prop::option::of(session_id_strategy()),
        )
            .prop_map(|(verb, key, index, session)| TxnOp::Kv {
                verb,
                key,
                value: Bytes::from_static(b"t"),
                flags: 1,
                index: Index(index),
                session,
            }),
        1 => (verb.clone(), node_strategy(), 0..20u64)
            .prop_map(|(verb, node, n)| TxnOp::Node { verb, node: Box::new(node), index: Index(n) }),
        1 => (verb, 0..3usize, service_strategy()).prop_map(|(verb, node, service)| TxnOp::Service {
            verb,
            node: NODES[node].into(),
            service: Box::new(service),
            index: Index::ZERO,
        }),
        1 => (catalog_verbs, 0..3usize, check_strategy()).prop_map(|(verb, node, check)| TxnOp::Check {
            verb,
            check: Box::new(HealthCheck { node: NODES[node].into(), ..check }),
            index: Index::ZERO,
        }),
    ]
}

fn command_strategy() -> impl Strategy<Value = Command> {
    let key = (0..KEYS.len()).prop_map(|i| Arc::from(KEYS[i]));
    let registration = (
        node_strategy(),
        any::<bool>(),
        prop::option::of(service_strategy()),
        prop::collection::vec(check_strategy(), 0..3),
    );
    prop_oneof![
        3 => (key.clone(), 0..2u64, "[uv]?", condition_strategy()).prop_map(|(key, flags, value, condition)| {
            Command::KvSet { key, flags, value: Bytes::from(value), condition }
        }),
        1 => (key.clone(), cas_strategy())
            .prop_map(|(key, condition)| Command::KvDelete { key, condition }),
        2 => session_strategy().prop_map(|session| Command::SessionCreate(Box::new(session))),
        1 => session_id_strategy().prop_map(|id| Command::SessionDestroy { id }),
        2 => prop::collection::vec(op_strategy(), 0..4).prop_map(Command::Txn),
        1 => key.prop_map(|prefix| Command::KvDeleteTree { prefix }),
        1 => (0..20u64).prop_map(|n| Command::ReapTombstones { up_to: Index(n) }),
        6 => registration.prop_map(|(node, skip_node_update, service, checks)| {
            Command::Register(Box::new(Registration { node, skip_node_update, service, checks }))
        }),
        2 => (0..3usize, 0..4usize, 0..5usize).prop_map(|(node, service, check)| Command::Deregister {
            node: NODES[node].into(),
            service_id: if service == 3 { ServiceId::default() } else { format!("s{service}").into() },
            check_id: if check == 4 { CheckId::default() } else { format!("c{check}").into() },
        }),
    ]
}

fn snapshot(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.write_snapshot(&mut bytes).unwrap();
    bytes
}

/// Every answer that can be watched, printed without its index; the index apart.
fn answers(state: &State) -> BTreeMap<Topic, (Index, String)> {
    let mut all = BTreeMap::new();
    for key in KEYS {
        let (index, record) = state.kv_get(key);
        all.insert(Topic::Key(key.into()), (index, format!("{:?}", record.map(|record| &record.entry))));
    }
    for prefix in ["", "a", "a/", "b", "é"] {
        let entries: Vec<_> = state.kv_prefix(prefix).map(|record| record.entry.clone()).collect();
        all.insert(Topic::KeyPrefix(prefix.into()), (state.kv_prefix_index(prefix), format!("{entries:?}")));
    }
    let nodes = state.nodes();
    let listed: Vec<_> = nodes.value.map(|node| (&node.value, node.modify_index)).collect();
    all.insert(Topic::Nodes, (nodes.index, format!("{listed:?}")));
    let names = state.service_names(|_| true);
    all.insert(Topic::ServiceNames, (names.index, format!("{:?}", names.value)));
    for name in SERVICES.map(ServiceName::from) {
        let folded = name.folded();
        let health = state.service_health(&name);
        let text: Vec<String> = health
            .value
            .iter()
            .map(|i| {
                let checks: Vec<_> = i.checks.iter().map(|check| &check.value).collect();
                format!("{:?} {:?} {checks:?}", i.node.value, i.service.value)
            })
            .collect();
        all.insert(Topic::ServiceHealth(folded.clone()), (health.index, format!("{text:?}")));
        let service = state.service(&name);
        let text: Vec<_> = service.value.iter().map(|i| (&i.node.value, &i.service.value)).collect();
        all.insert(Topic::Service(folded.clone()), (service.index, format!("{text:?}")));
        let checks = state.service_checks(&name);
        let text: Vec<_> = checks.value.iter().map(|check| &check.value).collect();
        all.insert(Topic::ServiceChecks(folded), (checks.index, format!("{text:?}")));
    }
    for name in NODES.map(NodeName::from) {
        let node = state.node(&name);
        let text = node.value.map(|view| {
            let services: Vec<_> = view.services.iter().map(|service| service.value.clone()).collect();
            format!("{:?} {services:?}", view.node.value)
        });
        all.insert(Topic::Node(name.folded()), (node.index, format!("{text:?}")));
        let checks = state.node_checks(&name);
        let text: Vec<_> = checks.value.iter().map(|check| &check.value).collect();
        all.insert(Topic::NodeChecks(name.folded()), (checks.index, format!("{text:?}")));
    }
    for status in [CheckStatus::Passing, CheckStatus::Critical, CheckStatus::Other("odd".into())] {
        let checks = state.checks_in_state(Some(&status));
        let text: Vec<_> = checks.value.iter().map(|check| &check.value).collect();
        all.insert(Topic::ChecksInState(status), (checks.index, format!("{text:?}")));
    }
    for id in SESSIONS.map(SessionId::from) {
        let session = state.session(&id);
        let text = format!("{:?}", session.value.map(|session| &session.value));
        all.insert(Topic::Session(id), (session.index, text));
    }
    let sessions = state.sessions();
    let listed: Vec<_> = sessions.value.map(|session| &session.value).collect();
    all.insert(Topic::Sessions, (sessions.index, format!("{listed:?}")));
    for name in NODES.map(NodeName::from) {
        let sessions = state.node_sessions(&name);
        let listed: Vec<_> = sessions.value.iter().map(|session| &session.value).collect();
        all.insert(Topic::NodeSessions(name.folded()), (sessions.index, format!("{listed:?}")));
    }
    let checks = state.checks_in_state(None);
    let text: Vec<_> = checks.value.iter().map(|check| &check.value).collect();
    all.insert(Topic::Checks, (checks.index, format!("{text:?}")));
    all
}

/// Whether the changes would wake a watcher of the topic.
fn wakes(changes: &crate::Changes, topic: &Topic) -> bool {
    changes.iter().any(|changed| match (topic, changed) {
        (Topic::KeyPrefix(prefix), Topic::Key(key)) => key.starts_with(&**prefix),
        (topic, changed) => topic == changed,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn commands_survive_the_log(command in command_strategy()) {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        prop_assert_eq!(Command::decode(&bytes), Ok(command));
    }

    #[test]
    fn junk_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::decode(&bytes);
        let _ = State::read_snapshot(&mut &bytes[..]);
    }

    #[test]
    fn damaged_snapshots_are_errors_and_no_panic(
        commands in prop::collection::vec(command_strategy(), 0..20), at in any::<prop::sample::Index>(), bit in 0..8u8
    ) {
        let mut state = State::new();
        commands.iter().for_each(|command| drop(state.apply(command)));
        let mut bytes = snapshot(&state);
        let at = at.index(bytes.len());
        prop_assert!(State::read_snapshot(&mut &bytes[..at]).is_err());
        bytes[at] ^= 1 << bit;
        let _ = State::read_snapshot(&mut &bytes[..]);
    }

    #[test]
    fn the_same_commands_make_the_same_state(commands in prop::collection::vec(command_strategy(), 0..40)) {
        let (mut a, mut b) = (State::new(), State::new());
        for command in &commands {
            prop_assert_eq!(a.apply(command), b.apply(command));
        }
        prop_assert_eq!(snapshot(&a), snapshot(&b));
        prop_assert_eq!(a.index(), Index(commands.len() as u64));
    }

    #[test]
    fn a_restored_snapshot_is_the_same_state(
        before in prop::collection::vec(command_strategy(), 0..40),
        after in prop::collection::vec(command_strategy(), 0..10),
    ) {
        let mut state = State::new();
        before.iter().for_each(|command| drop(state.apply(command)));
        let bytes = snapshot(&state);
        let mut restored = State::read_snapshot(&mut &bytes[..]).unwrap();
        prop_assert_eq!(&snapshot(&restored), &bytes);
        prop_assert_eq!(answers(&restored), answers(&state));
        for command in &after {
            prop_assert_eq!(restored.apply(command), state.apply(command));
        }
        prop_assert_eq!(snapshot(&restored), snapshot(&state));
    }

    /// The contract of watches. Whoever waits above the index it was shown is woken with a higher index when its
    /// answer changes, and sleeps on when it does not. `Node`, `Service` and `ServiceNames` are exact as well; the
    /// one allowance is that a command may touch a topic whose answer changed and changed back within it.
    #[test]
    fn changes_name_the_answers_that_changed(commands in prop::collection::vec(command_strategy(), 1..40)) {
        let mut state = State::new();
        for command in &commands {
            let before = answers(&state);
            let applied = state.apply(command);
            let after = answers(&state);
            if let Reply::Refused(_) = applied.reply {
                prop_assert!(applied.changes.is_empty());
            }
            for (topic, (old_index, old)) in &before {
                let (new_index, new) = &after[topic];
                if old != new {
                    prop_assert!(wakes(&applied.changes, topic), "{:?} changed unseen by {:?}", topic, command);
                    prop_assert!(new_index > old_index, "{:?}: {:?} -> {:?}", topic, old_index, new_index);
                    prop_assert_eq!(*new_index, state.index(), "{:?}", topic);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A lock has one holder, the holder is a living session, and the list of held keys says the same.
    #[test]
    fn locks_belong_to_living_sessions(commands in prop::collection::vec(command_strategy(), 1..60)) {
        let mut state = State::new();
        for command in &commands {
            state.apply(command);
            let held: Vec<_> = state.kv.values().filter_map(|record| {
                let entry = &record.entry;
                entry.session.clone().map(|session| (session, entry.key.clone()))
            }).collect();
            for (session, _) in &held {
                prop_assert!(state.sessions.contains_key(session));
            }
            let mut held = held;
            held.sort();
            prop_assert_eq!(&held, &state.held_keys.keys().cloned().collect::<Vec<_>>());
            for (node, session) in state.node_sessions.keys() {
                prop_assert!(state.nodes.contains_key(node) && state.sessions.contains_key(session));
            }
            prop_assert_eq!(state.node_sessions.len(), state.sessions.len());
        }
    }

    #[test]
    fn a_failed_transaction_changes_nothing(
        before in prop::collection::vec(command_strategy(), 0..30), ops in prop::collection::vec(op_strategy(), 0..5)
    ) {
        let mut state = State::new();
        before.iter().for_each(|command| drop(state.apply(command)));
        let old = answers(&state);
        let applied = state.apply(&Command::Txn(ops));
        if matches!(applied.reply, Reply::Txn(Err(_))) {
            prop_assert!(applied.changes.is_empty());
            prop_assert_eq!(answers(&state), old);
        }
    }
}

fn apply(state: &mut State, commands: impl IntoIterator<Item = Command>) {
    for command in commands {
        assert!(!matches!(state.apply(&command).reply, Reply::Refused(_)), "{command:?}");
    }
}

fn set(key: &str, value: &str) -> Command {
    Command::KvSet {
        key: key.into(),
        flags: 0,
        value: Bytes::copy_from_slice(value.as_bytes()),
        condition: KvCondition::None,
    }
}

fn register(node: &str, service: Option<(&str, &str)>, checks: &[(&str, &str, CheckStatus)]) -> Command {
    Command::Register(Box::new(Registration {
        node: Node { node: node.into(), address: "127.0.0.1".into(), ..Node::default() },
        service: service.map(|(id, name)| NodeService {
            id: id.into(),
            service: name.into(),
            ..NodeService::default()
        }),
        checks: checks
            .iter()
            .map(|(id, service, status)| HealthCheck {
                check_id: (*id).into(),
                service_id: (*service).into(),
                status: status.clone(),
                ..HealthCheck::default()
            })
            .collect(),
        ..Registration::default()
    }))
}

#[test]
fn a_write_that_changes_nothing_moves_no_index_and_wakes_nobody() {
    let mut state = State::new();
    apply(&mut state, [set("a", "1"), set("b", "1")]);
    let applied = state.apply(&set("a", "1"));
    assert_eq!(applied.reply, Reply::Held(true));
    assert!(applied.changes.is_empty());
    assert_eq!(state.kv_get("a").0, Index(1));

    let web = register("n1", Some(("web", "web")), &[("c", "web", CheckStatus::Passing)]);
    apply(&mut state, [web.clone()]);
    assert!(state.apply(&web).changes.is_empty());
}

#[test]
fn watchers_of_other_services_and_of_places_sleep_when_a_check_turns() {
    let mut state = State::new();
    apply(
        &mut state,
        [
            register("n1", Some(("web", "web")), &[("c", "web", CheckStatus::Passing)]),
            register("n1", Some(("db", "db")), &[]),
        ],
    );
    let changes = state.apply(&register("n1", None, &[("c", "web", CheckStatus::Critical)])).changes;
    assert!(wakes(&changes, &Topic::ServiceHealth("web".into())));
    for asleep in [
        Topic::ServiceHealth("db".into()),
        Topic::Service("web".into()),
        Topic::ServiceNames,
        Topic::Nodes,
        Topic::Node("n1".into()),
    ] {
        assert!(!wakes(&changes, &asleep), "{asleep:?}");
    }
    // A check of the node counts for all its services.
    let changes = state.apply(&register("n1", None, &[("node", "", CheckStatus::Critical)])).changes;
    assert!(wakes(&changes, &Topic::ServiceHealth("db".into())));
    assert_eq!(state.service_health(&"db".into()).value[0].checks.len(), 1);
    assert_eq!(state.service_health(&"web".into()).value[0].checks.len(), 2);
}

#[test]
fn compare_and_set_as_consul_does_it() {
    let mut state = State::new();
    let cas = |key: &str, index| Command::KvSet {
        key: key.into(),
        flags: 0,
        value: Bytes::from_static(b"v"),
        condition: KvCondition::Cas(Index(index)),
    };
    let delete =
        |key: &str, index| Command::KvDelete { key: key.into(), condition: KvCondition::Cas(Index(index)) };
    assert_eq!(state.apply(&cas("k", 7)).reply, Reply::Held(false));
    assert_eq!(state.apply(&cas("k", 0)).reply, Reply::Held(true));
    assert_eq!(state.apply(&cas("k", 0)).reply, Reply::Held(false));
    assert_eq!(state.apply(&delete("k", 0)).reply, Reply::Held(false));
    assert_eq!(state.apply(&delete("k", 2)).reply, Reply::Held(true));
    assert_eq!(state.apply(&delete("k", 9)).reply, Reply::Held(true), "a missing key is gone already");
}

#[test]
fn a_lock_counts_its_holders_and_is_released_with_its_session() {
    let session = |id: &str, behavior| {
        Command::SessionCreate(Box::new(Session {
            id: id.into(),
            node: "n1".into(),
            node_checks: Some(vec!["serfHealth".into()]),
            lock_delay: std::time::Duration::from_secs(15),
            behavior,
            ..Session::default()
        }))
    };
    let lock = |key: &str, id: &str, condition: fn(SessionId) -> KvCondition| Command::KvSet {
        key: key.into(),
        flags: 0,
        value: Bytes::from_static(b"me"),
        condition: condition(id.into()),
    };
    let mut state = State::new();
    apply(&mut state, [register("n1", None, &[("serfHealth", "", CheckStatus::Passing)])]);
    apply(&mut state, [session("a", SessionBehavior::Release), session("b", SessionBehavior::Delete)]);
    assert_eq!(state.apply(&lock("k", "a", KvCondition::Acquire)).reply, Reply::Held(true));
    assert_eq!(state.apply(&lock("k", "b", KvCondition::Acquire)).reply, Reply::Held(false));
    assert_eq!(state.apply(&lock("k", "b", KvCondition::Release)).reply, Reply::Held(false));
    assert_eq!(state.kv_get("k").1.unwrap().entry.lock_index, 1);
    let again = state.apply(&lock("k", "a", KvCondition::Acquire));
    assert_eq!((again.reply, again.changes.is_empty()), (Reply::Held(true), true));
    apply(&mut state, [lock("k", "a", KvCondition::Release), lock("k", "a", KvCondition::Acquire)]);
    assert_eq!(state.kv_get("k").1.unwrap().entry.lock_index, 2);
    assert_eq!(state.apply(&lock("gone", "b", KvCondition::Acquire)).reply, Reply::Held(true));
    let Reply::Refused(error) = state.apply(&lock("k", "none", KvCondition::Acquire)).reply else { panic!() };
    assert_eq!(error.text, "invalid session \"none\"");

    // The node's health turns: both sessions end, one key is freed, the other deleted, both stay locked for a while.
    let applied = state.apply(&register("n1", None, &[("serfHealth", "", CheckStatus::Critical)]));
    assert_eq!(state.sessions().value.count(), 0);
    assert_eq!(state.kv_get("k").1.unwrap().entry.session, None);
    assert!(state.kv_get("gone").1.is_none());
    assert_eq!(applied.changes.delayed_locks().len(), 2);
    let Reply::Refused(error) = state.apply(&session("c", SessionBehavior::Release)).reply else { panic!() };
    assert_eq!(error.text, "Check 'serfHealth' is in critical state");
}

#[test]
fn a_transaction_tells_all_its_errors_in_consuls_words() {
    let kv = |verb, key: &str, index, session: Option<&str>| TxnOp::Kv {
        verb,
        key: key.into(),
        value: Bytes::from_static(b"v"),
        flags: 0,
        index: Index(index),
        session: session.map(SessionId::from),
    };
    let mut state = State::new();
    apply(&mut state, [set("k", "v")]);
    let ops = vec![
        kv(KvVerb::Set, "new", 0, None),
        kv(KvVerb::Cas, "k", 9, None),
        kv(KvVerb::Get, "none", 0, None),
        kv(KvVerb::CheckIndex, "k", 9, None),
        kv(KvVerb::CheckSession, "k", 0, Some("x")),
        kv(KvVerb::CheckNotExists, "k", 0, None),
        kv(KvVerb::DeleteCas, "k", 9, None),
        kv(KvVerb::Lock, "k", 0, None),
        kv(KvVerb::Unlock, "k", 0, Some("x")),
        kv(KvVerb::Unknown("bogus".into()), "k", 0, None),
    ];
    let Reply::Txn(Err(errors)) = state.apply(&Command::Txn(ops)).reply else { panic!() };
    let said: Vec<(usize, &str)> = errors.iter().map(|error| (error.op, error.what.as_str())).collect();
    assert_eq!(
        said,
        [
            (1, r#"failed to set key "k", index is stale"#),
            (2, r#"key "none" doesn't exist"#),
            (3, r#"failed index check for key "k", current modify index 1 != 9"#),
            (4, r#"failed session check for key "k", current session "" != "x""#),
            (5, r#"key "k" exists"#),
            (6, r#"failed to delete key "k", index is stale"#),
            (7, "missing session"),
            (8, r#"failed to unlock key "k", lock isn't held, or is held by another session"#),
            (9, r#"unknown KV verb "bogus""#),
        ]
    );
    assert!(state.kv_get("new").1.is_none());
}

#[test]
fn a_deleted_key_raises_the_index_of_its_prefix_until_forgotten() {
    let mut state = State::new();
    apply(&mut state, [set("a/1", "x"), set("a/2", "x"), set("b", "x")]);
    apply(&mut state, [Command::KvDelete { key: "a/2".into(), condition: KvCondition::None }]);
    assert_eq!(state.kv_prefix_index("a/"), Index(4));
    apply(&mut state, [Command::ReapTombstones { up_to: Index(4) }]);
    assert_eq!(state.kv_prefix_index("a/"), Index(1));
    assert_eq!(state.tombstones().0, 0);
}

#[test]
fn a_live_node_keeps_its_name_and_a_dead_one_gives_it_up() {
    let with_id = |id: u8, status| {
        Command::Register(Box::new(Registration {
            node: Node {
                id: format!("00000000-0000-0000-0000-00000000000{id}").into(),
                node: "n1".into(),
                address: format!("10.0.0.{id}"),
                ..Node::default()
            },
            checks: vec![HealthCheck { check_id: "serfHealth".into(), status, ..HealthCheck::default() }],
            ..Registration::default()
        }))
    };
    let mut state = State::new();
    apply(&mut state, [with_id(1, CheckStatus::Passing)]);
    let Reply::Refused(error) = state.apply(&with_id(2, CheckStatus::Passing)).reply else { panic!() };
    assert!(
        error.text.ends_with(
            "Node name n1 is reserved by node 00000000-0000-0000-0000-000000000001 with name n1 (10.0.0.1)"
        ),
        "{error}"
    );
    apply(&mut state, [with_id(1, CheckStatus::Critical), with_id(2, CheckStatus::Passing)]);
    assert_eq!(state.node_record(&"N1".into()).unwrap().value.address, "10.0.0.2");
}

#[test]
fn a_known_id_under_a_new_name_renames_the_node() {
    let named = |name: &str| {
        Command::Register(Box::new(Registration {
            node: Node {
                id: "00000000-0000-0000-0000-000000000001".into(),
                node: name.into(),
                address: "10.0.0.1".into(),
                ..Node::default()
            },
            ..Registration::default()
        }))
    };
    let mut state = State::new();
    apply(&mut state, [named("old"), named("new")]);
    assert!(state.node_record(&"old".into()).is_none());
    let node = state.node_record(&"new".into()).unwrap();
    assert_eq!((node.create_index, node.modify_index), (Index(1), Index(2)));
}

/// The disk format. A failure here means that old data directories no longer open: write a migration, not new bytes.
#[test]
fn the_disk_format_is_pinned() {
    let mut bytes = Vec::new();
    Command::KvSet {
        key: "a/b".into(),
        flags: 42,
        value: Bytes::from_static(b"v"),
        condition: KvCondition::Cas(Index(0)),
    }
    .encode(&mut bytes);
    assert_eq!(bytes, b"\x01\x03\x03a/b\x04\x2a\x07\x01v\x08\x01");

    let registration = Registration {
        node: Node {
            id: "i".into(),
            node: "n".into(),
            address: "a".into(),
            datacenter: "d".into(),
            tagged_addresses: Some(BTreeMap::new()),
            meta: Some(BTreeMap::from([("k".into(), "v".into())])),
        },
        skip_node_update: true,
        service: Some(NodeService {
            kind: "k".into(),
            id: "i".into(),
            service: "s".into(),
            tags: vec!["t".into()],
            address: "a".into(),
            tagged_addresses: BTreeMap::from([(
                "lan".into(),
                ServiceAddress { address: "a".into(), port: -1 },
            )]),
            meta: None,
            port: 80,
            weights: Weights { passing: 1, warning: 1 },
            enable_tag_override: true,
            proxy: "{}".into(),
            connect: String::new(),
        }),
        checks: vec![HealthCheck {
            node: "n".into(),
            check_id: "c".into(),
            name: "C".into(),
            status: CheckStatus::Warning,
            notes: "N".into(),
            output: "O".into(),
            service_id: "i".into(),
            service_name: "s".into(),
            service_tags: vec!["t".into()],
            kind: "http".into(),
            definition: CheckDefinition {
                http: "u".into(),
                header: BTreeMap::from([("h".into(), vec!["1".into(), "2".into()])]),
                interval: std::time::Duration::from_nanos(300),
                ..CheckDefinition::default()
            },
        }],
    };
    let mut bytes = Vec::new();
    Command::Register(Box::new(registration)).encode(&mut bytes);
    let golden: &[u8] = b"\x05\
        \x03\x18\x03\x01i\x05\x01n\x07\x01a\x09\x01d\x0a\x01\x0e\x01\x11\x06\x03\x01k\x05\x01v\
        \x04\x01\
        \x07\x28\x03\x01k\x05\x01i\x07\x01s\x09\x01t\x0b\x01a\x0d\x0a\x03\x03lan\x05\x01a\x06\x01\x12\xa0\x01\
        \x14\x02\x16\x02\x18\x01\x1b\x02{}\
        \x09\x3a\x03\x01n\x05\x01c\x07\x01C\x09\x07warning\x0b\x01N\x0d\x01O\x0f\x01i\x11\x01s\x13\x01t\
        \x15\x04http\x17\x11\x03\x01u\x07\x09\x03\x01h\x05\x011\x05\x012\x0e\xac\x02";
    assert_eq!(bytes, golden, "{}", bytes.escape_ascii());
}

#[test]
fn newer_data_is_refused_in_words() {
    assert_eq!(
        Command::decode(b"\x7f").unwrap_err(),
        DecodeError::UnknownKind { record: "command", kind: 0x7f }
    );
    let newer = State::read_snapshot(&mut &b"CRSSTATE\x02"[..]).unwrap_err();
    assert_eq!(newer.to_string(), "not a crs snapshot of version 1 to 1");
}
