//! The machine that figures were taken on, and what it can do at best.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::{Until, run};

/// A few lines of Markdown.
pub fn describe(crs: &str) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| rest.trim_start_matches(['\t', ':', ' ']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib: u64 =
        memory.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let folder = std::env::temp_dir();
    format!(
        "# {}\n\n- {model}, {cores} cores, {} GiB; Linux {}; load before the run {}\n- data on {}: an append of 512 bytes \
         with fdatasync takes {} (median); a bare HTTP answer on one connection takes {}\n- crs {} of commit {}, built \
         with the profile in {}\n",
        command("date", &["+%Y-%m-%d %H:%M"]),
        memory_kib >> 20,
        command("uname", &["-r"]),
        load.split(' ').next().unwrap_or(""),
        command("df", &["--output=fstype,source", &folder.to_string_lossy()]).lines().last().unwrap_or(""),
        show(sync_median()),
        show(answer_median()),
        command(crs, &["version"]).lines().next().unwrap_or(""),
        command("git", &["rev-parse", "--short", "HEAD"]),
        crs.rsplit('/').nth(1).unwrap_or(""),
    )
}

fn show(time: Option<Duration>) -> String {
    time.map_or(String::from("?"), |time| format!("{} µs", time.as_micros()))
}

fn command(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string())
        .unwrap_or_default()
}

fn sync_median() -> Option<Duration> {
    let folder = tempfile::tempdir().ok()?;
    let mut file = File::create(folder.path().join("sync")).ok()?;
    let mut times = Vec::new();
    for _ in 0..300 {
        let start = Instant::now();
        file.write_all(&[7; 512]).ok()?;
        file.sync_data().ok()?;
        times.push(start.elapsed());
    }
    times.sort();
    times.get(times.len() / 2).copied()
}

/// What a server that does nothing would take: a thread that reads and answers.
fn answer_median() -> Option<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let address = listener.local_addr().ok()?;
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let _ = stream.set_nodelay(true);
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue").is_err() {
                return;
            }
        }
    });
    let ask = |_: usize, _: u64, out: &mut Vec<u8>| {
        out.extend_from_slice(b"PUT /v1/kv/a HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\nx");
    };
    let done = run(address, 1, &ask, Until::Answers(5000)).ok()?;
    Some(Duration::from_nanos((done.percentile(0.5) * 1000.0) as u64))
}
