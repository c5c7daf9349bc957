//! Large pools: how fast they agree, what they cost, and what they get wrong.

use crate::world::{World, secs};
use crs_gossip::serf::{Event, MemberStatus, SerfConfig};
use std::collections::HashSet;
use std::time::Duration;

/// What one run measured.
#[derive(Debug)]
pub(crate) struct Row {
    seed: u64,
    n: usize,
    loss: f64,
    joined: Option<Duration>,
    packets: f64,
    bytes: f64,
    suspicions: f64,
    false_deaths: u64,
    crash_seen: Duration,
    bound: Duration,
    event_heard: Duration,
    kib_per_member: u64,
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("VmRSS:"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn all_know_all(world: &World) -> bool {
    let up = world.up().count();
    world.up().all(|(_, m)| m.serf.members().filter(|m| m.status == MemberStatus::Alive).count() == up)
}

/// Within this a crash is known to all: until somebody's turn comes to probe it (each of n members draws one of n each
/// second, so after 20 s the chance of none is e^-20), a probe at the worst local health, the longest suspicion, and
/// the spread of the rumor.
fn bound(n: usize) -> Duration {
    let suspicion = 6.0 * 4.0 * (n as f64).log10().max(1.0);
    secs(20.0 + 8.0 + suspicion + 5.0)
}

/// How a pool begins.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Start {
    /// All join, a hundred a second.
    Joining,
    /// All know all.
    AtRest,
}

/// The life of a pool: it forms, it runs under loss, members crash, events are sent.
pub(crate) fn life(seed: u64, n: usize, loss: f64, start: Start, change: impl Fn(&mut SerfConfig)) -> Row {
    let before = resident_kib();
    let mut world = match start {
        Start::Joining => World::pool(seed, n, change),
        Start::AtRest => World::at_rest(seed, n, change),
    };
    world.keep_events = false;
    let joined = world.run_until(secs(120.0), all_know_all);
    assert!(joined.is_some(), "seed {seed}, n {n}: did not agree");
    let joined = joined.filter(|_| start == Start::Joining);
    world.run(secs(10.0));
    for (_, member) in world.up() {
        assert_eq!(member.serf.queue_depths(), [0; 3], "seed {seed}: rumors never end");
    }
    let kib_per_member = resident_kib().saturating_sub(before) / n as u64;

    world.net.loss = loss;
    let count = |w: &World| {
        w.up().fold((0, 0), |(s, d), (_, m)| {
            let c = m.serf.counters();
            (s + c.suspicions, d + c.deaths)
        })
    };
    let ((s0, d0), p0, b0) = (count(&world), world.packets, world.bytes);
    let span = 60.0;
    world.run(secs(span));
    let (s1, d1) = count(&world);
    let per = |x: u64| x as f64 / n as f64 / span;
    let (packets, bytes) = (per(world.packets - p0), per(world.bytes - b0));
    // whoever was wrongly declared dead must be back
    let back = world.run_until(secs(120.0), all_know_all);
    assert!(back.is_some(), "seed {seed}, n {n}, loss {loss}: a live member stays dead");

    let victims = world.choose((n / 100).max(1), n, &HashSet::new());
    for v in &victims {
        world.kill(*v);
    }
    let names: Vec<String> = victims.iter().map(|v| format!("m{v}")).collect();
    let seen = world.run_until(bound(n), |w| {
        w.up().all(|(_, m)| {
            names.iter().all(|name| m.serf.member(name).is_some_and(|m| m.status == MemberStatus::Failed))
        })
    });
    let crash_seen =
        seen.unwrap_or_else(|| panic!("seed {seed}, n {n}, loss {loss}: a crash is not known to all"));

    world.keep_events = true;
    let senders = world.choose(3, n, &victims.iter().copied().collect());
    for (i, s) in senders.iter().enumerate() {
        let now = world.now;
        world.act(*s, |serf| serf.user_event(now, &format!("e{i}"), b"x", false)).unwrap();
    }
    let heard = world.run_until(secs(60.0), |w| {
        w.up().all(|(_, m)| m.events.iter().filter(|(_, e)| matches!(e, Event::User(_))).count() == 3)
    });
    let event_heard =
        heard.unwrap_or_else(|| panic!("seed {seed}, n {n}, loss {loss}: an event did not reach all"));
    Row {
        seed,
        n,
        loss,
        joined,
        packets,
        bytes,
        suspicions: per(s1 - s0) * 60.0 * n as f64,
        false_deaths: d1 - d0,
        crash_seen,
        bound: bound(n),
        event_heard,
        kib_per_member,
    }
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "| members | seed | loss | agreed after the last join | packets per member and s | bytes per member and s | false suspicions a minute, all members | live members declared dead | crash known to all (bound) | user event known to all | KiB per simulated member |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for r in rows {
        println!(
            "| {} | {} | {} % | {} | {:.2} | {:.0} | {:.1} | {} | {:.1} s ({:.0} s) | {:.1} s | {} |",
            r.n,
            r.seed,
            r.loss * 100.0,
            r.joined.map_or("at rest".into(), |t| format!("{:.1} s", t.as_secs_f64())),
            r.packets,
            r.bytes,
            r.suspicions,
            r.false_deaths,
            r.crash_seen.as_secs_f64(),
            r.bound.as_secs_f64(),
            r.event_heard.as_secs_f64(),
            r.kib_per_member
        );
    }
}

fn small(cfg: &mut SerfConfig) {
    cfg.coordinates = false;
}

#[test]
fn a_hundred_members_live_with_loss() {
    let mut rows = Vec::new();
    for seed in crate::seeds(&[21]) {
        for loss in [0.0, 0.05, 0.2] {
            rows.push(life(seed, 100, loss, Start::Joining, |_| {}));
        }
    }
    print(&rows);
}

#[test]
fn a_thousand_members() {
    let seed = crate::seeds(&[22])[0];
    print(&[life(seed, 1000, 0.01, Start::AtRest, small)]);
}

#[test]
fn a_split_pool_of_many_comes_together() {
    for seed in crate::seeds(&[23]) {
        let mut world = World::pool(seed, 100, small);
        assert!(world.run_until(secs(60.0), all_know_all).is_some());
        for i in 0..40 {
            world.members[i].side = 1;
        }
        world.net.split = true;
        world.run(secs(60.0));
        world.net.split = false;
        let healed = world.run_until(secs(600.0), all_know_all);
        println!("100 members, 40 split off for a minute, seed {seed}: together again after {healed:?}");
        assert!(healed.is_some(), "seed {seed}");
    }
}

#[test]
fn a_run_replays_from_its_seed() {
    let run = || {
        let mut world = World::pool(24, 30, |_| {});
        world.net.loss = 0.1;
        world.run(secs(20.0));
        (world.packets, world.bytes, format!("{:?}", world.members[7].events))
    };
    assert!(run() == run());
}

#[test]
fn the_table_of_the_long_run() {
    if !crate::long() {
        println!("skipped: set CRS_SIM_LONG=1");
        return;
    }
    let mut rows = Vec::new();
    for n in [32, 128, 512, 1000] {
        let start = if n <= 512 { Start::Joining } else { Start::AtRest };
        for loss in [0.0, 0.01, 0.05, 0.1, 0.2, 0.3] {
            rows.push(life(crate::seeds(&[31])[0], n, loss, start, small));
            print(&rows[rows.len() - 1..]);
        }
    }
    print(&rows);
}

#[test]
fn as_many_members_as_memory_holds() {
    let Some(n) = std::env::var("CRS_SIM_HUGE").ok().and_then(|n| n.parse().ok()) else {
        println!("skipped: set CRS_SIM_HUGE=10000; each of n members holds some 200 bytes for each of n");
        return;
    };
    print(&[life(crate::seeds(&[32])[0], n, 0.01, Start::AtRest, small)]);
}

/// How long a small pool takes to agree when all join at about the same time.
#[test]
fn six_members_agree_at_once_or_by_the_next_exchange() {
    let mut times = Vec::new();
    for seed in 0..200 {
        let mut world = World::pool(seed, 6, |_| {});
        let took = world.run_until(secs(120.0), all_know_all);
        times.push(took.unwrap_or_else(|| panic!("seed {seed}")));
    }
    let late = times.iter().filter(|t| **t > secs(5.0)).count();
    println!("{late} of 200 pools of six needed more than 5 s; the slowest {:?}", times.iter().max());
    // two that join in the same moment may miss each other's rumor; the next exchange of states mends it
    assert!(late <= 20, "{late}");
}
