//! A blocking HTTP/1.1 client that shows what really stood on the wire.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Json;

/// Longest body that is read.
const BODY_LIMIT: usize = 256 << 20;

/// One request, sent as it is: no header but `Host` and `Content-Length` is added.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without headers and body. `target` goes out as given: escape it yourself.
    pub fn new(method: &str, target: &str) -> Self {
        Request { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let chunked = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
        if !chunked && (!self.body.is_empty() || self.method == "PUT" || self.method == "POST") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// A connection to one agent, kept alive from request to request and opened anew when the other side has closed it.
#[derive(Debug)]
pub struct Client {
    to: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    timeout: Duration,
    words: Vec<(String, String)>,
    pretty: Option<bool>,
}

impl Client {
    /// A client of the agent at `to`; connects with the first request. An answer may take 30 s.
    pub fn new(to: SocketAddr) -> Self {
        Client { to, stream: None, timeout: Duration::from_secs(30), words: Vec::new(), pretty: None }
    }

    /// With another limit for the time an answer takes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where `word` stands in an expectation, `meaning` is expected.
    #[must_use]
    pub fn word(mut self, word: &str, meaning: &str) -> Self {
        self.words.push((word.into(), meaning.into()));
        self
    }

    /// Every JSON answer must be laid out this way, to the byte.
    #[must_use]
    pub fn layout(mut self, pretty: bool) -> Self {
        self.pretty = Some(pretty);
        self
    }

    /// `GET target`.
    ///
    /// # Panics
    /// As [`Client::send`].
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Reply {
        self.send(Request::new("GET", target))
    }

    /// `PUT target` with a body.
    ///
    /// # Panics
    /// As [`Client::send`].
    #[track_caller]
    pub fn put(&mut self, target: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.send(Request::new("PUT", target).body(body))
    }

    /// `DELETE target`.
    ///
    /// # Panics
    /// As [`Client::send`].
    #[track_caller]
    pub fn delete(&mut self, target: &str) -> Reply {
        self.send(Request::new("DELETE", target))
    }

    /// Sends and reads the answer.
    ///
    /// # Panics
    /// When no answer comes, or one that is not HTTP.
    #[track_caller]
    pub fn send(&mut self, request: Request) -> Reply {
        match self.try_send(&request) {
            Ok(reply) => reply,
            Err(error) => panic!("{} {} to {}: {error}", request.method, request.target, self.to),
        }
    }

    /// Sends and reads the answer; once more on a fresh connection if the kept one turns out to be closed.
    ///
    /// # Errors
    /// What the socket reports, and `InvalidData` for what is not HTTP.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Reply> {
        if self.stream.is_some() {
            match self.exchange(request) {
                Err(error) if closed(&error) => {}
                other => return other,
            }
        }
        self.stream = None;
        self.exchange(request)
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.to, Duration::from_secs(5))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        stream.get_ref().set_read_timeout(Some(self.timeout))?;
        stream.get_ref().set_write_timeout(Some(self.timeout))?;
        let host = self.to.to_string();
        // an early refusal of a large body is an answer: read it even if writing failed
        let written = stream.get_mut().write_all(&request.bytes(&host));
        let mut reply = match read_reply(&mut stream, &request.method) {
            Ok(reply) => reply,
            Err(error) => return Err(written.err().unwrap_or(error)),
        };
        reply.asked = format!("{} {}", request.method, request.target);
        reply.words = self.words.clone();
        reply.pretty = self.pretty.map(|always| always || asks_pretty(&request.target));
        let close = reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !close && written.is_ok() {
            self.stream = Some(stream);
        }
        Ok(reply)
    }
}

fn asks_pretty(target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair.split('=').next() == Some("pretty"))
}

fn closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.by_ref().take(1 << 20).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => String::from_utf8(text.to_vec()).map_err(|_| bad("a head that is not UTF-8")),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(bad(format!("a line without its end: {:?}", String::from_utf8_lossy(&line)))),
    }
}

fn read_reply(stream: &mut impl BufRead, method: &str) -> io::Result<Reply> {
    let first = read_line(stream)?;
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| bad(format!("not a status line: {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").ok_or_else(|| bad(format!("not a header: {line:?}")))?;
        headers.push((name.to_string(), value.to_string()));
    }
    let mut reply =
        Reply { asked: String::new(), status, headers, body: Vec::new(), words: Vec::new(), pretty: None };
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok(reply);
    }
    if reply.header("transfer-encoding") == Some("chunked") {
        loop {
            let line = read_line(stream)?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or(""), 16)
                .map_err(|_| bad(format!("not a chunk size: {line:?}")))?;
            if reply.body.len() + size > BODY_LIMIT {
                return Err(bad("a body without end"));
            }
            let start = reply.body.len();
            reply.body.resize(start + size, 0);
            stream.read_exact(&mut reply.body[start..])?;
            if !read_line(stream)?.is_empty() {
                return Err(bad("a chunk longer than it says"));
            }
            if size == 0 {
                return Ok(reply);
            }
        }
    }
    if let Some(length) = reply.header("content-length") {
        let length: usize = length.parse().map_err(|_| bad("a length that is no number"))?;
        if length > BODY_LIMIT {
            return Err(bad("a body without end"));
        }
        reply.body.resize(length, 0);
        stream.read_exact(&mut reply.body)?;
    } else {
        stream.by_ref().take(BODY_LIMIT as u64).read_to_end(&mut reply.body)?;
        reply.headers.push(("Connection".into(), "close".into()));
    }
    Ok(reply)
}

/// An answer, with expectations to hold against it. Each expectation panics with the whole answer when it is not met
/// and hands the answer on when it is.
#[derive(Debug, Clone)]
pub struct Reply {
    asked: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    words: Vec<(String, String)>,
    pretty: Option<bool>,
}

impl Reply {
    /// The status as it came.
    pub fn code(&self) -> u16 {
        self.status
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The names of all headers as written, in order.
    pub fn header_names(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The body's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn value(&self) -> Json {
        match Json::parse(&self.body()) {
            Ok(value) => value,
            Err(error) => self.unmet(&format!("a JSON body ({error})")),
        }
    }

    /// The number in `X-Consul-Index`.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn index(&self) -> u64 {
        match self.header("X-Consul-Index").and_then(|text| text.parse().ok()) {
            Some(index) => index,
            None => self.unmet("a number in X-Consul-Index"),
        }
    }

    /// Expects that status.
    #[track_caller]
    pub fn status(self, status: u16) -> Self {
        if self.status != status {
            self.unmet(&format!("status {status}"));
        }
        self
    }

    /// Expects 200.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.status(200)
    }

    /// Expects that body, to the byte.
    #[track_caller]
    pub fn text(self, text: &str) -> Self {
        let wanted = self.meant(text);
        if self.body != wanted.as_bytes() {
            self.unmet(&format!("the body {wanted:?}"));
        }
        self
    }

    /// Expects an error: that status, that text, and the type that Consul gives error texts.
    #[track_caller]
    pub fn error(self, status: u16, text: &str) -> Self {
        self.status(status).text(text)
    }

    /// Expects `part` somewhere in the body.
    #[track_caller]
    pub fn contains(self, part: &str) -> Self {
        let wanted = self.meant(part);
        if !self.body().contains(&wanted) {
            self.unmet(&format!("{wanted:?} in the body"));
        }
        self
    }

    /// Expects JSON that fits the pattern (see [`Json::fits`]), in the layout and escapes that Consul writes.
    #[track_caller]
    pub fn json(self, pattern: &str) -> Self {
        let wanted = match Json::parse(&self.meant(pattern)) {
            Ok(wanted) => wanted,
            Err(error) => panic!("the pattern of this test is no JSON: {error}"),
        };
        let value = self.value();
        if let Err(difference) = value.fits(&wanted) {
            self.unmet(&format!("JSON like {wanted}\n  {difference}"));
        }
        if let Some(pretty) = self.pretty {
            let layout = value.encode(pretty);
            if layout.as_bytes() != self.body {
                self.unmet(&format!("the layout {layout:?}"));
            }
        }
        self
    }

    /// As [`Reply::json`], with lists of objects put in the order of their member `key` first.
    #[track_caller]
    pub fn json_by(self, key: &str, pattern: &str) -> Self {
        let value = self.value();
        if let Some(pretty) = self.pretty
            && value.encode(pretty).as_bytes() != self.body
        {
            self.unmet(&format!("the layout {:?}", value.encode(pretty)));
        }
        let body = value.sorted_by(key).encode(self.pretty.unwrap_or(false)).into_bytes();
        Reply { body, ..self }.json(pattern)
    }

    /// Expects that header with that value; `<any>` stands for any, `<index>` for a number of 1 or more.
    #[track_caller]
    pub fn has(self, name: &str, value: &str) -> Self {
        let wanted = self.meant(value);
        let fits = self.headers.iter().any(|(have, held)| {
            have == name
                && match wanted.as_str() {
                    "<any>" => true,
                    "<index>" => held.parse::<u64>().is_ok_and(|number| number > 0),
                    _ => *held == wanted,
                }
        });
        if !fits {
            self.unmet(&format!("the header {name}: {wanted}"));
        }
        self
    }

    /// Expects no header of that name.
    #[track_caller]
    pub fn lacks(self, name: &str) -> Self {
        if self.header(name).is_some() {
            self.unmet(&format!("no header {name}"));
        }
        self
    }

    /// The three headers that every read of the catalog or the keys carries.
    #[track_caller]
    pub fn read_headers(self) -> Self {
        self.has("X-Consul-Index", "<index>")
            .has("X-Consul-Knownleader", "true")
            .has("X-Consul-Lastcontact", "0")
    }

    fn meant(&self, text: &str) -> String {
        self.words.iter().fold(text.to_string(), |text, (word, meaning)| text.replace(word, meaning))
    }

    #[track_caller]
    fn unmet(&self, wanted: &str) -> ! {
        let mut answer = format!("  {}\n", self.status);
        for (name, value) in &self.headers {
            answer.push_str(&format!("  {name}: {value}\n"));
        }
        let body = self.body();
        let shown: String = body.chars().take(4000).collect();
        panic!("{}\nexpected {wanted}\ngot\n{answer}\n  {shown:?}", self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> io::Result<Reply> {
        read_reply(&mut text.as_bytes(), "GET")
    }

    #[test]
    fn bodies_by_length_chunks_and_end() {
        assert_eq!(reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd").unwrap().bytes(), b"abc");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(reply(chunked).unwrap().bytes(), b"abc");
        let until_end = reply("HTTP/1.1 500 No\r\n\r\nabc").unwrap();
        assert_eq!((until_end.code(), until_end.bytes()), (500, b"abc".as_slice()));
    }

    #[test]
    fn junk_is_an_error() {
        for junk in
            ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
        {
            assert!(reply(junk).is_err(), "{junk:?}");
        }
    }

    #[test]
    fn a_request_goes_out_as_written() {
        let request = Request::new("PUT", "/v1/kv/a%20b?x").header("X-Y", "z").body("q");
        assert_eq!(
            String::from_utf8(request.bytes("h:1")).unwrap(),
            "PUT /v1/kv/a%20b?x HTTP/1.1\r\nHost: h:1\r\nX-Y: z\r\nContent-Length: 1\r\n\r\nq"
        );
    }

    #[test]
    #[should_panic(expected = "expected status 200")]
    fn an_expectation_that_is_not_met_panics() {
        reply("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").unwrap().ok();
    }
}
