//! Messages on a stream: values are read whole, within limits, and written whole.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::codec::{DecodeError, Extent};

/// Anything that can carry a session.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection of any kind.
pub type BoxedIo = Box<dyn Io>;

/// Why a message did not come. The stream is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The stream ended within a message, or before one that was expected.
    #[error("EOF")]
    Eof,
    /// The stream failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The bytes are no message.
    #[error("{0}")]
    Decode(#[from] DecodeError),
}

/// Memory that messages under way may take together. A message is charged as it grows; small ones are free.
#[derive(Clone, Debug)]
pub struct Budget {
    blocks: Arc<Semaphore>,
}

const BLOCK: usize = 64 * 1024;

impl Budget {
    /// So many bytes over all messages.
    pub fn new(bytes: usize) -> Self {
        Budget { blocks: Arc::new(Semaphore::new((bytes / BLOCK).clamp(1, Semaphore::MAX_PERMITS))) }
    }
}

/// What a message holds of a [`Budget`]; given back when dropped.
#[derive(Debug, Default)]
pub struct Charge {
    permit: Option<OwnedSemaphorePermit>,
    blocks: usize,
}

impl Charge {
    /// Waits until the budget has room for a message of this size.
    async fn grow(&mut self, budget: &Budget, bytes: usize) {
        while self.blocks < bytes / BLOCK {
            let Ok(permit) = budget.blocks.clone().acquire_owned().await else { return };
            match &mut self.permit {
                Some(held) => held.merge(permit),
                none => *none = Some(permit),
            }
            self.blocks += 1;
        }
    }
}

/// A stream with what was read ahead of it.
#[derive(Debug)]
pub struct Channel<T> {
    io: T,
    ahead: BytesMut,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Channel<T> {
    /// At the beginning of a stream.
    pub fn new(io: T) -> Self {
        Channel { io, ahead: BytesMut::new() }
    }

    /// Whether bytes lie here that nobody asked for yet.
    pub fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Reads one value of at most `limit` bytes; `None` if the stream ends before it. Cancel-safe: what has arrived
    /// stays.
    ///
    /// # Errors
    /// If the stream fails or ends within it, or the bytes are no value within the limit.
    pub async fn read_value(&mut self, limit: usize) -> Result<Option<Bytes>, ChannelError> {
        self.read_charged(limit, None, &mut Charge::default()).await
    }

    /// As [`Channel::read_value`], charging the budget with what it takes.
    ///
    /// # Errors
    /// As [`Channel::read_value`].
    pub async fn read_charged(
        &mut self,
        limit: usize,
        budget: Option<&Budget>,
        charge: &mut Charge,
    ) -> Result<Option<Bytes>, ChannelError> {
        let mut extent = Extent::new(limit);
        loop {
            if let Some(len) = extent.scan(&self.ahead)? {
                let value = self.ahead.split_to(len).freeze();
                if self.ahead.is_empty() {
                    // An idle stream keeps no buffer.
                    self.ahead = BytesMut::new();
                }
                return Ok(Some(value));
            }
            if let Some(budget) = budget {
                charge.grow(budget, self.ahead.len()).await;
            }
            self.ahead.reserve(2048.max(self.ahead.len().min(BLOCK)));
            if self.io.read_buf(&mut self.ahead).await? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(ChannelError::Eof) };
            }
        }
    }

    /// Waits until something arrives, the next request for instance; false at the end of the stream.
    /// Cancel-safe.
    pub async fn arrives(&mut self) -> bool {
        if self.ahead.is_empty() {
            self.ahead.reserve(2048);
            return matches!(self.io.read_buf(&mut self.ahead).await, Ok(1..));
        }
        true
    }

    /// Passes over what arrives; false at the end of the stream.
    pub async fn discard(&mut self) -> bool {
        self.ahead.clear();
        self.arrives().await
    }

    /// Writes a whole message.
    ///
    /// # Errors
    /// If the stream fails.
    pub async fn write(&mut self, message: &[u8]) -> io::Result<()> {
        self.io.write_all(message).await?;
        self.io.flush().await
    }

    /// Says that nothing more will be written.
    pub async fn finish(&mut self) {
        _ = self.io.shutdown().await;
    }

    /// The stream, and what was read ahead of it.
    pub fn into_parts(self) -> (T, Bytes) {
        (self.io, self.ahead.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;

    #[tokio::test]
    async fn values_are_read_one_by_one() {
        let (mut far, near) = tokio::io::duplex(7);
        let mut channel = Channel::new(near);
        let values = ["a".to_owned(), "b".repeat(200_000), String::new()];
        let writing = async {
            for value in &values {
                far.write_all(&encode(value)).await.unwrap();
            }
            far.shutdown().await.unwrap();
        };
        let reading = async {
            for value in &values {
                assert_eq!(channel.read_value(300_000).await.unwrap().unwrap(), encode(value));
            }
            assert!(channel.read_value(300_000).await.unwrap().is_none());
        };
        tokio::join!(writing, reading);
    }

    #[tokio::test]
    async fn an_end_within_a_value_is_an_error() {
        let (mut far, near) = tokio::io::duplex(64);
        far.write_all(&[0xa5, b'x']).await.unwrap();
        drop(far);
        assert!(matches!(Channel::new(near).read_value(100).await, Err(ChannelError::Eof)));
    }

    #[tokio::test]
    async fn large_messages_wait_for_room() {
        let budget = Budget::new(2 * BLOCK);
        let (mut held, mut waiting) = (Charge::default(), Charge::default());
        held.grow(&budget, 2 * BLOCK).await;
        let wait = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, waiting.grow(&budget, BLOCK)).await.is_err());
        waiting.grow(&budget, BLOCK - 1).await;
        drop(held);
        waiting.grow(&budget, BLOCK).await;
    }
}
