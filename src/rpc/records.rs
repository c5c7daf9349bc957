//! The records of the catalog and of the key/value store in messages.
//!
//! Records with their indexes are the store's own [`Stored`] values, so that what a server sends and what a client
//! receives is what a local read yields. Empty and absent lists and maps are one thing inside; on the wire each takes
//! the form that Consul's agents give it, because they compare byte for byte what comes back to them.

mod check;
mod kv;
mod service;
mod service_mesh;
mod service_node;

use std::collections::BTreeMap;
use std::sync::Arc;

use crs_store::Stored;
use crs_types::{Index, Node};

pub use service_node::ServiceNode;

use crate::codec::{DecodeError, Decoder, Encoder, Wire};

/// Writes a struct: names in order (checked at compile time) with their values.
macro_rules! put_struct {
    ($out:expr; $( $key:literal => $value:expr, )*) => {{
        const NAMES: &[&str] = &[$($key),*];
        const { assert!(crate::codec::is_sorted(NAMES), "fields out of order") };
        let out: &mut Encoder = $out;
        out.map(NAMES.len());
        $( out.text($key); $crate::records::Put::put(&$value, out); )*
    }};
}
use put_struct;

/// What can be written, even if it cannot be read in that form.
trait Put {
    fn put(&self, out: &mut Encoder);
}

impl<T: Wire> Put for T {
    fn put(&self, out: &mut Encoder) {
        Wire::put(self, out);
    }
}

/// Reads a struct: `field` takes the named field and says whether there is one.
fn take_struct<'a>(
    input: &mut Decoder<'a>,
    mut field: impl FnMut(&[u8], &mut Decoder<'a>) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    let Some(len) = input.map()? else { return Ok(()) };
    for _ in 0..len {
        let name = input.raw()?;
        if !field(name, input)? {
            input.skip()?;
        }
    }
    input.leave();
    Ok(())
}

/// `CreateIndex` and `ModifyIndex`, as they are read along with a record.
#[derive(Clone, Copy, Default)]
struct Indexes {
    create: Index,
    modify: Index,
}

impl Indexes {
    fn of<T>(stored: &Stored<T>) -> Self {
        Indexes { create: stored.create_index, modify: stored.modify_index }
    }

    fn take(&mut self, name: &[u8], input: &mut Decoder<'_>) -> Result<bool, DecodeError> {
        match name {
            b"CreateIndex" => self.create = Wire::take(input)?,
            b"ModifyIndex" => self.modify = Wire::take(input)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A record with its own fields, apart from the indexes that surround it in messages.
trait Record: Sized {
    fn put_indexed(&self, indexes: Indexes, out: &mut Encoder);
    fn take_indexed(input: &mut Decoder<'_>) -> Result<(Self, Indexes), DecodeError>;
}

impl<T: Record> Wire for Arc<Stored<T>> {
    fn put(&self, out: &mut Encoder) {
        self.value.put_indexed(Indexes::of(self), out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.charge::<Stored<T>>()?;
        let (value, indexes) = T::take_indexed(input)?;
        Ok(Arc::new(Stored::new(value, indexes.create, indexes.modify)))
    }
}

/// As a request holds it: the indexes are zero, and whatever is read for them does not count.
macro_rules! unindexed {
    ($($name:ty),*) => {
        $(impl Wire for $name {
            fn put(&self, out: &mut Encoder) {
                self.put_indexed(Indexes::default(), out);
            }

            fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Self::take_indexed(input).map(|(value, _)| value)
            }
        })*
    };
}
unindexed!(Node, crs_types::NodeService, crs_types::HealthCheck);

impl Record for Node {
    fn put_indexed(&self, indexes: Indexes, out: &mut Encoder) {
        put_struct!(out;
            "Address" => self.address,
            "CreateIndex" => indexes.create,
            "Datacenter" => self.datacenter,
            "ID" => self.id,
            "Meta" => self.meta,
            "ModifyIndex" => indexes.modify,
            "Node" => self.node,
            "TaggedAddresses" => self.tagged_addresses,
        );
    }

    fn take_indexed(input: &mut Decoder<'_>) -> Result<(Self, Indexes), DecodeError> {
        let (mut node, mut indexes) = (Node::default(), Indexes::default());
        take_struct(input, |name, input| {
            match name {
                b"Address" => node.address = Wire::take(input)?,
                b"Datacenter" => node.datacenter = Wire::take(input)?,
                b"ID" => node.id = Wire::take(input)?,
                b"Meta" => node.meta = Wire::take(input)?,
                b"Node" => node.node = Wire::take(input)?,
                b"TaggedAddresses" => node.tagged_addresses = Wire::take(input)?,
                _ => return indexes.take(name, input),
            }
            Ok(true)
        })?;
        Ok((node, indexes))
    }
}

/// A map that is `nil` where it is empty.
struct Sparse<'a, K, V>(&'a BTreeMap<K, V>);

impl<K: Wire + Ord, V: Wire> Put for Sparse<'_, K, V> {
    fn put(&self, out: &mut Encoder) {
        if self.0.is_empty() { out.nil() } else { Wire::put(self.0, out) }
    }
}
