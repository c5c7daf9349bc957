//! The machine, as far as the kernel tells: for support bundles.

use std::time::{SystemTime, UNIX_EPOCH};

use crs_acl::{Access, Resource};
use serde_json::{Map, Value, json};

use crate::call::{Call, Outcome};
use crate::reply::Reply;

pub(crate) async fn host(call: Call) -> Outcome {
    call.authorizer()?.require(Resource::Operator, "", Access::Read)?;
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let body = format!(
        r#"{{"Memory":{},"CPU":{},"Host":{},"CollectionTime":{nanos},"Errors":null}}"#,
        memory(&read("/proc/meminfo")),
        cpus(&read("/proc/cpuinfo")),
        machine()
    );
    Ok(Reply::json(body.into_bytes()))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn memory(meminfo: &str) -> Value {
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let bytes = |name: &str| kib(name) * 1024;
    let (total, free, cached) =
        (bytes("MemTotal"), bytes("MemFree"), bytes("Cached") + bytes("SReclaimable"));
    let buffers = bytes("Buffers");
    let used = total.saturating_sub(free + cached + buffers);
    let percent = if total == 0 { 0.0 } else { used as f64 * 100.0 / total as f64 };
    json!({
        "total": total, "available": bytes("MemAvailable"), "used": used, "usedPercent": percent,
        "free": free, "active": bytes("Active"), "inactive": bytes("Inactive"), "buffers": buffers,
        "cached": cached, "dirty": bytes("Dirty"), "shared": bytes("Shmem"), "slab": bytes("Slab"),
        "swaptotal": bytes("SwapTotal"), "swapfree": bytes("SwapFree"), "mapped": bytes("Mapped"),
    })
}

fn cpus(cpuinfo: &str) -> Value {
    let one = |block: &str| {
        let fields: Map<String, Value> = block
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().into()))
            .collect();
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or("");
        let flags: Vec<&str> = text("flags").split_whitespace().collect();
        json!({
            "cpu": text("processor").parse::<u64>().unwrap_or(0), "vendorId": text("vendor_id"),
            "family": text("cpu family"), "model": text("model"), "modelName": text("model name"),
            "coreId": text("core id"), "physicalId": text("physical id"), "cores": 1,
            "mhz": text("cpu MHz").parse::<f64>().unwrap_or(0.0), "flags": flags,
            "microcode": text("microcode"),
        })
    };
    cpuinfo.split("\n\n").filter(|block| block.contains("processor")).map(one).collect()
}

fn machine() -> Value {
    let uptime = read("/proc/uptime");
    let uptime = uptime.split('.').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let release = read("/etc/os-release");
    let release = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or("").trim_matches('"').to_owned()
    };
    json!({
        "hostname": read("/proc/sys/kernel/hostname").trim(), "uptime": uptime, "bootTime": now - uptime,
        "os": std::env::consts::OS, "platform": release("ID"), "platformVersion": release("VERSION_ID"),
        "kernelVersion": read("/proc/sys/kernel/osrelease").trim(), "kernelArch": std::env::consts::ARCH,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let memory = memory("MemTotal:       100 kB\nMemFree:         40 kB\nCached:          10 kB\n");
        assert_eq!((memory["total"].as_u64(), memory["used"].as_u64()), (Some(102_400), Some(51_200)));
        let cpus = cpus("processor\t: 0\nflags\t\t: a b\n\nprocessor\t: 1\n");
        assert_eq!((cpus[0]["flags"][1].as_str(), cpus[1]["cpu"].as_u64()), (Some("b"), Some(1)));
    }
}
