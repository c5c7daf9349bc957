//! The one compression of the protocol: LZW, least significant bit first, literals of 8 bits, codes of 9 to 12.
//!
//! Clear code 256, end code 257. The encoder clears when its table is full. The decoder's output is bounded by the
//! caller: a small frame can stand for thousands of times its size.

/// Why a frame could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LzwError {
    /// The frame ends before its end code.
    #[error("compressed data ends early")]
    Truncated,
    /// A code that the table does not hold yet.
    #[error("compressed data refers to a code that is not there")]
    Code,
    /// It would be larger than allowed.
    #[error("compressed data opens to more than {0} bytes")]
    TooLarge(usize),
}

const CLEAR: u16 = 256;
const END: u16 = 257;
const MAX_WIDTH: u32 = 12;
const TABLE: usize = 1 << MAX_WIDTH;

struct BitWriter {
    out: Vec<u8>,
    bits: u32,
    count: u32,
}

impl BitWriter {
    fn put(&mut self, code: u16, width: u32) {
        self.bits |= u32::from(code) << self.count;
        self.count += width;
        while self.count >= 8 {
            self.out.push(self.bits as u8);
            self.bits >>= 8;
            self.count -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.out.push(self.bits as u8);
        }
        self.out
    }
}

/// Slots of the encoder's hash table at most: four times the codes, so that probing stays short.
const MAX_SLOTS: usize = 4 * TABLE;

/// Compresses `input` into the same bytes as the reference compressor.
pub fn compress(input: &[u8]) -> Vec<u8> {
    let mut w = BitWriter { out: Vec::with_capacity(input.len() / 2 + 8), bits: 0, count: 0 };
    w.put(CLEAR, 9);
    let Some((&first, rest)) = input.split_first() else {
        w.put(END, 9);
        return w.finish();
    };
    // each slot: (prefix code << 8 | byte) + 1 in the upper half, the code in the lower; 0 is free
    let mut slots = vec![0u32; (input.len() * 2).next_power_of_two().clamp(512, MAX_SLOTS)];
    let mask = slots.len() - 1;
    let mut code = u16::from(first);
    let (mut hi, mut width, mut overflow) = (END, 9u32, 1u32 << 9);
    for &byte in rest {
        let key = u32::from(code) << 8 | u32::from(byte);
        let mut slot = (key.wrapping_mul(0x9e37_79b1) >> 12) as usize & mask;
        let found = loop {
            match slots[slot] {
                0 => break None,
                entry if entry >> 12 == key => break Some((entry & 0xfff) as u16),
                _ => slot = (slot + 1) & mask,
            }
        };
        if let Some(next) = found {
            code = next;
            continue;
        }
        w.put(code, width);
        code = u16::from(byte);
        hi += 1;
        if u32::from(hi) == overflow {
            width += 1;
            overflow <<= 1;
        }
        if usize::from(hi) == TABLE - 1 {
            w.put(CLEAR, MAX_WIDTH);
            slots.fill(0);
            (hi, width, overflow) = (END, 9, 1 << 9);
        } else {
            slots[slot] = key << 12 | u32::from(hi);
        }
    }
    w.put(code, width);
    // the reference counts this last code as well before it writes the end
    hi += 1;
    if u32::from(hi) == overflow && width < MAX_WIDTH {
        width += 1;
    }
    if usize::from(hi) == TABLE - 1 {
        w.put(CLEAR, MAX_WIDTH);
        width = 9;
    }
    w.put(END, width);
    w.finish()
}

/// Opens a frame, to at most `limit` bytes.
///
/// # Errors
/// See [`LzwError`]; what follows the end code is ignored, as the reference does.
pub fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, LzwError> {
    let mut out: Vec<u8> = Vec::with_capacity(input.len().saturating_mul(2).min(limit));
    // entries from code 258 on: where in `out` their string was first written, and its length
    let mut entries: Vec<(usize, usize)> = Vec::new();
    // `hi` counts every code since the last clear, the first one too, which makes no entry
    let (mut hi, mut width) = (usize::from(END), 9u32);
    let mut last: Option<(usize, usize)> = None;
    let (mut bits, mut count) = (0u32, 0u32);
    let mut bytes = input.iter();
    loop {
        while count < width {
            let byte = bytes.next().ok_or(LzwError::Truncated)?;
            bits |= u32::from(*byte) << count;
            count += 8;
        }
        let code = (bits & ((1 << width) - 1)) as u16;
        bits >>= width;
        count -= width;
        if code == CLEAR {
            (hi, width, last) = (usize::from(END), 9, None);
            entries.clear();
            continue;
        }
        if code == END {
            return Ok(out);
        }
        let start = out.len();
        if code < CLEAR {
            if start >= limit {
                return Err(LzwError::TooLarge(limit));
            }
            out.push(code as u8);
        } else if let Some((from, len)) = last
            && usize::from(code) == hi
        {
            // the entry that this very code completes: the last string and its own first byte
            copy(&mut out, limit, from, len)?;
            copy(&mut out, limit, from, 1)?;
        } else {
            let (from, len) = *entries.get(usize::from(code - END - 1)).ok_or(LzwError::Code)?;
            copy(&mut out, limit, from, len)?;
        }
        if let Some((from, len)) = last {
            // the last string and the byte after it stand side by side in the output
            entries.push((from, len + 1));
        }
        last = Some((start, out.len() - start));
        hi += 1;
        if hi >= 1 << width {
            if width == MAX_WIDTH {
                // full: no entries any more until a clear
                last = None;
                hi -= 1;
            } else {
                width += 1;
            }
        }
    }
}

fn copy(out: &mut Vec<u8>, limit: usize, from: usize, len: usize) -> Result<(), LzwError> {
    if out.len() + len > limit {
        return Err(LzwError::TooLarge(limit));
    }
    out.extend_from_within(from..from + len);
    Ok(())
}

#[cfg(test)]
#[path = "lzw_test.rs"]
mod tests;
