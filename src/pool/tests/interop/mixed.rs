//! A pool of three and three: everything that members do with each other.

use crate::member::Ours;
use crate::peer::{Net, SerfAgent, binary, eventually};
use crs_pool::{Keyring, MemberStatus, QueryParams, QueryReply};
use std::collections::BTreeSet;
use std::time::Duration;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(crate) fn ring() -> Keyring {
    let mut ring = Keyring::default();
    ring.install(&(0..32).collect::<Vec<u8>>()).unwrap();
    ring
}

const SOON: Duration = Duration::from_secs(20);

fn names(prefix: &[&str]) -> BTreeSet<String> {
    prefix.iter().map(|s| (*s).to_owned()).collect()
}

async fn a_mixed_pool(encrypted: bool) {
    let Some(program) = binary("serf") else { return };
    let net = Net::new();
    let more: Vec<&str> = if encrypted { vec!["-encrypt", KEY] } else { vec![] };
    let mut real: Vec<SerfAgent> = (1..=3)
        .map(|i| {
            let mut args = more.clone();
            args.extend(["-tag", "kind=serf"]);
            SerfAgent::start(&program, &format!("s{i}"), net.ip(i), &args)
        })
        .collect();
    let mut ours = Vec::new();
    for i in 1..=3 {
        let keys = if encrypted { ring() } else { Keyring::default() };
        ours.push(Ours::start(&format!("c{i}"), net.ip(10 + i), None, |cfg| cfg.keyring = keys).await);
    }
    for agent in &real {
        agent.ready().await;
    }

    // join from either side: ours by a real one, real ones by ours, ours by ours
    assert_eq!(ours[0].pool.join(&[net.ip(1).to_string()], false).await, Ok(1));
    for i in [1, 2] {
        let (ok, text) = real[i].run("join", &[&net.ip(11).to_string()]);
        assert!(ok, "{text}");
    }
    assert_eq!(ours[1].pool.join(&[format!("{}:7946", net.ip(11))], false).await, Ok(1));
    assert_eq!(ours[2].pool.join(&[net.ip(3).to_string(), net.ip(99).to_string()], true).await, Ok(1));

    // all agree on members, addresses, states and tags
    let want = real[0].members();
    assert!(!want.is_empty());
    let agree = || {
        let want = real[0].members();
        let lists = real.iter().map(SerfAgent::members).chain(ours.iter().map(Ours::members));
        for (viewer, list) in ["s1", "s2", "s3", "c1", "c2", "c3"].into_iter().zip(lists) {
            if list != want || list.len() != 6 || list.iter().any(|m| m.2 != "alive") {
                return Err(format!("{viewer} sees {list:?}\n{want:?}"));
            }
        }
        Ok(())
    };
    // two that join in the same moment may miss each other's rumor: then the next exchange of states tells
    eventually(Duration::from_secs(100), "agreement", agree).await;

    // tags change on either side
    let tags = [("kind".to_owned(), "crs".to_owned()), ("version".to_owned(), "2".to_owned())].into();
    ours[1].pool.set_tags(tags).await.unwrap();
    let (ok, text) = real[2].run("tags", &["-set", "zone=b"]);
    assert!(ok, "{text}");
    eventually(SOON, "new tags", || {
        let all = real.iter().map(SerfAgent::members).chain(ours.iter().map(Ours::members));
        for list in all {
            let of = |name: &str| list.iter().find(|m| m.0 == name).map(|m| m.3.clone()).unwrap_or_default();
            if of("c2") != "kind=crs,version=2" || !of("s3").contains("zone=b") {
                return Err(format!("{list:?}"));
            }
        }
        Ok(())
    })
    .await;

    // user events from either side reach all
    ours[0].pool.user_event("deploy", "from-c1", false).await.unwrap();
    let (ok, text) = real[1].run("event", &["-coalesce=false", "deploy", "from-s2"]);
    assert!(ok, "{text}");
    eventually(SOON, "user events", || {
        for agent in &real {
            for payload in ["from-c1", "from-s2"] {
                if agent.events().matches(payload).count() != 1 {
                    return Err(format!("{} heard {:?}", agent.name, agent.events()));
                }
            }
        }
        for member in &ours {
            for payload in ["from-c1", "from-s2"] {
                if member.heard("deploy", payload) != 1 {
                    return Err(format!("{} did not hear {payload}", member.pool.local_name()));
                }
            }
        }
        Ok(())
    })
    .await;

    // queries from either side are answered by all, or by whom the filters take
    let everybody = names(&["c1", "c2", "c3", "s1", "s2", "s3"]);
    let ask = |params: QueryParams| {
        let pool = ours[2].pool.clone();
        async move {
            let mut replies = pool.query("load", "?", params).await.unwrap();
            let (mut acks, mut answers) = (BTreeSet::new(), BTreeSet::new());
            while let Some(reply) = replies.recv().await {
                match reply {
                    QueryReply::Ack { from } => assert!(acks.insert(from)),
                    QueryReply::Response { from, payload } => {
                        assert_eq!(payload, format!("answer-{from}"));
                        assert!(answers.insert(from));
                    }
                }
            }
            (acks, answers)
        }
    };
    let timeout = Some(Duration::from_secs(3));
    let all = QueryParams { ack: true, relay_factor: 2, timeout, ..QueryParams::default() };
    assert_eq!(ask(all).await, (everybody.clone(), everybody.clone()));
    let some = QueryParams { tags: vec![("kind".into(), "^ser".into())], timeout, ..QueryParams::default() };
    assert_eq!(ask(some).await.1, names(&["s1", "s2", "s3"]));
    let one = QueryParams { nodes: vec!["s2".into(), "c1".into()], timeout, ..QueryParams::default() };
    assert_eq!(ask(one).await.1, names(&["s2", "c1"]));
    for (args, want) in [
        (vec!["-relay-factor=2"], everybody.clone()),
        (vec!["-tag", "kind=^cr"], names(&["c1", "c2", "c3"])),
        (vec!["-node=c3", "-node=s1"], names(&["c3", "s1"])),
    ] {
        let mut all = vec!["-timeout=3s"];
        all.extend(args.iter().copied());
        all.extend(["load", "?"]);
        let (ok, text) = real[0].run("query", &all);
        assert!(ok, "{text}");
        let from = |word: &str| -> BTreeSet<String> {
            text.lines()
                .filter(|l| l.starts_with(word))
                .filter_map(|l| Some(l.split('\'').nth(1)?.to_owned()))
                .collect()
        };
        assert_eq!(from("Ack from"), want, "{text}");
        assert_eq!(from("Response from"), want, "{text}");
    }

    // `serf reachability` pings all by `_serf_ping`, `serf rtt` reads the coordinates of both kinds
    let (ok, text) = real[0].run("reachability", &[]);
    assert!(ok && text.contains("Successfully"), "{text}");
    eventually(SOON, "coordinates", || {
        let (ok, text) = real[0].run("rtt", &["c1", "s1"]);
        if ok { Ok(()) } else { Err(text) }
    })
    .await;

    // a leave of either side is seen as left
    let c3 = ours.pop().unwrap();
    assert!(c3.pool.leave().await.unwrap(), "all was sent");
    c3.crash().await;
    let (ok, text) = real[2].run("leave", &[]);
    assert!(ok, "{text}");
    real.pop();
    eventually(SOON, "leaves", || {
        for name in ["c3", "s3"] {
            for agent in &real {
                if agent.status(name).as_deref() != Some("left") {
                    return Err(format!("{} sees {name} {:?}", agent.name, agent.status(name)));
                }
            }
            for member in &ours {
                if member.status(name) != Some(MemberStatus::Left) {
                    return Err(format!(
                        "{} sees {name} {:?}",
                        member.pool.local_name(),
                        member.status(name)
                    ));
                }
            }
        }
        Ok(())
    })
    .await;

    // dead ones are forced out from either side, and pruned
    real.pop().unwrap().kill();
    ours.pop().unwrap().crash().await;
    eventually(Duration::from_secs(45), "failures", || {
        match (
            real[0].status("c2").as_deref(),
            real[0].status("s2").as_deref(),
            ours[0].status("c2"),
            ours[0].status("s2"),
        ) {
            (Some("failed"), Some("failed"), Some(MemberStatus::Failed), Some(MemberStatus::Failed)) => {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    ours[0].pool.force_leave("s2", false).await.unwrap();
    let (ok, text) = real[0].run("force-leave", &["-prune", "c2"]);
    assert!(ok, "{text}");
    eventually(SOON, "forced leaves", || {
        let seen = (real[0].status("s2"), real[0].status("c2"), ours[0].status("s2"), ours[0].status("c2"));
        match &seen {
            (Some(left), None, Some(MemberStatus::Left), None) if left == "left" => Ok(()),
            _ => Err(format!("{seen:?}")),
        }
    })
    .await;
    ours[0].pool.force_leave("s2", true).await.unwrap();
    eventually(SOON, "prune", || {
        let seen = (real[0].status("s2"), ours[0].status("s2"));
        if seen == (None, None) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    ours.pop().unwrap().crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain() {
    a_mixed_pool(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted() {
    a_mixed_pool(true).await;
}
