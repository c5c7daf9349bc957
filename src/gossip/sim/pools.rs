//! Small pools, one behaviour each.

use crate::world::{World, addr, secs};
use crs_gossip::serf::{Event, KeyOp, MemberChange, MemberStatus, QueryParams, SerfConfig};
use crs_gossip::wire::keyring::Keyring;
use std::collections::HashSet;

fn none(_: &mut SerfConfig) {}

/// Whether all that are up see `name` with this status.
fn all_see(world: &World, name: &str, status: MemberStatus) -> bool {
    world.up().all(|(_, m)| m.serf.member(name).is_some_and(|m| m.status == status))
}

fn all_alive(world: &World, n: usize) -> bool {
    world.up().all(|(_, m)| m.serf.members().filter(|m| m.status == MemberStatus::Alive).count() == n)
}

fn changes(world: &World, at: usize, about: &str) -> Vec<MemberChange> {
    let mut out = Vec::new();
    for (_, event) in &world.members[at].events {
        if let Event::Members { change, members } = event
            && members.iter().any(|m| **m.name() == *about)
        {
            out.push(*change);
        }
    }
    out
}

#[test]
fn a_pool_forms_and_a_crash_is_seen_by_all() {
    for seed in crate::seeds(&[1, 2, 3]) {
        let mut world = World::pool(seed, 20, none);
        assert!(
            world.run_until(secs(10.0), |w| all_alive(w, 20)).is_some(),
            "seed {seed}: {:?}",
            world.views()
        );
        world.kill(7);
        let took = world.run_until(secs(60.0), |w| all_see(w, "m7", MemberStatus::Failed));
        assert!(took.is_some(), "seed {seed}: {:?}", world.views());
        assert_eq!(changes(&world, 3, "m7"), [MemberChange::Join, MemberChange::Failed], "seed {seed}");
    }
}

#[test]
fn a_leave_is_seen_as_left_and_a_return_as_a_join() {
    for seed in crate::seeds(&[4, 5]) {
        let mut world = World::pool(seed, 8, none);
        world.run(secs(5.0));
        let now = world.now;
        world.act(3, |serf| serf.leave(now));
        assert!(
            world.run_until(secs(10.0), |w| all_see(w, "m3", MemberStatus::Left)).is_some(),
            "seed {seed}"
        );
        let left = world.run_until(secs(10.0), |w| {
            w.members[3].events.iter().any(|(_, e)| *e == Event::Left { sent: true })
        });
        assert!(left.is_some(), "seed {seed}");
        world.kill(3);
        assert_eq!(changes(&world, 0, "m3"), [MemberChange::Join, MemberChange::Leave]);
        let mut cfg = world.config(3);
        cfg.advertise = addr(50);
        let back = world.add(cfg);
        world.join(back, 0);
        let back = world.run_until(secs(20.0), |w| all_see(w, "m3", MemberStatus::Alive));
        assert!(back.is_some(), "seed {seed}: {:?}", world.views());
    }
}

#[test]
fn user_events_reach_all_once_and_late_joiners_may_skip_old_ones() {
    for seed in crate::seeds(&[6]) {
        let mut world = World::pool(seed, 12, none);
        world.run(secs(3.0));
        let now = world.now;
        world.act(5, |s| s.user_event(now, "deploy", b"v1", false)).unwrap();
        world.run(secs(5.0));
        let heard = |w: &World, i: usize| {
            w.members[i]
                .events
                .iter()
                .filter(|(_, e)| matches!(e, Event::User(e) if e.name == "deploy"))
                .count()
        };
        for i in 0..12 {
            assert_eq!(heard(&world, i), 1, "seed {seed} member {i}");
        }
        let replays = world.add(world.config(12));
        world.join(replays, 0);
        let skips = world.add(world.config(13));
        let now = world.now;
        let target = crs_gossip::serf::JoinTarget { text: String::new(), addr: addr(0) };
        world.act(skips, |s| s.join(now, vec![target], true));
        world.run(secs(5.0));
        assert_eq!((heard(&world, replays), heard(&world, skips)), (1, 0), "seed {seed}");
        let too_long = world.act(0, |s| s.user_event(now, "x", &[0; 512], false));
        assert!(too_long.is_err());
    }
}

#[test]
fn queries_reach_whom_the_filters_take_even_when_answers_must_be_relayed() {
    for seed in crate::seeds(&[7]) {
        let mut world = World::pool(seed, 12, |cfg| {
            let even = cfg.advertise.ip().to_string().ends_with(['0', '2', '4', '6', '8']);
            cfg.tags.insert("half".into(), if even { "even-1".into() } else { "odd".into() });
        });
        world.run(secs(3.0));
        let now = world.now;
        let params = QueryParams {
            tags: vec![("half".into(), "^even-[0-9]$".into())],
            ack: true,
            relay_factor: 3,
            ..QueryParams::default()
        };
        world.act(0, |s| s.query(now, "load", b"?", &params)).unwrap();
        // a tenth of all packets are lost from now on
        world.net.loss = 0.1;
        for _ in 0..40 {
            world.run(secs(0.1));
            for i in 0..12 {
                let asked: Vec<_> = world.members[i]
                    .events
                    .iter()
                    .filter_map(|(_, e)| match e {
                        Event::Query(q) => Some(q.id),
                        _ => None,
                    })
                    .collect();
                let now = world.now;
                for id in asked {
                    let _ = world.act(i, |s| s.respond(now, id, format!("m{i}").as_bytes()));
                }
            }
        }
        world.run(secs(10.0));
        let (mut acks, mut answers, mut done) = (HashSet::new(), HashSet::new(), 0);
        for (_, event) in &world.members[0].events {
            match event {
                Event::QueryAck { from, .. } => assert!(acks.insert(from.clone()), "twice"),
                Event::QueryResponse { from, payload, .. } => {
                    assert_eq!(payload, from.as_bytes());
                    assert!(answers.insert(from.clone()), "twice");
                }
                Event::QueryDone { .. } => done += 1,
                _ => {}
            }
        }
        assert_eq!((acks.len(), answers.len(), done), (6, 6, 1), "seed {seed} {acks:?} {answers:?}");
    }
}

#[test]
fn tags_change_everywhere() {
    let mut world = World::pool(8, 6, none);
    world.run(secs(2.0));
    let now = world.now;
    let tags = [("role".to_owned(), "db".to_owned())].into();
    world.act(2, |s| s.set_tags(now, tags)).unwrap();
    let all = |w: &World| w.up().all(|(_, m)| m.serf.member("m2").unwrap().tags()["role"] == "db");
    assert!(world.run_until(secs(5.0), all).is_some());
    assert!(changes(&world, 4, "m2").contains(&MemberChange::Update));
    let sent = |(_, e): &(_, Event)| matches!(e, Event::Broadcast { sent: true, .. });
    assert!(world.run_until(secs(5.0), |w| w.members[2].events.iter().any(sent)).is_some());
    let big = [("x".to_owned(), "y".repeat(600))].into();
    assert!(world.act(2, |s| s.set_tags(now, big)).is_err());
}

#[test]
fn a_failed_member_can_be_forced_to_leave_and_pruned_and_a_live_one_refutes() {
    let mut world = World::pool(9, 6, none);
    world.run(secs(2.0));
    world.kill(5);
    assert!(world.run_until(secs(60.0), |w| all_see(w, "m5", MemberStatus::Failed)).is_some());
    let now = world.now;
    world.act(0, |s| s.force_leave(now, "m5", false));
    assert!(world.run_until(secs(10.0), |w| all_see(w, "m5", MemberStatus::Left)).is_some());
    let now = world.now;
    world.act(0, |s| s.force_leave(now, "m5", true));
    let gone = |w: &World| w.up().all(|(_, m)| m.serf.member("m5").is_none());
    assert!(world.run_until(secs(10.0), gone).is_some());
    let now = world.now;
    world.act(0, |s| s.force_leave(now, "m1", false));
    world.run(secs(5.0));
    assert!(all_see(&world, "m1", MemberStatus::Alive), "{:?}", world.views());
}

#[test]
fn a_partition_heals_by_itself() {
    for seed in crate::seeds(&[10, 11]) {
        let mut world = World::pool(seed, 10, none);
        world.run(secs(5.0));
        for i in 0..3 {
            world.members[i].side = 1;
        }
        world.net.split = true;
        world.run(secs(90.0));
        assert_eq!(world.members[0].serf.member("m9").unwrap().status, MemberStatus::Failed, "seed {seed}");
        assert_eq!(world.members[9].serf.member("m0").unwrap().status, MemberStatus::Failed, "seed {seed}");
        world.net.split = false;
        let healed = world.run_until(secs(300.0), |w| all_alive(w, 10));
        assert!(healed.is_some(), "seed {seed}: {:?}", world.views());
    }
}

#[test]
fn keys_are_rotated_under_way() {
    let (old, new): (Vec<u8>, Vec<u8>) = ((0..32).collect(), (50..66).collect());
    let mut ring = Keyring::default();
    ring.install(&old).unwrap();
    let mut world = World::pool(12, 6, |cfg| cfg.keyring = ring.clone());
    world.run(secs(3.0));
    assert!(all_alive(&world, 6));
    for (op, key) in
        [(KeyOp::Install, &new), (KeyOp::Use, &new), (KeyOp::Remove, &old), (KeyOp::List, &vec![])]
    {
        let now = world.now;
        let id = world.act(1, |s| s.keys(now, op, key, 0, None)).unwrap();
        world.run(secs(5.0));
        let report = world.members[1].events.iter().find_map(|(_, e)| match e {
            Event::Keys { op, report } if *op == id => Some(report.clone()),
            _ => None,
        });
        let report = report.unwrap();
        assert_eq!((report.responses, report.errors, report.error), (6, 0, None), "{op:?}");
        if op == KeyOp::List {
            assert_eq!(report.keys.len(), 1);
            assert_eq!(report.keys[0].1, 6);
        }
    }
    let now = world.now;
    let id = world.act(1, |s| s.keys(now, KeyOp::Remove, &new, 0, None)).unwrap();
    world.run(secs(5.0));
    let refused = world.members[1].events.iter().any(|(_, e)| {
        matches!(e, Event::Keys { op, report } if *op == id && report.error.as_deref() == Some("6/6 nodes reported failure")
            && report.messages.iter().all(|(_, m)| m == "Removing the primary key is not allowed"))
    });
    assert!(refused);
    // a member without the key stays outside
    let stranger = world.add(world.config(6));
    world.join(stranger, 0);
    world.run(secs(5.0));
    assert!(all_alive(&world, 6) || world.members[0].serf.member("m6").is_none());
    let told = world.members[6].events.iter().any(|(_, e)| {
        matches!(e, Event::Joined { success: 0, errors, .. }
            if errors[0].1.to_string().contains("encryption is not configured")
                || errors[0].1.to_string().contains("Encryption is configured"))
    });
    assert!(told, "{:?}", world.members[6].events);
}

#[test]
fn the_pool_decides_whose_a_name_is() {
    let mut world = World::pool(13, 6, none);
    world.run(secs(3.0));
    let mut thief = world.config(2);
    thief.advertise = addr(40);
    let thief = world.add(thief);
    world.join(thief, 0);
    let lost = |w: &World, i: usize| w.members[i].events.iter().any(|(_, e)| *e == Event::NameLost);
    assert!(world.run_until(secs(20.0), |w| lost(w, thief)).is_some());
    assert!(!lost(&world, 2));
}

#[test]
fn a_snapshot_brings_a_member_back() {
    let mut world = World::pool(14, 5, |cfg| cfg.snapshot = true);
    world.run(secs(3.0));
    let mut file = String::new();
    while let Some(line) = world.members[4].serf.poll_snapshot_line() {
        file.push_str(&line);
        file.push('\n');
    }
    let image = world.members[4].serf.snapshot_image();
    for text in [file, image] {
        let (snapshot, odd) = crs_gossip::serf::Snapshot::replay(&text, false);
        assert_eq!((snapshot.alive.len(), odd), (5, 0));
        let mut fresh = World::pool(15, 4, none);
        let cfg = fresh.config(4);
        fresh.add_from(cfg, Some(snapshot));
        assert!(fresh.run_until(secs(15.0), |w| all_alive(w, 5)).is_some(), "{:?}", fresh.views());
    }
}
