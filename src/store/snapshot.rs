//! The whole state as a stream of records, for the disk and for a server that is far behind.
//!
//! `"CRSSTATE" version(1)`, then records `kind(1) length(varint) fields`, closed by a record that counts them. Whoever
//! stores the stream adds the checksum; this format only notices a stream that ends early.

use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use crs_types::{HealthCheck, Index, NodeService};

use crate::catalog::{NodeEntry, ServiceEntry};
use crate::codec::{DecodeError, Reader, Writer};
use crate::record::Stored;
use crate::records_codec::{
    get_check, get_kv, get_node, get_service, get_session, put_check, put_kv, put_node, put_service,
    put_session,
};
use crate::state::State;

const MAGIC: &[u8; 8] = b"CRSSTATE";
const VERSION: u8 = 1;
/// No record of ours comes near; a length above is damage, not data.
const MAX_RECORD_BYTES: u64 = 64 << 20;

const END: u8 = 0;
const TABLES: u8 = 1;
const NODE: u8 = 2;
const SERVICE: u8 = 3;
const CHECK: u8 = 4;
const SERVICE_NAME: u8 = 5;
const KEY: u8 = 6;
const TOMBSTONE: u8 = 7;
const CHECK_STATE: u8 = 8;
const SESSION: u8 = 9;

struct Out<'a> {
    to: &'a mut dyn Write,
    count: u64,
    fields: Vec<u8>,
    head: Vec<u8>,
}

impl Out<'_> {
    fn record(&mut self, kind: u8, write: impl FnOnce(&mut Writer<'_>)) -> io::Result<()> {
        self.fields.clear();
        write(&mut Writer(&mut self.fields));
        self.head.clear();
        self.head.push(kind);
        Writer(&mut self.head).varint(self.fields.len() as u64);
        self.to.write_all(&self.head)?;
        self.to.write_all(&self.fields)?;
        self.count += 1;
        Ok(())
    }
}

impl State {
    /// Writes the state. Buffer the writer: records are small.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_snapshot(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(MAGIC)?;
        to.write_all(&[VERSION])?;
        let mut out = Out { to, count: 0, fields: Vec::new(), head: Vec::new() };
        out.record(TABLES, |w| {
            w.uint(1, self.index.0);
            w.uint(2, self.kv_index.0);
            w.uint(3, self.nodes_index.0);
            w.uint(4, self.services_index.0);
            w.uint(5, self.service_names_index.0);
            w.uint(6, self.checks_index.0);
            w.uint(7, self.sessions_index.0);
        })?;
        for entry in self.nodes.values() {
            out.record(NODE, |w| {
                w.record(1, |w| put_node(w, &entry.node.value));
                w.uint(2, entry.node.create_index.0);
                w.uint(3, entry.node.modify_index.0);
                w.uint(4, entry.index.0);
                w.uint(5, entry.checks_index.0);
            })?;
            for service in entry.services.values() {
                out.record(SERVICE, |w| {
                    w.record(1, |w| put_service(w, &service.value));
                    w.uint(2, service.create_index.0);
                    w.uint(3, service.modify_index.0);
                })?;
            }
            for check in entry.checks.values() {
                out.record(CHECK, |w| {
                    w.record(1, |w| put_check(w, &check.value));
                    w.uint(2, check.create_index.0);
                    w.uint(3, check.modify_index.0);
                })?;
            }
        }
        for entry in self.services.values() {
            out.record(SERVICE_NAME, |w| {
                w.text(1, entry.name.as_str());
                w.uint(2, entry.index.0);
                w.uint(3, entry.health_index.0);
                w.uint(4, entry.checks_index.0);
            })?;
        }
        for (status, index) in &self.check_states {
            out.record(CHECK_STATE, |w| {
                w.bytes_even_if_empty(1, status.as_str().as_bytes());
                w.uint(2, index.0);
            })?;
        }
        for session in self.sessions.values() {
            out.record(SESSION, |w| {
                w.record(1, |w| put_session(w, &session.value));
                w.uint(2, session.create_index.0);
                w.uint(3, session.modify_index.0);
            })?;
        }
        for record in self.kv.values() {
            out.record(KEY, |w| put_kv(w, &record.entry))?;
        }
        for (key, index) in &self.tombstones {
            out.record(TOMBSTONE, |w| {
                w.text(1, key);
                w.uint(2, index.0);
            })?;
        }
        let count = out.count;
        out.record(END, |w| w.uint(1, count))
    }

    /// Reads a state back. Buffer the reader: records are small.
    ///
    /// # Errors
    /// Those of the reader; [`io::ErrorKind::InvalidData`] with a [`DecodeError`] inside for damaged or newer data.
    pub fn read_snapshot(from: &mut dyn Read) -> io::Result<State> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        if &head[..8] != MAGIC || head[8] != VERSION {
            return Err(invalid(DecodeError::Version { newest: VERSION }));
        }
        let mut state = State::new();
        // The node whose services and checks are being read: they follow it.
        let mut open: Option<NodeEntry> = None;
        let mut fields = Vec::new();
        let mut found = 0;
        loop {
            let kind = read_byte(from)?;
            let length = read_varint(from)?;
            if length > MAX_RECORD_BYTES {
                return Err(invalid(DecodeError::Number("snapshot record")));
            }
            fields.clear();
            from.take(length).read_to_end(&mut fields)?;
            if fields.len() as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if kind != SERVICE
                && kind != CHECK
                && let Some(entry) = open.take()
            {
                state.insert_node_entry(entry);
            }
            if kind == END {
                let expected = read_end(&fields).map_err(invalid)?;
                if expected != found {
                    return Err(invalid(DecodeError::Count { found, expected }));
                }
                return Ok(state);
            }
            state.read_record(kind, &fields, &mut open).map_err(invalid)?;
            found += 1;
        }
    }

    fn insert_node_entry(&mut self, entry: NodeEntry) {
        let name = entry.node.value.node.folded();
        if !entry.node.value.id.is_empty() {
            self.node_ids.insert(entry.node.value.id.clone(), name.clone());
        }
        for (id, service) in &entry.services {
            let by_name = service.value.service.folded();
            let mut entry = match self.services.get(&by_name) {
                Some(entry) => (**entry).clone(),
                None => ServiceEntry {
                    name: service.value.service.clone(),
                    instances: Default::default(),
                    index: Index::ZERO,
                    health_index: Index::ZERO,
                    checks_index: Index::ZERO,
                    view: OnceLock::new(),
                },
            };
            entry.instances.insert((name.clone(), id.clone()), service.clone());
            self.services.insert(by_name, Arc::new(entry));
        }
        self.nodes.insert(name, Arc::new(entry));
    }

    fn read_record(
        &mut self,
        kind: u8,
        fields: &[u8],
        open: &mut Option<NodeEntry>,
    ) -> Result<(), DecodeError> {
        let r = &mut Reader::new(fields, "snapshot record");
        match kind {
            TABLES => {
                while let Some((number, field)) = r.next()? {
                    let index = Index(r.uint(field)?);
                    match number {
                        1 => self.index = index,
                        2 => self.kv_index = index,
                        3 => self.nodes_index = index,
                        4 => self.services_index = index,
                        5 => self.service_names_index = index,
                        6 => self.checks_index = index,
                        7 => self.sessions_index = index,
                        n => return r.unknown(n),
                    }
                }
            }
            NODE => {
                let (mut node, mut indexes) = (None, [Index::ZERO; 4]);
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => node = Some(get_node(r.slice(field)?)?),
                        2..=5 => indexes[number as usize - 2] = Index(r.uint(field)?),
                        n => return r.unknown(n),
                    }
                }
                let node = node.ok_or(DecodeError::Truncated("node"))?;
                let [created, modified, index, checks_index] = indexes;
                *open = Some(NodeEntry {
                    node: Arc::new(Stored::new(node, created, modified)),
                    services: Default::default(),
                    checks: Default::default(),
                    checks_by_service: Default::default(),
                    index,
                    checks_index,
                });
            }
            SERVICE => {
                let entry = open.as_mut().ok_or(DecodeError::Truncated("node of a service"))?;
                let stored: Stored<NodeService> = read_stored(r, get_service)?;
                entry.services.insert(stored.value.id.folded(), Arc::new(stored));
            }
            CHECK => {
                let entry = open.as_mut().ok_or(DecodeError::Truncated("node of a check"))?;
                let stored: Arc<Stored<HealthCheck>> = Arc::new(read_stored(r, get_check)?);
                let (service, id) = (stored.value.service_id.folded(), stored.value.check_id.clone());
                entry.checks.insert(id.clone(), stored.clone());
                entry.checks_by_service.insert((service, id), stored);
            }
            SERVICE_NAME => {
                let (mut name, mut indexes) = (crs_types::ServiceName::default(), [Index::ZERO; 3]);
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => name = r.text(field)?.into(),
                        2..=4 => indexes[number as usize - 2] = Index(r.uint(field)?),
                        n => return r.unknown(n),
                    }
                }
                let folded = name.folded();
                let entry =
                    self.services.get(&folded).ok_or(DecodeError::Truncated("instances of a service"))?;
                let [index, health_index, checks_index] = indexes;
                let entry = ServiceEntry { name, index, health_index, checks_index, ..(**entry).clone() };
                self.services.insert(folded, Arc::new(entry));
            }
            CHECK_STATE => {
                let (mut status, mut index) = Default::default();
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => status = r.text(field)?.into(),
                        2 => index = Index(r.uint(field)?),
                        n => return r.unknown(n),
                    }
                }
                self.check_states.insert(status, index);
            }
            SESSION => self.insert_session(Arc::new(read_stored(r, get_session)?)),
            KEY => {
                // Through the map alone: the store's index was read with the tables.
                let index = self.kv_index;
                self.kv_insert(get_kv(fields)?);
                self.kv_index = index;
            }
            TOMBSTONE => {
                let (mut key, mut index) = (Arc::from(""), Index::ZERO);
                while let Some((number, field)) = r.next()? {
                    match number {
                        1 => key = r.text(field)?.into(),
                        2 => index = Index(r.uint(field)?),
                        n => return r.unknown(n),
                    }
                }
                self.tombstones.insert(key, index);
            }
            kind => return Err(DecodeError::UnknownKind { record: "snapshot record", kind }),
        }
        Ok(())
    }
}

fn read_stored<T>(
    r: &mut Reader<'_>,
    get: fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<Stored<T>, DecodeError> {
    let (mut value, mut created, mut modified) = (None, Index::ZERO, Index::ZERO);
    while let Some((number, field)) = r.next()? {
        match number {
            1 => value = Some(get(r.slice(field)?)?),
            2 => created = Index(r.uint(field)?),
            3 => modified = Index(r.uint(field)?),
            n => return r.unknown(n),
        }
    }
    Ok(Stored::new(value.ok_or(DecodeError::Truncated("record"))?, created, modified))
}

fn read_end(fields: &[u8]) -> Result<u64, DecodeError> {
    let mut r = Reader::new(fields, "snapshot end");
    let mut count = 0;
    while let Some((number, field)) = r.next()? {
        match number {
            1 => count = r.uint(field)?,
            n => return r.unknown(n),
        }
    }
    Ok(count)
}

fn invalid(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn read_byte(from: &mut dyn Read) -> io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn read_varint(from: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = Vec::with_capacity(10);
    loop {
        let byte = read_byte(from)?;
        bytes.push(byte);
        if byte < 0x80 || bytes.len() == 10 {
            return Reader::new(&bytes, "snapshot record").varint().map_err(invalid);
        }
    }
}
