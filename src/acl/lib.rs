//! Who may do what.
//!
//! What it is: the question every handler asks before it acts or shows ([`Authorizer::allows`]). What it is not: tokens,
//! policies or their resolution; until those are built, the only authorizer there is allows everything, as Consul does
//! with ACLs off.
//!
//! Invariant: a handler decides on nothing but the authorizer it was given, so that turning ACLs on changes no handler.

#![warn(missing_docs)]

use crs_types::{Error, ErrorKind};

/// The kinds of things that rules are about, in Consul's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Resource {
    /// ACL tokens, policies, roles.
    Acl,
    /// An agent, by its node's name.
    Agent,
    /// A user event, by name.
    Event,
    /// A key of the key/value store.
    Key,
    /// The gossip keys.
    Keyring,
    /// A node, by name.
    Node,
    /// The datacenter's operation: raft, autopilot.
    Operator,
    /// A prepared query, by name.
    Query,
    /// A service, by name.
    Service,
    /// A session, by its node's name.
    Session,
}

/// What is to be done with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Access {
    /// Show it.
    Read,
    /// Show all that begins so (keys).
    List,
    /// Change it.
    Write,
}

/// Answers what one request may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorizer(Rules);

#[derive(Clone, Debug)]
enum Rules {
    AllowAll,
}

impl Authorizer {
    /// ACLs are off.
    pub fn allow_all() -> Self {
        Authorizer(Rules::AllowAll)
    }

    /// Whether the access is granted. `name` is empty for resources without names.
    pub fn allows(&self, _resource: Resource, _name: &str, _access: Access) -> bool {
        match self.0 {
            Rules::AllowAll => true,
        }
    }

    /// Whether everything is granted, so that a filter need not look at each record.
    pub fn allows_everything(&self) -> bool {
        match self.0 {
            Rules::AllowAll => true,
        }
    }

    /// As [`Authorizer::allows`], for where a denial ends the request.
    ///
    /// # Errors
    /// `Permission denied`, which clients parse.
    pub fn require(&self, resource: Resource, name: &str, access: Access) -> Result<(), Error> {
        if self.allows(resource, name, access) {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::PermissionDenied, "Permission denied"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_acls_off_everything_is_allowed() {
        let authorizer = Authorizer::allow_all();
        assert!(authorizer.allows_everything());
        assert_eq!(authorizer.require(Resource::Key, "a", Access::Write), Ok(()));
    }
}
