//! A value nobody here looks into: well-formed, and written again as it was.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder, Wire};

/// Any one value, kept as its bytes. Its default is `nil`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value(Bytes);

impl Value {
    /// The value as msgpack.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Value {
    fn default() -> Self {
        Value(Bytes::from_static(&[0xc0]))
    }
}

impl Wire for Value {
    fn put(&self, out: &mut Encoder) {
        out.verbatim(&self.0);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.skip().map(|bytes| Value(Bytes::copy_from_slice(bytes)))
    }
}
