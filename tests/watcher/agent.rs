//! A stand-in for an agent: says what a test tells it to, and holds blocking queries as the real one does.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    index: u64,
    /// Status, body and index of each path.
    answers: HashMap<String, (u16, String, u64)>,
    requests: HashMap<String, usize>,
    tokens: Vec<String>,
    down: bool,
}

/// The stand-in. Its threads end with the test's process.
#[derive(Clone)]
pub struct Agent {
    state: Arc<(Mutex<State>, Condvar)>,
    address: SocketAddr,
}

impl Agent {
    pub fn start() -> Agent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let agent = Agent { state: Arc::default(), address: listener.local_addr().unwrap() };
        agent.state.0.lock().unwrap().index = 10;
        let serving = agent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let agent = serving.clone();
                std::thread::spawn(move || agent.serve(stream));
            }
        });
        agent
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets an answer and wakes whoever waits for it.
    pub fn set(&self, path: &str, status: u16, body: &str) {
        let mut state = self.state.0.lock().unwrap();
        state.index += 1;
        let index = state.index;
        state.answers.insert(path.to_owned(), (status, body.to_owned(), index));
        self.state.1.notify_all();
    }

    pub fn key(&self, key: &str, value: &str) {
        use base64::Engine as _;
        let value = base64::engine::general_purpose::STANDARD.encode(value);
        self.set(&format!("/v1/kv/{key}"), 200, &format!("[{{\"Key\":\"{key}\",\"Value\":\"{value}\"}}]"));
    }

    /// From now on every request fails with 500.
    pub fn down(&self, down: bool) {
        self.state.0.lock().unwrap().down = down;
        self.state.1.notify_all();
    }

    /// How often a path was asked for.
    pub fn requests(&self, path: &str) -> usize {
        self.state.0.lock().unwrap().requests.get(path).copied().unwrap_or(0)
    }

    pub fn tokens(&self) -> Vec<String> {
        self.state.0.lock().unwrap().tokens.clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let target = line.split(' ').nth(1).unwrap_or("").to_owned();
            let mut token = String::new();
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = header.split_once(':')
                    && name.eq_ignore_ascii_case("x-consul-token")
                {
                    token = value.trim().to_owned();
                }
            }
            let (status, body, index) = self.answer(&target, token);
            let head = format!(
                "HTTP/1.1 {status} X\r\nX-Consul-Index: {index}\r\nX-Consul-LastContact: 0\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
                return;
            }
        }
    }

    fn answer(&self, target: &str, token: String) -> (u16, String, u64) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let known: u64 = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("index="))
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut state = self.state.0.lock().unwrap();
        *state.requests.entry(path.to_owned()).or_default() += 1;
        state.tokens.push(token);
        loop {
            if state.down {
                return (500, "No cluster leader".to_owned(), 0);
            }
            let index = state.index;
            let answer = state.answers.get(path).cloned().unwrap_or((404, String::new(), index));
            if answer.2 > known || known == 0 || Instant::now() > deadline {
                return answer;
            }
            state = self.state.1.wait_timeout(state, Duration::from_millis(200)).unwrap().0;
        }
    }
}
