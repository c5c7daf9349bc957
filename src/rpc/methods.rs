//! The methods of the `server` port: name, request, reply, and whether it writes.
//!
//! Most are read and written in full. Those of the service mesh and of federation are known by name, so that an agent
//! hears "not there" in words it understands, and their messages pass through as [`crate::codec::Value`].

pub mod acl;
pub mod catalog;
pub mod coordinate;
pub mod health;
pub mod internal;
pub mod kv;
pub mod operator;
pub mod prepared_query;
pub mod session;
pub mod status;
pub mod txn;

use crate::codec::Wire;

/// A method: a type that stands for it at compile time.
pub trait Method: Send + Sync + 'static {
    /// `Service.Method`.
    const NAME: &'static str;
    /// What it does, as far as retries and forwarding must know.
    const KIND: Kind;
    /// What is sent.
    type Request: Wire + Send + Sync + 'static;
    /// What comes back.
    type Reply: Wire + Send + Sync + 'static;
}

/// What a method does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Changes nothing: may be tried again whatever happened to the first try.
    Read,
    /// May have happened even if no answer came.
    Write,
}

macro_rules! methods {
    ($( $(#[$meta:meta])* $name:ident = $wire:literal, $kind:ident, $request:ty => $reply:ty; )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl $crate::methods::Method for $name {
                const NAME: &'static str = $wire;
                const KIND: $crate::methods::Kind = $crate::methods::Kind::$kind;
                type Request = $request;
                type Reply = $reply;
            }
        )*
        /// Name and kind of every method of this part.
        pub(crate) const METHODS: &[(&str, $crate::methods::Kind)] =
            &[$(($wire, $crate::methods::Kind::$kind)),*];
    };
}
pub(crate) use methods;

/// Methods of a real server that nobody here reads: tier C, or between servers of Consul only.
const OPAQUE: &[(&str, Kind)] = &[
    ("AutoEncrypt.Sign", Kind::Write),
    ("Catalog.GatewayServices", Kind::Read),
    ("ConfigEntry.Apply", Kind::Write),
    ("ConfigEntry.Delete", Kind::Write),
    ("ConfigEntry.Get", Kind::Read),
    ("ConfigEntry.List", Kind::Read),
    ("ConfigEntry.ListAll", Kind::Read),
    ("ConfigEntry.ResolveServiceConfig", Kind::Read),
    ("ConnectCA.ConfigurationGet", Kind::Read),
    ("ConnectCA.ConfigurationSet", Kind::Write),
    ("ConnectCA.Roots", Kind::Read),
    ("ConnectCA.Sign", Kind::Write),
    ("ConnectCA.SignIntermediate", Kind::Write),
    ("DiscoveryChain.Get", Kind::Read),
    ("FederationState.Apply", Kind::Write),
    ("FederationState.Get", Kind::Read),
    ("FederationState.List", Kind::Read),
    ("FederationState.ListMeshGateways", Kind::Read),
    ("Intention.Apply", Kind::Write),
    ("Intention.Check", Kind::Read),
    ("Intention.Get", Kind::Read),
    ("Intention.List", Kind::Read),
    ("Intention.Match", Kind::Read),
    ("Internal.GatewayServiceDump", Kind::Read),
    ("PreparedQuery.ExecuteRemote", Kind::Read),
];

/// Every method that is known, opaque ones included.
pub fn all() -> impl Iterator<Item = (&'static str, Kind)> {
    let parts = [
        acl::METHODS,
        catalog::METHODS,
        coordinate::METHODS,
        health::METHODS,
        internal::METHODS,
        kv::METHODS,
        operator::METHODS,
        prepared_query::METHODS,
        session::METHODS,
        status::METHODS,
        txn::METHODS,
        OPAQUE,
    ];
    parts.into_iter().flatten().copied()
}

/// What a method does; `None` where it is unknown.
pub fn kind_of(name: &str) -> Option<Kind> {
    all().find(|(known, _)| *known == name).map(|(_, kind)| kind)
}

/// What Consul says about a method that it does not have.
pub fn unknown(name: &str) -> crs_types::Error {
    let service = |name: &str| name.split_once('.').map(|(service, _)| service.to_owned());
    let wanted = service(name);
    let what = match wanted {
        None => "service/method request ill-formed:",
        Some(wanted) if all().any(|(known, _)| service(known).is_some_and(|known| known == wanted)) => {
            "can't find method"
        }
        Some(_) => "can't find service",
    };
    let name: String = name.chars().take(100).collect();
    crs_types::Error::refused(format!("rpc: {what} {name}"))
}
