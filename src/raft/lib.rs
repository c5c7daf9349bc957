//! crs-raft
mod batch;
mod codec;
pub mod disk;
mod log;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod types;
