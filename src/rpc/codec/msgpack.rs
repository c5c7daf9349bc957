//! The dialect of msgpack that Consul speaks: the format before strings and bytes were told apart.
//!
//! Written: "raw" for text and bytes alike, the smallest form of every number, struct maps with their keys in order.
//! Read: that, and the newer `str` and `bin` forms, any width of a number, `nil` for the zero value of anything.

use std::fmt;

/// Deepest nesting of containers that is read. Consul's deepest message (a proxy's settings in a service in a
/// transaction) needs about ten, free-form settings a few more.
pub const MAX_DEPTH: usize = 40;

/// Why bytes are not the message that was expected. Nothing was changed; a retry cannot help.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("msgpack: {fault} at byte {at}{}", Field(field))]
pub struct DecodeError {
    /// What is wrong.
    pub fault: Fault,
    /// Offset of the value it is about.
    pub at: usize,
    /// The innermost field that was being read; empty outside of any.
    pub field: &'static str,
}

struct Field<'a>(&'a &'static str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in {}", self.0) }
    }
}

/// What can be wrong with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// It ends too early.
    #[error("the message ends too early")]
    Truncated,
    /// Something follows the value.
    #[error("bytes follow the message")]
    Trailing,
    /// Containers within containers, deeper than [`MAX_DEPTH`].
    #[error("nested too deeply")]
    TooDeep,
    /// Larger than the reader takes.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Small on the wire, but it would take much memory.
    #[error("would take more memory than a message of its size may")]
    Bloated,
    /// Another kind of value.
    #[error("expected {wanted}, found byte {found:#04x}")]
    Kind {
        /// What should be there.
        wanted: &'static str,
        /// The first byte of what is there.
        found: u8,
    },
    /// A number that the field cannot hold.
    #[error("number out of range")]
    Range,
    /// A name or key that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// Something that this field never says.
    #[error("not a value of this field")]
    Meaning,
}

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// An empty message.
    pub fn new() -> Self {
        Encoder::default()
    }

    /// The bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Appends what is msgpack already.
    pub fn verbatim(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The absent value.
    pub fn nil(&mut self) {
        self.out.push(0xc0);
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.out.push(0xc2 + u8::from(value));
    }

    /// A number that is not negative, in its smallest form.
    pub fn uint(&mut self, value: u64) {
        match value {
            0..=0x7f => self.out.push(value as u8),
            0x80..=0xff => self.out.extend_from_slice(&[0xcc, value as u8]),
            0x100..=0xffff => self.tagged(0xcd, &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.tagged(0xce, &(value as u32).to_be_bytes()),
            _ => self.tagged(0xcf, &value.to_be_bytes()),
        }
    }

    /// A signed number; one that is not negative takes the unsigned form.
    pub fn int(&mut self, value: i64) {
        match value {
            0.. => self.uint(value as u64),
            -0x20..0 => self.out.push(value as u8),
            -0x80..-0x20 => self.tagged(0xd0, &(value as i8).to_be_bytes()),
            -0x8000..-0x80 => self.tagged(0xd1, &(value as i16).to_be_bytes()),
            -0x8000_0000..-0x8000 => self.tagged(0xd2, &(value as i32).to_be_bytes()),
            _ => self.tagged(0xd3, &value.to_be_bytes()),
        }
    }

    /// A floating-point number.
    pub fn f64(&mut self, value: f64) {
        self.tagged(0xcb, &value.to_bits().to_be_bytes());
    }

    /// A floating-point number of single width.
    pub fn f32(&mut self, value: f32) {
        self.tagged(0xca, &value.to_bits().to_be_bytes());
    }

    /// Text or bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.sized(bytes.len(), 0xa0, 0x1f, [0xda, 0xdb]);
        self.out.extend_from_slice(bytes);
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    /// Announces an array.
    pub fn array(&mut self, len: usize) {
        self.sized(len, 0x90, 0x0f, [0xdc, 0xdd]);
    }

    /// Announces a map: a key and a value for each of `len`.
    pub fn map(&mut self, len: usize) {
        self.sized(len, 0x80, 0x0f, [0xde, 0xdf]);
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.out.extend_from_slice(bytes);
    }

    fn sized(&mut self, len: usize, fix: u8, fix_max: usize, wide: [u8; 2]) {
        match len {
            _ if len <= fix_max => self.out.push(fix | len as u8),
            0..=0xffff => self.tagged(wide[0], &(len as u16).to_be_bytes()),
            _ => {
                let len = u32::try_from(len).expect("nothing of ours is 4 GiB long");
                self.tagged(wide[1], &len.to_be_bytes());
            }
        }
    }
}

/// The first bytes of a value: what it is and how much belongs to it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Token {
    /// `nil`.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A number that is not negative.
    Uint(u64),
    /// A negative number.
    Int(i64),
    /// A floating-point number; `true` if it had single width.
    Float(f64, bool),
    /// So many bytes follow.
    Raw(usize),
    /// So many values follow.
    Array(usize),
    /// So many pairs follow.
    Map(usize),
    /// An extension: so many bytes follow, of which the first is its type.
    Ext(usize),
}

impl Token {
    /// Reads a token; its length, or `None` if the bytes do not suffice. `Err` on the one byte that begins nothing.
    pub fn read(bytes: &[u8]) -> Result<Option<(Token, usize)>, u8> {
        let Some(&tag) = bytes.first() else { return Ok(None) };
        let wide = |n: usize| -> Option<u64> {
            let bytes = bytes.get(1..=n)?;
            Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        let len = |n: usize| wide(n).map(|value| value as usize);
        let signed = |n: usize, value: u64| match (value << (64 - 8 * n)) as i64 >> (64 - 8 * n) {
            value @ 0.. => Token::Uint(value as u64),
            value => Token::Int(value),
        };
        let read = match tag {
            0x00..=0x7f => Some((Token::Uint(u64::from(tag)), 1)),
            0x80..=0x8f => Some((Token::Map(usize::from(tag & 0x0f)), 1)),
            0x90..=0x9f => Some((Token::Array(usize::from(tag & 0x0f)), 1)),
            0xa0..=0xbf => Some((Token::Raw(usize::from(tag & 0x1f)), 1)),
            0xc0 => Some((Token::Nil, 1)),
            0xc1 => return Err(tag),
            0xc2 | 0xc3 => Some((Token::Bool(tag == 0xc3), 1)),
            0xc4 | 0xd9 => len(1).map(|n| (Token::Raw(n), 2)),
            0xc5 | 0xda => len(2).map(|n| (Token::Raw(n), 3)),
            0xc6 | 0xdb => len(4).map(|n| (Token::Raw(n), 5)),
            0xc7..=0xc9 => {
                let width = 1 << (tag - 0xc7);
                len(width).map(|n| (Token::Ext(n + 1), 1 + width))
            }
            0xca => wide(4).map(|bits| (Token::Float(f64::from(f32::from_bits(bits as u32)), true), 5)),
            0xcb => wide(8).map(|bits| (Token::Float(f64::from_bits(bits), false), 9)),
            0xcc..=0xcf => {
                let width = 1 << (tag - 0xcc);
                wide(width).map(|value| (Token::Uint(value), 1 + width))
            }
            0xd0..=0xd3 => {
                let width = 1 << (tag - 0xd0);
                wide(width).map(|value| (signed(width, value), 1 + width))
            }
            0xd4..=0xd8 => Some((Token::Ext((1 << (tag - 0xd4)) + 1), 1)),
            0xdc => len(2).map(|n| (Token::Array(n), 3)),
            0xdd => len(4).map(|n| (Token::Array(n), 5)),
            0xde => len(2).map(|n| (Token::Map(n), 3)),
            0xdf => len(4).map(|n| (Token::Map(n), 5)),
            0xe0..=0xff => Some((Token::Int(i64::from(tag as i8)), 1)),
        };
        Ok(read)
    }
}

/// Reads values from a whole message.
///
/// What it builds is bounded by the size of the message: every element that is kept is charged with its size in
/// memory, and the account holds sixteen times the message and a little more. Ordinary messages come nowhere near; a
/// megabyte of empty maps, each to become a record, does.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    account: usize,
    field: &'static str,
}

impl<'a> Decoder<'a> {
    /// At the beginning of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        let account = bytes.len().saturating_mul(16).saturating_add(64 * 1024);
        Decoder { bytes, at: 0, depth: 0, account, field: "" }
    }

    /// Refuses what follows the message.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault(Fault::Trailing)) }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// An error about the value that comes next, or the one just read.
    pub fn fault(&self, fault: Fault) -> DecodeError {
        DecodeError { fault, at: self.at, field: self.field }
    }

    /// Names the field that is read next, for errors.
    pub fn enter_field(&mut self, field: &'static str) {
        self.field = field;
    }

    /// Whether `nil` comes next; reads it if so.
    pub fn nil(&mut self) -> bool {
        let nil = self.bytes.get(self.at) == Some(&0xc0);
        self.at += usize::from(nil);
        nil
    }

    /// What comes next, unread.
    pub fn peek(&self) -> Result<Token, DecodeError> {
        match Token::read(self.rest()) {
            Ok(Some((token, _))) => Ok(token),
            Ok(None) => Err(self.fault(Fault::Truncated)),
            Err(found) => Err(self.fault(Fault::Kind { wanted: "a value", found })),
        }
    }

    /// The next token. The bytes or values that belong to it are still to be read.
    fn token(&mut self) -> Result<Token, DecodeError> {
        match Token::read(self.rest()) {
            Ok(Some((token, len))) => {
                self.at += len;
                Ok(token)
            }
            Ok(None) => Err(self.fault(Fault::Truncated)),
            Err(found) => Err(self.fault(Fault::Kind { wanted: "a value", found })),
        }
    }

    fn expect<T>(
        &mut self,
        wanted: &'static str,
        read: impl FnOnce(Token) -> Option<T>,
    ) -> Result<T, DecodeError> {
        let at = self.at;
        let token = self.token()?;
        read(token).ok_or_else(|| DecodeError {
            fault: Fault::Kind { wanted, found: self.bytes[at] },
            at,
            field: self.field,
        })
    }

    /// A truth value.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.expect("a bool", |token| match token {
            Token::Bool(value) => Some(value),
            Token::Nil => Some(false),
            _ => None,
        })
    }

    /// A number that is not negative.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        self.expect("a number that is not negative", |token| match token {
            Token::Uint(value) => Some(value),
            Token::Nil => Some(0),
            _ => None,
        })
    }

    /// A signed number.
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let value = self.expect("a number", |token| match token {
            Token::Uint(value) => Some(i64::try_from(value)),
            Token::Int(value) => Some(Ok(value)),
            Token::Nil => Some(Ok(0)),
            _ => None,
        })?;
        value.map_err(|_| self.fault(Fault::Range))
    }

    /// A floating-point number; whole numbers are taken too.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.expect("a number", |token| match token {
            Token::Float(value, _) => Some(value),
            Token::Uint(value) => Some(value as f64),
            Token::Int(value) => Some(value as f64),
            Token::Nil => Some(0.0),
            _ => None,
        })
    }

    /// Text or bytes; `nil` is empty.
    pub fn raw(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.expect("text", |token| match token {
            Token::Raw(len) => Some(len),
            Token::Nil => Some(0),
            _ => None,
        })?;
        self.bytes(len)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.rest().get(..len).ok_or_else(|| self.fault(Fault::Truncated))?;
        self.at += len;
        Ok(bytes)
    }

    /// Text that must be UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.at;
        let bytes = self.raw()?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError { fault: Fault::Text, at, field: self.field })
    }

    /// Enters an array: how many values follow; `None` for `nil`. Call [`Decoder::leave`] after the last.
    pub fn array(&mut self) -> Result<Option<usize>, DecodeError> {
        let len = self.expect("an array", |token| match token {
            Token::Array(len) => Some(Some(len)),
            Token::Nil => Some(None),
            _ => None,
        })?;
        self.enter(len, 1)
    }

    /// Enters a map: how many pairs follow; `None` for `nil`. Call [`Decoder::leave`] after the last.
    pub fn map(&mut self) -> Result<Option<usize>, DecodeError> {
        let len = self.expect("a map", |token| match token {
            Token::Map(len) => Some(Some(len)),
            Token::Nil => Some(None),
            _ => None,
        })?;
        self.enter(len, 2)
    }

    fn enter(&mut self, len: Option<usize>, least: usize) -> Result<Option<usize>, DecodeError> {
        let Some(len) = len else { return Ok(None) };
        // Each value takes a byte at least: a count that the message cannot hold is refused before anything is built.
        if len.checked_mul(least).is_none_or(|bytes| bytes > self.rest().len()) {
            return Err(self.fault(Fault::Truncated));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(Fault::TooDeep));
        }
        Ok(Some(len))
    }

    /// Leaves the container entered last. `nil` was never entered.
    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Charges an element that is about to be kept.
    pub fn charge<T>(&mut self) -> Result<(), DecodeError> {
        match self.account.checked_sub(size_of::<T>()) {
            Some(rest) => {
                self.account = rest;
                Ok(())
            }
            None => Err(self.fault(Fault::Bloated)),
        }
    }

    /// Passes over one value; the bytes it took.
    pub fn skip(&mut self) -> Result<&'a [u8], DecodeError> {
        let from = self.at;
        // How many values are still to come, per container that is open.
        let mut open = vec![1_usize];
        while let Some(left) = open.last_mut() {
            if *left == 0 {
                open.pop();
                continue;
            }
            *left -= 1;
            match self.token()? {
                Token::Raw(len) | Token::Ext(len) => {
                    self.bytes(len)?;
                }
                Token::Array(len) => open.push(len),
                Token::Map(len) => open.push(len.checked_mul(2).ok_or_else(|| self.fault(Fault::Truncated))?),
                Token::Nil | Token::Bool(_) | Token::Uint(_) | Token::Int(_) | Token::Float(..) => {}
            }
            if self.depth + open.len() > MAX_DEPTH + 1 {
                return Err(self.fault(Fault::TooDeep));
            }
        }
        Ok(&self.bytes[from..self.at])
    }

    /// Reads one token of any kind, with its bytes if it has some; containers are entered.
    pub(crate) fn any(&mut self) -> Result<(Token, &'a [u8]), DecodeError> {
        let token = self.token()?;
        let bytes = match token {
            Token::Raw(len) | Token::Ext(len) => self.bytes(len)?,
            Token::Array(len) => {
                self.enter(Some(len), 1)?;
                &[]
            }
            Token::Map(len) => {
                self.enter(Some(len), 2)?;
                &[]
            }
            _ => &[],
        };
        Ok((token, bytes))
    }
}
