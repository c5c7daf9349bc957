//! Names and identifiers. Names are shared strings: a clone is a reference count.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether nothing was given.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// The form under which the catalog files it: lower case, as Consul looks names up. Shares the string
            /// when it is lower case already.
            pub fn folded(&self) -> Self {
                if self.0.chars().any(char::is_uppercase) { Self(self.0.to_lowercase().into()) } else { self.clone() }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Arc::from(""))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// The name of a node, unique in its datacenter without regard to case.
    NodeName
);
name!(
    /// The id of a service instance, unique on its node.
    ServiceId
);
name!(
    /// The name of a service, shared by its instances.
    ServiceName
);
name!(
    /// The id of a check, unique on its node.
    CheckId
);
name!(
    /// The name of a datacenter: lower case, `[a-z0-9-_]+`.
    Datacenter
);
name!(
    /// The id of a session: a lower-case UUID as Consul prints it.
    SessionId
);
name!(
    /// The id of a node: a lower-case UUID, or empty where a registration gave none.
    NodeId
);

/// A catalog index as clients see it in `X-Consul-Index`: one step per applied command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Index(pub u64);

impl Index {
    /// Before the first command.
    pub const ZERO: Index = Index(0);

    /// The next index.
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// What a header shows: never 0, because clients reset on 0 (Consul answers 1 when nothing exists).
    pub fn shown(self) -> u64 {
        self.0.max(1)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
