//! Services in messages.

use std::sync::Arc;

use crs_store::{Instance, Stored};
use crs_types::{HealthCheck, Node, NodeService, ServiceAddress, Weights};

use super::service_mesh::{CONNECT, PROXY, Settings};
use super::{Indexes, Record, put_struct, take_struct};
use crate::codec::{DecodeError, Decoder, Encoder, Fault, Wire};

impl Record for NodeService {
    fn put_indexed(&self, indexes: Indexes, out: &mut Encoder) {
        put_struct!(out;
            "Address" => self.address,
            "Connect" => Settings(&CONNECT, &self.connect),
            "CreateIndex" => indexes.create,
            "EnableTagOverride" => self.enable_tag_override,
            "ID" => self.id,
            "Kind" => self.kind,
            "LocallyRegisteredAsSidecar" => false,
            "Meta" => self.meta,
            "ModifyIndex" => indexes.modify,
            "Port" => self.port,
            "Proxy" => Settings(&PROXY, &self.proxy),
            "Service" => self.service,
            "TaggedAddresses" => self.tagged_addresses,
            "Tags" => self.tags,
            "Weights" => self.weights,
        );
    }

    fn take_indexed(input: &mut Decoder<'_>) -> Result<(Self, Indexes), DecodeError> {
        let (mut service, mut indexes) = (NodeService::default(), Indexes::default());
        take_struct(input, |name, input| {
            match name {
                b"Address" => service.address = Wire::take(input)?,
                b"Connect" => service.connect = CONNECT.take(input)?,
                b"EnableTagOverride" => service.enable_tag_override = Wire::take(input)?,
                b"ID" => service.id = Wire::take(input)?,
                b"Kind" => service.kind = Wire::take(input)?,
                b"Meta" => service.meta = Wire::take(input)?,
                b"Port" => service.port = Wire::take(input)?,
                b"Proxy" => service.proxy = PROXY.take(input)?,
                b"Service" => service.service = Wire::take(input)?,
                b"TaggedAddresses" => service.tagged_addresses = Wire::take(input)?,
                b"Tags" => service.tags = Wire::take(input)?,
                b"Weights" => service.weights = Wire::take(input)?,
                _ => return indexes.take(name, input),
            }
            Ok(true)
        })?;
        Ok((service, indexes))
    }
}

impl Wire for ServiceAddress {
    fn put(&self, out: &mut Encoder) {
        put_struct!(out; "Address" => self.address, "Port" => self.port,);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut address = ServiceAddress::default();
        take_struct(input, |name, input| {
            match name {
                b"Address" => address.address = Wire::take(input)?,
                b"Port" => address.port = Wire::take(input)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(address)
    }
}

/// `nil` is 1 and 1; a field that is missing from given weights is 0.
impl Wire for Weights {
    fn put(&self, out: &mut Encoder) {
        put_struct!(out; "Passing" => self.passing, "Warning" => self.warning,);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if input.nil() {
            return Ok(Weights::default());
        }
        let mut weights = Weights { passing: 0, warning: 0 };
        take_struct(input, |name, input| {
            match name {
                b"Passing" => weights.passing = Wire::take(input)?,
                b"Warning" => weights.warning = Wire::take(input)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(weights)
    }
}

/// `CheckServiceNode`.
impl Wire for Instance {
    fn put(&self, out: &mut Encoder) {
        put_struct!(out;
            "Checks" => Checks(&self.checks),
            "Node" => self.node,
            "Service" => self.service,
        );
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut node: Option<Arc<Stored<Node>>> = None;
        let mut service: Option<Arc<Stored<NodeService>>> = None;
        let mut checks: Vec<Arc<Stored<HealthCheck>>> = Vec::new();
        take_struct(input, |name, input| {
            match name {
                b"Checks" => checks = Wire::take(input)?,
                b"Node" => node = Wire::take(input)?,
                b"Service" => service = Wire::take(input)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match (node, service) {
            (Some(node), Some(service)) => Ok(Instance { node, service, checks: checks.into() }),
            // An instance without one of them is none; nobody sends that.
            _ => Err(input.fault(Fault::Meaning)),
        }
    }
}

struct Checks<'a>(&'a [Arc<Stored<HealthCheck>>]);

impl super::Put for Checks<'_> {
    fn put(&self, out: &mut Encoder) {
        if self.0.is_empty() {
            return out.nil();
        }
        out.array(self.0.len());
        self.0.iter().for_each(|check| Wire::put(check, out));
    }
}
