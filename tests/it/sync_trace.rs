//! No success leaves before the sync that covers it, seen in a trace of the system calls.
//!
//! For each write the trace has to show, in this order: a write to a file of the data directory that holds the key, a
//! sync of that file that began after this write had returned, its end, and only then the answer on the socket that
//! the request came from.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use crate::common::crs;
use crs_testkit::signal;

const WRITERS: usize = 4;
const WRITES: usize = 40;

/// What is known of one key so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Progress {
    /// The file its record went to.
    file: Option<String>,
    /// Whether a sync that began later has ended.
    synced: bool,
}

/// Reads `strace -f -yy` output line by line.
#[derive(Debug, Default)]
struct Trace {
    data: String,
    /// By process: the beginning of a call that has not returned.
    unfinished: HashMap<String, String>,
    /// By process: which keys a running sync will cover.
    syncing: HashMap<String, Vec<String>>,
    keys: HashMap<String, Progress>,
    /// By socket: what has come and is no whole request line yet.
    received: HashMap<String, String>,
    /// By socket: keys asked for and not answered yet.
    asked: HashMap<String, VecDeque<String>>,
    answered: usize,
    faults: Vec<String>,
}

/// `12</path/x>` or `9<TCP:[...]>`: what stands in the angle brackets of the first argument.
fn target(call: &str) -> Option<&str> {
    let arguments = &call[call.find('(')? + 1..];
    let start = arguments.find('<')?;
    let inside = &arguments[start + 1..];
    // a socket's description ends in "]>", a path in ">"
    let end = if inside.starts_with("TCP") { inside.find("]>")? + 1 } else { inside.find('>')? };
    Some(&inside[..end])
}

fn keys_in(call: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = call;
    while let Some(place) = rest.find("trace-key-") {
        let key: String = rest[place..].chars().take(17).collect();
        rest = &rest[place + 10..];
        found.push(key);
    }
    found
}

impl Trace {
    fn line(&mut self, line: &str) {
        let Some((process, rest)) = line.split_once(' ') else { return };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            self.begins(process, begun);
            self.unfinished.insert(process.to_string(), begun.to_string());
        } else if rest.starts_with("<... ") {
            let begun = self.unfinished.remove(process).unwrap_or_default();
            let end = rest.split_once("resumed>").map_or("", |(_, end)| end);
            self.ends(process, &format!("{begun}{end}"));
        } else {
            self.begins(process, rest);
            self.ends(process, rest);
        }
    }

    fn begins(&mut self, process: &str, call: &str) {
        let name = call.split('(').next().unwrap_or("");
        match name {
            "fsync" | "fdatasync" => {
                let file = target(call).unwrap_or("").to_string();
                let covered = self
                    .keys
                    .iter()
                    .filter(|(_, progress)| progress.file.as_ref() == Some(&file))
                    .map(|(key, _)| key.clone())
                    .collect();
                self.syncing.insert(process.to_string(), covered);
            }
            "write" | "writev" | "sendto" | "sendmsg"
                if target(call).is_some_and(|socket| socket.starts_with("TCP")) =>
            {
                self.answers(call);
            }
            _ => {}
        }
    }

    fn answers(&mut self, call: &str) {
        let socket = target(call).unwrap_or("").to_string();
        for _ in 0..call.matches("HTTP/1.1 200").count() {
            let Some(key) = self.asked.get_mut(&socket).and_then(VecDeque::pop_front) else { continue };
            self.answered += 1;
            let progress = self.keys.get(&key).cloned().unwrap_or_default();
            if !progress.synced {
                self.faults.push(format!("{key} answered before its sync: {progress:?}"));
            }
        }
    }

    fn ends(&mut self, process: &str, call: &str) {
        let name = call.split('(').next().unwrap_or("");
        match name {
            "fsync" | "fdatasync" => {
                let good = call.trim_end().ends_with("= 0");
                for key in self.syncing.remove(process).unwrap_or_default() {
                    if good && let Some(progress) = self.keys.get_mut(&key) {
                        progress.synced = true;
                    }
                }
            }
            "read" | "recvfrom" | "readv" | "recvmsg" => {
                let Some(socket) = target(call).filter(|socket| socket.starts_with("TCP")) else { return };
                // a request may come in pieces: what stands in quotes is put together before it is searched
                let (Some(first), Some(last)) = (call.find('"'), call.rfind('"')) else { return };
                let received = self.received.entry(socket.to_string()).or_default();
                received.push_str(&call[first + 1..last.max(first + 1)]);
                while let Some(end) = received.find(" HTTP/1.1") {
                    let request: String = received.drain(..end + 9).collect();
                    if let Some(key) = keys_in(&request).pop() {
                        self.asked.entry(socket.to_string()).or_default().push_back(key);
                    }
                }
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => {
                let file = target(call).unwrap_or("").to_string();
                if file.starts_with(&self.data) {
                    for key in keys_in(call) {
                        let progress = self.keys.entry(key).or_default();
                        if progress.file.is_none() {
                            progress.file = Some(file.clone());
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// The process that the tracer started.
fn child_of(tracer: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn no_success_leaves_before_its_sync() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("trace");
    let calls = "trace=read,recvfrom,readv,recvmsg,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";
    let mut subject = crs()
        .server()
        .under(&["strace", "-f", "-yy", "-s", "65536", "-e", calls, "-o", &output.to_string_lossy()])
        .start();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut client = subject.client();
            scope.spawn(move || {
                for number in 0..WRITES {
                    client.put(&format!("/v1/kv/trace-key-{writer:02}-{number:04}"), "value").ok();
                }
            });
        }
    });
    let data = subject.data_dir();
    signal(child_of(subject.pid()).unwrap(), libc_sigkill()).unwrap();
    subject.wait_end(std::time::Duration::from_secs(10));

    let trace = read(&output, &data);
    assert_eq!(trace.answered, WRITERS * WRITES, "the trace does not show every answer");
    assert!(trace.faults.is_empty(), "{:#?}", trace.faults);
}

fn libc_sigkill() -> i32 {
    9
}

fn read(output: &Path, data: &Path) -> Trace {
    let mut trace = Trace { data: data.to_string_lossy().into_owned(), ..Trace::default() };
    for line in std::fs::read(output).unwrap().split(|byte| *byte == b'\n') {
        trace.line(&String::from_utf8_lossy(line));
    }
    trace
}

/// The reader itself: without the sync, or with the answer before it, it complains.
#[test]
fn the_reader_of_the_trace_finds_early_answers() {
    let run = |lines: &[&str]| {
        let mut trace = Trace { data: "/data".into(), ..Trace::default() };
        lines.iter().for_each(|line| trace.line(line));
        (trace.answered, trace.faults.len())
    };
    let asked = r#"7 recvfrom(9<TCP:[127.0.0.1:8500->127.0.0.1:5]>, "PUT /v1/kv/trace-key-00-0001 HTTP/1.1", 10) = 10"#;
    let written = r#"8 write(4</data/raft/log>, "\1trace-key-00-0001", 20) = 20"#;
    let answer = r#"7 sendto(9<TCP:[127.0.0.1:8500->127.0.0.1:5]>, "HTTP/1.1 200 OK", 10) = 10"#;
    let sync = "8 fdatasync(4</data/raft/log>) = 0";
    let (begin, end) = ("8 fdatasync(4</data/raft/log> <unfinished ...>", "8 <... fdatasync resumed>) = 0");
    assert_eq!(run(&[asked, written, sync, answer]), (1, 0));
    assert_eq!(run(&[asked, written, begin, end, answer]), (1, 0));
    let first = r#"7 recvfrom(9<TCP:[127.0.0.1:8500->127.0.0.1:5]>, "PUT /v1/kv/trace-key-", 24) = 24"#;
    let rest = r#"7 recvfrom(9<TCP:[127.0.0.1:8500->127.0.0.1:5]>, "00-0001 HTTP/1.1", 10) = 10"#;
    assert_eq!(run(&[first, rest, written, sync, answer]), (1, 0), "a request in two pieces");
    assert_eq!(run(&[asked, written, answer]), (1, 1), "no sync");
    assert_eq!(run(&[asked, written, answer, sync]), (1, 1), "an answer before the sync");
    assert_eq!(run(&[asked, written, begin, answer, end]), (1, 1), "an answer during the sync");
    assert_eq!(
        run(&[asked, begin, written.replace('8', "6").as_str(), end, answer]),
        (1, 1),
        "a write after it began"
    );
    assert_eq!(run(&[asked, written, "8 fdatasync(5</data/other>) = 0", answer]), (1, 1), "another file");
    assert_eq!(
        run(&[asked, written, "8 fdatasync(4</data/raft/log>) = -1 EIO", answer]),
        (1, 1),
        "a failed sync"
    );
}
