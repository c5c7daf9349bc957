//! What the tests share.

use crs_testkit::{Kind, Setup};

/// The binary under test.
pub const CRS: &str = env!("CARGO_BIN_EXE_crs");

/// A crs agent, not started yet.
pub fn crs() -> Setup {
    Setup::new(Kind::Crs, CRS)
}
