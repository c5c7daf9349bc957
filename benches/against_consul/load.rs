//! A load generator that costs little itself: one thread, sockets kept alive, one request in flight on each.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// What to send: given the connection and how many it has sent already, appends one whole request.
pub type Script<'a> = &'a dyn Fn(usize, u64, &mut Vec<u8>);

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Answers counted.
    pub answers: u64,
    /// Answers that were not 200.
    pub refused: u64,
    /// The time they were counted in.
    pub took: Duration,
    /// Latency of each, in microseconds times ten, sorted.
    pub latencies: Vec<u32>,
}

impl Run {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }

    /// The latency that `share` of the answers did not exceed, in microseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        let place = ((self.latencies.len() - 1) as f64 * share).round() as usize;
        f64::from(self.latencies[place]) / 10.0
    }
}

/// Until when a run goes on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// A warm-up that is not counted, then this long.
    Time(Duration, Duration),
    /// This many answers, each counted.
    Answers(u64),
}

struct Connection {
    stream: TcpStream,
    sent: u64,
    request: Vec<u8>,
    written: usize,
    answer: Vec<u8>,
    started: Instant,
}

/// Sends as fast as answers come, on `connections` sockets.
///
/// # Errors
/// What a socket reports, and an answer that is not HTTP.
pub fn run(to: SocketAddr, connections: usize, script: Script<'_>, until: Until) -> io::Result<Run> {
    if connections == 1 {
        return run_one(to, script, until);
    }
    let mut poll = Poll::new()?;
    let mut all = Vec::with_capacity(connections);
    for number in 0..connections {
        let stream = std::net::TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        all.push(Connection {
            stream,
            sent: 0,
            request: Vec::new(),
            written: 0,
            answer: Vec::with_capacity(1 << 16),
            started: Instant::now(),
        });
    }
    let mut clock = Clock::start(until);
    for (number, connection) in all.iter_mut().enumerate() {
        next(connection, number, script)?;
    }
    let mut events = Events::with_capacity(connections);
    let mut buffer = vec![0; 1 << 18];
    loop {
        poll.poll(&mut events, Some(Duration::from_secs(30)))?;
        if events.is_empty() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer for 30 s"));
        }
        for event in &events {
            let number = event.token().0;
            let connection = &mut all[number];
            let mut whole = None;
            loop {
                match connection.stream.read(&mut buffer) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(count) => {
                        connection.answer.extend_from_slice(&buffer[..count]);
                        whole = whole_answer(&connection.answer)?;
                        if whole.is_some() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if let Some(status) = whole {
                if let Some(run) = clock.count(status, connection.started.elapsed()) {
                    return Ok(run);
                }
                next(connection, number, script)?;
            }
        }
    }
}

fn next(connection: &mut Connection, number: usize, script: Script<'_>) -> io::Result<()> {
    connection.answer.clear();
    connection.request.clear();
    script(number, connection.sent, &mut connection.request);
    connection.sent += 1;
    connection.written = 0;
    connection.started = Instant::now();
    // requests are small and one is in flight: the socket's buffer always has room
    while connection.written < connection.request.len() {
        match connection.stream.write(&connection.request[connection.written..]) {
            Ok(count) => connection.written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn run_one(to: SocketAddr, script: Script<'_>, until: Until) -> io::Result<Run> {
    let mut stream = std::net::TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut clock = Clock::start(until);
    let (mut request, mut answer, mut buffer) = (Vec::new(), Vec::new(), vec![0; 1 << 18]);
    for sent in 0.. {
        request.clear();
        answer.clear();
        script(0, sent, &mut request);
        let started = Instant::now();
        stream.write_all(&request)?;
        let status = loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&buffer[..count]);
            if let Some(status) = whole_answer(&answer)? {
                break status;
            }
        };
        if let Some(run) = clock.count(status, started.elapsed()) {
            return Ok(run);
        }
    }
    Ok(Run::default())
}

struct Clock {
    until: Until,
    start: Instant,
    counting: bool,
    run: Run,
}

impl Clock {
    fn start(until: Until) -> Self {
        let counting = matches!(until, Until::Answers(_));
        Clock { until, start: Instant::now(), counting, run: Run::default() }
    }

    /// Counts one answer; gives the run when it is over.
    fn count(&mut self, status: u16, latency: Duration) -> Option<Run> {
        let gone = self.start.elapsed();
        if !self.counting {
            if let Until::Time(warm_up, _) = self.until
                && gone >= warm_up
            {
                self.counting = true;
                self.start = Instant::now();
            }
            return None;
        }
        self.run.answers += 1;
        self.run.refused += u64::from(status != 200);
        self.run.latencies.push((latency.as_nanos() / 100).min(u128::from(u32::MAX)) as u32);
        let over = match self.until {
            Until::Time(_, length) => gone >= length,
            Until::Answers(count) => self.run.answers >= count,
        };
        if !over {
            return None;
        }
        self.run.took = gone;
        self.run.latencies.sort_unstable();
        Some(std::mem::take(&mut self.run))
    }
}

/// The status, when the answer is complete.
fn whole_answer(bytes: &[u8]) -> io::Result<Option<u16>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..end];
    let status = std::str::from_utf8(head.get(9..12).unwrap_or_default())
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "not a status line"))?;
    let body = &bytes[end + 4..];
    if let Some(length) = header(head, b"content-length: ") {
        let length: usize = std::str::from_utf8(length)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a length that is no number"))?;
        return Ok((body.len() >= length).then_some(status));
    }
    // one request in flight: the last chunk is at the end of what has come
    Ok((body.ends_with(b"\r\n0\r\n\r\n") || body == b"0\r\n\r\n").then_some(status))
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n')
        .find(|line| line.len() >= name.len() && line[..name.len()].eq_ignore_ascii_case(name))
        .map(|line| line[name.len()..].trim_ascii_end())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
