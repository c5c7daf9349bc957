//! What Lifeguard is worth: the arrangement of its paper (arXiv 1707.00788), with its parts and without.
//!
//! 128 members; the sending and receiving of a set of them is blocked again and again, all at the same time, for a
//! span, with a short interval between. Counted are reports that a member failed which was never blocked: all, and
//! those at members that were not blocked either.

use crate::world::{World, secs};
use crs_gossip::memberlist::config::Timing;
use crs_gossip::serf::{Event, MemberChange};
use std::collections::HashSet;

const N: usize = 128;

#[derive(Clone, Copy, Default, Debug)]
struct Wrong {
    all: u64,
    at_healthy: u64,
}

fn run(seed: u64, lifeguard: bool, slow: usize, span: f64, interval: f64, total: f64) -> Wrong {
    let timing = Timing { suspicion_mult: 5, ..Timing::lan() };
    let timing = if lifeguard { timing } else { timing.without_lifeguard() };
    let mut world = World::at_rest(seed, N, |cfg| {
        cfg.timing = timing.clone();
        cfg.coordinates = false;
    });
    world.run(secs(15.0));
    let chosen: HashSet<usize> = world.choose(slow, N, &HashSet::new()).into_iter().collect();
    let start = world.now;
    while world.now.since(start).as_secs_f64() < total {
        let mut order: Vec<usize> = chosen.iter().copied().collect();
        order.sort_unstable();
        for i in order {
            world.freeze(i, secs(span));
        }
        world.run(secs(span + interval));
    }
    let slow_names: HashSet<String> = chosen.iter().map(|i| format!("m{i}")).collect();
    let mut wrong = Wrong::default();
    for (i, member) in world.members.iter().enumerate() {
        for (at, event) in &member.events {
            if let Event::Members { change: MemberChange::Failed, members } = event
                && *at >= start
            {
                let n = members.iter().filter(|m| !slow_names.contains(&**m.name())).count() as u64;
                wrong.all += n;
                wrong.at_healthy += if chosen.contains(&i) { 0 } else { n };
            }
        }
    }
    wrong
}

fn compare(seeds: &[u64], cases: &[(usize, f64, f64)], total: f64) -> (u64, u64) {
    let mut sums = (Wrong::default(), Wrong::default());
    println!(
        "| slow members | blocked for | between | false failures without Lifeguard (at healthy) | with (at healthy) | factor |"
    );
    println!("|---|---|---|---|---|---|");
    for &(slow, span, interval) in cases {
        let mut with = Wrong::default();
        let mut without = Wrong::default();
        for &seed in seeds {
            for (lifeguard, sum) in [(true, &mut with), (false, &mut without)] {
                let w = run(seed, lifeguard, slow, span, interval, total);
                sum.all += w.all;
                sum.at_healthy += w.at_healthy;
            }
        }
        let factor = without.all as f64 / with.all.max(1) as f64;
        println!(
            "| {slow} | {span} s | {interval} s | {} ({}) | {} ({}) | {}{factor:.1} |",
            without.all,
            without.at_healthy,
            with.all,
            with.at_healthy,
            if with.all == 0 { "> " } else { "" },
        );
        for (sum, w) in [(&mut sums.0, with), (&mut sums.1, without)] {
            sum.all += w.all;
            sum.at_healthy += w.at_healthy;
        }
    }
    let (with, without) = sums;
    println!(
        "all: without {} ({}), with {} ({}), factor {:.1} ({:.1}), {} seeds {:?}",
        without.all,
        without.at_healthy,
        with.all,
        with.at_healthy,
        without.all as f64 / with.all.max(1) as f64,
        without.at_healthy as f64 / with.at_healthy.max(1) as f64,
        seeds.len(),
        seeds
    );
    (with.all, without.all)
}

#[test]
fn lifeguard_spares_the_healthy() {
    let (with, without) = compare(&crate::seeds(&[41]), &[(4, 12.0, 0.25)], 24.0);
    assert!(without > 0 && with * 5 < without, "with {with}, without {without}");
}

#[test]
fn the_comparison_over_twenty_seeds() {
    if !crate::long() {
        println!("skipped: set CRS_SIM_LONG=1");
        return;
    }
    let seeds: Vec<u64> = (100..120).collect();
    let cases = [(4, 4.0, 0.25), (4, 12.0, 0.25), (16, 12.0, 0.25), (16, 12.0, 4.0)];
    let (with, without) = compare(&crate::seeds(&seeds), &cases, 60.0);
    assert!(with * 10 < without, "with {with}, without {without}");
}
