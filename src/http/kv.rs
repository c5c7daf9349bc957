//! `/v1/kv/`: the key/value store.

use std::sync::Arc;

use crs_acl::{Access, Authorizer, Resource};
use crs_store::{Found, KvCondition, Topic};
use crs_types::{Index, SessionId};
use http::StatusCode;
use http::header::HeaderValue;

use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::json;
use crate::params::parse_uint;
use crate::reply::Reply;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

/// A key that may be read or written: not empty, and text that people can see.
fn check_key(call: &Call) -> Result<(), Failure> {
    let key = call.rest();
    // Where the path was not UTF-8; Consul keeps such keys, whose bytes JSON cannot show either.
    let garbled = key.contains(char::REPLACEMENT_CHARACTER);
    let unprintable = !call.settings().allow_unprintable_keys && key.chars().any(char::is_control);
    if garbled || unprintable {
        return Err(Failure::bad_request(""));
    }
    Ok(())
}

fn missing_key() -> Failure {
    Failure::bad_request("Missing key name")
}

pub(crate) async fn get(call: Call) -> Outcome {
    check_key(&call)?;
    call.refuse_namespace()?;
    let options = call.read_options()?;
    call.require_own_datacenter()?;
    let authorizer = call.authorizer()?;
    if call.has_param("keys") {
        return keys(&call, &options, &authorizer).await;
    }
    if call.has_param("recurse") {
        return recurse(&call, &options, &authorizer).await;
    }
    let key: Arc<str> = call.rest().into();
    if key.is_empty() {
        return Err(missing_key());
    }
    authorizer.require(Resource::Key, &key, Access::Read)?;
    let answer = call
        .api
        .server()
        .query(&options.query, Topic::Key(key.clone()), |state| {
            let (index, record) = state.kv_get(&key);
            Found { index, value: record.cloned() }
        })
        .await?;
    let meta = options.meta(answer.meta);
    let Some(record) = answer.value else {
        return Ok(Reply::empty().with_status(StatusCode::NOT_FOUND).with_meta(meta));
    };
    if call.has_param("raw") {
        let value = record.entry.value.clone();
        return Ok(Reply::bytes(value, Some(PLAIN)).with_meta(meta).sandboxed());
    }
    let mut out = Vec::with_capacity(256 + record.entry.value.len() * 4 / 3);
    out.push(b'[');
    json::push_kv(&mut out, &record);
    out.push(b']');
    Ok(Reply::json(out).with_meta(meta))
}

type Options = crate::options::ReadOptions;

/// All pairs under a prefix that may be seen; none at all is 404, as Consul has it.
async fn recurse(call: &Call, options: &Options, authorizer: &Authorizer) -> Outcome {
    let prefix: Arc<str> = call.rest().into();
    let answer = call
        .api
        .server()
        .query(&options.query, Topic::KeyPrefix(prefix.clone()), |state| Found {
            index: state.kv_prefix_index(&prefix),
            value: (),
        })
        .await?;
    let mut out = vec![b'['];
    for record in answer.state.kv_prefix(&prefix) {
        if !authorizer.allows(Resource::Key, &record.entry.key, Access::Read) {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        json::push_kv(&mut out, record);
    }
    let found = out.len() > 1;
    out.push(b']');
    let meta = options.meta(answer.meta);
    Ok(if found { Reply::json(out) } else { none_found() }.with_meta(meta))
}

fn none_found() -> Reply {
    Reply::empty().with_status(StatusCode::NOT_FOUND)
}

/// The keys under a prefix, folded at the separator that follows it.
async fn keys(call: &Call, options: &Options, authorizer: &Authorizer) -> Outcome {
    let prefix: Arc<str> = call.rest().into();
    let separator = call.param("separator");
    let answer = call
        .api
        .server()
        .query(&options.query, Topic::KeyPrefix(prefix.clone()), |state| Found {
            index: state.kv_prefix_index(&prefix),
            value: (),
        })
        .await?;
    let mut out = vec![b'['];
    let mut last = None;
    for record in answer.state.kv_prefix(&prefix) {
        let key = &*record.entry.key;
        if !authorizer.allows(Resource::Key, key, Access::Read) {
            continue;
        }
        let shown = match key[prefix.len()..].find(separator) {
            Some(at) if !separator.is_empty() => &key[..prefix.len() + at + separator.len()],
            _ => key,
        };
        if last == Some(shown) {
            continue;
        }
        if last.is_some() {
            out.push(b',');
        }
        json::push_string(&mut out, shown);
        last = Some(shown);
    }
    // the root is never missing, only empty
    let found = last.is_some() || prefix.is_empty();
    out.push(b']');
    let meta = options.meta(answer.meta);
    Ok(if found { Reply::json(out) } else { none_found() }.with_meta(meta))
}

/// More than one of these parameters at once is a mistake that Consul names.
fn check_conflicts(call: &Call, names: &[&str]) -> Result<(), Failure> {
    let given: Vec<String> = names
        .iter()
        .filter(|name| call.has_param(name))
        .map(|name| format!("{name}={}", call.param(name)))
        .collect();
    if given.len() > 1 {
        return Err(Failure::bad_request(format!("Conflicting flags: {}", given.join("&"))));
    }
    Ok(())
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, Failure> {
    if !call.has_param(name) {
        return Ok(None);
    }
    parse_uint(call.param(name)).map(Some).map_err(Failure::refused)
}

fn condition(cas: Option<u64>) -> KvCondition {
    cas.map_or(KvCondition::None, |index| KvCondition::Cas(Index(index)))
}

/// `?acquire=` and `?release=`.
fn lock(call: &Call) -> Result<KvCondition, Failure> {
    let session = |name| match call.param(name) {
        "" => Err(Failure::refused("missing session")),
        id => Ok(SessionId::from(id)),
    };
    if call.has_param("acquire") {
        return session("acquire").map(KvCondition::Acquire);
    }
    if call.has_param("release") {
        return session("release").map(KvCondition::Release);
    }
    Ok(KvCondition::None)
}

pub(crate) async fn put(mut call: Call) -> Outcome {
    check_key(&call)?;
    call.refuse_namespace()?;
    let key: Arc<str> = call.rest().into();
    if key.is_empty() {
        return Err(missing_key());
    }
    check_conflicts(&call, &["acquire", "cas", "release"])?;
    let flags = number(&call, "flags")?.unwrap_or(0);
    let cas = number(&call, "cas")?;
    let limit = call.settings().kv_max_value_size_bytes;
    let value = call.read_body(limit, "kv_max_value_size").await?;
    call.require_own_datacenter()?;
    let condition = match cas {
        Some(_) => condition(cas),
        None => lock(&call)?,
    };
    let authorizer = call.authorizer()?;
    let held = call.api.server().kv_set(&authorizer, key, flags, value, condition).await?;
    Ok(Reply::bool(held))
}

pub(crate) async fn delete(call: Call) -> Outcome {
    check_key(&call)?;
    call.refuse_namespace()?;
    check_conflicts(&call, &["cas", "recurse"])?;
    let key: Arc<str> = call.rest().into();
    if call.has_param("recurse") {
        call.require_own_datacenter()?;
        let authorizer = call.authorizer()?;
        return Ok(Reply::bool(call.api.server().kv_delete_tree(&authorizer, key).await?));
    }
    if key.is_empty() {
        return Err(missing_key());
    }
    let cas = number(&call, "cas")?;
    call.require_own_datacenter()?;
    let authorizer = call.authorizer()?;
    let held = call.api.server().kv_delete(&authorizer, key, condition(cas)).await?;
    Ok(Reply::bool(held))
}
