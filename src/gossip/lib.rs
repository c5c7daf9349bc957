#![warn(missing_docs)]
//! gossip

pub mod time;
#[cfg(test)]
mod vectors;
pub mod wire;

pub use time::Time;
