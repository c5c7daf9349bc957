//! The disk form of transactions. Field numbers and verb numbers are forever.

use std::sync::Arc;

use bytes::Bytes;
use crs_types::{HealthCheck, Index, Node, NodeName, NodeService};

use crate::codec::{DecodeError, Reader, Writer};
use crate::records_codec::{get_check, get_node, get_service, put_check, put_node, put_service};
use crate::txn::{CatalogVerb, KvVerb, TxnOp};

const KV_VERBS: [KvVerb; 12] = [
    KvVerb::Set,
    KvVerb::Cas,
    KvVerb::Lock,
    KvVerb::Unlock,
    KvVerb::Get,
    KvVerb::GetTree,
    KvVerb::CheckIndex,
    KvVerb::CheckSession,
    KvVerb::CheckNotExists,
    KvVerb::Delete,
    KvVerb::DeleteTree,
    KvVerb::DeleteCas,
];
const CATALOG_VERBS: [CatalogVerb; 5] =
    [CatalogVerb::Get, CatalogVerb::Set, CatalogVerb::Cas, CatalogVerb::Delete, CatalogVerb::DeleteCas];

/// Which of the four kinds of operation a record is.
const KV: u64 = 1;
const NODE: u64 = 2;
const SERVICE: u64 = 3;
const CHECK: u64 = 4;

/// A verb is its place in the list from 1; an unknown one is kept as its word.
fn put_verb<V: PartialEq>(w: &mut Writer<'_>, known: &[V], verb: &V, word: Option<&str>) {
    match word {
        Some(word) => w.bytes_even_if_empty(3, word.as_bytes()),
        None => w.uint(2, known.iter().position(|v| v == verb).map_or(0, |i| i as u64 + 1)),
    }
}

fn get_verb<V: Clone>(known: &[V], n: u64) -> Result<V, DecodeError> {
    let verb = usize::try_from(n).ok().and_then(|n| known.get(n.checked_sub(1)?));
    verb.cloned().ok_or(DecodeError::UnknownKind { record: "transaction verb", kind: n as u8 })
}

fn put_catalog_verb(w: &mut Writer<'_>, verb: &CatalogVerb) {
    let word = if let CatalogVerb::Unknown(word) = verb { Some(word.as_str()) } else { None };
    put_verb(w, &CATALOG_VERBS, verb, word);
}

pub(crate) fn put_op(w: &mut Writer<'_>, op: &TxnOp) {
    match op {
        TxnOp::Kv { verb, key, value, flags, index, session } => {
            w.uint(1, KV);
            let word = if let KvVerb::Unknown(word) = verb { Some(word.as_str()) } else { None };
            put_verb(w, &KV_VERBS, verb, word);
            w.uint(4, index.0);
            w.text(5, key);
            w.bytes(6, value);
            w.uint(7, *flags);
            if let Some(session) = session {
                w.bytes_even_if_empty(8, session.as_str().as_bytes());
            }
        }
        TxnOp::Node { verb, node, index } => {
            w.uint(1, NODE);
            put_catalog_verb(w, verb);
            w.uint(4, index.0);
            w.record(9, |w| put_node(w, node));
        }
        TxnOp::Service { verb, node, service, index } => {
            w.uint(1, SERVICE);
            put_catalog_verb(w, verb);
            w.uint(4, index.0);
            w.text(10, node.as_str());
            w.record(11, |w| put_service(w, service));
        }
        TxnOp::Check { verb, check, index } => {
            w.uint(1, CHECK);
            put_catalog_verb(w, verb);
            w.uint(4, index.0);
            w.record(12, |w| put_check(w, check));
        }
    }
}

pub(crate) fn get_op(bytes: &[u8]) -> Result<TxnOp, DecodeError> {
    let mut r = Reader::new(bytes, "operation");
    let (mut kind, mut verb, mut word, mut index) = (0, 0, None, Index::ZERO);
    let (mut key, mut value, mut flags, mut session) = (Arc::from(""), Bytes::new(), 0, None);
    let (mut node, mut service, mut check) =
        (Node::default(), NodeService::default(), HealthCheck::default());
    let mut of_node = NodeName::default();
    while let Some((number, field)) = r.next()? {
        match number {
            1 => kind = r.uint(field)?,
            2 => verb = r.uint(field)?,
            3 => word = Some(r.string(field)?),
            4 => index = Index(r.uint(field)?),
            5 => key = r.text(field)?.into(),
            6 => value = r.bytes(field)?,
            7 => flags = r.uint(field)?,
            8 => session = Some(r.text(field)?.into()),
            9 => node = get_node(r.slice(field)?)?,
            10 => of_node = r.text(field)?.into(),
            11 => service = get_service(r.slice(field)?)?,
            12 => check = get_check(r.slice(field)?)?,
            n => return r.unknown(n),
        }
    }
    if kind == KV {
        let verb = match word {
            Some(word) => KvVerb::Unknown(word),
            None => get_verb(&KV_VERBS, verb)?,
        };
        return Ok(TxnOp::Kv { verb, key, value, flags, index, session });
    }
    let verb = match word {
        Some(word) => CatalogVerb::Unknown(word),
        None => get_verb(&CATALOG_VERBS, verb)?,
    };
    match kind {
        NODE => Ok(TxnOp::Node { verb, node: Box::new(node), index }),
        SERVICE => Ok(TxnOp::Service { verb, node: of_node, service: Box::new(service), index }),
        CHECK => Ok(TxnOp::Check { verb, check: Box::new(check), index }),
        kind => Err(DecodeError::UnknownKind { record: "operation", kind: kind as u8 }),
    }
}
