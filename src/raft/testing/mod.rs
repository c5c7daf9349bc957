//! What tests put in place of the world: a disk that forgets, a clock that stands, a network of channels.

mod disk;

pub use disk::SimDisk;
