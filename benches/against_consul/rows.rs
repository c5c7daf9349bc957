//! The rows: what is asked of both, and what we want of ours.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use crs_testkit::{Kind, Request, Setup, Subject};

use crate::load::{Run, Script, Until, run};

/// What one row gave for one subject.
#[derive(Debug, Clone)]
pub enum Figure {
    /// A run under load, and the server's CPU time per answer.
    Load(Run, Duration),
    /// How long something took.
    Time(Duration),
    /// Resident memory, bytes.
    Memory(u64),
}

/// A row of load on a server that runs already.
pub struct LoadRow {
    /// Its name.
    pub name: &'static str,
    /// Sockets.
    pub connections: usize,
    /// What we want, as the share of Consul's figure that ours may be at most.
    pub wanted: Wanted,
    /// Readies the server.
    pub ready: fn(&Subject) -> Result<()>,
    /// The requests.
    pub script: fn(usize, u64, &mut Vec<u8>),
}

/// What is compared, and the target for crs.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// The median latency: at most this share of Consul's.
    MedianAtMost(f64),
    /// The rate: at least this many times Consul's.
    RateAtLeast(f64),
    /// CPU per answer: at most this share of Consul's.
    CpuAtMost(f64),
}

fn request(out: &mut Vec<u8>, method: &str, target: std::fmt::Arguments<'_>, body: &[u8]) {
    // writing into memory cannot fail
    let _ = write!(out, "{method} {target} HTTP/1.1\r\nHost: b\r\n");
    if method == "PUT" {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

const VALUE: &[u8] = &[b'v'; 64];

fn put_key(connection: usize, sent: u64, out: &mut Vec<u8>) {
    // a fresh value each time: the same one again would change nothing
    let mut value = VALUE.to_vec();
    let _ = write!(&mut value[..20], "{sent:020}");
    request(out, "PUT", format_args!("/v1/kv/bench/{connection}-{}", sent % 100), &value);
}

fn get_key(connection: usize, sent: u64, out: &mut Vec<u8>) {
    request(out, "GET", format_args!("/v1/kv/read/{}", (connection as u64 + sent) % 100), b"");
}

fn get_health(_: usize, _: u64, out: &mut Vec<u8>) {
    request(out, "GET", format_args!("/v1/health/service/hundred"), b"");
}

fn register_and_deregister(connection: usize, sent: u64, out: &mut Vec<u8>) {
    if sent.is_multiple_of(2) {
        let body = format!(
            r#"{{"ID":"r{connection}","Name":"r","Port":{},"Tags":["a"],"Check":{{"TTL":"10m","Status":"passing"}}}}"#,
            1000 + sent % 1000
        );
        request(out, "PUT", format_args!("/v1/agent/service/register"), body.as_bytes());
    } else {
        request(out, "PUT", format_args!("/v1/agent/service/deregister/r{connection}"), b"");
    }
}

fn nothing(_: &Subject) -> Result<()> {
    Ok(())
}

fn hundred_keys(subject: &Subject) -> Result<()> {
    let put: Script<'_> = &|_, sent, out| {
        request(out, "PUT", format_args!("/v1/kv/read/{sent}"), VALUE);
    };
    run(subject.http(), 1, put, Until::Answers(100))?;
    Ok(())
}

fn hundred_instances(subject: &Subject) -> Result<()> {
    register_services(subject, "hundred", 100, 100, 1)
}

/// Registers `count` services spread over `nodes` nodes with `checks` checks each, through the catalog.
fn register_services(subject: &Subject, name: &str, nodes: u64, count: u64, checks: u64) -> Result<()> {
    let put = |_: usize, sent: u64, out: &mut Vec<u8>| {
        let node = sent % nodes;
        let id = format!("{name}-{sent}");
        let service = if nodes == count { name.to_string() } else { format!("{name}-{}", sent % 500) };
        let checks: Vec<String> = (0..checks)
            .map(|number| {
                format!(
                    r#"{{"CheckID":"{id}:{number}","Name":"check {number} of {id}","Status":"passing","ServiceID":"{id}","Output":"HTTP GET http://10.0.0.1:8080/health: 200 OK Output: fine"}}"#
                )
            })
            .collect();
        let body = format!(
            r#"{{"Node":"node-{node}","Address":"10.0.0.{}","NodeMeta":{{"rack":"r{}"}},"Service":{{"ID":"{id}","Service":"{service}","Tags":["prod","v1"],"Port":{},"Meta":{{"version":"1.2.3"}}}},"Checks":[{}]}}"#,
            node % 250,
            node % 10,
            1000 + sent % 60_000,
            checks.join(",")
        );
        request(out, "PUT", format_args!("/v1/catalog/register"), body.as_bytes());
    };
    let done = run(subject.http(), 1, &put, Until::Answers(count))?;
    ensure!(done.refused == 0, "{} registrations were refused", done.refused);
    Ok(())
}

/// The rows under load.
pub const LOAD: [LoadRow; 5] = [
    LoadRow {
        name: "KV put, 1 connection, on disk",
        connections: 1,
        wanted: Wanted::MedianAtMost(0.75),
        ready: nothing,
        script: put_key,
    },
    LoadRow {
        name: "KV put, 64 connections, on disk",
        connections: 64,
        wanted: Wanted::RateAtLeast(3.0),
        ready: nothing,
        script: put_key,
    },
    LoadRow {
        name: "KV get, 64 connections",
        connections: 64,
        wanted: Wanted::CpuAtMost(0.5),
        ready: hundred_keys,
        script: get_key,
    },
    LoadRow {
        name: "health of a service with 100 instances, 16 connections",
        connections: 16,
        wanted: Wanted::CpuAtMost(0.1),
        ready: hundred_instances,
        script: get_health,
    },
    LoadRow {
        name: "register and deregister by the agent, 16 connections",
        connections: 16,
        wanted: Wanted::RateAtLeast(4.0),
        ready: nothing,
        script: register_and_deregister,
    },
];

/// Runs one row against one server.
pub fn load(row: &LoadRow, subject: &Subject, length: Duration) -> Result<Figure> {
    (row.ready)(subject)?;
    let warm_up = length / 4;
    // CPU is read around the whole run, warm-up included, and divided by all its answers
    let before = subject.stats().cpu;
    let counted = std::cell::Cell::new(0_u64);
    let script = |connection: usize, sent: u64, out: &mut Vec<u8>| {
        counted.set(counted.get() + 1);
        (row.script)(connection, sent, out);
    };
    let done = run(subject.http(), row.connections, &script, Until::Time(warm_up, length))?;
    let cpu = subject.stats().cpu.saturating_sub(before);
    ensure!(
        done.refused * 1000 <= done.answers,
        "{}: {} of {} refused",
        row.name,
        done.refused,
        done.answers
    );
    let each = cpu / u32::try_from(counted.get().max(1))?;
    Ok(Figure::Load(done, each))
}

/// Where the time of one write goes, by difference: a read is HTTP alone, a write in `-dev` mode has raft but no disk.
/// Gives the medians of a read, of a write in memory and of a write on disk, in microseconds.
pub fn shares(kind: Kind, crs: &str, subject: &Subject, length: Duration) -> Result<[f64; 3]> {
    let memory = Setup::new(kind, crs).start();
    hundred_keys(subject)?;
    let until = Until::Time(length / 4, length);
    Ok([
        run(subject.http(), 1, &get_key, until)?.percentile(0.5),
        run(memory.http(), 1, &put_key, until)?.percentile(0.5),
        run(subject.http(), 1, &put_key, until)?.percentile(0.5),
    ])
}

/// From the start of the process to the first write it acknowledges.
pub fn first_write(kind: Kind, crs: &str) -> Result<Figure> {
    let mut subject = server(kind, crs).prepare();
    let start = Instant::now();
    subject.launch();
    until_written(&subject)?;
    Ok(Figure::Time(start.elapsed()))
}

fn until_written(subject: &Subject) -> Result<()> {
    let mut client = subject.client();
    let start = Instant::now();
    let write = Request::new("PUT", "/v1/kv/first").body("1");
    while start.elapsed() < Duration::from_secs(60) {
        if client.try_send(&write).is_ok_and(|reply| reply.code() == 200) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("no write within a minute\n{}", subject.log())
}

/// The three figures that need the large state: memory idle, memory loaded, restart.
pub fn large(kind: Kind, crs: &str) -> Result<[Figure; 3]> {
    let mut subject = server(kind, crs).start();
    std::thread::sleep(Duration::from_secs(3));
    let idle = subject.stats().resident;
    let keys: Script<'_> = &|connection, sent, out| {
        request(out, "PUT", format_args!("/v1/kv/large/{connection}/{sent}"), VALUE);
    };
    let done = run(subject.http(), 64, keys, Until::Answers(100_000))?;
    ensure!(done.refused == 0, "{} keys were refused", done.refused);
    // the restart row is about keys alone: take it before the services come
    subject.stop();
    let start = Instant::now();
    subject.launch();
    until_written(&subject)?;
    let restart = start.elapsed();
    let mut client = subject.client();
    ensure!(client.get("/v1/kv/large/?keys").value().len() >= 100_000, "keys are missing after the restart");

    subject.wait_ready();
    register_services(&subject, "svc", 200, 10_000, 3)?;
    std::thread::sleep(Duration::from_secs(5));
    let loaded = subject.stats().resident;
    Ok([Figure::Memory(idle), Figure::Memory(loaded), Figure::Time(restart)])
}

/// A lone server on a data directory, with the defaults an operator gets.
pub fn server(kind: Kind, crs: &str) -> Setup {
    Setup::new(kind, crs).server().file("limits.json", r#"{"limits":{"http_max_conns_per_client":500}}"#)
}
