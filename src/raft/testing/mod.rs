//! What tests put in place of the world: a disk that forgets, a network of channels.

mod disk;
mod network;

pub use disk::SimDisk;
pub use network::SimNetwork;
