//! Many streams over one connection: the protocol of HashiCorp's yamux, version 0.
//!
//! An own implementation, not the `yamux` crate. That one moves only while somebody polls it, opens a stream with its
//! first write instead of a frame of its own, knows no dead peer, and grows windows beyond the 256 KiB that Consul's
//! side keeps; a driver around it that mended all this would be as long as the protocol. Here the protocol is a state
//! machine without I/O (`core`), driven by one task per connection (`session`).
//!
//! Limits: the peer's windows are 256 KiB each and bound what it may send; the streams it may open are counted; what
//! lies unread over all streams of a connection stops reading, and ends the connection if nobody reads for long; a
//! peer that does not read its control frames or does not answer a ping is given up.

mod core;
mod frame;
mod session;
mod stream;

#[cfg(test)]
mod core_test;

pub use core::{MuxError, MuxLimits, Side};
pub use session::{Driver, Incoming, Mux, session};
pub use stream::MuxStream;
