//! A real Consul client agent finds this server by gossip, registers itself, and answers its own clients through it.
//! The server is a state of `crs-store` behind our listener: what it says are the store's own records.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crs_pool::{Bound, PoolConfig, SerfConfig, Tags};
use crs_rpc::blocks::ReplyMeta;
use crs_rpc::codec::Listed;
use crs_rpc::methods::{self, Method, catalog, coordinate, health, internal, kv, status};
use crs_rpc::records::ServiceNode;
use crs_rpc::snapshot::{Archive, BoxedArchive, SnapshotRequest};
use crs_rpc::tls::Tls;
use crs_rpc::{Call, Dispatch, Listener, ListenerLimits, reply_bytes};
use crs_store::{Command as Change, KvCondition, State};
use crs_testkit::{Client, Json, Loopback, Request, eventually};
use crs_types::{Error, Index};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The methods that an agent needs, on a state without raft.
#[derive(Default)]
struct Small {
    state: Mutex<State>,
    called: Mutex<Vec<String>>,
    address: String,
}

impl Small {
    fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }

    fn apply(&self, change: &Change) {
        self.state.lock().unwrap().apply(change);
    }

    fn answer(&self, call: &Call) -> Result<Bytes, Error> {
        let state = self.state();
        let meta = |index: Index| ReplyMeta {
            index: Index(index.shown()),
            known_leader: true,
            ..Default::default()
        };
        Ok(match call.method.as_str() {
            status::Ping::NAME => reply_bytes(&()),
            status::Leader::NAME => reply_bytes(&self.address),
            catalog::Register::NAME => {
                let registration = call.request::<catalog::Register>()?.into_registration();
                self.apply(&Change::Register(Box::new(registration)));
                reply_bytes(&())
            }
            catalog::Deregister::NAME => {
                let what = call.request::<catalog::Deregister>()?;
                let catalog::DeregisterRequest { node, service_id, check_id, .. } = what;
                self.apply(&Change::Deregister { node, service_id, check_id });
                reply_bytes(&())
            }
            catalog::ListNodes::NAME => {
                let found = state.nodes();
                reply_bytes(&catalog::Nodes {
                    meta: meta(found.index),
                    nodes: found.value.cloned().collect(),
                })
            }
            catalog::ListServices::NAME => {
                let found = state.service_names(|_| true);
                let tags = |tags: std::collections::BTreeSet<&str>| {
                    Listed(tags.into_iter().map(str::to_owned).collect())
                };
                let services = found.value.into_iter().map(|(name, all)| (name, tags(all))).collect();
                reply_bytes(&catalog::Services { services, meta: meta(found.index) })
            }
            catalog::ListServiceNodes::NAME => {
                let found = state.service(&call.request::<catalog::ListServiceNodes>()?.service_name);
                let service_nodes = found.value.iter().map(ServiceNode::from).collect();
                reply_bytes(&catalog::ServiceNodes { service_nodes, meta: meta(found.index) })
            }
            catalog::ListNodeServices::NAME => {
                let found = state.node(&call.request::<catalog::ListNodeServices>()?.node);
                let node_services = found.value.map_or_else(Default::default, |view| {
                    catalog::NodeServiceItems { node: Some(view.node), services: view.services }
                });
                reply_bytes(&catalog::NodeServiceList { node_services, meta: meta(found.index) })
            }
            health::NodeChecks::NAME => {
                let found = state.node_checks(&call.request::<health::NodeChecks>()?.node);
                reply_bytes(&health::Checks { checks: found.value, meta: meta(found.index) })
            }
            health::ServiceNodes::NAME => {
                let found = state.service_health(&call.request::<health::ServiceNodes>()?.service_name);
                reply_bytes(&health::Instances { nodes: found.value.to_vec(), meta: meta(found.index) })
            }
            kv::Apply::NAME => {
                let entry = call.request::<kv::Apply>()?.entry;
                let crs_types::KvEntry { key, flags, value, .. } = entry;
                self.apply(&Change::KvSet { key, flags, value, condition: KvCondition::None });
                reply_bytes(&false)
            }
            kv::Get::NAME => {
                let read = call.request::<kv::Get>()?;
                let (index, record) = state.kv_get(&read.key);
                let entries = record.map(|record| record.entry.clone()).into_iter().collect();
                reply_bytes(&kv::Entries { entries, meta: meta(index) })
            }
            coordinate::Update::NAME => {
                assert_eq!(call.request::<coordinate::Update>()?.place.unwrap().vec.len(), 8);
                reply_bytes(&())
            }
            internal::EventFire::NAME => reply_bytes(&internal::EventFired::default()),
            other => return Err(methods::unknown(other)),
        })
    }
}

impl Dispatch for Small {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Bytes, Error>> {
        async move {
            self.called.lock().unwrap().push(call.method.clone());
            self.answer(&call)
        }
        .boxed()
    }

    fn snapshot<'a>(
        &'a self,
        _: SocketAddr,
        _: SnapshotRequest,
        _: &'a mut Archive,
    ) -> BoxFuture<'a, Result<(ReplyMeta, Option<BoxedArchive>), Error>> {
        async { Err(Error::refused("not here")) }.boxed()
    }
}

/// Killed by its id when dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_agent_works_with_our_server() {
    let folder = std::env::var("CRS_PEERS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers").to_owned());
    if !Path::new(&folder).join("bin/consul").exists() {
        assert!(std::env::var_os("CI").is_none(), "no real Consul: run tests/peers");
        eprintln!("SKIPPED: no real Consul here; run tests/peers or set CRS_PEERS");
        return;
    }
    let (ours, theirs) = (Loopback::claim(), Loopback::claim());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();

    // The server port.
    let small = Arc::new(Small { address: format!("{}:8300", ours.get()), ..Small::default() });
    let socket = TcpListener::bind((ours.get(), 8300)).await.unwrap();
    let tls = Arc::new(ArcSwap::from_pointee(Tls::default()));
    let listener = Listener::new(small.clone(), None, tls, ListenerLimits::default(), stop.clone());
    tasks.spawn(listener.serve(socket, Duration::from_secs(1)));
    // Gossip, by which the agent finds it.
    let bind = SocketAddr::from((ours.get(), 8301));
    let mut serf = SerfConfig::consul_lan("crs1", bind);
    serf.tags = [
        ("role", "consul"),
        ("dc", "dc1"),
        ("segment", ""),
        ("port", "8300"),
        ("build", "1.8.7:"),
        ("vsn", "2"),
        ("vsn_min", "2"),
        ("vsn_max", "3"),
        ("raft_vsn", "3"),
        ("acls", "0"),
        ("ft_fs", "1"),
        ("id", "11111111-2222-3333-4444-000000000001"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect::<Tags>();
    let config = PoolConfig { serf, bind, label: "lan", snapshot: None, keyring_file: None };
    let (_pool, mut events) = Bound::bind(config).await.unwrap().spawn(&mut tasks, stop.clone());
    tasks.spawn(async move { while events.recv().await.is_some() {} });

    let data = tempfile::tempdir().unwrap();
    let agent = Command::new(crs_testkit::peer("consul"))
        .args(["agent", "-node=cli1", "-log-level=debug"])
        .arg(format!("-data-dir={}", data.path().display()))
        .arg(format!("-bind={}", theirs.get()))
        .arg(format!("-client={}", theirs.get()))
        .arg(format!("-retry-join={}", ours.get()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _agent = Agent(agent);

    let address = theirs.get();
    let state = small.clone();
    let work = move || {
        let mut client = Client::new((address, 8500).into());
        let patient = Duration::from_secs(30);
        eventually(patient, "the agent registers its node", || {
            let known = state.state().nodes().value.any(|node| node.value.node == "cli1");
            if known { Ok(()) } else { Err("not there") }
        });
        let mut send = |method: &str, path: &str, body: &str| {
            let reply = client.send(Request::new(method, path).body(body));
            assert_eq!(reply.code(), 200, "{method} {path}: {}", reply.body());
            Json::parse(&reply.body()).ok().map(|json| json.encode(false))
        };
        let service = r#"{"Name": "web", "ID": "web1", "Tags": ["v1"], "Port": 80, "Check": {"CheckID": "ttl", "TTL": "60s"}}"#;
        send("PUT", "/v1/agent/service/register", service);
        send("PUT", "/v1/agent/check/pass/ttl?note=fine", "");
        send("PUT", "/v1/agent/service/register", r#"{"Name": "bare"}"#);
        eventually(patient, "the service and its check arrive", || {
            let found = state.state().service_health(&"web".into()).value;
            let passing = found.iter().any(|instance| {
                instance
                    .checks
                    .iter()
                    .any(|check| check.value.status.as_str() == "passing" && check.value.output == "fine")
            });
            if passing { Ok(()) } else { Err("not there") }
        });
        // What its own clients ask it, it asks us.
        let mut has = |path: &str, parts: &[&str]| {
            let got = send("GET", path, "").unwrap();
            parts.iter().for_each(|part| assert!(got.contains(part), "{path}: {part} is not in {got}"));
        };
        has(
            "/v1/health/service/web",
            &[r#""Port":80"#, r#""Node":"cli1""#, r#""Status":"passing""#, r#""Output":"fine""#],
        );
        has("/v1/catalog/service/web", &[r#""ServiceTags":["v1"]"#, r#""Address":"#]);
        has("/v1/catalog/services", &[r#"{"bare":[],"web":["v1"]}"#]);
        has("/v1/status/leader", &[&state.address]);
        send("PUT", "/v1/kv/a/b?flags=3", "hello");
        assert!(send("GET", "/v1/kv/a/b", "").unwrap().contains(r#""Value":"aGVsbG8=""#));
        send("PUT", "/v1/event/fire/deploy", "now");
        // What is in step stays in step: a full comparison finds nothing to register again.
        let index = state.state().index();
        let compared = || {
            let called = state.called.lock().unwrap();
            called.iter().filter(|method| *method == catalog::ListNodeServices::NAME).count()
        };
        let before = compared();
        send("PUT", "/v1/agent/maintenance?enable=true", "");
        send("PUT", "/v1/agent/maintenance?enable=false", "");
        eventually(patient, "the maintenance check came and went", || {
            if state.state().index() >= Index(index.0 + 2) { Ok(()) } else { Err("not yet") }
        });
        assert!(before > 0);
        send("PUT", "/v1/agent/service/deregister/web1", "");
        eventually(patient, "the service is gone", || {
            if state.state().service(&"web".into()).value.is_empty() { Ok(()) } else { Err("still there") }
        });
    };
    tokio::task::spawn_blocking(work).await.unwrap();
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
