//! Where a value ends, found while its bytes are still arriving: messages carry no length.

use crate::codec::{DecodeError, Fault, MAX_DEPTH, Token};

/// Scans one value. Each byte is looked at once, however often more of them arrive.
#[derive(Debug)]
pub struct Extent {
    /// Where the next token begins; may lie beyond what has arrived.
    at: usize,
    /// Values still to come, per open container.
    open: Vec<usize>,
    limit: usize,
}

impl Extent {
    /// For a value of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Extent { at: 0, open: vec![1], limit }
    }

    /// Goes on with all bytes that have arrived, always from the value's first; its length once it is complete.
    ///
    /// # Errors
    /// As soon as the value cannot be within its limits, even if most of it has not arrived.
    pub fn scan(&mut self, arrived: &[u8]) -> Result<Option<usize>, DecodeError> {
        loop {
            while self.open.last() == Some(&0) {
                self.open.pop();
            }
            let Some(left) = self.open.last_mut() else {
                return Ok(if self.at <= arrived.len() { Some(self.at) } else { None });
            };
            let Some(rest) = arrived.get(self.at..) else { return Ok(None) };
            let (token, len) = match Token::read(rest) {
                Ok(Some(read)) => read,
                Ok(None) => return Ok(None),
                Err(found) => return Err(self.fault(Fault::Kind { wanted: "a value", found })),
            };
            *left -= 1;
            self.at += len;
            let least = match token {
                Token::Raw(len) | Token::Ext(len) => {
                    self.at = self.at.saturating_add(len);
                    0
                }
                Token::Array(len) => {
                    self.open.push(len);
                    len
                }
                Token::Map(len) => {
                    self.open.push(len.saturating_mul(2));
                    len.saturating_mul(2)
                }
                _ => 0,
            };
            if self.at.saturating_add(least) > self.limit {
                return Err(self.fault(Fault::TooLarge { limit: self.limit }));
            }
            if self.open.len() > MAX_DEPTH + 1 {
                return Err(self.fault(Fault::TooDeep));
            }
        }
    }

    fn fault(&self, fault: Fault) -> DecodeError {
        DecodeError { fault, at: self.at, field: "" }
    }
}
