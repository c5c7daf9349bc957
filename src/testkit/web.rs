//! A small HTTP server whose answer can be switched, for checks to look at.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Requests kept for inspection.
const KEPT: usize = 1000;

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    body: String,
    headers: String,
    delay: Duration,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    seen: Mutex<VecDeque<String>>,
    stop: AtomicBool,
}

/// A server that gives one answer to every request, until told another.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Web {
    /// Serves on a free port of `ip`; answers 200 `ok`.
    ///
    /// # Panics
    /// When the address cannot be bound.
    pub fn start(ip: impl Into<IpAddr>) -> Self {
        let answer = Answer { status: 200, body: "ok".into(), headers: String::new(), delay: Duration::ZERO };
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            seen: Mutex::new(VecDeque::new()),
            stop: AtomicBool::new(false),
        });
        let ip = ip.into();
        let mut web = Web { address: SocketAddr::new(ip, 0), shared, accepting: None };
        web.up();
        web
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives this answer from now on.
    pub fn answer(&self, status: u16, body: &str) {
        let mut answer = lock(&self.shared.answer);
        answer.status = status;
        answer.body = body.into();
    }

    /// Adds lines of the form `Name: value\r\n` to each answer.
    pub fn headers(&self, lines: &str) {
        lock(&self.shared.answer).headers = lines.into();
    }

    /// Lets each request wait that long.
    pub fn delay(&self, delay: Duration) {
        lock(&self.shared.answer).delay = delay;
    }

    /// The requests so far, head and body as received.
    pub fn seen(&self) -> Vec<String> {
        lock(&self.shared.seen).iter().cloned().collect()
    }

    /// Stops listening: connections are refused.
    ///
    /// # Panics
    /// When the accepting thread panicked.
    pub fn down(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.accepting.take() {
            // accept returns for this connection and sees the stop
            drop(TcpStream::connect(self.address));
            assert!(thread.join().is_ok(), "the test's web server panicked");
        }
    }

    /// Listens again, at the same address.
    ///
    /// # Panics
    /// When the address cannot be bound.
    pub fn up(&mut self) {
        assert!(self.accepting.is_none(), "already up");
        let listener = match TcpListener::bind(self.address) {
            Ok(listener) => listener,
            Err(error) => panic!("cannot listen on {}: {error}", self.address),
        };
        if let Ok(bound) = listener.local_addr() {
            self.address = bound;
        }
        self.shared.stop.store(false, Ordering::Release);
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(stream) = stream {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || serve(stream, &shared));
                }
            }
        }));
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.down();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let Some(request) = read_request(&mut stream) else { return };
    {
        let mut seen = lock(&shared.seen);
        if seen.len() == KEPT {
            seen.pop_front();
        }
        seen.push_back(request);
    }
    let answer = lock(&shared.answer).clone();
    std::thread::sleep(answer.delay);
    let text = format!(
        "HTTP/1.1 {} Status\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}",
        answer.status,
        answer.body.len(),
        answer.headers,
        answer.body
    );
    // whoever asked may be gone by now; that is theirs to report
    let _ = stream.write_all(text.as_bytes());
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Request};
    use std::net::Ipv4Addr;

    #[test]
    fn answers_as_told_and_goes_down_and_up() {
        let mut web = Web::start(Ipv4Addr::LOCALHOST);
        let mut client = Client::new(web.address());
        client.get("/a").ok().text("ok");
        web.answer(503, "busy");
        client.put("/b", "body").error(503, "busy");
        assert!(web.seen()[1].starts_with("PUT /b HTTP/1.1\r\n") && web.seen()[1].ends_with("\r\n\r\nbody"));
        web.down();
        assert!(client.try_send(&Request::new("GET", "/c")).is_err());
        web.up();
        client.get("/d").status(503);
    }
}
