//! Raft over real connections on the server port.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;
#[path = "support/toy.rs"]
#[allow(dead_code, reason = "a part is used")]
mod toy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crs_raft::{Options, Publish, Raft, ServerId, ServerNode, SnapshotRules, Storage};
use crs_rpc::tls::Tls;
use crs_rpc::{Dialer, Listener, ListenerLimits, RaftService, RaftTransport, Target};
use crs_store::{Changes, Command, KvCondition, Reply, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Seen(Mutex<State>);

impl Publish for Seen {
    fn publish(&self, state: &State, _: Changes) {
        *self.0.lock().unwrap() = state.clone();
    }

    fn restored(&self, state: &State) {
        *self.0.lock().unwrap() = state.clone();
    }
}

struct Server {
    raft: Raft,
    seen: Arc<Seen>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(id: u64, socket: TcpListener) -> Self {
        let tls = Arc::new(ArcSwap::from_pointee(Tls::default()));
        let transport = RaftTransport::new(Dialer::new(tls.clone(), None), |_, node| {
            Some(Target { address: node.address.parse().ok()?, datacenter: "dc1".into() })
        });
        let seen = Arc::new(Seen::default());
        let address = socket.local_addr().unwrap().to_string();
        let options = Options {
            network: Arc::new(transport),
            snapshots: SnapshotRules {
                threshold: 50,
                trailing: 5,
                interval: Duration::ZERO,
                log_bytes: 1 << 30,
            },
            ..Options::new(id.into(), node(id, &address), Storage::Memory)
        };
        let raft = Raft::start(options, seen.clone()).await.unwrap();
        let stop = CancellationToken::new();
        let inlet = RaftService::new(raft.clone());
        let limits = ListenerLimits::default();
        let listener = Listener::new(Arc::new(toy::Toy::default()), Some(inlet), tls, limits, stop.clone());
        let task = tokio::spawn(listener.serve(socket, Duration::ZERO));
        Server { raft, seen, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
        self.raft.shutdown().await;
    }

    fn keys(&self) -> usize {
        self.seen.0.lock().unwrap().kv_len()
    }
}

fn node(id: u64, address: &str) -> ServerNode {
    ServerNode { name: format!("s{id}"), address: address.to_owned() }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn leader(servers: &[Server]) -> &Server {
    eventually("a leader", || servers.iter().any(|server| server.raft.may_answer())).await;
    servers.iter().find(|server| server.raft.may_answer()).unwrap()
}

async fn put(server: &Server, key: &str, bytes: usize) {
    let value = Bytes::from(vec![7; bytes]);
    let set = Command::KvSet { key: key.into(), flags: 0, value, condition: KvCondition::None };
    assert_eq!(timeout(PATIENCE, server.raft.propose(set)).await.unwrap(), Ok(Reply::Held(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_agree_and_a_late_one_catches_up_by_snapshot() {
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let members: BTreeMap<ServerId, ServerNode> = (1..=3)
        .zip(&sockets)
        .map(|(id, socket)| (ServerId::from(id), node(id, &socket.local_addr().unwrap().to_string())))
        .collect();
    // The third one is not there yet: its port is closed.
    let late = sockets.pop().unwrap();
    let late_address = late.local_addr().unwrap();
    drop(late);
    let mut servers = Vec::new();
    for (id, socket) in (1..).zip(sockets) {
        servers.push(Server::start(id, socket).await);
    }
    servers[0].raft.bootstrap(members).await.unwrap();
    let first = leader(&servers).await;
    for n in 0..200 {
        put(first, &format!("k{n}"), 100).await;
    }
    put(first, "large", 400_000).await;
    eventually("both agree", || servers.iter().all(|server| server.keys() == 201)).await;

    // What it needs is in no log any more.
    let socket = TcpListener::bind(late_address).await.unwrap();
    servers.push(Server::start(3, socket).await);
    eventually("the late one has caught up", || servers[2].keys() == 201).await;

    // The leader goes; the others go on without it.
    let gone = servers.iter().position(|server| server.raft.may_answer()).unwrap();
    servers.remove(gone).stop().await;
    let next = leader(&servers).await;
    put(next, "after", 1).await;
    eventually("the two agree", || servers.iter().all(|server| server.keys() == 202)).await;
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_on_a_connection_of_raft_ends_it() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let server = Server::start(1, socket).await;
    server.raft.bootstrap_alone().await.unwrap();
    for junk in
        [&[0xc5, 9, 0, 0, 0, 0][..], &[0xc5, 1, 0xff, 0xff, 0xff, 0xff], &[0xc5, 2, 0, 0, 0, 3, 1, 2, 3]]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(junk).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    }
    // A call that is none is refused in an answer.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0xc5, 1, 0, 0, 0, 2, 9, 9]).await.unwrap();
    let mut answer = [0; 5];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert!(u32::from_be_bytes(answer[..4].try_into().unwrap()) > 1);
    put(&server, "still", 1).await;
    server.stop().await;
}
