//! `/v1/txn`: several operations, all or nothing.

use crs_store::{TxnError, TxnResult};
use http::StatusCode;

use crate::body::{Transaction, transaction};
use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::json;
use crate::reply::Reply;

/// Consul's limit.
const MAX_OPS: usize = 64;

pub(crate) async fn run(mut call: Call) -> Outcome {
    let options = call.read_options()?;
    let limit = call.settings().txn_max_req_len_bytes;
    let bytes = call.read_body(limit, "txn_max_req_len").await?;
    let Transaction { ops, reads_only } = transaction(&bytes)?;
    if ops.len() > MAX_OPS {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Transaction contains too many operations ({} > {MAX_OPS})", ops.len()),
        ));
    }
    call.require_own_datacenter()?;
    let authorizer = call.authorizer()?;
    let outcome = call.api.server().txn(&authorizer, ops, options.query.consistency).await?;
    let mut out = Vec::with_capacity(256);
    let (results, errors) = match &outcome {
        Ok(results) => (Some(results), None),
        Err(errors) => (None, Some(errors)),
    };
    out.extend_from_slice(br#"{"Results":"#);
    match results {
        Some(results) => json::push_list(&mut out, results, push_result),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","Errors":"#);
    match errors {
        Some(errors) => json::push_list(&mut out, errors, push_error),
        None => out.extend_from_slice(b"null"),
    }
    if reads_only {
        // Consul tells here how it read, and leaves index and level out.
        out.extend_from_slice(br#","Index":0,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"""#);
    }
    out.push(b'}');
    let status = if outcome.is_ok() { StatusCode::OK } else { StatusCode::CONFLICT };
    let reply = Reply::json(out).with_status(status);
    Ok(if reads_only { reply.showing_leader() } else { reply })
}

fn push_result(out: &mut Vec<u8>, result: &TxnResult) {
    match result {
        TxnResult::Kv(entry) => {
            out.extend_from_slice(br#"{"KV":"#);
            json::push_kv_entry(entry, out);
        }
        TxnResult::Node(node) => {
            out.extend_from_slice(br#"{"Node":"#);
            json::push_node(out, node);
        }
        TxnResult::Service(service) => {
            out.extend_from_slice(br#"{"Service":"#);
            json::push_service(out, service);
        }
        TxnResult::Check(check) => {
            out.extend_from_slice(br#"{"Check":"#);
            json::push_check(out, check);
        }
    }
    out.push(b'}');
}

fn push_error(out: &mut Vec<u8>, error: &TxnError) {
    out.extend_from_slice(br#"{"OpIndex":"#);
    json::push_uint(out, error.op as u64);
    out.extend_from_slice(br#","What":"#);
    json::push_string(out, &error.what);
    out.push(b'}');
}
