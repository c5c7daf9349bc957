//! How plain types stand in a message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crs_types::{
    CheckId, CheckStatus, Datacenter, Index, NodeId, NodeName, Secret, ServiceId, ServiceName, SessionId,
};

use crate::codec::{DecodeError, Decoder, Encoder, Fault};

/// A type with a place in messages. What is missing or `nil` is the default.
pub trait Wire: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Encoder);

    /// Reads a value.
    ///
    /// # Errors
    /// If the bytes are no such value.
    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

/// A whole message.
pub fn encode<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Encoder::new();
    value.put(&mut out);
    out.into_bytes()
}

/// Reads a whole message.
///
/// # Errors
/// If it is none of this type, or more follows.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut input = Decoder::new(bytes);
    let value = T::take(&mut input)?;
    input.finish()?;
    Ok(value)
}

impl Wire for bool {
    fn put(&self, out: &mut Encoder) {
        out.bool(*self);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.bool()
    }
}

impl Wire for u64 {
    fn put(&self, out: &mut Encoder) {
        out.uint(*self);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.uint()
    }
}

impl Wire for u8 {
    fn put(&self, out: &mut Encoder) {
        out.uint(u64::from(*self));
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let value = input.uint()?;
        u8::try_from(value).map_err(|_| input.fault(Fault::Range))
    }
}

impl Wire for i64 {
    fn put(&self, out: &mut Encoder) {
        out.int(*self);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.int()
    }
}

impl Wire for f64 {
    fn put(&self, out: &mut Encoder) {
        out.f64(*self);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.f64()
    }
}

impl Wire for Index {
    fn put(&self, out: &mut Encoder) {
        out.uint(self.0);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.uint().map(Index)
    }
}

/// Free text: what is not UTF-8 (a check's output may hold anything) is read with marks in its place.
impl Wire for String {
    fn put(&self, out: &mut Encoder) {
        out.text(self);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.raw().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

impl Wire for Arc<str> {
    fn put(&self, out: &mut Encoder) {
        out.text(self);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.text().map(Arc::from)
    }
}

impl Wire for Secret<String> {
    fn put(&self, out: &mut Encoder) {
        out.text(self.reveal());
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.text().map(Secret::from)
    }
}

/// Bytes; none at all are `nil`, as Consul writes the value of an empty key.
impl Wire for Bytes {
    fn put(&self, out: &mut Encoder) {
        if self.is_empty() { out.nil() } else { out.raw(self) }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.raw().map(Bytes::copy_from_slice)
    }
}

/// Nanoseconds. Negative ones have no meaning anywhere and are read as none.
impl Wire for Duration {
    fn put(&self, out: &mut Encoder) {
        out.uint(u64::try_from(self.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX as u64));
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.int().map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
    }
}

impl Wire for CheckStatus {
    fn put(&self, out: &mut Encoder) {
        out.text(self.as_str());
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        // Not the default of the type: an empty status is an empty status until somebody decides on it.
        input.text().map(CheckStatus::from)
    }
}

macro_rules! names {
    ($($name:ident),*) => {
        $(impl Wire for $name {
            fn put(&self, out: &mut Encoder) {
                out.text(self.as_str());
            }

            fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                input.text().map($name::from)
            }
        })*
    };
}
names!(CheckId, Datacenter, NodeId, NodeName, ServiceId, ServiceName, SessionId);

/// A pointer of Go: `nil` or the value.
impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Encoder) {
        match self {
            Some(value) => value.put(out),
            None => out.nil(),
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if input.nil() { Ok(None) } else { T::take(input).map(Some) }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Encoder) {
        (**self).put(out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.charge::<T>()?;
        T::take(input).map(Box::new)
    }
}

/// A list; an empty one is `nil`, as a slice of Go is that nobody appended to. [`crate::codec::Listed`] is the other.
impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Encoder) {
        if self.is_empty() {
            return out.nil();
        }
        out.array(self.len());
        self.iter().for_each(|value| value.put(out));
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let Some(len) = input.array()? else { return Ok(Vec::new()) };
        let mut list = Vec::new();
        for _ in 0..len {
            input.charge::<T>()?;
            list.push(T::take(input)?);
        }
        input.leave();
        Ok(list)
    }
}

/// Go writes maps in no order; ours are sorted.
impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, out: &mut Encoder) {
        out.map(self.len());
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let Some(len) = input.map()? else { return Ok(BTreeMap::new()) };
        let mut map = BTreeMap::new();
        for _ in 0..len {
            input.charge::<(K, V)>()?;
            let key = K::take(input)?;
            map.insert(key, V::take(input)?);
        }
        input.leave();
        Ok(map)
    }
}

/// A reply or request without content: an empty map.
impl Wire for () {
    fn put(&self, out: &mut Encoder) {
        out.map(0);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.skip().map(drop)
    }
}

/// A moment as Go's `time.Time` marshals itself: 15 bytes, kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time {
    /// Since the first of January of year 1, UTC.
    seconds: u64,
    /// Below 1,000,000,000.
    nanos: u32,
    /// Minutes east of UTC; -1: UTC itself.
    zone: i16,
}

/// Seconds from year 1 to 1970.
const UNIX_EPOCH: u64 = 62_135_596_800;

impl Default for Time {
    fn default() -> Self {
        Time { seconds: 0, nanos: 0, zone: -1 }
    }
}

impl Time {
    /// A moment by the time since 1970, UTC.
    pub fn from_unix(since: Duration) -> Self {
        Time { seconds: UNIX_EPOCH + since.as_secs(), nanos: since.subsec_nanos(), zone: -1 }
    }

    /// The time since 1970; `None` before it, and for the zero time that stands for "never".
    pub fn to_unix(self) -> Option<Duration> {
        self.seconds.checked_sub(UNIX_EPOCH).map(|seconds| Duration::new(seconds, self.nanos))
    }

    /// Whether it stands for "never".
    pub fn is_zero(self) -> bool {
        self.seconds == 0 && self.nanos == 0
    }
}

impl Wire for Time {
    fn put(&self, out: &mut Encoder) {
        let mut bytes = [1; 15];
        bytes[1..9].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[9..13].copy_from_slice(&self.nanos.to_be_bytes());
        bytes[13..].copy_from_slice(&self.zone.to_be_bytes());
        out.raw(&bytes);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if input.nil() {
            return Ok(Time::default());
        }
        let raw = input.raw()?;
        let Ok([1, s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, z0, z1]) = <[u8; 15]>::try_from(raw)
        else {
            return Err(input.fault(Fault::Meaning));
        };
        let nanos = u32::from_be_bytes([n0, n1, n2, n3]);
        if nanos >= 1_000_000_000 {
            return Err(input.fault(Fault::Meaning));
        }
        let seconds = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        Ok(Time { seconds, nanos, zone: i16::from_be_bytes([z0, z1]) })
    }
}
