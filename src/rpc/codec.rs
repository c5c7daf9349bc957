//! Bytes to values and back: msgpack, and how each type of ours stands in it. Pure: no clock, no sockets.

mod extent;
mod msgpack;
mod record;
mod value;
mod wire;

pub use extent::Extent;
pub use msgpack::{DecodeError, Decoder, Encoder, Fault, MAX_DEPTH, Token};
pub use record::{Fields, Listed, put_record, take_record};
pub(crate) use record::{is_sorted, names, order, record, sized};
pub use value::Value;
pub use wire::{Time, Wire, decode, encode};

#[cfg(test)]
mod codec_test;
