//! `txn`.

use crs_store::{CatalogVerb, KvVerb, TxnOp};
use crs_types::{HealthCheck, Index, Node, NodeName, NodeService};

use super::catalog::{health_check, node_service};
use super::decode::{Decoder, Unknown};
use super::decoded_saying;
use super::syntax::Json;
use crate::error::Failure;

/// The operations, and whether none of them is known to write: then the answer tells how it was read.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) ops: Vec<TxnOp>,
    pub(crate) reads_only: bool,
}

/// Reads the body of `txn`. Operations without content count for nothing.
///
/// # Errors
/// Consul's text, 400.
pub(crate) fn transaction(bytes: &[u8]) -> Result<Transaction, Failure> {
    decoded_saying("Failed to parse body", bytes, |d, json| {
        let mut reads_only = true;
        let ops = d.list(json, "api.TxnOps", |d, json| {
            let mut found = None;
            let name = ("TxnOp", "api.TxnOp");
            const FIELDS: [&str; 4] = ["KV", "Node", "Service", "Check"];
            d.fields(json, name, &FIELDS, Unknown::Refuse, |d, field, json| {
                if *json == Json::Null {
                    return;
                }
                let op = match field {
                    "KV" => kv(d, json),
                    "Node" => node(d, json),
                    "Service" => service(d, json),
                    _ => check(d, json),
                };
                // Of several in one, the first kind in this order counts.
                let rank = FIELDS.iter().position(|name| *name == field);
                if found.as_ref().is_none_or(|(best, _)| rank < *best) {
                    found = Some((rank, op));
                }
            });
            let op = found.map(|(_, op)| op);
            reads_only &= !op.as_ref().is_some_and(writes);
            op
        });
        Transaction { ops: ops.into_iter().flatten().collect(), reads_only }
    })
}

/// A verb that is none counts as a read of a key, and as a write of anything else.
fn writes(op: &TxnOp) -> bool {
    match op {
        TxnOp::Kv { verb: KvVerb::Unknown(_), .. } => false,
        op => !op.is_read(),
    }
}

fn kv(d: &mut Decoder, json: &Json) -> TxnOp {
    let mut verb = String::new();
    let (mut key, mut value, mut flags, mut index, mut session) = Default::default();
    let name = ("KVTxnOp", "api.KVTxnOp");
    const FIELDS: [&str; 7] = ["Verb", "Key", "Value", "Flags", "Index", "Session", "Namespace"];
    d.fields(json, name, &FIELDS, Unknown::Refuse, |d, field, json| match field {
        "Verb" => verb = verb_text(d, json, "api.KVOp"),
        "Key" => key = d.string(json),
        "Value" => value = d.bytes(json),
        "Flags" => flags = d.uint(json),
        "Index" => index = d.index(json),
        "Session" => session = d.string(json),
        _ => _ = d.string(json),
    });
    let verb = match verb.as_str() {
        "set" => KvVerb::Set,
        "cas" => KvVerb::Cas,
        "lock" => KvVerb::Lock,
        "unlock" => KvVerb::Unlock,
        "get" => KvVerb::Get,
        "get-tree" => KvVerb::GetTree,
        "check-index" => KvVerb::CheckIndex,
        "check-session" => KvVerb::CheckSession,
        "check-not-exists" => KvVerb::CheckNotExists,
        "delete" => KvVerb::Delete,
        "delete-tree" => KvVerb::DeleteTree,
        "delete-cas" => KvVerb::DeleteCas,
        _ => KvVerb::Unknown(verb),
    };
    let session = Some(session).filter(|id| !id.is_empty()).map(Into::into);
    TxnOp::Kv { verb, key: key.into(), value, flags, index, session }
}

/// A verb has a type of its own in Go's errors.
fn verb_text(d: &mut Decoder, json: &Json, go_type: &str) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => {
            d.mismatch(other.kind(), go_type);
            String::new()
        }
    }
}

fn catalog_verb(verb: String) -> CatalogVerb {
    match verb.as_str() {
        "get" => CatalogVerb::Get,
        "set" => CatalogVerb::Set,
        "cas" => CatalogVerb::Cas,
        "delete" => CatalogVerb::Delete,
        "delete-cas" => CatalogVerb::DeleteCas,
        _ => CatalogVerb::Unknown(verb),
    }
}

fn node(d: &mut Decoder, json: &Json) -> TxnOp {
    const FIELDS: [&str; 8] =
        ["ID", "Node", "Address", "Datacenter", "TaggedAddresses", "Meta", "CreateIndex", "ModifyIndex"];
    let (mut verb, mut node, mut index) = (String::new(), Node::default(), Index::ZERO);
    let name = ("NodeTxnOp", "api.NodeTxnOp");
    d.fields(json, name, &["Verb", "Node"], Unknown::Refuse, |d, field, json| match field {
        "Verb" => verb = verb_text(d, json, "api.NodeOp"),
        _ => d.fields(json, ("Node", "api.Node"), &FIELDS, Unknown::Refuse, |d, field, json| match field {
            "ID" => node.id = d.string(json).to_lowercase().into(),
            "Node" => node.node = d.string(json).into(),
            "Address" => node.address = d.string(json),
            "Datacenter" => node.datacenter = d.string(json).into(),
            "TaggedAddresses" => node.tagged_addresses = d.pairs(json),
            "Meta" => node.meta = d.pairs(json),
            "ModifyIndex" => index = d.index(json),
            _ => {}
        }),
    });
    TxnOp::Node { verb: catalog_verb(verb), node: Box::new(node), index }
}

fn service(d: &mut Decoder, json: &Json) -> TxnOp {
    let (mut verb, mut node) = (String::new(), NodeName::default());
    let (mut service, mut index) = (NodeService::default(), Index::ZERO);
    let name = ("ServiceTxnOp", "api.ServiceTxnOp");
    d.fields(json, name, &["Verb", "Node", "Service"], Unknown::Refuse, |d, field, json| match field {
        "Verb" => verb = verb_text(d, json, "api.ServiceOp"),
        "Node" => node = d.string(json).into(),
        _ => (service, index) = node_service(d, json),
    });
    TxnOp::Service { verb: catalog_verb(verb), node, service: Box::new(service), index }
}

fn check(d: &mut Decoder, json: &Json) -> TxnOp {
    let mut verb = String::new();
    let (mut check, mut index) = (HealthCheck::default(), Index::ZERO);
    let name = ("CheckTxnOp", "api.CheckTxnOp");
    d.fields(json, name, &["Verb", "Check"], Unknown::Refuse, |d, field, json| match field {
        "Verb" => verb = verb_text(d, json, "api.CheckOp"),
        _ => (check, index) = health_check(d, json),
    });
    TxnOp::Check { verb: catalog_verb(verb), check: Box::new(check), index }
}
