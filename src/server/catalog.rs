//! Writes of the catalog, with the checks that Consul does before it proposes one.

use crs_acl::{Access, Authorizer, Resource};
use crs_store::{Command, Registration};
use crs_types::{CheckId, CheckStatus, Error, HealthCheck, NodeName, NodeService, ServiceId};

use crate::server::Server;

/// A catalog deregistration as a client sent it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Deregistration {
    /// Required.
    pub node: NodeName,
    /// Empty: not a service.
    pub service_id: ServiceId,
    /// Empty: not a check.
    pub check_id: CheckId,
}

impl Server {
    /// Registers a node, a service, checks.
    ///
    /// # Errors
    /// Consul's refusals (`Must provide node`, ...), a missing right, or those of [`Server::write`].
    pub async fn register(&self, authorizer: &Authorizer, registration: Registration) -> Result<(), Error> {
        let registration = prepare(registration, &self.settings().datacenter)?;
        authorize(authorizer, &registration)?;
        self.write(Command::Register(Box::new(registration))).await.map(drop)
    }

    /// Removes a service, a check, or a whole node; what is not there is fine.
    ///
    /// # Errors
    /// `Must provide node`, a missing right, or those of [`Server::write`].
    pub async fn deregister(&self, authorizer: &Authorizer, what: Deregistration) -> Result<(), Error> {
        if what.node.is_empty() {
            return Err(Error::refused("Must provide node"));
        }
        let Deregistration { node, service_id, check_id } = what;
        let state = self.published().state();
        let service = if !service_id.is_empty() {
            state.node_service(&node, &service_id).map(|service| service.value.service.clone())
        } else {
            let check = state.node_check(&node, &check_id);
            check.map(|check| check.value.service_name.clone()).filter(|name| !name.is_empty())
        };
        match service {
            Some(service) => authorizer.require(Resource::Service, service.as_str(), Access::Write)?,
            None => authorizer.require(Resource::Node, node.as_str(), Access::Write)?,
        }
        self.write(Command::Deregister { node, service_id, check_id }).await.map(drop)
    }
}

/// Consul's checks and completions, in its order.
fn prepare(
    mut registration: Registration,
    datacenter: &crs_types::Datacenter,
) -> Result<Registration, Error> {
    let node = &mut registration.node;
    if node.node.is_empty() {
        return Err(Error::refused("Must provide node"));
    }
    if node.address.is_empty() && !registration.skip_node_update {
        return Err(Error::refused("Must provide address if SkipNodeUpdate is not set"));
    }
    if !node.id.is_empty() {
        check_uuid(node.id.as_str()).map_err(|text| Error::refused(format!("Bad node ID: {text}")))?;
    }
    node.datacenter = datacenter.clone();
    if let Some(service) = &mut registration.service {
        complete_service(service)?;
    }
    let node = &registration.node.node;
    for check in &mut registration.checks {
        complete_check(check, node);
        if check.node.folded() != node.folded() {
            let text = format!("check node \"{}\" does not match node \"{node}\"", check.node);
            return Err(Error::refused(text));
        }
        if check.check_id.is_empty() {
            return Err(Error::refused(format!(
                "failed inserting check: failed inserting check: object missing primary index on node \"{node}\""
            )));
        }
    }
    Ok(registration)
}

pub(crate) fn complete_service(service: &mut NodeService) -> Result<(), Error> {
    if service.id.is_empty() {
        service.id = service.service.as_str().into();
    }
    if !service.id.is_empty() && service.service.is_empty() {
        return Err(Error::refused("Must provide service name with ID"));
    }
    Ok(())
}

pub(crate) fn complete_check(check: &mut HealthCheck, node: &NodeName) {
    if check.check_id.is_empty() {
        check.check_id = check.name.as_str().into();
    }
    if check.node.is_empty() {
        check.node = node.clone();
    }
    if matches!(&check.status, CheckStatus::Other(word) if word.is_empty()) {
        check.status = CheckStatus::Critical;
    }
}

fn authorize(authorizer: &Authorizer, registration: &Registration) -> Result<(), Error> {
    if !registration.skip_node_update || registration.checks.iter().any(|check| check.service_id.is_empty()) {
        authorizer.require(Resource::Node, registration.node.node.as_str(), Access::Write)?;
    }
    if let Some(service) = &registration.service {
        authorizer.require(Resource::Service, service.service.as_str(), Access::Write)?;
    }
    Ok(())
}

/// Consul's check of a UUID and its words for what is wrong.
fn check_uuid(text: &str) -> Result<(), &'static str> {
    if text.len() != 36 {
        return Err("uuid string is wrong length");
    }
    let well_formed = text.bytes().enumerate().all(|(i, byte)| match i {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    if well_formed { Ok(()) } else { Err("uuid is improperly formatted") }
}
