//! Frames: a header of twelve bytes, and for data a payload.

/// Bytes of a header.
pub(super) const HEADER_LEN: usize = 12;

/// What each side may send on a stream before the other has read any of it; also the most it is ever granted.
pub(super) const WINDOW: u32 = 256 * 1024;

/// The first frame of a stream.
pub(super) const SYN: u16 = 1;
/// The first frame of whoever accepted it.
pub(super) const ACK: u16 = 2;
/// The last frame of its sender.
pub(super) const FIN: u16 = 4;
/// The end of the stream, at once.
pub(super) const RST: u16 = 8;

/// What a frame is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `length` bytes follow.
    Data,
    /// The sender may be sent `length` bytes more.
    WindowUpdate,
    /// To be answered with the same number.
    Ping,
    /// The receiver shall open no more streams.
    GoAway,
}

/// A header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: u16,
    pub(super) stream: u32,
    pub(super) length: u32,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::WindowUpdate => 1,
            Kind::Ping => 2,
            Kind::GoAway => 3,
        };
        let mut bytes = [0; HEADER_LEN];
        bytes[1] = kind;
        bytes[2..4].copy_from_slice(&self.flags.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// `None` for another version or an unknown type: the connection is of no use then.
    pub(super) fn decode(bytes: [u8; HEADER_LEN]) -> Option<Header> {
        let [0, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = bytes else { return None };
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            _ => return None,
        };
        Some(Header {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    pub(super) fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}
