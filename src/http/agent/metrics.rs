//! What is measured: Consul's JSON, and the text that Prometheus reads.

use std::fmt::Write as _;

use crs_acl::{Access, Resource};
use crs_agent::{Aggregate, Interval, Process};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::reply::Reply;

pub(crate) async fn metrics(call: Call) -> Outcome {
    call.require_on_own_node(Resource::Agent, Access::Read)?;
    let telemetry = call.agent()?.config().telemetry.clone();
    let prometheus = call.param("format") == "prometheus";
    if prometheus && telemetry.prometheus_retention.is_zero() {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Prometheus is not enabled since its retention time is not positive",
        ));
    }
    measure_process(&call)?;
    let metrics = call.agent()?.metrics();
    if prometheus {
        let text = prometheus_text(&metrics.totals(), &telemetry.metrics_prefix);
        let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        return Ok(Reply::bytes(text.into(), Some(content_type)));
    }
    let last = metrics.last();
    let name = |name: &str| format!("{}.{name}", telemetry.metrics_prefix);
    let rows = |map: &std::collections::BTreeMap<String, Aggregate>| -> Vec<String> {
        map.iter().map(|(key, value)| aggregate(&name(key), value)).collect()
    };
    let gauges: Vec<String> = last
        .gauges
        .iter()
        .map(|(key, value)| {
            format!(r#"{{"Name":{},"Value":{},"Labels":{{}}}}"#, json!(name(key)), number(*value))
        })
        .collect();
    let body = format!(
        r#"{{"Timestamp":{},"Gauges":[{}],"Points":[],"Counters":[{}],"Samples":[{}]}}"#,
        json!(last.timestamp()),
        gauges.join(","),
        rows(&last.counters).join(","),
        rows(&last.samples).join(",")
    );
    Ok(Reply::json(body.into_bytes()))
}

/// What the process uses at this moment. Names are Consul's; what is Go's alone is left out.
fn measure_process(call: &Call) -> Result<(), Failure> {
    let process = Process::now();
    let metrics = call.agent()?.metrics();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    metrics.gauge("runtime.alloc_bytes", process.resident_bytes as f64);
    metrics.gauge("runtime.sys_bytes", process.resident_bytes as f64);
    metrics.gauge("runtime.num_goroutines", tasks as f64);
    metrics.gauge("runtime.num_threads", process.threads as f64);
    let (services, checks) = call.agent()?.local().counts();
    metrics.gauge("agent.services", services as f64);
    metrics.gauge("agent.checks", checks as f64);
    let state = call.api.server().published().state();
    metrics.gauge("catalog.index", state.index().0 as f64);
    let watchers = call.api.server().published().hub().watchers();
    metrics.gauge("rpc.queries_blocking", watchers as f64);
    Ok(())
}

fn number(value: f64) -> Value {
    // Whole numbers without a point, as Go prints them.
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn aggregate(name: &str, value: &Aggregate) -> String {
    format!(
        r#"{{"Name":{},"Count":{},"Rate":{},"Sum":{},"Min":{},"Max":{},"Mean":{},"Stddev":{},"Labels":{{}}}}"#,
        json!(name),
        value.count,
        number(value.sum / 10.0),
        number(value.sum),
        number(value.min),
        number(value.max),
        number(value.mean()),
        number(value.stddev())
    )
}

fn prometheus_text(totals: &Interval, prefix: &str) -> String {
    let mut out = String::new();
    let name = |name: &str| -> String {
        let full = format!("{prefix}_{name}");
        full.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
    };
    for (key, value) in &totals.gauges {
        let name = name(key);
        _ = writeln!(out, "# HELP {name} {name}\n# TYPE {name} gauge\n{name} {value}");
    }
    for (key, value) in &totals.counters {
        let name = name(key);
        _ = writeln!(out, "# HELP {name} {name}\n# TYPE {name} counter\n{name} {}", value.sum);
    }
    for (key, value) in &totals.samples {
        let name = name(key);
        _ = writeln!(
            out,
            "# HELP {name} {name}\n# TYPE {name} summary\n{name}_sum {}\n{name}_count {}",
            value.sum, value.count
        );
    }
    out
}
