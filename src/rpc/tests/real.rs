//! Our client against real Consul servers. Without them (see `tests/peers`) each case says so and passes; in CI it
//! fails.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crs_rpc::blocks::{DatacenterRead, NodeRead, ReadOptions, Source, WriteOptions};
use crs_rpc::codec::Listed;
use crs_rpc::methods::{
    Method, acl, catalog, coordinate, health, internal, kv, operator, prepared_query, session, status, txn,
};
use crs_rpc::snapshot::{self, SnapshotRequest};
use crs_rpc::tls::{Connect, Identity, Tls, connect_config};
use crs_rpc::{Client, Dialer, Pool, PoolLimits, RateLimit, Server, Servers, Target};
use crs_testkit::{Kind, Setup, Subject};
use crs_types::{Error, ErrorKind, HealthCheck, Index, KvEntry, Node, NodeService, SessionId};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// Whether there is a real Consul.
fn there() -> bool {
    let folder = std::env::var("CRS_PEERS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers").to_owned());
    let there = Path::new(&folder).join("bin/consul").exists();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "no real Consul: run tests/peers");
        eprintln!("SKIPPED: no real Consul here; run tests/peers or set CRS_PEERS");
    }
    there
}

fn pool(tls: Tls) -> Arc<Pool> {
    Arc::new(Pool::new(Dialer::new(Arc::new(ArcSwap::from_pointee(tls)), None), PoolLimits::default()))
}

fn target(server: &Subject) -> Target {
    Target { address: (server.address(), 8300).into(), datacenter: "dc1".into() }
}

fn client(servers: &[&Subject], tls: Tls) -> Client {
    let known = Arc::new(Servers::new(3));
    for server in servers {
        known.add(Server { name: server.node().to_owned(), target: target(server) });
    }
    Client::new(pool(tls), known, RateLimit::none(), Duration::from_secs(7))
}

async fn call<M: Method>(client: &Client, request: &M::Request) -> Result<M::Reply, Error> {
    timeout(SOON, client.call::<M>(request, Duration::ZERO)).await.expect("an answer in time")
}

fn put(key: &str, value: impl Into<Vec<u8>>) -> kv::ApplyRequest {
    kv::ApplyRequest {
        datacenter: "dc1".into(),
        op: "set".to_owned(),
        entry: KvEntry { key: key.into(), flags: 7, value: value.into().into(), ..KvEntry::default() },
        options: WriteOptions::default(),
    }
}

fn get(key: &str) -> kv::KeyRead {
    kv::KeyRead { datacenter: "dc1".into(), key: key.into(), options: ReadOptions::default() }
}

fn node_read(node: &str) -> NodeRead {
    NodeRead { datacenter: "dc1".into(), node: node.into(), options: ReadOptions::default() }
}

fn datacenter_read() -> DatacenterRead {
    DatacenterRead { datacenter: "dc1".into(), ..Default::default() }
}

fn service_read(service: &str) -> catalog::ServiceRead {
    catalog::ServiceRead { datacenter: "dc1".into(), service_name: service.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_answers_every_method() {
    if !there() {
        return;
    }
    let server = Setup::new(Kind::Consul, "").start();
    let client = client(&[&server], Tls::default());
    status_and_operator(&client, &server).await;
    keys(&client).await;
    services(&client).await;
    sessions_and_transactions(&client, &server).await;
    queries_and_events(&client).await;
    snapshots(&client, &server).await;
}

async fn status_and_operator(client: &Client, server: &Subject) {
    call::<status::Ping>(client, &()).await.unwrap();
    let address = format!("{}:8300", server.address());
    assert_eq!(call::<status::Leader>(client, &datacenter_read()).await.unwrap(), address);
    assert_eq!(call::<status::Peers>(client, &datacenter_read()).await.unwrap(), [address]);
    let raft = call::<operator::RaftGetConfiguration>(client, &datacenter_read()).await.unwrap();
    assert!(raft.servers[0].leader && raft.servers[0].voter);
    let autopilot = call::<operator::AutopilotGetConfiguration>(client, &datacenter_read()).await.unwrap();
    assert!(autopilot.cleanup_dead_servers);
    let set = operator::AutopilotSetRequest {
        datacenter: "dc1".into(),
        config: operator::AutopilotConfiguration { max_trailing_logs: 300, ..autopilot },
        ..Default::default()
    };
    // The answer to a set without a condition is false although it worked, as with keys.
    assert!(!call::<operator::AutopilotSetConfiguration>(client, &set).await.unwrap());
    let autopilot = call::<operator::AutopilotGetConfiguration>(client, &datacenter_read()).await.unwrap();
    assert_eq!(autopilot.max_trailing_logs, 300);
    let off = call::<acl::BootstrapTokens>(client, &datacenter_read()).await.unwrap_err();
    assert_eq!(off.text, "rpc error making call: ACL support disabled");
}

async fn keys(client: &Client) {
    let binary: Vec<u8> = (0..=255).collect();
    assert!(
        !call::<kv::Apply>(client, &put("a/b", binary.clone())).await.unwrap(),
        "as Consul answers a set"
    );
    let large = vec![9; 500_000];
    call::<kv::Apply>(client, &put("a/large", large.clone())).await.unwrap();
    call::<kv::Apply>(client, &put("a/empty", "")).await.unwrap();
    let got = call::<kv::Get>(client, &get("a/b")).await.unwrap();
    assert_eq!((got.entries[0].flags, got.entries[0].value.to_vec()), (7, binary));
    assert_eq!(got.meta.index, got.entries[0].modify_index);
    assert!(got.meta.known_leader);
    let missing = call::<kv::Get>(client, &get("nothing")).await.unwrap();
    assert!(missing.entries.is_empty() && missing.meta.index > Index::ZERO);
    let list = call::<kv::List>(client, &get("a/")).await.unwrap();
    assert_eq!(
        list.entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>(),
        ["a/b", "a/empty", "a/large"]
    );
    assert!(list.entries[1].value.is_empty() && list.entries[2].value == large);
    let keys = kv::KeysRead {
        datacenter: "dc1".into(),
        prefix: "".into(),
        separator: "/".to_owned(),
        ..Default::default()
    };
    assert_eq!(call::<kv::ListKeys>(client, &keys).await.unwrap().keys.0, ["a/".into()]);

    let mut cas = put("a/b", "x");
    cas.op = "cas".to_owned();
    cas.entry.modify_index = Index(1);
    assert!(!call::<kv::Apply>(client, &cas).await.unwrap());
    cas.entry.modify_index = got.entries[0].modify_index;
    assert!(call::<kv::Apply>(client, &cas).await.unwrap());
    let error = call::<kv::Apply>(client, &put("", "")).await.unwrap_err();
    assert_eq!((error.kind, &*error.text), (ErrorKind::Refused, "rpc error making call: Must provide key"));
    let nowhere = kv::KeyRead { datacenter: "nowhere".into(), ..get("a") };
    let error = call::<kv::Get>(client, &nowhere).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoPathToDatacenter);

    // Blocking: answered by the change; without one, after the wait.
    let index = call::<kv::Get>(client, &get("a/b")).await.unwrap().meta.index;
    let mut blocking = get("a/b");
    blocking.options.min_query_index = index;
    blocking.options.max_query_time = Duration::from_secs(60);
    let wait = blocking.options.longest_wait();
    let write = put("a/b", "changed");
    let write = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        call::<kv::Apply>(client, &write).await.unwrap();
    };
    let (changed, ()) =
        timeout(SOON, async { tokio::join!(client.call::<kv::Get>(&blocking, wait), write) }).await.unwrap();
    let changed = changed.unwrap();
    assert_eq!(changed.entries[0].value, "changed");
    blocking.options.min_query_index = changed.meta.index;
    blocking.options.max_query_time = Duration::from_millis(300);
    let start = Instant::now();
    let same = client.call::<kv::Get>(&blocking, blocking.options.longest_wait()).await.unwrap();
    assert_eq!(same.meta.index, changed.meta.index);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

async fn services(client: &Client) {
    let service = NodeService {
        id: "web1".into(),
        service: "web".into(),
        tags: vec!["v1".to_owned(), "prod".to_owned()],
        port: 80,
        meta: Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
        ..NodeService::default()
    };
    let check = HealthCheck {
        node: "ext1".into(),
        check_id: "web1-http".into(),
        name: "http".to_owned(),
        status: "passing".into(),
        output: "fine".to_owned(),
        service_id: "web1".into(),
        ..HealthCheck::default()
    };
    let registration = crs_store::Registration {
        node: Node { node: "ext1".into(), address: "192.0.2.1".to_owned(), ..Node::default() },
        skip_node_update: false,
        service: Some(service.clone()),
        checks: vec![check.clone()],
    };
    let register = catalog::RegisterRequest::new("dc1".into(), registration, WriteOptions::default());
    call::<catalog::Register>(client, &register).await.unwrap();

    let nodes = call::<catalog::ListNodes>(client, &datacenter_read()).await.unwrap().nodes;
    assert!(nodes.iter().any(|node| node.value.node == "ext1" && node.value.address == "192.0.2.1"));
    let names = call::<catalog::ListServices>(client, &datacenter_read()).await.unwrap().services;
    assert_eq!(names.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["consul", "web"]);
    let mut tags = names["web"].0.clone();
    tags.sort();
    assert_eq!(tags, ["prod", "v1"]);
    let rows = call::<catalog::ListServiceNodes>(client, &service_read("web")).await.unwrap().service_nodes;
    assert_eq!((rows.len(), rows[0].node.value.node.as_str()), (1, "ext1"));
    assert_eq!(rows[0].service.value, service);
    let instances = call::<health::ServiceNodes>(client, &service_read("web")).await.unwrap();
    let instance = &instances.nodes[0];
    assert_eq!(instance.service.value, service, "what was registered comes back");
    assert_eq!(instance.service.create_index, instance.node.create_index);
    let checks: Vec<_> = instance.checks.iter().map(|check| &check.value).collect();
    assert_eq!(
        (checks[0].status.as_str(), checks[0].output.as_str(), checks[0].service_name.as_str()),
        ("passing", "fine", "web")
    );
    // With a filter of tags, and one of expressions.
    let mut filtered = service_read("web");
    (filtered.tag_filter, filtered.service_tags) = (true, vec!["v2".to_owned()]);
    assert!(call::<health::ServiceNodes>(client, &filtered).await.unwrap().nodes.is_empty());
    let mut filtered = service_read("web");
    filtered.options.filter = "Service.Port == 80".to_owned();
    assert_eq!(call::<health::ServiceNodes>(client, &filtered).await.unwrap().nodes.len(), 1);

    let checks = call::<health::NodeChecks>(client, &node_read("ext1")).await.unwrap().checks;
    assert_eq!(checks[0].value.check_id, "web1-http");
    let checks = call::<health::ServiceChecks>(client, &service_read("web")).await.unwrap().checks;
    assert_eq!(checks.len(), 1);
    let state = health::ChecksInStateRead {
        datacenter: "dc1".into(),
        state: "passing".to_owned(),
        ..Default::default()
    };
    assert_eq!(call::<health::ChecksInState>(client, &state).await.unwrap().checks.len(), 2);
    let list = call::<catalog::ListNodeServices>(client, &node_read("ext1")).await.unwrap().node_services;
    assert_eq!(list.services[0].value, service);
    let map =
        call::<catalog::ReadNodeServices>(client, &node_read("ext1")).await.unwrap().node_services.unwrap();
    assert_eq!(map.services["web1"].value, service);
    let unknown = call::<catalog::ReadNodeServices>(client, &node_read("nobody")).await.unwrap();
    assert!(unknown.node_services.is_none());
    let dump = call::<internal::NodeInfo>(client, &node_read("ext1")).await.unwrap().nodes;
    assert_eq!((dump[0].services.len(), dump[0].checks.len()), (1, 1));
    assert!(call::<internal::DumpNodes>(client, &datacenter_read()).await.unwrap().nodes.len() >= 2);
    let dump = internal::ServiceDumpRead { datacenter: "dc1".into(), ..Default::default() };
    assert_eq!(call::<internal::DumpServices>(client, &dump).await.unwrap().nodes.len(), 2);
    let datacenters = call::<catalog::ListDatacenters>(client, &Default::default()).await.unwrap();
    assert_eq!(datacenters, ["dc1"]);

    let deregister = catalog::DeregisterRequest {
        datacenter: "dc1".into(),
        node: "ext1".into(),
        check_id: "web1-http".into(),
        ..Default::default()
    };
    call::<catalog::Deregister>(client, &deregister).await.unwrap();
    let checks = call::<health::ServiceChecks>(client, &service_read("web")).await.unwrap().checks;
    assert!(checks.is_empty());
}

async fn sessions_and_transactions(client: &Client, server: &Subject) {
    let create = session::ApplyRequest {
        datacenter: "dc1".into(),
        op: "create".to_owned(),
        session: session::Session {
            name: "s".to_owned(),
            node: server.node().into(),
            ttl: "60s".to_owned(),
            lock_delay: Duration::from_secs(1),
            node_checks: Some(Listed(vec!["serfHealth".into()])),
            ..Default::default()
        },
        ..Default::default()
    };
    let id = call::<session::Apply>(client, &create).await.unwrap();
    assert_eq!(id.as_str().len(), 36);
    let read = |id: &SessionId| session::SessionRead {
        datacenter: "dc1".into(),
        session_id: id.clone(),
        session: id.clone(),
        ..Default::default()
    };
    let sessions = call::<session::Get>(client, &read(&id)).await.unwrap().sessions;
    assert_eq!((sessions[0].ttl.as_str(), sessions[0].lock_delay), ("60s", Duration::from_secs(1)));
    assert_eq!(call::<session::Renew>(client, &read(&id)).await.unwrap().sessions.len(), 1);
    assert_eq!(call::<session::List>(client, &read(&SessionId::default())).await.unwrap().sessions.len(), 1);
    assert_eq!(
        call::<session::NodeSessions>(client, &node_read(server.node())).await.unwrap().sessions.len(),
        1
    );

    let mut lock = put("lock", "held");
    (lock.op, lock.entry.session) = ("lock".to_owned(), Some(id.clone()));
    assert!(call::<kv::Apply>(client, &lock).await.unwrap());
    let held = call::<kv::Get>(client, &get("lock")).await.unwrap();
    assert_eq!((held.entries[0].session.clone(), held.entries[0].lock_index), (Some(id.clone()), 1));

    let operation = |verb: &str, key: &str| txn::Operation {
        kv: Some(txn::KvOperation {
            verb: verb.to_owned(),
            entry: KvEntry { key: key.into(), value: "t".into(), ..KvEntry::default() },
        }),
        ..Default::default()
    };
    let apply = txn::ApplyRequest {
        datacenter: "dc1".into(),
        operations: vec![operation("set", "t/1"), operation("get", "a/b")],
        ..Default::default()
    };
    let applied = call::<txn::Apply>(client, &apply).await.unwrap();
    assert!(applied.failures.is_empty());
    assert_eq!(applied.outcomes[1].kv.as_ref().unwrap().value, "changed");
    let apply = txn::ApplyRequest { operations: vec![operation("cas", "t/1")], ..apply };
    let applied = call::<txn::Apply>(client, &apply).await.unwrap();
    assert_eq!(applied.failures[0].what, r#"failed to set key "t/1", index is stale"#);
    let read_txn = txn::ReadRequest {
        datacenter: "dc1".into(),
        operations: vec![operation("get", "t/1")],
        ..Default::default()
    };
    let reply = call::<txn::Read>(client, &read_txn).await.unwrap();
    assert_eq!(reply.outcomes[0].kv.as_ref().unwrap().value, "t");

    let destroy = session::ApplyRequest {
        op: "destroy".to_owned(),
        session: session::Session { id: id.clone(), ..Default::default() },
        ..create
    };
    assert!(call::<session::Apply>(client, &destroy).await.unwrap().is_empty());
    assert!(call::<session::Get>(client, &read(&id)).await.unwrap().sessions.is_empty());
}

async fn queries_and_events(client: &Client) {
    let create = prepared_query::ApplyRequest {
        datacenter: "dc1".into(),
        op: "create".to_owned(),
        query: Some(prepared_query::PreparedQuery {
            name: "q".to_owned(),
            service: prepared_query::ServiceQuery { service: "web".into(), ..Default::default() },
            dns: prepared_query::DnsOptions { ttl: "10s".to_owned() },
            ..Default::default()
        }),
        ..Default::default()
    };
    let id = call::<prepared_query::Apply>(client, &create).await.unwrap();
    let read = prepared_query::QueryRead { datacenter: "dc1".into(), query_id: id, ..Default::default() };
    assert_eq!(call::<prepared_query::Get>(client, &read).await.unwrap().queries[0].name, "q");
    assert_eq!(call::<prepared_query::List>(client, &datacenter_read()).await.unwrap().queries.len(), 1);
    let execute = prepared_query::ExecuteRequest {
        datacenter: "dc1".into(),
        query_id_or_name: "q".to_owned(),
        source: Source { datacenter: "dc1".into(), ..Default::default() },
        ..Default::default()
    };
    let executed = call::<prepared_query::Execute>(client, &execute).await.unwrap();
    assert_eq!((executed.nodes.len(), executed.dns.ttl.as_str()), (1, "10s"));
    let nothing = prepared_query::ExecuteRequest { query_id_or_name: "nothing".to_owned(), ..execute };
    let error = call::<prepared_query::Execute>(client, &nothing).await.unwrap_err();
    assert_eq!((error.kind, &*error.text), (ErrorKind::NotFound, "rpc error making call: Query not found"));

    let fire = internal::EventFireRequest {
        datacenter: "dc1".into(),
        name: "deploy".to_owned(),
        payload: vec![0x80].into(),
        ..Default::default()
    };
    call::<internal::EventFire>(client, &fire).await.unwrap();
    let update = coordinate::UpdateRequest {
        datacenter: "dc1".into(),
        node: "ext1".into(),
        place: Some(coordinate::Place { vec: vec![0.0; 8], error: 1.5, adjustment: 0.0, height: 1e-5 }),
        ..Default::default()
    };
    call::<coordinate::Update>(client, &update).await.unwrap();
    call::<coordinate::ListNodes>(client, &datacenter_read()).await.unwrap();
    let map = call::<coordinate::ListDatacenters>(client, &()).await.unwrap();
    assert_eq!(map[0].datacenter, "dc1");
}

async fn snapshots(client: &Client, server: &Subject) {
    let request = SnapshotRequest { datacenter: "dc1".into(), ..Default::default() };
    let (dialer, target) = (client.pool().dialer(), target(server));
    let (meta, mut archive) =
        timeout(SOON, snapshot::save(dialer, &target, &request)).await.unwrap().unwrap();
    let mut bytes = Vec::new();
    timeout(SOON, archive.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(bytes[..3], [0x1f, 0x8b, 8], "gzip");
    assert!(meta.index > Index::ZERO);
    call::<kv::Apply>(client, &put("after", "the snapshot")).await.unwrap();
    let restored =
        timeout(SOON, snapshot::restore(dialer, &target, &request, &mut bytes.as_slice())).await.unwrap();
    restored.unwrap();
    let gone = call::<kv::Get>(client, &get("after")).await.unwrap();
    assert!(gone.entries.is_empty());
    let kept = call::<kv::Get>(client, &get("a/b")).await.unwrap();
    assert_eq!(kept.entries[0].value, "changed");
    // An archive that is none, and a datacenter that is none.
    let junk = vec![1; 300_000];
    let refused =
        timeout(SOON, snapshot::restore(dialer, &target, &request, &mut junk.as_slice())).await.unwrap();
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("failed to decompress snapshot"), "{error}");
    let request = SnapshotRequest { datacenter: "nowhere".into(), ..request };
    let error = timeout(SOON, snapshot::save(dialer, &target, &request)).await.unwrap().unwrap_err();
    assert_eq!(error.into_error().kind, ErrorKind::NoPathToDatacenter);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_real_servers_lose_their_leader() {
    if !there() {
        return;
    }
    let mut servers: Vec<Subject> = (1..=3)
        .map(|n| {
            Setup::new(Kind::Consul, "")
                .server()
                .node(&format!("s{n}"))
                .argument("-bootstrap-expect=3")
                .prepare()
        })
        .collect();
    let join: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.address())).collect();
    for server in &mut servers {
        let fast = r#""performance": {"raft_multiplier": 1}"#;
        server.write_config("join.json", &format!(r#"{{"retry_join": [{}], {fast}}}"#, join.join(",")));
        server.launch();
    }
    servers.iter_mut().for_each(Subject::wait_ready);
    let all: Vec<&Subject> = servers.iter().collect();
    let leader = call::<status::Leader>(&client(&all, Tls::default()), &datacenter_read()).await.unwrap();
    // Through each server, followers included: they forward to the leader.
    for server in &servers {
        let one = client(&[server], Tls::default());
        call::<kv::Apply>(&one, &put(&format!("via/{}", server.node()), "x")).await.unwrap();
        let mut read = get(&format!("via/{}", server.node()));
        read.options.require_consistent = true;
        assert_eq!(call::<kv::Get>(&one, &read).await.unwrap().entries.len(), 1);
        read.options.require_consistent = false;
        read.options.allow_stale = true;
        call::<kv::Get>(&one, &read).await.unwrap();
    }
    let client = client(&all, Tls::default());
    call::<kv::Apply>(&client, &put("before", "1")).await.unwrap();
    let dead = servers.iter().position(|server| leader == format!("{}:8300", server.address())).unwrap();
    servers[dead].signal(9);
    servers[dead].wait_end(SOON);
    // The client goes on, with whichever server answers; an election is bridged by the hold time.
    let mut acknowledged = 0;
    for n in 0..20 {
        match call::<kv::Apply>(&client, &put(&format!("after/{n}"), "1")).await {
            Ok(_) => acknowledged += 1,
            // The request under way when the leader died may have happened.
            Err(error) => assert_eq!(error.kind, ErrorKind::Unknown, "{error}"),
        }
    }
    assert!(acknowledged >= 18, "{acknowledged}");
    let left = call::<kv::List>(&client, &get("after/")).await.unwrap().entries.len();
    assert!(left >= acknowledged);
    let now = call::<status::Leader>(&client, &datacenter_read()).await.unwrap();
    assert_ne!(now, leader);
}

fn consul(folder: &Path, arguments: &[&str]) {
    let made =
        Command::new(crs_testkit::peer("consul")).args(arguments).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_speaks_tls() {
    if !there() {
        return;
    }
    let mut server = Setup::new(Kind::Consul, "").prepare();
    let folder = server.folder().to_owned();
    consul(&folder, &["tls", "ca", "create"]);
    consul(&folder, &["tls", "cert", "create", "-server"]);
    consul(&folder, &["tls", "cert", "create", "-client"]);
    let file = |name: &str| folder.join(name);
    server.write_config(
        "tls.json",
        &format!(
            r#"{{"verify_incoming": true, "verify_outgoing": true, "verify_server_hostname": true,
                "ca_file": {:?}, "cert_file": {:?}, "key_file": {:?}}}"#,
            file("consul-agent-ca.pem"),
            file("dc1-server-consul-0.pem"),
            file("dc1-server-consul-0-key.pem")
        ),
    );
    server.launch();
    server.wait_ready();

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("consul-agent-ca.pem")).unwrap()).unwrap();
    let roots = Arc::new(roots);
    let identity = || Identity {
        chain: vec![CertificateDer::from_pem_file(file("dc1-client-consul-0.pem")).unwrap()],
        key: PrivateKeyDer::from_pem_file(file("dc1-client-consul-0-key.pem")).unwrap(),
    };
    let tls = |identity: Option<Identity>, verify_name, domain: &str| Tls {
        connect: Some(Connect {
            config: Arc::new(connect_config(roots.clone(), identity, verify_name).unwrap()),
            domain: domain.to_owned(),
        }),
        ..Tls::default()
    };
    for (verify_name, domain) in [(true, "consul"), (false, "elsewhere")] {
        let client = client(&[&server], tls(Some(identity()), verify_name, domain));
        call::<kv::Apply>(&client, &put("tls", vec![1; 400_000])).await.unwrap();
        assert_eq!(call::<kv::Get>(&client, &get("tls")).await.unwrap().entries[0].value.len(), 400_000);
        let request = SnapshotRequest { datacenter: "dc1".into(), ..Default::default() };
        let target = target(&server);
        let saved = snapshot::save(client.pool().dialer(), &target, &request);
        let (_, mut archive) = timeout(SOON, saved).await.unwrap().unwrap();
        let mut bytes = Vec::new();
        timeout(SOON, archive.read_to_end(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(bytes[..2], [0x1f, 0x8b]);
    }
    // Another name than the certificate's, no certificate of our own, no TLS at all.
    for (what, tls) in [
        ("name", tls(Some(identity()), true, "elsewhere")),
        ("certificate", tls(None, true, "consul")),
        ("TLS", Tls::default()),
    ] {
        let failed =
            timeout(SOON, pool(tls).call::<status::Ping>(&target(&server), &(), Duration::ZERO)).await;
        assert!(failed.unwrap().is_err(), "without the right {what}");
    }
}
