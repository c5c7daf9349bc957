//! How fast a lone server writes on this machine's disk: `write_bench DIRECTORY [SECONDS]`.
//!
//! Prints, for 1, 64 and 256 writers, commands per second, latency, syncs and CPU time per command; and what one command
//! costs beside one bare write and sync.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crs_raft::disk::{Disk, Files};
use crs_raft::{Options, Publish, Raft, ServerId, ServerNode, Storage};
use crs_store::{Changes, Command, KvCondition, State};

struct Nobody;

impl Publish for Nobody {
    fn publish(&self, _: &State, _: Changes) {}
    fn restored(&self, _: &State) {}
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn quantile(sorted: &[Duration], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q) as usize].as_nanos() as f64 / 1000.0
}

/// One write in turn with one bare write and sync of the same size: what raft adds, whatever else the machine does.
async fn pairs(raft: &Raft, dir: &Path, time: Duration) {
    let disk = Files::open(dir).unwrap();
    let file = disk.create("bare").unwrap();
    file.preallocate(16 << 20).unwrap();
    file.sync_data().unwrap();
    let (mut bare, mut raft_times) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < time {
        let at = Instant::now();
        tokio::task::block_in_place(|| {
            file.write_at(&[7; 304], bare.len() as u64 * 304 % (15 << 20)).unwrap();
            file.sync_data().unwrap();
        });
        bare.push(at.elapsed());
        let at = Instant::now();
        let command = Command::KvSet {
            key: "bench/pair".into(),
            flags: 0,
            value: Bytes::from_static(&[b'v'; 200]),
            condition: KvCondition::None,
        };
        raft.propose(command).await.unwrap();
        raft_times.push(at.elapsed());
    }
    bare.sort();
    raft_times.sort();
    println!(
        "in turn, {} each: a bare write and sync p50 {:.0} us, p10 {:.0} us; a command p50 {:.0} us, p10 {:.0} us",
        bare.len(),
        quantile(&bare, 0.5),
        quantile(&bare, 0.1),
        quantile(&raft_times, 0.5),
        quantile(&raft_times, 0.1),
    );
    disk.remove("bare").unwrap();
}

async fn run(raft: &Raft, writers: usize, time: Duration) {
    let value = Bytes::from(vec![b'v'; 200]);
    let before = raft.metrics();
    let (cpu_before, begun) = (cpu(), Instant::now());
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (raft, value) = (raft.clone(), value.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            let mut n = 0;
            while begun.elapsed() < time {
                let at = Instant::now();
                let command = Command::KvSet {
                    key: format!("bench/{writer}/{}", n % 100).into(),
                    flags: 0,
                    value: value.clone(),
                    condition: KvCondition::None,
                };
                raft.propose(command).await.unwrap();
                times.push(at.elapsed());
                n += 1;
            }
            times
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let (elapsed, cpu) = (begun.elapsed(), cpu() - cpu_before);
    let after = raft.metrics();
    times.sort();
    let count = times.len() as f64;
    println!(
        "{writers:>4} writers: {:>8.0}/s  p50 {:>6.0} us  p99 {:>6.0} us  {:.4} syncs  {:.4} entries  {:>6.1} us CPU per write",
        count / elapsed.as_secs_f64(),
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        (after.log.syncs - before.log.syncs) as f64 / count,
        (after.entries_proposed - before.entries_proposed) as f64 / count,
        cpu.as_secs_f64() * 1e6 / count,
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("a directory to write in");
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(4);
    let dir = Path::new(&dir).join(format!("write-bench-{}", std::process::id()));
    let node = ServerNode { name: "bench".to_owned(), address: String::new() };
    let options = || Options::new(ServerId(1), node.clone(), Storage::Directory(dir.join("raft")));
    let begun = Instant::now();
    let raft = Raft::start(options(), Arc::new(Nobody)).await.unwrap();
    raft.bootstrap_alone().await.unwrap();
    println!("first start to leading: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    pairs(&raft, &dir, Duration::from_secs(seconds)).await;
    for writers in [1, 64, 256] {
        run(&raft, writers, Duration::from_secs(seconds)).await;
    }
    for chunk in 0..1000 {
        let keys = (0..100).map(|n| {
            raft.propose(Command::KvSet {
                key: format!("many/{chunk}/{n}").into(),
                flags: 0,
                value: Bytes::from_static(&[7; 100]),
                condition: KvCondition::None,
            })
        });
        for written in futures::future::join_all(keys).await {
            written.unwrap();
        }
    }
    let before = raft.metrics();
    raft.shutdown().await;
    let (cpu_before, begun) = (cpu(), Instant::now());
    let raft = Raft::start(options(), Arc::new(Nobody)).await.unwrap();
    raft.wait_for_leader(Duration::from_secs(10)).await.unwrap();
    println!(
        "restart with more than 100,000 keys to leading: {:.1} ms, {:.1} ms CPU ({} entries behind the snapshot of entry {})",
        begun.elapsed().as_secs_f64() * 1e3,
        (cpu() - cpu_before).as_secs_f64() * 1e3,
        before.last_log_index - before.snapshot_index,
        before.snapshot_index,
    );
    raft.shutdown().await;
    std::fs::remove_dir_all(&dir).unwrap();
}
