//! The protocol without I/O: frames in, frames out, streams between.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};

use super::frame::{ACK, FIN, HEADER_LEN, Header, Kind, RST, SYN, WINDOW};

/// Data of one stream in one frame, so that a large message does not hold up small ones.
const FRAME_DATA: usize = 16 * 1024;

/// Frames are handed out up to about this much at a time.
const OUTPUT_BYTES: usize = 64 * 1024;

/// What a stream holds of its writer's data while the peer does not take it.
const SEND_BUFFER: usize = 64 * 1024;

/// Control frames that wait for the peer to read. An honest peer never lets more than a few wait per stream.
const CONTROL_FRAMES: usize = 4096;

/// Streams that one side may open before the other has acknowledged any; yamux's accept backlog.
const BACKLOG: usize = 256;

/// Who opens streams with which numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Odd ones: who dialled.
    Client,
    /// Even ones.
    Server,
}

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct MuxLimits {
    /// Streams that the peer may have open at a time; more are reset. A client agent opens one per blocking query.
    pub streams: usize,
    /// Bytes over all streams that arrived and were not read: no more are taken from the connection beyond.
    pub unread_bytes: usize,
}

impl Default for MuxLimits {
    fn default() -> Self {
        MuxLimits { streams: 16 * 1024, unread_bytes: 16 << 20 }
    }
}

/// Why a connection ended. Requests under way have no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MuxError {
    /// The peer broke the protocol.
    #[error("yamux: {0}")]
    Protocol(&'static str),
    /// The peer sent a number that means an error.
    #[error("yamux: the peer went away with code {0}")]
    GoneAway(u32),
    /// The peer does not answer pings, or takes no data.
    #[error("yamux: the peer does not answer")]
    Dead,
    /// The peer floods us with what it does not let us answer.
    #[error("yamux: the peer does not read its control frames")]
    Flood,
    /// The connection itself failed.
    #[error("yamux: {0}")]
    Io(String),
    /// It was closed, here or there.
    #[error("stream closed")]
    Closed,
}

impl From<MuxError> for std::io::Error {
    fn from(error: MuxError) -> Self {
        let kind = match error {
            MuxError::Closed | MuxError::GoneAway(_) => std::io::ErrorKind::ConnectionAborted,
            MuxError::Dead => std::io::ErrorKind::TimedOut,
            MuxError::Protocol(_) | MuxError::Flood => std::io::ErrorKind::InvalidData,
            MuxError::Io(_) => std::io::ErrorKind::ConnectionReset,
        };
        std::io::Error::new(kind, error)
    }
}

#[derive(Debug)]
struct Stream {
    /// Arrived, not read yet.
    unread: BytesMut,
    /// What the peer may still send.
    peer_may_send: u32,
    /// Read since the peer was last told.
    read_untold: u32,
    /// What we may still send.
    may_send: u32,
    unsent: BytesMut,
    /// In the queue of those with something to send.
    queued: bool,
    /// We opened it, and the peer has not acknowledged it.
    unacknowledged: bool,
    /// No more will be written here.
    finishing: bool,
    fin_sent: bool,
    fin_received: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Stream {
    fn new(unacknowledged: bool) -> Self {
        Stream {
            unread: BytesMut::new(),
            peer_may_send: WINDOW,
            read_untold: 0,
            may_send: WINDOW,
            unsent: BytesMut::new(),
            queued: false,
            unacknowledged,
            finishing: false,
            fin_sent: false,
            fin_received: false,
            reset: false,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        self.wake_reader();
        self.wake_writer();
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn has_output(&self) -> bool {
        !self.reset
            && !self.fin_sent
            && ((!self.unsent.is_empty() && self.may_send > 0) || (self.finishing && self.unsent.is_empty()))
    }
}

/// What the owner of the connection must do after a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// Nothing.
    None,
    /// The peer opened this stream.
    Opened(u32),
    /// A ping came back with this number.
    Pong(u32),
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Core {
    side: Side,
    limits: MuxLimits,
    next_stream: u32,
    streams: HashMap<u32, Stream>,
    /// How many of them the peer opened.
    theirs: usize,
    unacknowledged: usize,
    control: VecDeque<[u8; HEADER_LEN]>,
    /// Streams with something to send, in turn.
    ready: VecDeque<u32>,
    unread_bytes: usize,
    /// The peer wants no more streams.
    peer_went_away: bool,
    /// We want no more streams.
    went_away: bool,
    ended: Option<MuxError>,
    /// Waiting for a place to open a stream.
    openers: Vec<Waker>,
}

impl Core {
    pub(super) fn new(side: Side, limits: MuxLimits) -> Self {
        Core {
            side,
            limits,
            next_stream: if side == Side::Client { 1 } else { 2 },
            streams: HashMap::new(),
            theirs: 0,
            unacknowledged: 0,
            control: VecDeque::new(),
            ready: VecDeque::new(),
            unread_bytes: 0,
            peer_went_away: false,
            went_away: false,
            ended: None,
            openers: Vec::new(),
        }
    }

    pub(super) fn ended(&self) -> Option<&MuxError> {
        self.ended.as_ref()
    }

    /// Whether the peer lets us open more streams.
    pub(super) fn may_open(&self) -> bool {
        self.ended.is_none() && !self.peer_went_away && self.next_stream < u32::MAX - 1
    }

    pub(super) fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// More lies unread than the connection may hold.
    pub(super) fn is_full(&self) -> bool {
        self.unread_bytes > self.limits.unread_bytes
    }

    /// Ends everything: every reader and writer learns of it.
    pub(super) fn end(&mut self, error: MuxError) {
        if self.ended.is_none() {
            self.ended = Some(error);
        }
        self.streams.values_mut().for_each(Stream::wake);
        self.openers.drain(..).for_each(Waker::wake);
    }

    // ---- what the peer sends

    /// Takes a frame; `payload` belongs to data.
    pub(super) fn handle_frame(&mut self, header: Header, payload: Bytes) -> Result<Event, MuxError> {
        match header.kind {
            Kind::Data | Kind::WindowUpdate => self.handle_stream_frame(header, payload),
            Kind::Ping if header.has(SYN) => {
                self.push(Header { kind: Kind::Ping, flags: ACK, stream: 0, length: header.length })?;
                Ok(Event::None)
            }
            Kind::Ping => Ok(Event::Pong(header.length)),
            Kind::GoAway if header.length == 0 => {
                self.peer_went_away = true;
                self.openers.drain(..).for_each(Waker::wake);
                Ok(Event::None)
            }
            Kind::GoAway => Err(MuxError::GoneAway(header.length)),
        }
    }

    fn handle_stream_frame(&mut self, header: Header, payload: Bytes) -> Result<Event, MuxError> {
        let mut event = Event::None;
        if header.has(SYN) {
            if !self.handle_open(header.stream)? {
                return Ok(Event::None);
            }
            event = Event::Opened(header.stream);
        }
        let Some(stream) = self.streams.get_mut(&header.stream) else {
            // Of a stream that was dropped here while this was under way.
            return Ok(event);
        };
        if header.has(ACK) && stream.unacknowledged {
            stream.unacknowledged = false;
            self.unacknowledged -= 1;
            self.openers.drain(..).for_each(Waker::wake);
        }
        match header.kind {
            Kind::WindowUpdate => {
                let granted = stream.may_send.checked_add(header.length);
                stream.may_send = granted.ok_or(MuxError::Protocol("a window grew beyond all bounds"))?;
            }
            _ if !payload.is_empty() => {
                let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                let left = stream.peer_may_send.checked_sub(len);
                stream.peer_may_send = left.ok_or(MuxError::Protocol("more data than the window allows"))?;
                if stream.fin_received {
                    return Err(MuxError::Protocol("data after the end of a stream"));
                }
                self.unread_bytes += payload.len();
                // Copied together: a peer that sends single bytes must not make a list of them.
                stream.unread.extend_from_slice(&payload);
                stream.wake_reader();
            }
            _ => {}
        }
        if header.has(RST) {
            stream.reset = true;
            stream.wake();
        } else if header.has(FIN) {
            stream.fin_received = true;
            stream.wake_reader();
        }
        self.queue(header.stream);
        Ok(event)
    }

    /// Whether the stream exists now.
    fn handle_open(&mut self, id: u32) -> Result<bool, MuxError> {
        let theirs = if self.side == Side::Client { 0 } else { 1 };
        if id == 0 || id % 2 != theirs {
            return Err(MuxError::Protocol("a stream with a number of the other side"));
        }
        if self.streams.contains_key(&id) {
            return Err(MuxError::Protocol("a stream was opened twice"));
        }
        if self.went_away || self.theirs >= self.limits.streams {
            self.push(Header { kind: Kind::WindowUpdate, flags: RST, stream: id, length: 0 })?;
            return Ok(false);
        }
        self.streams.insert(id, Stream::new(false));
        self.theirs += 1;
        self.push(Header { kind: Kind::WindowUpdate, flags: ACK, stream: id, length: 0 })?;
        Ok(true)
    }

    // ---- what we send

    fn push(&mut self, header: Header) -> Result<(), MuxError> {
        if self.control.len() >= CONTROL_FRAMES {
            return Err(MuxError::Flood);
        }
        self.control.push_back(header.encode());
        Ok(())
    }

    /// As [`Core::push`], for a frame of ours: without room the connection ends, which the owner sees.
    fn push_own(&mut self, header: Header) {
        if let Err(error) = self.push(header) {
            self.end(error);
        }
    }

    fn queue(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.has_output()
            && !stream.queued
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    pub(super) fn has_output(&self) -> bool {
        !self.control.is_empty() || !self.ready.is_empty()
    }

    /// Appends frames to send, a bounded amount; control frames first, then the streams in turn.
    pub(super) fn poll_output(&mut self, out: &mut BytesMut) {
        while let Some(frame) = self.control.pop_front() {
            out.extend_from_slice(&frame);
        }
        while out.len() < OUTPUT_BYTES {
            let Some(id) = self.ready.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.queued = false;
            if !stream.has_output() {
                continue;
            }
            let len = stream.unsent.len().min(stream.may_send as usize).min(FRAME_DATA);
            let last = stream.finishing && len == stream.unsent.len();
            let kind = if len > 0 { Kind::Data } else { Kind::WindowUpdate };
            let flags = if last { FIN } else { 0 };
            let header = Header { kind, flags, stream: id, length: len as u32 };
            out.extend_from_slice(&header.encode());
            out.extend_from_slice(&stream.unsent.split_to(len));
            stream.may_send -= len as u32;
            stream.fin_sent = last;
            stream.wake_writer();
            self.queue(id);
        }
    }

    pub(super) fn ping(&mut self, number: u32) {
        self.push_own(Header { kind: Kind::Ping, flags: SYN, stream: 0, length: number });
    }

    /// Tells the peer to open no more streams: 0 at an orderly end, 1 after it broke the protocol.
    pub(super) fn go_away(&mut self, code: u32) {
        if !std::mem::replace(&mut self.went_away, true) {
            self.push_own(Header { kind: Kind::GoAway, flags: 0, stream: 0, length: code });
        }
    }

    // ---- what the users of streams do

    /// Opens a stream; waits while the peer has too many unacknowledged ones.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<u32, MuxError>> {
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        if !self.may_open() {
            return Poll::Ready(Err(MuxError::Closed));
        }
        if self.unacknowledged >= BACKLOG {
            self.openers.push(cx.waker().clone());
            return Poll::Pending;
        }
        let id = self.next_stream;
        self.next_stream += 2;
        self.unacknowledged += 1;
        self.streams.insert(id, Stream::new(true));
        self.push_own(Header { kind: Kind::WindowUpdate, flags: SYN, stream: id, length: 0 });
        Poll::Ready(Ok(id))
    }

    /// Reads into `buf`; 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<Result<(), MuxError>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(MuxError::Closed)) };
        let read = stream.unread.len().min(buf.remaining());
        if read > 0 {
            buf.put_slice(&stream.unread[..read]);
            stream.unread.advance(read);
            if stream.unread.is_empty() {
                // An idle stream keeps no buffer.
                stream.unread = BytesMut::new();
            }
            self.unread_bytes -= read;
            stream.read_untold += read as u32;
            if stream.read_untold >= WINDOW / 2 && !stream.fin_received && !stream.reset {
                let length = std::mem::take(&mut stream.read_untold);
                stream.peer_may_send += length;
                self.push_own(Header { kind: Kind::WindowUpdate, flags: 0, stream: id, length });
            }
            return Poll::Ready(Ok(()));
        }
        if buf.remaining() == 0 || (stream.fin_received && !stream.reset) {
            return Poll::Ready(Ok(()));
        }
        if stream.reset {
            return Poll::Ready(Err(MuxError::Closed));
        }
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        stream.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes some of `data`, as much as the stream's buffer has room for.
    pub(super) fn poll_write(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, MuxError>> {
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(MuxError::Closed)) };
        if stream.reset || stream.finishing {
            return Poll::Ready(Err(MuxError::Closed));
        }
        let room = SEND_BUFFER.saturating_sub(stream.unsent.len());
        if room == 0 {
            stream.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = data.len().min(room);
        stream.unsent.extend_from_slice(&data[..len]);
        self.queue(id);
        Poll::Ready(Ok(len))
    }

    /// Waits until everything written was handed to the connection.
    pub(super) fn poll_flush(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<(), MuxError>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(MuxError::Closed)) };
        if stream.unsent.is_empty() && (!stream.finishing || stream.fin_sent) {
            return Poll::Ready(Ok(()));
        }
        if stream.reset {
            return Poll::Ready(Err(MuxError::Closed));
        }
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        stream.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// No more will be written; the peer is told after what was.
    pub(super) fn finish(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.finishing = true;
            self.queue(id);
        }
    }

    /// The user is done with the stream. If one side was not, the other learns that it is no more.
    pub(super) fn release(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(&id) else { return };
        self.unread_bytes -= stream.unread.len();
        let ours = if self.side == Side::Client { 1 } else { 0 };
        if id % 2 != ours {
            self.theirs -= 1;
        }
        if stream.unacknowledged {
            self.unacknowledged -= 1;
            self.openers.drain(..).for_each(Waker::wake);
        }
        if self.ended.is_none() && !stream.reset && !(stream.fin_sent && stream.fin_received) {
            self.push_own(Header { kind: Kind::WindowUpdate, flags: RST, stream: id, length: 0 });
        }
    }
}
