//! Who may do what.
//!
//! What it is: the question every handler asks before it acts or shows ([`Authorizer::allows`]), and rules that answer it
//! as Consul's do. What it is not: tokens, policies or their storage and resolution.
//!
//! Invariant: a handler decides on nothing but the authorizer it was given, so that turning ACLs on changes no handler.

#![warn(missing_docs)]

mod policy;

use std::sync::Arc;

use crs_types::{Error, ErrorKind};

pub use policy::{Extent, Grant, Rule};

use policy::RuleSet;

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

/// Answers what one request may do. Cheap to clone: resolved once per token, shared by its requests.
#[derive(Clone, Debug)]
pub struct Authorizer(Rights);

#[derive(Clone, Debug)]
enum Rights {
    /// ACLs are off, or the token is a management token.
    All,
    /// The token's rules, and what holds where they say nothing.
    Ruled { rules: Arc<RuleSet>, otherwise: bool },
}

impl Authorizer {
    /// ACLs are off, or the token may do everything.
    pub fn allow_all() -> Self {
        Authorizer(Rights::All)
    }

    /// What these rules grant; `allow_otherwise` is `default_policy`, for whatever they do not name.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a Rule>, allow_otherwise: bool) -> Self {
        Authorizer(Rights::Ruled { rules: Arc::new(RuleSet::new(rules)), otherwise: allow_otherwise })
    }

    /// Whether the access is granted. `name` is empty for resources without names.
    pub fn allows(&self, resource: Resource, name: &str, access: Access) -> bool {
        match &self.0 {
            Rights::All => true,
            Rights::Ruled { rules, otherwise } => {
                // Rights over the ACL system and over secrets are never granted by default_policy = "allow" alone.
                let otherwise = *otherwise && resource != Resource::Acl;
                rules.allows(resource, name, access).unwrap_or(otherwise)
            }
        }
    }

    /// Whether everything that begins so may be written: a delete of a tree of keys.
    pub fn allows_writing_tree(&self, resource: Resource, prefix: &str) -> bool {
        match &self.0 {
            Rights::All => true,
            Rights::Ruled { rules, otherwise } => {
                rules.allows_writing_tree(resource, prefix).unwrap_or(*otherwise)
            }
        }
    }

    /// Whether everything is granted, so that a filter need not look at each record.
    pub fn allows_everything(&self) -> bool {
        matches!(self.0, Rights::All)
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

    #[test]
    fn default_policy_decides_what_rules_leave_open() {
        let rules = [Rule {
            resource: Resource::Key,
            extent: Extent::Exact,
            name: "a".to_owned(),
            grant: Grant::Read,
        }];
        for otherwise in [true, false] {
            let authorizer = Authorizer::new(&rules, otherwise);
            assert!(authorizer.allows(Resource::Key, "a", Access::Read));
            assert!(!authorizer.allows(Resource::Key, "a", Access::Write));
            assert_eq!(authorizer.allows(Resource::Node, "n", Access::Write), otherwise);
            assert!(!authorizer.allows(Resource::Acl, "", Access::Read));
            assert!(!authorizer.allows_everything());
        }
        let denied = Authorizer::new([], false).require(Resource::Agent, "n", Access::Read).unwrap_err();
        assert_eq!((denied.kind, denied.text.as_str()), (ErrorKind::PermissionDenied, "Permission denied"));
    }
}
