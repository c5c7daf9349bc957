//! Blocking queries: they wake when their answer changed, and only then; indexes grow.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::catalog::{EXTERNAL, register};
use crate::common::{agent, differs, table};
use crs_testkit::{Client, Reply, Subject};

/// Asks with the current index in a thread of its own, and returns once the request is on its way.
fn wait_for_change(subject: &Subject, target: &str, wait: &str) -> JoinHandle<(Reply, Duration)> {
    let mut client = subject.client();
    let index = client.get(target).index();
    let glue = if target.contains('?') { '&' } else { '?' };
    let target = format!("{target}{glue}index={index}&wait={wait}");
    let (ready, started) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = ready.send(());
        let start = Instant::now();
        let reply = client.get(&target);
        (reply, start.elapsed())
    });
    started.recv().unwrap();
    // the request has to reach the agent before the change; nothing outside tells when it has
    std::thread::sleep(Duration::from_millis(50));
    thread
}

#[track_caller]
fn wakes(subject: &Subject, target: &str, change: impl FnOnce(&mut Client)) {
    let before = subject.client().get(target).index();
    let waiting = wait_for_change(subject, target, "25s");
    change(&mut subject.client());
    let (reply, took) = waiting.join().unwrap();
    assert!(took < Duration::from_secs(5), "{target} woke after {took:?}");
    assert!(reply.index() > before, "{target}: index {} after {before}", reply.index());
}

#[track_caller]
fn sleeps_on(subject: &Subject, target: &str, change: impl FnOnce(&mut Client)) {
    let before = subject.client().get(target).index();
    let waiting = wait_for_change(subject, target, "600ms");
    change(&mut subject.client());
    let (reply, took) = waiting.join().unwrap();
    assert!(took >= Duration::from_millis(550), "{target} woke after {took:?} without a change");
    assert_eq!(reply.index(), before, "{target}");
}

fn put(key: &'static str) -> impl FnOnce(&mut Client) {
    move |client| {
        client.put(&format!("/v1/kv/{key}"), "new").ok();
    }
}

#[test]
fn a_key_wakes_its_watchers() {
    let (subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    wakes(&subject, "/v1/kv/a", put("a"));
    wakes(&subject, "/v1/kv/a", |client| {
        client.delete("/v1/kv/a").ok();
    });
    wakes(&subject, "/v1/kv/a", put("a"));
    wakes(&subject, "/v1/kv/a?raw", |client| {
        client.put("/v1/kv/a", "other").ok();
    });
}

#[test]
fn a_prefix_wakes_its_watchers() {
    let (subject, mut client) = agent();
    client.put("/v1/kv/p/1", "1").ok();
    wakes(&subject, "/v1/kv/p/?recurse", put("p/2"));
    wakes(&subject, "/v1/kv/p/?keys", put("p/3"));
    wakes(&subject, "/v1/kv/p/?recurse", |client| {
        client.delete("/v1/kv/p/1").ok();
    });
}

#[test]
fn another_key_wakes_nobody() {
    let (subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    client.put("/v1/kv/p/1", "1").ok();
    sleeps_on(&subject, "/v1/kv/a", put("b"));
    sleeps_on(&subject, "/v1/kv/p/?recurse", put("q/1"));
    sleeps_on(&subject, "/v1/catalog/services", put("c"));
    sleeps_on(&subject, "/v1/catalog/nodes", put("d"));
}

#[test]
fn the_same_value_again_wakes_nobody() {
    let (subject, mut client) = agent();
    client.put("/v1/kv/a", "same").ok();
    sleeps_on(&subject, "/v1/kv/a", |client| {
        client.put("/v1/kv/a", "same").ok();
    });
    register(&mut client, EXTERNAL);
    sleeps_on(&subject, "/v1/health/service/db", |client| register(client, EXTERNAL));
}

#[test]
fn a_service_wakes_its_watchers() {
    let (subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    let more = r#"{"Node":"ext2","Address":"10.0.0.8","Service":{"Service":"db"}}"#;
    let status = |status: &str| {
        format!(
            r#"{{"Node":"ext","SkipNodeUpdate":true,"Check":{{"CheckID":"db1-up","Name":"db up","Status":"{status}","ServiceID":"db1"}}}}"#
        )
    };
    wakes(&subject, "/v1/catalog/service/db", |client| register(client, more));
    for (round, target) in
        ["/v1/health/service/db", "/v1/health/checks/db", "/v1/health/node/ext", "/v1/health/state/any"]
            .into_iter()
            .enumerate()
    {
        let next = if round % 2 == 0 { "critical" } else { "passing" };
        wakes(&subject, target, |client| register(client, &status(next)));
    }
    wakes(&subject, "/v1/health/service/db", |client| {
        client.put("/v1/catalog/deregister", r#"{"Node":"ext2"}"#).ok();
    });
    wakes(&subject, "/v1/catalog/service/db", |client| {
        client.put("/v1/catalog/deregister", r#"{"Node":"ext"}"#).ok();
    });
}

#[test]
fn a_service_that_is_not_there_yet_wakes_when_it_comes() {
    let (subject, _client) = agent();
    wakes(&subject, "/v1/health/service/db", |client| register(client, EXTERNAL));
    let other = r#"{"Node":"ext","SkipNodeUpdate":true,"Service":{"Service":"other"}}"#;
    wakes(&subject, "/v1/catalog/service/other", |client| register(client, other));
}

#[test]
fn nodes_and_services_wake_their_watchers() {
    let (subject, _client) = agent();
    wakes(&subject, "/v1/catalog/nodes", |client| {
        register(client, r#"{"Node":"x","Address":"10.0.0.1"}"#);
    });
    wakes(&subject, "/v1/catalog/services", |client| {
        register(client, r#"{"Node":"x","Address":"10.0.0.1","Service":{"Service":"s"}}"#);
    });
    wakes(&subject, "/v1/catalog/node/x", |client| {
        register(client, r#"{"Node":"x","Address":"10.0.0.1","Service":{"Service":"t"}}"#);
    });
    wakes(&subject, "/v1/catalog/nodes", |client| {
        client.put("/v1/catalog/deregister", r#"{"Node":"x"}"#).ok();
    });
}

#[test]
fn another_service_wakes_nobody() {
    let (subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    let other = r#"{"Node":"other","Address":"10.0.0.1","Service":{"Service":"other"},
      "Check":{"Name":"c","Status":"passing"}}"#;
    sleeps_on(&subject, "/v1/health/service/db", |client| register(client, other));
}

#[test]
fn an_answer_that_stays_the_same_wakes_nobody() {
    let (subject, mut client) = agent();
    register(&mut client, EXTERNAL);
    // another node's check in another state: the list of warnings is what it was
    let unrelated = r#"{"Node":"other","Address":"10.0.0.1","Check":{"Name":"c","Status":"passing"}}"#;
    sleeps_on(&subject, "/v1/health/state/warning", |client| register(client, unrelated));
    // a second instance with the same tags: the list of names is what it was
    let second = r#"{"Node":"other","SkipNodeUpdate":true,"Service":{"Service":"db","Tags":["v1"]}}"#;
    if differs(&subject, "Blocking queries on the list of services") {
        sleeps_on(&subject, "/v1/catalog/services", |client| register(client, second));
    } else {
        wakes(&subject, "/v1/catalog/services", |client| register(client, second));
    }
}

#[test]
fn the_end_of_a_node_wakes_its_watchers() {
    let (subject, mut client) = agent();
    register(&mut client, r#"{"Node":"x","Address":"10.0.0.1"}"#);
    let remove = |client: &mut Client| {
        client.put("/v1/catalog/deregister", r#"{"Node":"x"}"#).ok();
    };
    if differs(&subject, "Blocking queries on a node that is removed") {
        wakes(&subject, "/v1/catalog/node/x", remove);
    } else {
        let waiting = wait_for_change(&subject, "/v1/catalog/node/x", "600ms");
        remove(&mut client);
        let (reply, took) = waiting.join().unwrap();
        assert!(took >= Duration::from_millis(550) && reply.body() == "null\n", "{took:?} {}", reply.body());
    }
}

#[test]
fn nothing_changed_answers_after_the_wait() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    let first = client.get("/v1/kv/a");
    let start = Instant::now();
    let second = client.get(&format!("/v1/kv/a?index={}&wait=300ms", first.index())).ok();
    let took = start.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(2)).contains(&took), "{took:?}");
    assert_eq!((first.body(), first.index()), (second.body(), second.index()));
}

#[test]
fn a_missing_key_can_be_waited_for() {
    let (subject, _client) = agent();
    wakes(&subject, "/v1/kv/not-yet", put("not-yet"));
}

#[test]
fn an_old_index_answers_at_once() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    client.put("/v1/kv/a", "2").ok();
    let index = client.get("/v1/kv/a").index();
    let start = Instant::now();
    for old in [0, 1, index - 1] {
        client.get(&format!("/v1/kv/a?index={old}&wait=10s")).ok();
    }
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_index_of_the_future_waits() {
    let (_subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    let index = client.get("/v1/kv/a").index();
    let start = Instant::now();
    let reply = client.get(&format!("/v1/kv/a?index={}&wait=300ms", index + 1000)).ok();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(reply.index(), index);
}

#[test]
fn words_that_make_no_sense() {
    let (_subject, mut client) = agent();
    for target in ["/v1/kv/a", "/v1/catalog/nodes", "/v1/health/service/x", "/v1/catalog/service/x"] {
        table(
            &mut client,
            &[
                ("GET", &format!("{target}?index=x"), "", 400, "Invalid index"),
                ("GET", &format!("{target}?index=-1"), "", 400, "Invalid index"),
                ("GET", &format!("{target}?index=1&wait=1"), "", 400, "Invalid wait time"),
                ("GET", &format!("{target}?wait=abc"), "", 400, "Invalid wait time"),
            ],
        );
    }
    // so that the list's index is above 1
    client.put("/v1/catalog/register", r#"{"Node":"other","Address":"10.0.0.9"}"#).ok();
    client.get("/v1/catalog/nodes?index=0&wait=10s").ok();
    client.get("/v1/catalog/nodes?index=1&wait=").ok();
}

#[test]
fn many_watchers_of_one_key_all_wake() {
    let (subject, mut client) = agent();
    client.put("/v1/kv/a", "1").ok();
    let waiting: Vec<_> = (0..20).map(|_| wait_for_change(&subject, "/v1/kv/a", "25s")).collect();
    client.put("/v1/kv/a", "2").ok();
    for thread in waiting {
        let (reply, took) = thread.join().unwrap();
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert_eq!(reply.value().at(0).get("Value").text(), Some("Mg=="));
    }
}

#[test]
fn an_agents_own_check_wakes_watchers_of_its_service() {
    let (subject, mut client) = agent();
    client.put("/v1/agent/service/register", r#"{"Name":"x","Check":{"TTL":"10m"}}"#).ok();
    crate::agent_services::comes_to(&mut client, "/v1/health/checks/x", |value| value.len() == 1);
    wakes(&subject, "/v1/health/service/x?passing", |client| {
        client.put("/v1/agent/check/pass/service:x", "").ok();
    });
}
