//! Checks in messages.

use crs_types::{CheckDefinition, CheckStatus, HealthCheck};

use super::{Indexes, Record, Sparse, put_struct, take_struct};
use crate::codec::{DecodeError, Decoder, Encoder, Wire};

impl Record for HealthCheck {
    fn put_indexed(&self, indexes: Indexes, out: &mut Encoder) {
        put_struct!(out;
            "CheckID" => self.check_id,
            "CreateIndex" => indexes.create,
            "Definition" => self.definition,
            "ModifyIndex" => indexes.modify,
            "Name" => self.name,
            "Node" => self.node,
            "Notes" => self.notes,
            "Output" => self.output,
            "ServiceID" => self.service_id,
            "ServiceName" => self.service_name,
            "ServiceTags" => self.service_tags,
            "Status" => self.status,
            "Type" => self.kind,
        );
    }

    fn take_indexed(input: &mut Decoder<'_>) -> Result<(Self, Indexes), DecodeError> {
        // A status that is not given is empty, not critical: who registers it decides.
        let mut check = HealthCheck { status: CheckStatus::from(""), ..HealthCheck::default() };
        let mut indexes = Indexes::default();
        take_struct(input, |name, input| {
            match name {
                b"CheckID" => check.check_id = Wire::take(input)?,
                b"Definition" => check.definition = Wire::take(input)?,
                b"Name" => check.name = Wire::take(input)?,
                b"Node" => check.node = Wire::take(input)?,
                b"Notes" => check.notes = Wire::take(input)?,
                b"Output" => check.output = Wire::take(input)?,
                b"ServiceID" => check.service_id = Wire::take(input)?,
                b"ServiceName" => check.service_name = Wire::take(input)?,
                b"ServiceTags" => check.service_tags = Wire::take(input)?,
                b"Status" => check.status = Wire::take(input)?,
                b"Type" => check.kind = Wire::take(input)?,
                _ => return indexes.take(name, input),
            }
            Ok(true)
        })?;
        Ok((check, indexes))
    }
}

/// What is not in [`CheckDefinition`] is written as zero and passed over when read: agents leave it so.
impl Wire for CheckDefinition {
    fn put(&self, out: &mut Encoder) {
        put_struct!(out;
            "AliasNode" => String::new(),
            "AliasService" => String::new(),
            "Body" => self.body,
            "DeregisterCriticalServiceAfter" => self.deregister_critical_service_after,
            "DockerContainerID" => String::new(),
            "GRPC" => String::new(),
            "GRPCUseTLS" => false,
            "HTTP" => self.http,
            "Header" => Sparse(&self.header),
            "Interval" => self.interval,
            "Method" => self.method,
            "OutputMaxSize" => 0_u64,
            "ScriptArgs" => Vec::<String>::new(),
            "Shell" => String::new(),
            "TCP" => self.tcp,
            "TLSSkipVerify" => self.tls_skip_verify,
            "TTL" => 0_u64,
            "Timeout" => self.timeout,
        );
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut definition = CheckDefinition::default();
        take_struct(input, |name, input| {
            match name {
                b"Body" => definition.body = Wire::take(input)?,
                b"DeregisterCriticalServiceAfter" => {
                    definition.deregister_critical_service_after = Wire::take(input)?;
                }
                b"HTTP" => definition.http = Wire::take(input)?,
                b"Header" => definition.header = Wire::take(input)?,
                b"Interval" => definition.interval = Wire::take(input)?,
                b"Method" => definition.method = Wire::take(input)?,
                b"TCP" => definition.tcp = Wire::take(input)?,
                b"TLSSkipVerify" => definition.tls_skip_verify = Wire::take(input)?,
                b"Timeout" => definition.timeout = Wire::take(input)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(definition)
    }
}
