//! The msgpack dialect of memberlist and Serf: old raw strings, maps with Go field names, big-endian numbers.
//!
//! The writer emits what the real agents emit (`raw` for strings and bytes, the smallest integer form). The reader also
//! takes `str8` and `bin`, any integer width, and nil where a value may be missing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a value could not be read. Nothing was changed by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The value goes on behind the end of what is there. On a stream: wait for more.
    #[error("the value ends early")]
    Truncated,
    /// Another type than the field has.
    #[error("a value of another type than {0}")]
    Type(&'static str),
    /// A number too large for the field.
    #[error("a number out of range for {0}")]
    Range(&'static str),
    /// A name that is no UTF-8.
    #[error("a name that is no UTF-8")]
    Utf8,
    /// An address of neither 4 nor 16 bytes.
    #[error("an address of {0} bytes")]
    Address(usize),
    /// More elements or bytes than the limit allows.
    #[error("{0} over its limit")]
    TooLarge(&'static str),
    /// Nested deeper than anything real.
    #[error("nested too deeply")]
    Depth,
    /// A byte of type that stands for no message.
    #[error("message type {0} is unknown here")]
    UnknownType(u8),
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Containers inside a value that is skipped.
const MAX_DEPTH: u32 = 32;

/// Reads values off a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `buf`.
    pub fn new(buf: &'a [u8]) -> Self {
        Reader { buf, pos: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        &self.buf[self.pos..]
    }

    /// The next `n` bytes, whatever they are.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.pos.checked_add(n).ok_or(DecodeError::Truncated)?;
        let out = self.buf.get(self.pos..end).ok_or(DecodeError::Truncated)?;
        self.pos = end;
        Ok(out)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn peek(&self) -> Result<u8> {
        self.buf.get(self.pos).copied().ok_or(DecodeError::Truncated)
    }

    fn be(&mut self, n: usize) -> Result<u64> {
        Ok(self.take(n)?.iter().fold(0, |acc, b| acc << 8 | u64::from(*b)))
    }

    /// Whether the next value is nil; it is taken if so.
    pub fn nil(&mut self) -> Result<bool> {
        let nil = self.peek()? == 0xc0;
        if nil {
            self.pos += 1;
        }
        Ok(nil)
    }

    /// The length of a map; nil counts as an empty one.
    pub fn map(&mut self) -> Result<u32> {
        match self.byte()? {
            0xc0 => Ok(0),
            b @ 0x80..=0x8f => Ok(u32::from(b & 0x0f)),
            0xde => Ok(self.be(2)? as u32),
            0xdf => Ok(self.be(4)? as u32),
            _ => Err(DecodeError::Type("map")),
        }
    }

    /// The length of an array; nil counts as an empty one.
    pub fn array(&mut self) -> Result<u32> {
        match self.byte()? {
            0xc0 => Ok(0),
            b @ 0x90..=0x9f => Ok(u32::from(b & 0x0f)),
            0xdc => Ok(self.be(2)? as u32),
            0xdd => Ok(self.be(4)? as u32),
            _ => Err(DecodeError::Type("array")),
        }
    }

    /// A byte string in any of its forms; nil counts as an empty one.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = match self.byte()? {
            0xc0 => 0,
            b @ 0xa0..=0xbf => usize::from(b & 0x1f),
            0xd9 | 0xc4 => self.be(1)? as usize,
            0xda | 0xc5 => self.be(2)? as usize,
            0xdb | 0xc6 => self.be(4)? as usize,
            _ => return Err(DecodeError::Type("bytes")),
        };
        self.take(len)
    }

    /// A byte string that is UTF-8.
    pub fn str(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8)
    }

    /// An integer of any width and sign class.
    pub fn int(&mut self) -> Result<i128> {
        Ok(match self.byte()? {
            b @ 0x00..=0x7f => i128::from(b),
            b @ 0xe0..=0xff => i128::from(b as i8),
            0xcc => i128::from(self.be(1)?),
            0xcd => i128::from(self.be(2)?),
            0xce => i128::from(self.be(4)?),
            0xcf => i128::from(self.be(8)?),
            0xd0 => i128::from(self.be(1)? as i8),
            0xd1 => i128::from(self.be(2)? as i16),
            0xd2 => i128::from(self.be(4)? as i32),
            0xd3 => i128::from(self.be(8)? as i64),
            0xc0 => 0,
            _ => return Err(DecodeError::Type("integer")),
        })
    }

    /// An integer that fits `T`.
    pub fn number<T: TryFrom<i128>>(&mut self) -> Result<T> {
        T::try_from(self.int()?).map_err(|_| DecodeError::Range("integer"))
    }

    /// A float; integers count too, for encoders that shorten them.
    pub fn float(&mut self) -> Result<f64> {
        match self.peek()? {
            0xcb => {
                self.pos += 1;
                Ok(f64::from_bits(self.be(8)?))
            }
            0xca => {
                self.pos += 1;
                Ok(f64::from(f32::from_bits(self.be(4)? as u32)))
            }
            _ => Ok(self.int()? as f64),
        }
    }

    /// A boolean.
    pub fn bool(&mut self) -> Result<bool> {
        match self.byte()? {
            0xc2 | 0xc0 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(DecodeError::Type("boolean")),
        }
    }

    /// An IP address of 4 or 16 bytes; an empty string is none. A mapped IPv4 address comes back as IPv4.
    pub fn ip(&mut self) -> Result<Option<IpAddr>> {
        let raw = self.bytes()?;
        match raw.len() {
            0 => Ok(None),
            4 => Ok(Some(IpAddr::V4(Ipv4Addr::new(raw[0], raw[1], raw[2], raw[3])))),
            16 => {
                let mut octets = [0; 16];
                octets.copy_from_slice(raw);
                Ok(Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()))
            }
            n => Err(DecodeError::Address(n)),
        }
    }

    /// Passes over one value of any kind.
    pub fn skip(&mut self) -> Result<()> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::Depth);
        }
        let b = self.peek()?;
        match b {
            0x80..=0x8f | 0xde | 0xdf => {
                for _ in 0..self.map()? {
                    self.skip_nested(depth + 1)?;
                    self.skip_nested(depth + 1)?;
                }
            }
            0x90..=0x9f | 0xdc | 0xdd => {
                for _ in 0..self.array()? {
                    self.skip_nested(depth + 1)?;
                }
            }
            0xa0..=0xbf | 0xd9..=0xdb | 0xc4..=0xc6 => {
                self.bytes()?;
            }
            0xca | 0xcb => {
                self.float()?;
            }
            0xc0 | 0xc2 | 0xc3 => {
                self.byte()?;
            }
            0xc7..=0xc9 => {
                self.byte()?;
                let len = self.be(1 << (b - 0xc7))? as usize;
                self.take(len.saturating_add(1))?;
            }
            0xd4..=0xd8 => {
                self.byte()?;
                self.take((1 << (b - 0xd4)) + 1)?;
            }
            0xc1 => return Err(DecodeError::Type("any value")),
            _ => {
                self.int()?;
            }
        }
        Ok(())
    }

    /// Reads a map with Go field names: `field` is called with each name and must read the value or say `false`,
    /// whereupon it is passed over.
    pub fn fields(&mut self, mut field: impl FnMut(&'a str, &mut Self) -> Result<bool>) -> Result<()> {
        for _ in 0..self.map()? {
            let key = self.bytes()?;
            let known = match std::str::from_utf8(key) {
                Ok(key) => field(key, self)?,
                Err(_) => false,
            };
            if !known {
                self.skip()?;
            }
        }
        Ok(())
    }
}

/// Writes values as the real agents write them.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Writer(Vec::with_capacity(128))
    }

    /// A buffer that starts with a byte of type.
    pub fn typed(kind: u8) -> Self {
        let mut w = Writer::new();
        w.0.push(kind);
        w
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn sized(&mut self, fix: u8, fix_max: usize, wide: [u8; 2], len: usize) {
        if len <= fix_max {
            self.0.push(fix | len as u8);
        } else if let Ok(len) = u16::try_from(len) {
            self.0.push(wide[0]);
            self.0.extend_from_slice(&len.to_be_bytes());
        } else {
            self.0.push(wide[1]);
            self.0.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }

    /// The head of a map with `len` pairs.
    pub fn map(&mut self, len: usize) -> &mut Self {
        self.sized(0x80, 15, [0xde, 0xdf], len);
        self
    }

    /// The head of an array with `len` elements.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.sized(0x90, 15, [0xdc, 0xdd], len);
        self
    }

    /// Nil.
    pub fn nil(&mut self) -> &mut Self {
        self.0.push(0xc0);
        self
    }

    /// A byte string in the raw form.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.sized(0xa0, 31, [0xda, 0xdb], bytes.len());
        self.raw(bytes)
    }

    /// A string in the raw form.
    pub fn str(&mut self, s: &str) -> &mut Self {
        self.bytes(s.as_bytes())
    }

    /// A byte string, or nil for none.
    pub fn opt_bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.nil(),
        }
    }

    /// A number that is not negative.
    pub fn uint(&mut self, n: u64) -> &mut Self {
        match n {
            0..=0x7f => self.0.push(n as u8),
            0x80..=0xff => self.0.extend_from_slice(&[0xcc, n as u8]),
            0x100..=0xffff => {
                self.0.push(0xcd);
                self.0.extend_from_slice(&(n as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(0xce);
                self.0.extend_from_slice(&(n as u32).to_be_bytes());
            }
            _ => {
                self.0.push(0xcf);
                self.0.extend_from_slice(&n.to_be_bytes());
            }
        }
        self
    }

    /// A number of either sign.
    pub fn int(&mut self, n: i64) -> &mut Self {
        if let Ok(n) = u64::try_from(n) {
            return self.uint(n);
        }
        if n >= -32 {
            self.0.push(n as u8);
        } else if let Ok(n) = i8::try_from(n) {
            self.0.extend_from_slice(&[0xd0, n as u8]);
        } else if let Ok(n) = i16::try_from(n) {
            self.0.push(0xd1);
            self.0.extend_from_slice(&n.to_be_bytes());
        } else if let Ok(n) = i32::try_from(n) {
            self.0.push(0xd2);
            self.0.extend_from_slice(&n.to_be_bytes());
        } else {
            self.0.push(0xd3);
            self.0.extend_from_slice(&n.to_be_bytes());
        }
        self
    }

    /// A boolean.
    pub fn bool(&mut self, b: bool) -> &mut Self {
        self.0.push(if b { 0xc3 } else { 0xc2 });
        self
    }

    /// A float of 64 bits.
    pub fn float(&mut self, f: f64) -> &mut Self {
        self.0.push(0xcb);
        self.0.extend_from_slice(&f.to_bits().to_be_bytes());
        self
    }

    /// An address as 4 or 16 raw bytes.
    pub fn ip(&mut self, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
    }
}
