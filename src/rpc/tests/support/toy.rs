//! A server of a few methods, to be called in tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crs_rpc::blocks::ReplyMeta;
use crs_rpc::methods::{self, Method, catalog, kv, status};
use crs_rpc::snapshot::{Archive, BoxedArchive, RESTORE, SnapshotRequest};
use crs_rpc::tls::Tls;
use crs_rpc::{Call, Dispatch, Listener, ListenerLimits, Target};
use crs_types::{Error, Index, KvEntry};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(crate) struct Toy {
    pub(crate) keys: Mutex<BTreeMap<Arc<str>, KvEntry>>,
    index: AtomicUsize,
    changed: Notify,
    pub(crate) waiting: AtomicUsize,
    pub(crate) registered: Mutex<Vec<catalog::RegisterRequest>>,
    pub(crate) archive: Mutex<Vec<u8>>,
    pub(crate) leaderless: AtomicUsize,
    /// Blocking queries answer at once.
    pub(crate) hurried: std::sync::atomic::AtomicBool,
    /// Every method that was called.
    pub(crate) called: Mutex<Vec<String>>,
}

impl Toy {
    async fn get(&self, read: kv::KeyRead) -> Result<kv::Entries, Error> {
        if &*read.key == "panic" {
            panic!("as asked for");
        }
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        loop {
            let changed = self.changed.notified();
            let index = Index(self.index.load(Ordering::SeqCst) as u64);
            let hurried = self.hurried.load(Ordering::SeqCst);
            if hurried || index > read.options.min_query_index || read.options.min_query_index == Index::ZERO
            {
                let entries = self.keys.lock().unwrap().get(&read.key).cloned().into_iter().collect();
                let meta = ReplyMeta { index, known_leader: true, ..Default::default() };
                return Ok(kv::Entries { entries, meta });
            }
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let _waiting = Waiting(&self.waiting);
            changed.await;
        }
    }

    async fn apply(&self, request: kv::ApplyRequest) -> Result<bool, Error> {
        if self.leaderless.load(Ordering::SeqCst) > 0 {
            self.leaderless.fetch_sub(1, Ordering::SeqCst);
            return Err(Error::no_leader());
        }
        if request.entry.key.is_empty() {
            return Err(Error::refused("Must provide key"));
        }
        let index = self.index.fetch_add(1, Ordering::SeqCst) as u64 + 1;
        let entry = KvEntry { create_index: Index(index), modify_index: Index(index), ..request.entry };
        self.keys.lock().unwrap().insert(entry.key.clone(), entry);
        self.changed.notify_waiters();
        Ok(false)
    }
}

impl Dispatch for Toy {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Bytes, Error>> {
        async move {
            self.called.lock().unwrap().push(call.method.clone());
            match call.method.as_str() {
                status::Ping::NAME => call.answer::<status::Ping>(async |()| Ok(())).await,
                kv::Get::NAME => call.answer::<kv::Get>(async |read| self.get(read).await).await,
                kv::Apply::NAME => call.answer::<kv::Apply>(async |request| self.apply(request).await).await,
                catalog::Register::NAME => {
                    call.answer::<catalog::Register>(async |request| {
                        self.registered.lock().unwrap().push(request);
                        Ok(())
                    })
                    .await
                }
                other => Err(methods::unknown(other)),
            }
        }
        .boxed()
    }

    fn snapshot<'a>(
        &'a self,
        _peer: SocketAddr,
        request: SnapshotRequest,
        archive: &'a mut Archive,
    ) -> BoxFuture<'a, Result<(ReplyMeta, Option<BoxedArchive>), Error>> {
        async move {
            if request.datacenter == "nowhere" {
                return Err(Error::refused("No path to datacenter"));
            }
            let meta = ReplyMeta { index: Index(50), known_leader: true, ..Default::default() };
            if request.op == RESTORE {
                let mut bytes = Vec::new();
                archive.read_to_end(&mut bytes).await.map_err(|e| Error::internal(e.to_string()))?;
                *self.archive.lock().unwrap() = bytes;
                return Ok((meta, None));
            }
            let bytes = self.archive.lock().unwrap().clone();
            Ok((meta, Some(Box::new(std::io::Cursor::new(bytes)) as BoxedArchive)))
        }
        .boxed()
    }
}

/// A running server; stopped when dropped.
pub(crate) struct Running {
    pub(crate) toy: Arc<Toy>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) target: Target,
    pub(crate) stopping: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

pub(crate) async fn start(tls: Tls, limits: ListenerLimits) -> Running {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target { address: socket.local_addr().unwrap(), datacenter: "dc1".into() };
    let (toy, stopping) = (Arc::new(Toy::default()), CancellationToken::new());
    let tls = Arc::new(ArcSwap::from_pointee(tls));
    let listener = Listener::new(toy.clone(), None, tls, limits, stopping.clone());
    let task = tokio::spawn(listener.clone().serve(socket, Duration::from_secs(5)));
    Running { toy, listener, target, stopping, task }
}
