//! Templates of two dialects over one set of data functions: parse once, render from a snapshot of answers.
//!
//! What it is: [`Template::parse`] reads a text, [`render`] is a function of the template and a [`DepSnapshot`] and
//! says which questions ([`Dep`]) it asked and which had no answer. A missing answer is not an error, it is "not
//! yet": the caller asks, puts the answer into the snapshot and renders again. Environment, files, programs and time
//! are questions like keys.
//!
//! What it is not: a watcher. No sockets, files, clock, threads or environment; those live in the caller.
//!
//! ```text
//! text -> lex -> parse -> Template --+
//!                                    +--> render --> Rendered { output, used, missing }
//! answers -> decode -> DepSnapshot --+
//! ```
//!
//! The Go dialect has its own engine (`go`). `gtmpl-ng` was weighed and put aside: its strings are UTF-8, while keys
//! hold any bytes; it does not tell `[]string` from `[]interface {}` nor `int` from `uint64`, on which Go's
//! functions, comparisons and printing depend; its functions are plain pointers, so that data and dependencies would
//! go through thread-locals; its errors have no place. None of these can be mended from outside.
//!
//! Invariants:
//! - No input makes it panic, run on for ever or take unbounded memory: see [`Limits`].
//! - Rendering is deterministic; maps are walked in the order of their keys.
//! - An error carries file, line, column and the expression.

#![warn(missing_docs)]

mod context;
mod data;
mod dep;
mod error;
mod func;
mod go;
mod hbs;
mod scratch;
mod snapshot;
mod template;
mod value;

pub use context::Limits;
pub use data::{DecodeError, decode};
pub use dep::{Dep, HealthQuery};
pub use error::{Stage, TemplateError};
pub use snapshot::{Answer, DepSnapshot};
pub use template::{Dialect, Escape, Options, Rendered, Template, WrittenFile, render, render_until};
pub use value::{Field, ListValue, MapKey, MapValue, Record, RecordValue, Text, Ty, Value};

#[cfg(test)]
mod engine_test;
