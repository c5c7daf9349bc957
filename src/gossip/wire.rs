//! What goes over the network: the msgpack dialect, messages of both layers, and the wrappers around them.
//!
//! Every decoder here takes bytes from strangers. None allocates more than a small multiple of what it was given or of
//! the limit it was handed, and none panics.

pub mod compound;
pub mod keyring;
pub mod lzw;
pub mod message;
pub mod msgpack;
pub mod packet;
pub mod serf;
pub mod state;
pub mod stream;
