//! The bodies of requests: registrations in the catalog and with the agent.
//!
//! ```text
//!   bytes ──syntax──▶ Json ──Decoder──▶ what was meant ──validate──▶ records or specs
//! ```

mod catalog;
mod decode;
mod definition;
mod mesh;
mod syntax;

pub(crate) use catalog::{deregistration, registration};
pub(crate) use definition::check_update;
pub use definition::{check_definition, service_definition};

use crate::error::Failure;
use decode::Decoder;
use syntax::Json;

/// Reads a body through a decoder; its first mistake is the request's.
fn decoded<T>(bytes: &[u8], read: impl FnOnce(&mut Decoder, &Json) -> T) -> Result<T, Failure> {
    let failed = |why: String| Failure::bad_request(format!("Request decode failed: {why}"));
    let json = syntax::parse(bytes).map_err(failed)?;
    let mut decoder = Decoder::default();
    let value = read(&mut decoder, &json);
    decoder.finish().map_err(failed)?;
    Ok(value)
}

#[cfg(test)]
mod body_test;
