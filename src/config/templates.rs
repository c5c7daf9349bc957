//! The keys of `crs template` inside the agent's directory. The agent ignores them; the watcher reads them.

use crate::value::Value;

/// `template` blocks and the watcher's own keys, kept as they were written, with their positions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TemplateSettings {
    /// `template` blocks in the order of files and lines; each a map.
    pub templates: Vec<Value>,
    /// The other keys of a consul-template file (`consul`, `wait`, `exec`, `deduplicate`, `kill_signal`, `reload_signal`,
    /// `max_stale`, `block_query_wait`, `default_delimiters`, ...) with their values; a repeated one stands once per
    /// occurrence, the last counts.
    pub settings: Vec<(String, Value)>,
}
