//! `?near=`: who is closest comes first.

use crs_types::NodeName;

use crate::call::Call;

/// Sorts as far as distances are known. Without network coordinates the agent's own node is at distance zero from
/// itself and everything else is equally far.
pub(crate) fn nearest_first<T>(
    call: &Call,
    items: impl Iterator<Item = T>,
    node: impl Fn(&T) -> &NodeName,
) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    let near = call.param("near");
    let own = &call.settings().node;
    if !near.is_empty() && (near == "_agent" || *own == near) {
        items.sort_by_key(|item| node(item) != own);
    }
    items
}
