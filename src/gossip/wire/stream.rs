//! What a TCP connection carries: one message each way, compressed and sealed as a whole.
//!
//! [`StreamReader`] takes bytes as they arrive and says when the message is whole; it never reads a byte twice but for
//! the small value that was cut off.

use super::keyring::KeyError;
use super::lzw;
use super::message::{Ack, Ping, decode_ack, decode_ping, kind};
use super::msgpack::{DecodeError, Reader, Writer};
use super::packet::{Envelope, PacketError, compress, compressed_frame, label_header};
use super::state::{PushPull, decode_header, decode_node};
use rand::RngCore;

/// The largest sealed or plain message that is taken, and the most that a compressed one may open to.
pub const MAX_STREAM: usize = 20 * 1024 * 1024;

/// Why a stream was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StreamError {
    /// More than [`MAX_STREAM`].
    #[error("the message is larger than {MAX_STREAM} bytes")]
    TooLarge,
    /// Memberlist's text for a sealed stream to a member without keys.
    #[error("Remote state is encrypted and encryption is not configured")]
    SealedWithoutKeys,
    /// Memberlist's text for a plain stream to a member with keys.
    #[error("Encryption is configured but remote state is not encrypted")]
    PlainDespiteKeys,
    /// It does not open with our keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The label, the compression or the shape is wrong.
    #[error(transparent)]
    Layer(#[from] PacketError),
    /// The other side closed before the message was whole.
    #[error("EOF")]
    Closed,
}

impl From<DecodeError> for StreamError {
    fn from(error: DecodeError) -> Self {
        StreamError::Layer(error.into())
    }
}

impl From<lzw::LzwError> for StreamError {
    fn from(error: lzw::LzwError) -> Self {
        StreamError::Layer(error.into())
    }
}

/// One message of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamMessage<'a> {
    /// A whole state.
    PushPull(PushPull<'a>),
    /// A ping to one whose UDP does not answer.
    Ping(Ping<'a>),
    /// Its answer.
    Ack(Ack<'a>),
    /// Bytes for the layer above.
    User(&'a [u8]),
    /// Why the other side refused ours.
    Err(&'a str),
}

impl<'a> StreamMessage<'a> {
    /// Reads a whole message.
    ///
    /// # Errors
    /// Another shape, or a type that no stream has.
    pub fn decode(message: &'a [u8]) -> Result<StreamMessage<'a>, DecodeError> {
        let (&kind, body) = message.split_first().ok_or(DecodeError::Truncated)?;
        let r = &mut Reader::new(body);
        Ok(match kind {
            kind::PUSH_PULL => StreamMessage::PushPull(PushPull::decode(body)?),
            kind::PING => StreamMessage::Ping(decode_ping(r)?),
            kind::ACK => StreamMessage::Ack(decode_ack(r)?),
            kind::USER => {
                let len = user_len(r)?;
                StreamMessage::User(r.take(len)?)
            }
            kind::ERR => {
                let mut text = "";
                r.fields(|key, r| {
                    if key == "Error" {
                        text = r.str()?;
                    }
                    Ok(key == "Error")
                })?;
                StreamMessage::Err(text)
            }
            other => return Err(DecodeError::UnknownType(other)),
        })
    }
}

fn user_len(r: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let mut len = 0;
    r.fields(|key, r| {
        if key == "UserMsgLen" {
            len = r.number()?;
        }
        Ok(key == "UserMsgLen")
    })?;
    if len > MAX_STREAM { Err(DecodeError::TooLarge("user message")) } else { Ok(len) }
}

/// The refusal of a stream.
pub fn encode_error(text: &str) -> Vec<u8> {
    let mut w = Writer::typed(kind::ERR);
    w.map(1).str("Error").str(text);
    w.finish()
}

impl Envelope {
    /// Wraps a message for a stream. `dialed`: we opened it, and so name the pool at its start.
    pub fn seal_stream(&self, rng: &mut impl RngCore, message: Vec<u8>, dialed: bool) -> Vec<u8> {
        let mut out = if dialed && !self.label.is_empty() { label_header(&self.label) } else { Vec::new() };
        let plain = if self.compress { compress(&message) } else { message };
        if self.seals() {
            let len = plain.len() + super::keyring::OVERHEAD;
            let mut head = vec![kind::ENCRYPT];
            head.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            let aad = [&head, &self.label[..]].concat();
            if let Some(sealed) = self.keyring.seal(rng, &plain, &aad) {
                out.extend_from_slice(&head);
                out.extend_from_slice(&sealed);
                return out;
            }
        }
        out.extend_from_slice(&plain);
        out
    }
}

#[derive(Clone, Copy, Debug)]
enum Scan {
    Header,
    Nodes { left: usize, user_len: usize },
    User { len: usize },
}

/// Collects one message.
#[derive(Clone, Debug)]
pub struct StreamReader {
    buf: Vec<u8>,
    labelled: bool,
    scan: Scan,
    at: usize,
}

impl StreamReader {
    /// A reader of a stream; `dialed`: we opened it, so the other side does not name the pool.
    pub fn new(dialed: bool) -> Self {
        StreamReader { buf: Vec::new(), labelled: dialed, scan: Scan::Header, at: 1 }
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.buf.len()
    }

    /// Takes what arrived.
    ///
    /// # Errors
    /// [`StreamError::TooLarge`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if self.buf.len() + bytes.len() > MAX_STREAM + 1024 {
            return Err(StreamError::TooLarge);
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    /// The bare message once it is whole, `None` while more must come.
    ///
    /// # Errors
    /// Whatever makes the stream unreadable for good.
    pub fn poll(&mut self, envelope: &Envelope) -> Result<Option<Vec<u8>>, StreamError> {
        if !self.labelled && !self.strip_label(&envelope.label)? {
            return Ok(None);
        }
        let Some(&kind) = self.buf.first() else { return Ok(None) };
        if kind == kind::ENCRYPT {
            return self.poll_sealed(envelope);
        }
        if !envelope.keyring.is_empty() && envelope.verify_incoming {
            return Err(StreamError::PlainDespiteKeys);
        }
        if kind == kind::COMPRESS {
            return match compressed_frame(&mut Reader::new(&self.buf[1..])) {
                Ok(frame) => Ok(Some(lzw::decompress(frame, MAX_STREAM)?)),
                Err(PacketError::Malformed(DecodeError::Truncated)) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        let whole = match kind {
            kind::PUSH_PULL => self.scan_state(),
            kind::USER => {
                let mut r = Reader::new(&self.buf[1..]);
                user_len(&mut r).and_then(|len| r.take(len)).map(|_| ())
            }
            _ => Reader::new(&self.buf[1..]).skip(),
        };
        match whole {
            Ok(()) => Ok(Some(std::mem::take(&mut self.buf))),
            Err(DecodeError::Truncated) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn strip_label(&mut self, ours: &[u8]) -> Result<bool, StreamError> {
        match self.buf.first() {
            None => Ok(false),
            Some(&kind::HAS_LABEL) => {
                let Some(&len) = self.buf.get(1) else { return Ok(false) };
                let end = 2 + usize::from(len);
                let Some(label) = self.buf.get(2..end) else { return Ok(false) };
                if label.is_empty() || label != ours {
                    return Err(PacketError::Label.into());
                }
                self.buf.drain(..end);
                self.labelled = true;
                Ok(true)
            }
            Some(_) if ours.is_empty() => {
                self.labelled = true;
                Ok(true)
            }
            Some(_) => Err(PacketError::Label.into()),
        }
    }

    fn poll_sealed(&mut self, envelope: &Envelope) -> Result<Option<Vec<u8>>, StreamError> {
        if envelope.keyring.is_empty() {
            return Err(StreamError::SealedWithoutKeys);
        }
        let Some(len) = self.buf.get(1..5) else { return Ok(None) };
        let len = len.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        if len > MAX_STREAM {
            return Err(StreamError::TooLarge);
        }
        let Some(sealed) = self.buf.get(5..5 + len) else { return Ok(None) };
        let aad = [&self.buf[..5], &envelope.label[..]].concat();
        let plain = envelope.keyring.open(sealed, &aad)?;
        self.buf = Vec::new();
        if plain.first() == Some(&kind::COMPRESS) {
            let frame = compressed_frame(&mut Reader::new(&plain[1..]))?;
            return Ok(Some(lzw::decompress(frame, MAX_STREAM)?));
        }
        Ok(Some(plain))
    }

    /// Walks over the parts of a state that are there, from where it stood.
    fn scan_state(&mut self) -> Result<(), DecodeError> {
        loop {
            let mut r = Reader::new(&self.buf[self.at..]);
            match self.scan {
                Scan::Header => {
                    let h = decode_header(&mut r)?;
                    self.scan = Scan::Nodes { left: h.nodes, user_len: h.user_len };
                }
                Scan::Nodes { left: 0, user_len } => self.scan = Scan::User { len: user_len },
                Scan::Nodes { left, user_len } => {
                    decode_node(&mut r)?;
                    self.scan = Scan::Nodes { left: left - 1, user_len };
                }
                Scan::User { len } => {
                    r.take(len)?;
                    return Ok(());
                }
            }
            self.at += r.position();
        }
    }
}

#[cfg(test)]
#[path = "stream_test.rs"]
mod tests;
