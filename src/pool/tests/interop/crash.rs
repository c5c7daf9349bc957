//! How long a crash takes to be seen: by real agents among themselves, and in a mixed pool.

use crate::member::Ours;
use crate::peer::{Net, SerfAgent, binary, eventually};
use crs_pool::MemberStatus;
use std::time::{Duration, Instant};

/// What the real ones need at most among themselves, in a pool of six: until the next probe finds the dead member (5
/// others in turn, one a second), the probe itself, the longest suspicion, and the rumor.
const BOUND: Duration = Duration::from_secs(5 + 1 + 24 + 2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_of_either_kind_is_seen_in_the_time_of_the_real_ones() {
    let Some(program) = binary("serf") else { return };
    let (alone, mixed) = (Net::new(), Net::new());
    let start = |net: Net, n: u8| -> Vec<SerfAgent> {
        (1..=n).map(|i| SerfAgent::start(&program, &format!("s{i}"), net.ip(i), &[])).collect()
    };
    let (mut only, mut real) = (start(alone, 6), start(mixed, 3));
    let mut ours = Vec::new();
    for i in 1..=3 {
        ours.push(Ours::start(&format!("c{i}"), mixed.ip(10 + i), None, |_| {}).await);
    }
    for agent in only.iter().chain(&real) {
        agent.ready().await;
    }
    for i in 2..=6 {
        let (ok, text) = only[0].run("join", &[&alone.ip(i).to_string()]);
        assert!(ok, "{text}");
    }
    for i in 2..=3 {
        let (ok, text) = real[0].run("join", &[&mixed.ip(i).to_string()]);
        assert!(ok, "{text}");
    }
    for member in &ours {
        member.pool.join(&[mixed.ip(1).to_string()], false).await.unwrap();
    }
    eventually(Duration::from_secs(20), "pools of six", || {
        let full = |list: Vec<(String, String, String, String)>| list.len() == 6;
        let all =
            only.iter().chain(&real).all(|a| full(a.members())) && ours.iter().all(|m| full(m.members()));
        if all { Ok(()) } else { Err("some know fewer".into()) }
    })
    .await;

    let started = Instant::now();
    only.pop().unwrap().kill();
    real.pop().unwrap().kill();
    let failed =
        |agents: &[SerfAgent], name: &str| agents.iter().all(|a| a.status(name).as_deref() == Some("failed"));
    let (mut among_real, mut by_real, mut by_ours) = (None, None, None);
    eventually(BOUND, "a killed serf agent", || {
        let now = started.elapsed();
        if among_real.is_none() && failed(&only, "s6") {
            among_real = Some(now);
        }
        if by_real.is_none() && failed(&real, "s3") {
            by_real = Some(now);
        }
        if by_ours.is_none() && ours.iter().all(|m| m.status("s3") == Some(MemberStatus::Failed)) {
            by_ours = Some(now);
        }
        match (among_real, by_real, by_ours) {
            (Some(_), Some(_), Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    println!("killed serf: real pool {among_real:?}, mixed pool: real ones {by_real:?}, ours {by_ours:?}");

    let started = Instant::now();
    only.pop().unwrap().kill();
    ours.pop().unwrap().crash().await;
    let (mut among_real, mut by_all) = (None, None);
    eventually(BOUND, "a killed member of ours", || {
        let now = started.elapsed();
        if among_real.is_none() && failed(&only, "s5") {
            among_real = Some(now);
        }
        let ours_see = ours.iter().all(|m| m.status("c3") == Some(MemberStatus::Failed));
        if by_all.is_none() && failed(&real, "c3") && ours_see {
            by_all = Some(now);
        }
        match (among_real, by_all) {
            (Some(_), Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    println!("killed crs: real pool {among_real:?}, mixed pool: all {by_all:?}");
    for member in ours {
        member.crash().await;
    }
}
