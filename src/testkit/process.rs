//! What the kernel knows of a process: signals to it, memory and CPU time of it.

use std::io;
use std::time::Duration;

/// Memory and CPU time of a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessStats {
    /// Resident memory, bytes.
    pub resident: u64,
    /// The most it ever had resident, bytes.
    pub peak_resident: u64,
    /// CPU time in user and kernel mode together.
    pub cpu: Duration,
}

/// Sends signal `number` to process `pid`.
///
/// # Errors
/// What `kill(2)` reports: no such process, not permitted.
#[allow(unsafe_code)]
pub fn signal(pid: u32, number: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    if unsafe { libc::kill(pid, number) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Clock ticks per second in `/proc/PID/stat`; Linux fixes it at 100 for user space on every platform we build for.
const TICKS_PER_SECOND: u64 = 100;

/// Reads `/proc` for process `pid`.
///
/// # Errors
/// When the process is gone or `/proc` cannot be read.
pub fn stats_of(pid: u32) -> io::Result<ProcessStats> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |field: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the second field is the program's name in parentheses and may hold anything
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 =
        after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    // schedstat counts nanoseconds on a CPU, per thread; ticks are the fallback where it is not compiled in
    let mut cpu = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    if let Some(exact) = exact_cpu(pid) {
        // threads that have ended are only in the ticks
        cpu = cpu.max(exact);
    }
    Ok(ProcessStats { resident: kib("VmRSS:") * 1024, peak_resident: kib("VmHWM:") * 1024, cpu })
}

fn exact_cpu(pid: u32) -> Option<Duration> {
    let mut total = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        total += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_memory() {
        let stats = stats_of(std::process::id()).unwrap();
        assert!(stats.resident > 100_000, "{stats:?}");
        assert!(stats.peak_resident >= stats.resident, "{stats:?}");
    }

    #[test]
    fn signal_zero_reaches_ourselves_only() {
        signal(std::process::id(), 0).unwrap();
        assert!(signal(u32::MAX, 0).is_err());
    }
}
