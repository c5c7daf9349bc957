//! What a datagram is wrapped in: label, encryption, checksum, compression, compound.

use super::compound;
use super::keyring::{KeyError, Keyring};
use super::lzw::{self, LzwError};
use super::message::kind;
use super::msgpack::{DecodeError, Reader, Writer};
use rand::RngCore;

/// What one datagram may open to, all its layers together. Real ones stay below 64 KiB.
pub const MAX_OPENED: usize = 256 * 1024;
/// How deep wrappers may be nested. Real ones: checksum, compression, compound.
const MAX_NESTING: u32 = 5;

/// Why a packet, or a part of it, was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    /// It carries another label than ours, or none where we have one.
    #[error("the packet's label is not ours")]
    Label,
    /// It does not open with our keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its checksum is wrong.
    #[error("the packet's checksum is wrong")]
    Checksum,
    /// Its compression is broken or opens to too much.
    #[error(transparent)]
    Compression(#[from] LzwError),
    /// A compression that nobody speaks.
    #[error("compression algorithm {0} is unknown")]
    Algorithm(u8),
    /// A wrapper of another shape.
    #[error("the packet is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// Wrappers within wrappers.
    #[error("the packet is nested too deeply")]
    Nesting,
}

/// How packets are sealed and opened.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// The pool's label; empty for none, as before memberlist 0.3.
    pub label: Vec<u8>,
    /// The keys; empty for none.
    pub keyring: Keyring,
    /// Drop what is not encrypted although we have keys.
    pub verify_incoming: bool,
    /// Encrypt what we send. False while encryption is being rolled out.
    pub verify_outgoing: bool,
    /// Compress where it helps.
    pub compress: bool,
}

impl Envelope {
    /// Whether what we send is encrypted.
    pub fn seals(&self) -> bool {
        self.verify_outgoing && !self.keyring.is_empty()
    }

    /// Bytes that sealing takes from a packet's budget.
    pub fn overhead(&self) -> usize {
        let label = if self.label.is_empty() { 0 } else { 2 + self.label.len() };
        label + if self.seals() { super::keyring::OVERHEAD } else { 0 }
    }

    /// Wraps one message (maybe a compound) for a datagram.
    pub fn seal(&self, rng: &mut impl RngCore, message: Vec<u8>, checksum: bool) -> Vec<u8> {
        let mut packet = message;
        if self.compress {
            let small = compress(&packet);
            if small.len() < packet.len() {
                packet = small;
            }
        }
        if checksum {
            let mut out = Vec::with_capacity(5 + packet.len());
            out.push(kind::HAS_CRC);
            out.extend_from_slice(&crc32fast::hash(&packet).to_be_bytes());
            out.extend_from_slice(&packet);
            packet = out;
        }
        if self.seals()
            && let Some(sealed) = self.keyring.seal(rng, &packet, &self.label)
        {
            packet = sealed;
        }
        if !self.label.is_empty() {
            let mut out = label_header(&self.label);
            out.extend_from_slice(&packet);
            packet = out;
        }
        packet
    }

    /// Opens a datagram and hands each bare message in it to `sink`, in order. Whole members of a cut compound are
    /// handed over; what could not be read is counted in the answer.
    ///
    /// # Errors
    /// The outermost layer that could not be opened. Nothing was handed over then.
    pub fn open(&self, packet: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<Dropped, PacketError> {
        let packet = strip_label(packet, &self.label)?;
        let opened;
        let mut packet = packet;
        if !self.keyring.is_empty() {
            match self.keyring.open(packet, &self.label) {
                Ok(plain) => {
                    opened = plain;
                    packet = &opened;
                }
                Err(error) if self.verify_incoming => return Err(error.into()),
                Err(_) => {}
            }
        }
        if packet.len() >= 5 && packet[0] == kind::HAS_CRC {
            let (sum, rest) = packet[1..].split_first_chunk::<4>().ok_or(DecodeError::Truncated)?;
            if crc32fast::hash(rest).to_be_bytes() != *sum {
                return Err(PacketError::Checksum);
            }
            packet = rest;
        }
        let mut peel = Peel { budget: MAX_OPENED, dropped: Dropped::default(), sink };
        peel.message(packet, 0)?;
        Ok(peel.dropped)
    }
}

/// Parts of a packet that could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// How many.
    pub count: usize,
    /// Why the first of them was dropped; none: it was cut off.
    pub first: Option<PacketError>,
}

struct Peel<'s> {
    budget: usize,
    dropped: Dropped,
    sink: &'s mut dyn FnMut(&[u8]),
}

impl Peel<'_> {
    fn message(&mut self, message: &[u8], depth: u32) -> Result<(), PacketError> {
        if depth > MAX_NESTING {
            return Err(PacketError::Nesting);
        }
        match message.first() {
            None => Ok(()),
            Some(&kind::COMPOUND) => {
                let (members, cut) = compound::decode(&message[1..]);
                for member in members {
                    if let Err(error) = self.message(member, depth + 1) {
                        self.dropped.count += 1;
                        self.dropped.first.get_or_insert(error);
                    }
                }
                self.dropped.count += cut;
                Ok(())
            }
            Some(&kind::COMPRESS) => {
                let plain = decompress(&message[1..], self.budget)?;
                self.budget -= plain.len();
                self.message(&plain, depth + 1)
            }
            Some(_) => {
                (self.sink)(message);
                Ok(())
            }
        }
    }
}

/// A compress message around another message.
pub(crate) fn compress(message: &[u8]) -> Vec<u8> {
    let mut w = Writer::typed(kind::COMPRESS);
    w.map(2).str("Algo").uint(0).str("Buf").bytes(&lzw::compress(message));
    w.finish()
}

/// The frame inside a compress message (without its type byte).
pub(crate) fn compressed_frame<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], PacketError> {
    let (mut algo, mut buf) = (0u8, &[][..]);
    r.fields(|key, r| {
        match key {
            "Algo" => algo = r.number()?,
            "Buf" => buf = r.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if algo != 0 {
        return Err(PacketError::Algorithm(algo));
    }
    Ok(buf)
}

fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, PacketError> {
    Ok(lzw::decompress(compressed_frame(&mut Reader::new(body))?, limit)?)
}

/// The header that names the pool.
pub(crate) fn label_header(label: &[u8]) -> Vec<u8> {
    let mut out = vec![kind::HAS_LABEL, label.len() as u8];
    out.extend_from_slice(label);
    out
}

fn strip_label<'a>(packet: &'a [u8], ours: &[u8]) -> Result<&'a [u8], PacketError> {
    if packet.first() != Some(&kind::HAS_LABEL) {
        return if ours.is_empty() { Ok(packet) } else { Err(PacketError::Label) };
    }
    let len = usize::from(*packet.get(1).ok_or(PacketError::Label)?);
    match packet.get(2..2 + len) {
        Some(label) if len > 0 && label == ours => Ok(&packet[2 + len..]),
        _ => Err(PacketError::Label),
    }
}

#[cfg(test)]
#[path = "packet_test.rs"]
mod tests;
