//! The same command line given to the real `consul` and to `crs`, both speaking to the same agent: the same output, the
//! same exit code, and the same first line of complaint, except where a row says why not.
//!
//! Needs the real binary in `$CRS_PEERS/bin` (default `target/peers/bin`); without it the tests say so, and fail when
//! `CI=true`.

// every item is a test or shared by tests: an unwrap is an assertion, and a skipped test says so
#![allow(clippy::unwrap_used, clippy::print_stderr, unreachable_pub)]

mod cases;
mod handlers;
mod pair;
mod plain;
