//! `session/create`.

use std::time::Duration;

use crs_server::{DEFAULT_LOCK_DELAY, SessionRequest};
use crs_types::{CheckId, NodeName};

use super::decode::{Decoder, Unknown};
use super::decoded;
use super::syntax::Json;
use crate::error::Failure;

/// Numbers below this many nanoseconds were meant as seconds.
const LOCK_DELAY_AS_SECONDS_BELOW: Duration = Duration::from_nanos(1000);

/// Reads the body of `session/create`; an empty one asks for nothing special. Unknown fields are passed over, as is an
/// id.
///
/// # Errors
/// Consul's text, 400.
pub(crate) fn session(bytes: &[u8], own_node: &NodeName) -> Result<SessionRequest, Failure> {
    let mut request = SessionRequest {
        name: String::new(),
        node: own_node.clone(),
        lock_delay: DEFAULT_LOCK_DELAY,
        behavior: String::new(),
        ttl: String::new(),
        node_checks: None,
        service_checks: None,
    };
    if bytes.is_empty() {
        return Ok(request);
    }
    const FIELDS: [&str; 8] =
        ["Name", "Node", "LockDelay", "Behavior", "TTL", "NodeChecks", "ServiceChecks", "Checks"];
    decoded(bytes, |d, json| {
        let name = ("", "structs.Session");
        d.fields(json, name, &FIELDS, Unknown::Ignore, |d, field, json| match field {
            "Name" => request.name = d.string(json),
            "Node" => {
                let node = d.string(json);
                if !node.is_empty() {
                    request.node = node.into();
                }
            }
            "LockDelay" if *json != Json::Null => request.lock_delay = lock_delay(d, json),
            "LockDelay" => {}
            "Behavior" => request.behavior = d.string(json),
            "TTL" => request.ttl = d.string(json),
            "NodeChecks" | "Checks" => {
                request.node_checks = Some(d.strings(json).into_iter().map(CheckId::from).collect());
            }
            _ => {
                let checks = d.list(json, "[]structs.ServiceCheck", service_check);
                request.service_checks = (*json != Json::Null).then_some(checks);
            }
        });
        request
    })
}

fn lock_delay(d: &mut Decoder, json: &Json) -> Duration {
    let delay = d.duration(json);
    if delay < LOCK_DELAY_AS_SECONDS_BELOW {
        Duration::from_secs(u64::from(delay.subsec_nanos()))
    } else {
        delay
    }
}

fn service_check(d: &mut Decoder, json: &Json) -> CheckId {
    let mut id = CheckId::default();
    let name = ("ServiceCheck", "structs.ServiceCheck");
    d.fields(json, name, &["ID", "Namespace"], Unknown::Ignore, |d, field, json| match field {
        "ID" => id = d.string(json).into(),
        _ => _ = d.string(json),
    });
    id
}
