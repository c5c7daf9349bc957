//! JSON as Consul writes it: its field order, omissions, `null` or `[]`, byte for byte.
//!
//! Written by hand on purpose: a record's encoded form is kept beside it (see [`crs_store::Stored::encoded`]) and an
//! answer is made by copying bytes.

mod records;
mod text;

pub(crate) use records::*;
pub(crate) use text::*;
