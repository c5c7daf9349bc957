//! Pools of simulated members in virtual time. `CRS_SIM_SEED` replays one seed, `CRS_SIM_LONG=1` runs what takes long
//! and prints the tables that `docs/bench/gossip.md` keeps.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod lifeguard;
mod pools;
mod scale;
mod world;

/// The seeds of a test: one that is asked for, or these.
pub(crate) fn seeds(default: &[u64]) -> Vec<u64> {
    match std::env::var("CRS_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("CRS_SIM_SEED is a number")],
        Err(_) => default.to_vec(),
    }
}

/// Whether the long runs were asked for.
pub(crate) fn long() -> bool {
    std::env::var("CRS_SIM_LONG").is_ok_and(|v| v == "1")
}
