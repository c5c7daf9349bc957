//! The bodies of requests: registrations in the catalog and with the agent.
//!
//! ```text
//!   bytes ──syntax──▶ Json ──Decoder──▶ what was meant ──validate──▶ records or specs
//! ```

mod catalog;
mod decode;
mod definition;
mod mesh;
mod session;
mod syntax;
mod txn;

pub(crate) use catalog::{deregistration, registration};
pub(crate) use definition::check_update;
pub use definition::{check_definition, service_definition};
pub(crate) use session::session;
pub(crate) use txn::{Transaction, transaction};

use crate::error::Failure;
use decode::Decoder;
use syntax::Json;

/// Reads a body through a decoder; its first mistake is the request's.
fn decoded<T>(bytes: &[u8], read: impl FnOnce(&mut Decoder, &Json) -> T) -> Result<T, Failure> {
    decoded_saying("Request decode failed", bytes, read)
}

/// The same where Consul has another word for it.
fn decoded_saying<T>(
    what: &str,
    bytes: &[u8],
    read: impl FnOnce(&mut Decoder, &Json) -> T,
) -> Result<T, Failure> {
    let failed = |why: String| Failure::bad_request(format!("{what}: {why}"));
    let json = syntax::parse(bytes).map_err(failed)?;
    let mut decoder = Decoder::default();
    let value = read(&mut decoder, &json);
    decoder.finish().map_err(failed)?;
    Ok(value)
}

#[cfg(test)]
mod body_test;
