//! What other servers ask of this one: the far end of [`crate::Network`].

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use openraft::storage::Snapshot;

use crate::disk::DiskFile;
use crate::message::{self, Envelope, Request};
use crate::raft::Raft;
use crate::snapshot::SnapshotFile;
use crate::types::Vote;

/// No snapshot is larger.
const MAX_SNAPSHOT_BYTES: u64 = 64 << 30;

impl Raft {
    /// Answers a request that [`crate::Network::call`] carried. Never fails: what cannot be done is refused in the
    /// answer.
    pub async fn handle(&self, request: Bytes) -> Bytes {
        let request = match message::decode_request(&request) {
            Ok((envelope, request)) => match self.admit(envelope) {
                Ok(()) => request,
                Err(refusal) => return message::refusal(&refusal),
            },
            Err(error) => return message::refusal(&format!("the request {error}")),
        };
        let raft = &self.inner.raft;
        match request {
            Request::Append(append) => match raft.append_entries(append).await {
                Ok(response) => message::encode_append_answer(&response),
                Err(error) => message::refusal(&error.to_string()),
            },
            Request::Vote(vote) => match raft.vote(vote).await {
                Ok(response) => message::encode_vote_answer(&response),
                Err(error) => message::refusal(&error.to_string()),
            },
            Request::PreVote(vote) => match raft.pre_vote(vote).await {
                Ok(response) => message::encode_vote_answer(&response),
                Err(error) => message::refusal(&error.to_string()),
            },
            Request::Transfer(transfer) => match raft.handle_transfer_leader(transfer).await {
                Ok(Ok(())) => message::encode_done(),
                Ok(Err(error)) => message::refusal(&error.to_string()),
                Err(fatal) => message::refusal(&fatal.to_string()),
            },
            Request::Snapshot { .. } => message::refusal("a snapshot does not come as a request alone"),
        }
    }

    /// Begins to take a snapshot that [`crate::Network::send_snapshot`] carries.
    ///
    /// # Errors
    /// The answer to send instead.
    pub fn receive_snapshot(&self, request: Bytes) -> Result<SnapshotReceiver, Bytes> {
        let refuse = |text: String| message::refusal(&text);
        let (envelope, request) =
            message::decode_request(&request).map_err(|error| refuse(format!("the request {error}")))?;
        self.admit(envelope).map_err(refuse)?;
        let Request::Snapshot { vote, bytes } = request else {
            return Err(refuse("this is no snapshot".to_owned()));
        };
        if bytes > MAX_SNAPSHOT_BYTES {
            return Err(refuse(format!("a snapshot of {bytes} bytes is too large")));
        }
        let number = self.inner.received.fetch_add(1, Relaxed);
        let (name, file) = self.inner.snapshots.receive(number).map_err(|error| refuse(error.to_string()))?;
        Ok(SnapshotReceiver { raft: self.clone(), vote, expected: bytes, received: 0, name, file })
    }

    fn admit(&self, envelope: Envelope) -> Result<(), String> {
        if envelope.to != self.inner.id {
            return Err(format!("this is server {}, not {}", self.inner.id, envelope.to));
        }
        let cluster = self.inner.log.facts().cluster;
        if cluster != 0 && envelope.cluster != 0 && cluster != envelope.cluster {
            return Err("this server belongs to another cluster".to_owned());
        }
        Ok(())
    }
}

/// A snapshot on its way in. Dropped before its end, it leaves nothing.
pub struct SnapshotReceiver {
    raft: Raft,
    vote: Vote,
    expected: u64,
    received: u64,
    name: String,
    file: Arc<dyn DiskFile>,
}

impl SnapshotReceiver {
    /// How many bytes will come.
    pub fn expected_bytes(&self) -> u64 {
        self.expected
    }

    /// Takes the next piece. Writes to the disk on the caller's thread.
    ///
    /// # Errors
    /// The answer to send; the rest need not be read.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Bytes> {
        if self.received + chunk.len() as u64 > self.expected {
            return Err(message::refusal("the snapshot is longer than was said"));
        }
        self.file.write_at(chunk, self.received).map_err(|error| message::refusal(&error.to_string()))?;
        self.received += chunk.len() as u64;
        Ok(())
    }

    /// All pieces were taken: checks the snapshot, puts it in the place of the state, and yields the answer.
    pub async fn finish(self) -> Bytes {
        if self.received != self.expected {
            return message::refusal("the snapshot is shorter than was said");
        }
        let snapshot = SnapshotFile { name: self.name.clone(), file: self.file.clone(), len: self.received };
        let checked = tokio::task::spawn_blocking(move || {
            snapshot.file.sync_data()?;
            let (header, _) = snapshot.read()?;
            Ok::<_, std::io::Error>((header, snapshot))
        });
        let (header, snapshot) = match checked.await {
            Ok(Ok(checked)) => checked,
            Ok(Err(error)) => return message::refusal(&error.to_string()),
            Err(error) => return message::refusal(&error.to_string()),
        };
        let snapshot = Snapshot { meta: header.meta(), snapshot };
        match self.raft.inner.raft.install_full_snapshot(self.vote, snapshot).await {
            Ok(response) => message::encode_snapshot_answer(&response),
            Err(fatal) => message::refusal(&fatal.to_string()),
        }
    }
}

impl Drop for SnapshotReceiver {
    fn drop(&mut self) {
        // Once installed it has another name.
        self.raft.inner.snapshots.discard(&self.name);
    }
}
