//! The server on a raft in memory: endpoints, waiting, sessions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crs_acl::{Access, Authorizer, Extent, Grant, Resource, Rule};
use crs_raft::{Options, Raft, ServerNode, Storage};
use crs_store::{KvCondition, KvVerb, Registration, Topic, TxnOp};
use crs_types::{
    CheckStatus, Consistency, ErrorKind, HealthCheck, Index, Node, NodeService, QueryOptions, SessionId,
};
use tokio_util::sync::CancellationToken;

use crate::{Deregistration, Published, QueryLimits, Server, ServerSettings, SessionRequest};

async fn server() -> Arc<Server> {
    let published = Arc::new(Published::default());
    let node = ServerNode { name: "s1".into(), address: "127.0.0.1:8300".into() };
    let raft = Raft::start(Options::new(1.into(), node, Storage::Memory), published.clone()).await.unwrap();
    raft.bootstrap_alone().await.unwrap();
    let settings = ServerSettings {
        datacenter: "dc1".into(),
        node: Node { node: "s1".into(), address: "127.0.0.1".into(), ..Node::default() },
        rpc_port: 8300,
        query_limits: QueryLimits::default(),
        rpc_hold_timeout: Duration::from_secs(7),
        session_ttl_min: Duration::from_millis(20),
    };
    Arc::new(Server::new(settings, raft, published, CancellationToken::new()))
}

fn all() -> Authorizer {
    Authorizer::allow_all()
}

fn only(resource: Resource, name: &str, grant: Grant) -> Authorizer {
    Authorizer::new(&[Rule { resource, extent: Extent::Exact, name: name.to_owned(), grant }], false)
}

async fn put(server: &Server, key: &str, value: &'static str) -> bool {
    let value = Bytes::from_static(value.as_bytes());
    server.kv_set(&all(), key.into(), 0, value, KvCondition::None).await.unwrap()
}

fn registration(service: Option<&str>, checks: &[(&str, CheckStatus)]) -> Registration {
    Registration {
        node: Node { node: "n1".into(), address: "10.0.0.1".into(), ..Node::default() },
        service: service.map(|name| NodeService { service: name.into(), ..NodeService::default() }),
        checks: checks
            .iter()
            .map(|(id, status)| HealthCheck {
                check_id: (*id).into(),
                status: status.clone(),
                ..HealthCheck::default()
            })
            .collect(),
        ..Registration::default()
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "in vain waited for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_blocked_query_wakes_for_its_own_key_and_no_other() {
    let server = server().await;
    put(&server, "mine", "1").await;
    let index = server.published().state().kv_get("mine").0;
    let waiting = {
        let server = server.clone();
        tokio::spawn(async move {
            let options = QueryOptions { min_index: index, ..QueryOptions::default() };
            let mut reads = 0;
            let answer = server
                .query(&options, Topic::Key("mine".into()), |state| {
                    reads += 1;
                    let (index, record) = state.kv_get("mine");
                    crs_store::Found { index, value: record.map(|record| record.entry.value.clone()) }
                })
                .await
                .unwrap();
            (answer.value.unwrap(), answer.meta.index, reads)
        })
    };
    eventually("the watcher", || server.published().hub().watchers() == 1).await;
    for n in 0..20 {
        put(&server, &format!("other{n}"), "x").await;
    }
    assert!(!waiting.is_finished());
    put(&server, "mine", "2").await;
    let (value, seen, reads) = waiting.await.unwrap();
    assert_eq!(value, "2");
    assert_eq!(seen, server.published().state().kv_get("mine").0);
    assert_eq!(reads, 3, "once before waiting, once after subscribing, once when woken");
    assert_eq!(server.published().hub().watchers(), 0);
}

#[tokio::test]
async fn a_query_without_a_change_returns_the_same_answer_after_its_wait() {
    let server = server().await;
    put(&server, "k", "1").await;
    let index = server.published().state().kv_get("k").0;
    let options = QueryOptions {
        min_index: index,
        wait: Some(Duration::from_millis(30)),
        consistency: Consistency::Consistent,
        ..QueryOptions::default()
    };
    let read = |state: &crs_store::State| crs_store::Found { index: state.kv_get("k").0, value: () };
    let answer = server.query(&options, Topic::Key("k".into()), read).await.unwrap();
    assert_eq!((answer.meta.index, answer.meta.known_leader), (index, true));
}

#[tokio::test]
async fn registrations_are_checked_in_consuls_words() {
    let server = server().await;
    let said = async |registration| server.register(&all(), registration).await.unwrap_err().text;
    assert_eq!(said(Registration::default()).await, "Must provide node");
    let nowhere = Registration { node: Node { node: "n".into(), ..Node::default() }, ..Default::default() };
    assert_eq!(said(nowhere).await, "Must provide address if SkipNodeUpdate is not set");
    let mut odd = registration(None, &[]);
    odd.node.id = "zz".into();
    assert_eq!(said(odd).await, "Bad node ID: uuid string is wrong length");
    let mut nameless = registration(Some(""), &[]);
    nameless.service.as_mut().unwrap().id = "x".into();
    assert_eq!(said(nameless).await, "Must provide service name with ID");
    let gone = server.deregister(&all(), Deregistration::default()).await.unwrap_err();
    assert_eq!((gone.kind, gone.text.as_str()), (ErrorKind::Refused, "Must provide node"));

    server.register(&all(), registration(Some("web"), &[("c", CheckStatus::Passing)])).await.unwrap();
    let state = server.published().state();
    assert_eq!(state.service(&"web".into()).value[0].node.value.datacenter, "dc1");
    let deregister = Deregistration { node: "n1".into(), ..Deregistration::default() };
    server.deregister(&all(), deregister).await.unwrap();
    assert!(server.published().state().node_record(&"n1".into()).is_none());
}

#[tokio::test]
async fn every_write_asks_the_authorizer() {
    let server = server().await;
    server.register(&all(), registration(Some("web"), &[])).await.unwrap();
    let none = Authorizer::new([], false);
    let value = || Bytes::from_static(b"v");
    let denied = |error: crs_types::Error| assert_eq!(error.kind, ErrorKind::PermissionDenied);
    denied(server.kv_set(&none, "k".into(), 0, value(), KvCondition::None).await.unwrap_err());
    denied(server.kv_delete(&none, "k".into(), KvCondition::None).await.unwrap_err());
    denied(server.kv_delete_tree(&none, "".into()).await.unwrap_err());
    denied(server.register(&none, registration(None, &[])).await.unwrap_err());
    denied(
        server
            .register(&only(Resource::Node, "n1", Grant::Write), registration(Some("web"), &[]))
            .await
            .unwrap_err(),
    );
    let web = Deregistration { node: "n1".into(), service_id: "web".into(), ..Deregistration::default() };
    denied(server.deregister(&none, web.clone()).await.unwrap_err());
    server.deregister(&only(Resource::Service, "web", Grant::Write), web).await.unwrap();
    let op = TxnOp::Kv {
        verb: KvVerb::Get,
        key: "k".into(),
        value: Bytes::new(),
        flags: 0,
        index: Index::ZERO,
        session: None,
    };
    let errors = server.txn(&none, vec![op], Consistency::Default).await.unwrap().unwrap_err();
    assert_eq!(errors[0].what, "Permission denied");
    assert!(!none.allows(Resource::Key, "k", Access::Read));
}

fn session_request(ttl: &str) -> SessionRequest {
    SessionRequest {
        name: String::new(),
        node: "n1".into(),
        lock_delay: Duration::from_millis(200),
        behavior: String::new(),
        ttl: ttl.to_owned(),
        node_checks: Some(Vec::new()),
        service_checks: None,
    }
}

async fn acquire(server: &Server, key: &str, session: &SessionId) -> bool {
    let condition = KvCondition::Acquire(session.clone());
    server.kv_set(&all(), key.into(), 0, Bytes::new(), condition).await.unwrap()
}

#[tokio::test]
async fn a_session_that_is_not_renewed_ends_and_its_lock_waits_for_the_delay() {
    let server = server().await;
    let duties = tokio::spawn(server.clone().run_leader_duties());
    server.register(&all(), registration(None, &[])).await.unwrap();
    let id = server.create_session(&all(), session_request("50ms")).await.unwrap();
    assert!(acquire(&server, "lock", &id).await);
    let other = server.create_session(&all(), session_request("")).await.unwrap();
    assert!(!acquire(&server, "lock", &other).await, "somebody holds it");
    assert!(server.renew_session(&all(), &id).await.unwrap().is_some());
    eventually("the session's end", || server.published().state().session(&id).value.is_none()).await;
    let ended = tokio::time::Instant::now();
    assert!(!acquire(&server, "lock", &other).await, "its lock-delay runs");
    while !acquire(&server, "lock", &other).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(ended.elapsed() < Duration::from_secs(5));
    }
    assert!(server.renew_session(&all(), &id).await.unwrap().is_none());
    assert_eq!(
        server.create_session(&all(), session_request("1ms")).await.unwrap_err().kind,
        ErrorKind::Refused
    );
    duties.abort();
}

#[tokio::test]
async fn the_leader_shows_itself_in_the_catalog() {
    let server = server().await;
    let duties = tokio::spawn(server.clone().run_leader_duties());
    let name = "consul".into();
    eventually("itself", || !server.published().state().service_health(&name).value.is_empty()).await;
    let found = server.published().state().service_health(&name);
    let instance = &found.value[0];
    assert_eq!(instance.service.value.port, 8300);
    assert_eq!(instance.service.value.meta.as_ref().unwrap()["version"], "1.8.7");
    assert_eq!(instance.checks[0].value.output, "Agent alive and reachable");
    duties.abort();
}
