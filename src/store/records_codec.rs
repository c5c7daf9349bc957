//! The disk forms of the shared records. Field numbers are forever: never reuse one.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::{
    CheckDefinition, CheckStatus, HealthCheck, Index, KvEntry, Node, NodeService, ServiceAddress, Session,
    SessionBehavior, SessionId, Weights,
};

use crate::codec::{DecodeError, Field, Reader, Writer};

fn put_map(w: &mut Writer<'_>, field: u64, map: &BTreeMap<String, String>) {
    for (key, value) in map {
        w.record(field, |w| {
            w.text(1, key);
            w.text(2, value);
        });
    }
}

fn get_pair(bytes: &[u8], name: &'static str) -> Result<(String, String), DecodeError> {
    let mut r = Reader::new(bytes, name);
    let (mut key, mut value) = Default::default();
    while let Some((number, field)) = r.next()? {
        match number {
            1 => key = r.string(field)?,
            2 => value = r.string(field)?,
            n => return r.unknown(n),
        }
    }
    Ok((key, value))
}

/// An optional map: `present` says that it was given, even if empty.
fn put_optional_map(w: &mut Writer<'_>, present: u64, field: u64, map: Option<&BTreeMap<String, String>>) {
    if let Some(map) = map {
        w.flag(present, true);
        put_map(w, field, map);
    }
}

fn add_pair(
    map: &mut Option<BTreeMap<String, String>>,
    r: &Reader<'_>,
    field: Field<'_>,
    name: &'static str,
) -> Result<(), DecodeError> {
    let (key, value) = get_pair(r.slice(field)?, name)?;
    map.get_or_insert_default().insert(key, value);
    Ok(())
}

pub(crate) fn put_node(w: &mut Writer<'_>, node: &Node) {
    w.text(1, node.id.as_str());
    w.text(2, node.node.as_str());
    w.text(3, &node.address);
    w.text(4, node.datacenter.as_str());
    put_optional_map(w, 5, 6, node.tagged_addresses.as_ref());
    put_optional_map(w, 7, 8, node.meta.as_ref());
}

pub(crate) fn get_node(bytes: &[u8]) -> Result<Node, DecodeError> {
    let mut r = Reader::new(bytes, "node");
    let mut node = Node::default();
    while let Some((number, field)) = r.next()? {
        match number {
            1 => node.id = r.text(field)?.into(),
            2 => node.node = r.text(field)?.into(),
            3 => node.address = r.string(field)?,
            4 => node.datacenter = r.text(field)?.into(),
            5 => _ = node.tagged_addresses.get_or_insert_default(),
            6 => add_pair(&mut node.tagged_addresses, &r, field, "node addresses")?,
            7 => _ = node.meta.get_or_insert_default(),
            8 => add_pair(&mut node.meta, &r, field, "node meta")?,
            n => return r.unknown(n),
        }
    }
    Ok(node)
}

pub(crate) fn put_service(w: &mut Writer<'_>, service: &NodeService) {
    w.text(1, &service.kind);
    w.text(2, service.id.as_str());
    w.text(3, service.service.as_str());
    for tag in &service.tags {
        w.bytes_even_if_empty(4, tag.as_bytes());
    }
    w.text(5, &service.address);
    for (tag, address) in &service.tagged_addresses {
        w.record(6, |w| {
            w.text(1, tag);
            w.text(2, &address.address);
            w.int(3, address.port);
        });
    }
    put_optional_map(w, 7, 8, service.meta.as_ref());
    w.int(9, service.port);
    w.int(10, service.weights.passing);
    w.int(11, service.weights.warning);
    w.flag(12, service.enable_tag_override);
    w.text(13, &service.proxy);
    w.text(14, &service.connect);
}

pub(crate) fn get_service(bytes: &[u8]) -> Result<NodeService, DecodeError> {
    let mut r = Reader::new(bytes, "service");
    let mut service = NodeService { weights: Weights { passing: 0, warning: 0 }, ..NodeService::default() };
    while let Some((number, field)) = r.next()? {
        match number {
            1 => service.kind = r.string(field)?,
            2 => service.id = r.text(field)?.into(),
            3 => service.service = r.text(field)?.into(),
            4 => service.tags.push(r.string(field)?),
            5 => service.address = r.string(field)?,
            6 => {
                let mut inner = Reader::new(r.slice(field)?, "service address");
                let (mut tag, mut address) = (String::new(), ServiceAddress::default());
                while let Some((number, field)) = inner.next()? {
                    match number {
                        1 => tag = inner.string(field)?,
                        2 => address.address = inner.string(field)?,
                        3 => address.port = inner.int(field)?,
                        n => return inner.unknown(n),
                    }
                }
                service.tagged_addresses.insert(tag, address);
            }
            7 => _ = service.meta.get_or_insert_default(),
            8 => add_pair(&mut service.meta, &r, field, "service meta")?,
            9 => service.port = r.int(field)?,
            10 => service.weights.passing = r.int(field)?,
            11 => service.weights.warning = r.int(field)?,
            12 => service.enable_tag_override = r.flag(field)?,
            13 => service.proxy = r.string(field)?,
            14 => service.connect = r.string(field)?,
            n => return r.unknown(n),
        }
    }
    Ok(service)
}

fn put_duration(w: &mut Writer<'_>, field: u64, duration: Duration) {
    w.uint(field, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

fn put_definition(w: &mut Writer<'_>, definition: &CheckDefinition) {
    w.text(1, &definition.http);
    w.text(2, &definition.method);
    for (name, values) in &definition.header {
        w.record(3, |w| {
            w.text(1, name);
            for value in values {
                w.bytes_even_if_empty(2, value.as_bytes());
            }
        });
    }
    w.text(4, &definition.body);
    w.flag(5, definition.tls_skip_verify);
    w.text(6, &definition.tcp);
    put_duration(w, 7, definition.interval);
    put_duration(w, 8, definition.timeout);
    put_duration(w, 9, definition.deregister_critical_service_after);
}

fn get_definition(bytes: &[u8]) -> Result<CheckDefinition, DecodeError> {
    let mut r = Reader::new(bytes, "check definition");
    let mut definition = CheckDefinition::default();
    while let Some((number, field)) = r.next()? {
        match number {
            1 => definition.http = r.string(field)?,
            2 => definition.method = r.string(field)?,
            3 => {
                let mut inner = Reader::new(r.slice(field)?, "check header");
                let (mut name, mut values) = (String::new(), Vec::new());
                while let Some((number, field)) = inner.next()? {
                    match number {
                        1 => name = inner.string(field)?,
                        2 => values.push(inner.string(field)?),
                        n => return inner.unknown(n),
                    }
                }
                definition.header.insert(name, values);
            }
            4 => definition.body = r.string(field)?,
            5 => definition.tls_skip_verify = r.flag(field)?,
            6 => definition.tcp = r.string(field)?,
            7 => definition.interval = Duration::from_nanos(r.uint(field)?),
            8 => definition.timeout = Duration::from_nanos(r.uint(field)?),
            9 => definition.deregister_critical_service_after = Duration::from_nanos(r.uint(field)?),
            n => return r.unknown(n),
        }
    }
    Ok(definition)
}

pub(crate) fn put_check(w: &mut Writer<'_>, check: &HealthCheck) {
    w.text(1, check.node.as_str());
    w.text(2, check.check_id.as_str());
    w.text(3, &check.name);
    w.bytes_even_if_empty(4, check.status.as_str().as_bytes());
    w.text(5, &check.notes);
    w.text(6, &check.output);
    w.text(7, check.service_id.as_str());
    w.text(8, check.service_name.as_str());
    for tag in &check.service_tags {
        w.bytes_even_if_empty(9, tag.as_bytes());
    }
    w.text(10, &check.kind);
    if check.definition != CheckDefinition::default() {
        w.record(11, |w| put_definition(w, &check.definition));
    }
}

pub(crate) fn get_check(bytes: &[u8]) -> Result<HealthCheck, DecodeError> {
    let mut r = Reader::new(bytes, "check");
    let mut check = HealthCheck::default();
    while let Some((number, field)) = r.next()? {
        match number {
            1 => check.node = r.text(field)?.into(),
            2 => check.check_id = r.text(field)?.into(),
            3 => check.name = r.string(field)?,
            4 => check.status = CheckStatus::from(r.text(field)?),
            5 => check.notes = r.string(field)?,
            6 => check.output = r.string(field)?,
            7 => check.service_id = r.text(field)?.into(),
            8 => check.service_name = r.text(field)?.into(),
            9 => check.service_tags.push(r.string(field)?),
            10 => check.kind = r.string(field)?,
            11 => check.definition = get_definition(r.slice(field)?)?,
            n => return r.unknown(n),
        }
    }
    Ok(check)
}

pub(crate) fn put_kv(w: &mut Writer<'_>, entry: &KvEntry) {
    w.text(1, &entry.key);
    w.uint(2, entry.flags);
    w.bytes(3, &entry.value);
    w.uint(4, entry.lock_index);
    if let Some(session) = &entry.session {
        w.text(5, session.as_str());
    }
    w.uint(6, entry.create_index.0);
    w.uint(7, entry.modify_index.0);
}

pub(crate) fn get_kv(bytes: &[u8]) -> Result<KvEntry, DecodeError> {
    let mut r = Reader::new(bytes, "key");
    let mut entry = KvEntry::default();
    while let Some((number, field)) = r.next()? {
        match number {
            1 => entry.key = r.text(field)?.into(),
            2 => entry.flags = r.uint(field)?,
            3 => entry.value = r.bytes(field)?,
            4 => entry.lock_index = r.uint(field)?,
            5 => entry.session = Some(SessionId::from(r.text(field)?)),
            6 => entry.create_index = Index(r.uint(field)?),
            7 => entry.modify_index = Index(r.uint(field)?),
            n => return r.unknown(n),
        }
    }
    Ok(entry)
}

pub(crate) fn put_session(w: &mut Writer<'_>, session: &Session) {
    w.text(1, session.id.as_str());
    w.text(2, &session.name);
    w.text(3, session.node.as_str());
    for (present, field, checks) in [(4, 5, &session.node_checks), (6, 7, &session.service_checks)] {
        if let Some(checks) = checks {
            w.flag(present, true);
            for check in checks {
                w.bytes_even_if_empty(field, check.as_str().as_bytes());
            }
        }
    }
    put_duration(w, 8, session.lock_delay);
    w.flag(9, session.behavior == SessionBehavior::Delete);
    w.text(10, &session.ttl);
}

pub(crate) fn get_session(bytes: &[u8]) -> Result<Session, DecodeError> {
    let mut r = Reader::new(bytes, "session");
    let mut session = Session::default();
    while let Some((number, field)) = r.next()? {
        match number {
            1 => session.id = r.text(field)?.into(),
            2 => session.name = r.string(field)?,
            3 => session.node = r.text(field)?.into(),
            4 => _ = session.node_checks.get_or_insert_default(),
            5 => session.node_checks.get_or_insert_default().push(r.text(field)?.into()),
            6 => _ = session.service_checks.get_or_insert_default(),
            7 => session.service_checks.get_or_insert_default().push(r.text(field)?.into()),
            8 => session.lock_delay = Duration::from_nanos(r.uint(field)?),
            9 if r.flag(field)? => session.behavior = SessionBehavior::Delete,
            9 => {}
            10 => session.ttl = r.string(field)?,
            n => return r.unknown(n),
        }
    }
    Ok(session)
}
