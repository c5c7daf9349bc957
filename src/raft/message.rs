//! What servers say to each other, in bytes of our own: the transport only carries them.
//!
//! Request: `version u8 | kind u8 | cluster u128 | from u128 | to u128 | body`.
//! Answer: `version u8 | status u8 | body`, where a status other than 0 is a refusal with a text.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};

use crate::codec::{CodecError, Reader, put_bytes, put_entry, put_log_id, put_option, put_vote};
use crate::types::{LogId, ServerId, TypeConfig, Vote};

const VERSION: u8 = 1;
/// An append carries entries up to about this size; the rest goes with the next.
pub(crate) const APPEND_BYTES: usize = 2 << 20;
/// No append has more entries.
const MAX_ENTRIES: usize = 65_536;

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const TRANSFER: u8 = 4;
const SNAPSHOT: u8 = 5;

const OK: u8 = 0;
const REFUSED: u8 = 1;

/// Who speaks to whom, of which cluster (0: the speaker does not know yet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Envelope {
    pub(crate) cluster: u128,
    pub(crate) from: ServerId,
    pub(crate) to: ServerId,
}

#[derive(Clone, Debug)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// A snapshot of so many bytes follows.
    Snapshot {
        vote: Vote,
        bytes: u64,
    },
}

/// How many of the entries go into one append.
pub(crate) fn fitting(request: &AppendEntriesRequest<TypeConfig>) -> usize {
    let mut bytes = 0;
    let fits = request.entries.iter().take_while(|entry| {
        let before = bytes;
        bytes += match &entry.payload {
            openraft::EntryPayload::Normal(batch) => batch.0.len() + 32,
            _ => 256,
        };
        before == 0 || bytes <= APPEND_BYTES
    });
    fits.count().min(MAX_ENTRIES)
}

pub(crate) fn encode_request(envelope: Envelope, request: &Request) -> Bytes {
    let kind = match request {
        Request::Append(_) => APPEND,
        Request::Vote(_) => VOTE,
        Request::PreVote(_) => PRE_VOTE,
        Request::Transfer(_) => TRANSFER,
        Request::Snapshot { .. } => SNAPSHOT,
    };
    let mut out = vec![VERSION, kind];
    for id in [envelope.cluster, envelope.from.0, envelope.to.0] {
        out.extend(id.to_le_bytes());
    }
    match request {
        Request::Append(append) => {
            put_vote(&mut out, &append.vote);
            put_option(&mut out, append.prev_log_id.as_ref(), put_log_id);
            put_option(&mut out, append.leader_commit.as_ref(), put_log_id);
            out.extend((append.entries.len() as u32).to_le_bytes());
            for entry in &append.entries {
                put_entry(&mut out, entry);
            }
        }
        Request::Vote(vote) | Request::PreVote(vote) => {
            put_vote(&mut out, &vote.vote);
            put_option(&mut out, vote.last_log_id.as_ref(), put_log_id);
            out.push(vote.leadership_transfer.into());
        }
        Request::Transfer(transfer) => {
            put_vote(&mut out, transfer.from_leader());
            out.extend(transfer.to_node_id().0.to_le_bytes());
            put_option(&mut out, transfer.last_log_id(), put_log_id);
        }
        Request::Snapshot { vote, bytes } => {
            put_vote(&mut out, vote);
            out.extend(bytes.to_le_bytes());
        }
    }
    out.into()
}

pub(crate) fn decode_request(bytes: &Bytes) -> Result<(Envelope, Request), CodecError> {
    let mut reader = Reader(bytes);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(CodecError::Version(version.into()));
    }
    let kind = reader.u8()?;
    let envelope = Envelope { cluster: reader.u128()?, from: reader.server()?, to: reader.server()? };
    let request = match kind {
        APPEND => {
            let vote = reader.vote()?;
            let prev_log_id = reader.option(Reader::log_id)?;
            let leader_commit = reader.option(Reader::log_id)?;
            let count = reader.u32()? as usize;
            if count > MAX_ENTRIES {
                return Err(CodecError::Limit);
            }
            let mut entries = Vec::new();
            for _ in 0..count {
                entries.push(reader.entry(Some(bytes))?);
            }
            Request::Append(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
        }
        VOTE | PRE_VOTE => {
            let vote = VoteRequest {
                vote: reader.vote()?,
                last_log_id: reader.option(Reader::log_id)?,
                leadership_transfer: reader.u8()? == 1,
            };
            if kind == VOTE { Request::Vote(vote) } else { Request::PreVote(vote) }
        }
        TRANSFER => Request::Transfer(TransferLeaderRequest::new(
            reader.vote()?,
            reader.server()?,
            reader.option(Reader::log_id)?,
        )),
        SNAPSHOT => Request::Snapshot { vote: reader.vote()?, bytes: reader.u64()? },
        tag => return Err(CodecError::Tag(tag)),
    };
    reader.end()?;
    Ok((envelope, request))
}

fn answer(body: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = vec![VERSION, OK];
    body(&mut out);
    out.into()
}

/// A refusal with its reason.
pub(crate) fn refusal(text: &str) -> Bytes {
    let mut out = vec![VERSION, REFUSED];
    put_bytes(&mut out, text.as_bytes());
    out.into()
}

pub(crate) fn encode_append_answer(response: &AppendEntriesResponse<TypeConfig>) -> Bytes {
    answer(|out| match response {
        AppendEntriesResponse::Success => out.push(0),
        AppendEntriesResponse::PartialSuccess(upto) => {
            out.push(1);
            put_option(out, upto.as_ref(), put_log_id);
        }
        AppendEntriesResponse::Conflict => out.push(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.push(3);
            put_vote(out, vote);
        }
    })
}

pub(crate) fn encode_vote_answer(response: &VoteResponse<TypeConfig>) -> Bytes {
    answer(|out| {
        put_vote(out, &response.vote);
        out.push(response.vote_granted.into());
        put_option(out, response.last_log_id.as_ref(), put_log_id);
    })
}

pub(crate) fn encode_snapshot_answer(response: &SnapshotResponse<TypeConfig>) -> Bytes {
    answer(|out| put_vote(out, &response.vote))
}

pub(crate) fn encode_done() -> Bytes {
    answer(|_| {})
}

/// Why an answer is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the other server refused: {0}")]
    Refused(String),
    #[error("the answer of the other server {0}")]
    Form(#[from] CodecError),
}

fn read_answer<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<T, AnswerError> {
    let mut reader = Reader(bytes);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(CodecError::Version(version.into()).into());
    }
    match reader.u8()? {
        OK => {}
        REFUSED => return Err(AnswerError::Refused(reader.text()?)),
        tag => return Err(CodecError::Tag(tag).into()),
    }
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

pub(crate) fn decode_append_answer(bytes: &[u8]) -> Result<AppendEntriesResponse<TypeConfig>, AnswerError> {
    read_answer(bytes, |reader| {
        Ok(match reader.u8()? {
            0 => AppendEntriesResponse::Success,
            1 => AppendEntriesResponse::PartialSuccess(reader.option(Reader::log_id)?),
            2 => AppendEntriesResponse::Conflict,
            3 => AppendEntriesResponse::HigherVote(reader.vote()?),
            tag => return Err(CodecError::Tag(tag)),
        })
    })
}

pub(crate) fn decode_vote_answer(bytes: &[u8]) -> Result<VoteResponse<TypeConfig>, AnswerError> {
    read_answer(bytes, |reader| {
        let vote: Vote = reader.vote()?;
        let granted = reader.u8()? == 1;
        let last: Option<LogId> = reader.option(Reader::log_id)?;
        Ok(VoteResponse::new(vote, last, granted))
    })
}

pub(crate) fn decode_snapshot_answer(bytes: &[u8]) -> Result<SnapshotResponse<TypeConfig>, AnswerError> {
    read_answer(bytes, |reader| Ok(SnapshotResponse::new(reader.vote()?)))
}

pub(crate) fn decode_done(bytes: &[u8]) -> Result<(), AnswerError> {
    read_answer(bytes, |_| Ok(()))
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::types::{Batch, Entry, log_id};
    use openraft::EntryPayload;
    use openraft::entry::RaftEntry;
    use proptest::prelude::*;

    const ENVELOPE: Envelope = Envelope { cluster: 9, from: ServerId(1), to: ServerId(2) };

    #[test]
    fn requests_and_answers_read_as_they_are_written() {
        let entry = Entry::new(log_id(3, 8), EntryPayload::Normal(Batch(Bytes::from_static(b"ab"))));
        let append = AppendEntriesRequest {
            vote: Vote::new_committed(3, ServerId(1)),
            prev_log_id: Some(log_id(2, 7)),
            entries: vec![entry.clone()],
            leader_commit: None,
        };
        let (envelope, read) = decode_request(&encode_request(ENVELOPE, &Request::Append(append))).unwrap();
        assert_eq!(envelope, ENVELOPE);
        let Request::Append(read) = read else { panic!() };
        assert_eq!((read.entries, read.prev_log_id), (vec![entry], Some(log_id(2, 7))));

        let vote = VoteRequest {
            vote: Vote::new(4, ServerId(1)),
            last_log_id: Some(log_id(3, 8)),
            leadership_transfer: true,
        };
        let (_, read) = decode_request(&encode_request(ENVELOPE, &Request::PreVote(vote.clone()))).unwrap();
        assert!(matches!(read, Request::PreVote(read) if read == vote));

        for response in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(Some(log_id(1, 1))),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(Vote::new(7, ServerId(3))),
        ] {
            assert_eq!(decode_append_answer(&encode_append_answer(&response)), Ok(response));
        }
        let response = VoteResponse::new(Vote::new(4, ServerId(1)), None, true);
        assert_eq!(decode_vote_answer(&encode_vote_answer(&response)), Ok(response));
        assert_eq!(decode_done(&refusal("no")), Err(AnswerError::Refused("no".to_owned())));
    }

    proptest! {
        #[test]
        fn junk_is_an_error_and_never_a_panic(mut junk in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..7) {
            if let Some([version, tag]) = junk.first_chunk_mut::<2>() {
                (*version, *tag) = (VERSION, kind);
            }
            let _ = decode_request(&Bytes::from(junk.clone()));
            let _ = decode_append_answer(&junk);
            let _ = decode_vote_answer(&junk);
        }
    }
}
