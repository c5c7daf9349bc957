//! A member of ours, driven by crs-pool over real sockets.

use crs_pool::{Bound, Event, KeyringFile, Member, MemberStatus, Pool, PoolConfig, SerfConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct Ours {
    pub(crate) pool: Pool,
    /// What happened, without the queries that were answered.
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Ours {
    pub(crate) async fn start(
        name: &str,
        ip: Ipv4Addr,
        folder: Option<&Path>,
        change: impl FnOnce(&mut SerfConfig),
    ) -> Ours {
        let addr = SocketAddr::new(ip.into(), 7946);
        let mut serf = SerfConfig::new(name, addr);
        serf.tags.insert("kind".into(), "crs".into());
        change(&mut serf);
        let bind = serf.advertise;
        let keyring_file = folder.map(|f| f.join("keyring"));
        if let Some(path) = &keyring_file
            && let Some(ring) = KeyringFile::new(path).load().unwrap()
        {
            serf.keyring = ring;
        }
        let snapshot = folder.map(|f| f.join("snapshot"));
        let cfg = PoolConfig { serf, bind, label: "test", snapshot, keyring_file };
        let bound = Bound::bind(cfg).await.unwrap();
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let (pool, mut events_in) = bound.spawn(&mut tasks, stop.clone());
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let (kept, answers) = (events.clone(), pool.clone());
        tasks.spawn(async move {
            while let Some(event) = events_in.recv().await {
                match event {
                    Event::Query(q) if q.name == "load" => {
                        let answer = format!("answer-{}", answers.local_name());
                        let _ = answers.respond(q.id, answer).await;
                    }
                    event => kept.lock().unwrap().push(event),
                }
            }
        });
        Ours { pool, events, stop, tasks }
    }

    /// Ends at once, without a word to anybody: sockets close as under `kill -9`.
    pub(crate) async fn crash(mut self) {
        self.stop.cancel();
        self.tasks.shutdown().await;
    }

    pub(crate) fn status(&self, name: &str) -> Option<MemberStatus> {
        self.pool.members().get(name).map(|m| m.status)
    }

    /// Members in the form in which `serf members` lists them.
    pub(crate) fn members(&self) -> Vec<(String, String, String, String)> {
        let row = |m: &Member| {
            let tags: Vec<String> = m.tags().iter().map(|(k, v)| format!("{k}={v}")).collect();
            (m.name().to_string(), m.addr().to_string(), m.status.to_string(), tags.join(","))
        };
        self.pool.members().iter().map(row).collect()
    }

    pub(crate) fn heard(&self, name: &str, payload: &str) -> usize {
        let events = self.events.lock().unwrap();
        let same = |e: &&Event| matches!(e, Event::User(e) if e.name == name && e.payload == payload);
        events.iter().filter(same).count()
    }
}
