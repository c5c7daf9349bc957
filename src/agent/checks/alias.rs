//! Alias checks: the health of another service or node stands for this one.

use std::sync::Arc;
use std::time::Duration;

use crs_types::{CheckId, CheckKind, CheckSpec, CheckStatus, HealthCheck, Index, NodeName, ServiceId};
use tracing::debug;

use crate::checks::{Checks, Outcome};

/// Wait after a failed question to the servers.
const RETRY: Duration = Duration::from_secs(5);

/// What an alias of a service (empty: of the node alone) makes of the checks it stands for. Checks of the node count
/// for every service on it. The first critical one decides, then the last warning.
pub(crate) fn outcome<'a>(
    own: (&NodeName, &CheckId),
    service: &ServiceId,
    checks: impl IntoIterator<Item = &'a HealthCheck>,
) -> (CheckStatus, String) {
    let mut result = (CheckStatus::Passing, "No checks found.".to_owned());
    for check in checks {
        let counts = check.service_id.is_empty() || check.service_id == *service;
        // An alias of its own node would hold itself down for ever.
        if !counts || (&check.node, &check.check_id) == own {
            continue;
        }
        match check.status {
            CheckStatus::Critical | CheckStatus::Warning => {
                let text = format!("Aliased check {:?} failing: {}", check.name, check.output);
                result = (check.status.clone(), text);
                if check.status == CheckStatus::Critical {
                    break;
                }
            }
            _ if result.0 == CheckStatus::Passing => result.1 = "All checks passing.".to_owned(),
            _ => {}
        }
    }
    result
}

/// Keeps the aliases of this agent's own services true, whenever any check changes.
pub(super) async fn run_local(checks: Arc<Checks>) {
    loop {
        checks.local.checks_changed.notified().await;
        for check in checks.local.checks() {
            let Some(spec) = &check.spec else { continue };
            let CheckKind::Alias { node, service } = &spec.kind else { continue };
            if !node.is_empty() {
                continue;
            }
            let outcome = if checks.local.service(service).is_none() {
                missing(service, "")
            } else {
                let theirs = checks.local.checks_for(service);
                let own = (&check.record.node, &check.record.check_id);
                let (status, output) = outcome(own, service, theirs.iter().map(|check| &**check));
                Outcome { status, output }
            };
            if check.record.status != outcome.status || check.record.output != outcome.output {
                checks.settle(&spec.id, check.generation, outcome);
            }
        }
    }
}

/// Keeps the alias of something on a named node true, from what the servers say.
pub(super) async fn watch_node(checks: Arc<Checks>, spec: CheckSpec, generation: u64) {
    let CheckKind::Alias { node, service } = &spec.kind else { return };
    let node = NodeName::from(node.as_str());
    let mut index = Index::ZERO;
    while checks.is_current(&spec.id, generation) {
        let found = tokio::select! {
            found = checks.servers.node_checks(&node, index) => found,
            () = checks.stop.cancelled() => return,
        };
        match found {
            Ok(found) => {
                // An index that went back means a restored state: ask anew.
                index = if found.index < index { Index::ZERO } else { found.index };
                let known = match checks.servers.node_records(&node).await {
                    Ok(records) => {
                        records.node.is_some()
                            && (service.is_empty()
                                || records.services.iter().any(|known| known.id == *service))
                    }
                    Err(_) => true,
                };
                let outcome = if known {
                    let (status, output) = outcome((&node, &spec.id), service, &found.value);
                    Outcome { status, output }
                } else {
                    missing(service, node.as_str())
                };
                checks.settle(&spec.id, generation, outcome);
            }
            Err(error) => {
                debug!(target: "agent", check = %spec.id, %error, "Failed to ask for the checks of a node");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = checks.stop.cancelled() => return,
                }
            }
        }
    }
}

fn missing(service: &ServiceId, node: &str) -> Outcome {
    if service.is_empty() {
        Outcome::critical(format!("Node {node} could not be found"))
    } else {
        Outcome::critical(format!("Service {service} could not be found on node {node}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, service: &str, status: &str) -> HealthCheck {
        HealthCheck {
            node: "n".into(),
            check_id: id.into(),
            name: id.into(),
            service_id: service.into(),
            status: status.into(),
            output: "o".into(),
            ..HealthCheck::default()
        }
    }

    fn of_web(checks: &[HealthCheck]) -> (CheckStatus, String) {
        outcome((&"n".into(), &"self".into()), &"web".into(), checks)
    }

    #[test]
    fn the_worst_check_of_service_and_node_decides() {
        let (pass, warn, fail) = ("passing", "warning", "critical");
        assert_eq!(of_web(&[]), (CheckStatus::Passing, "No checks found.".into()));
        assert_eq!(of_web(&[check("a", "web", pass)]), (CheckStatus::Passing, "All checks passing.".into()));
        let mixed = [check("a", "web", pass), check("b", "", warn), check("c", "web", pass)];
        assert_eq!(of_web(&mixed), (CheckStatus::Warning, "Aliased check \"b\" failing: o".into()));
        let worse = [check("a", "web", warn), check("b", "", fail), check("c", "web", warn)];
        assert_eq!(of_web(&worse).0, CheckStatus::Critical);
    }

    #[test]
    fn others_and_itself_do_not_count() {
        let checks = [check("a", "other", "critical"), check("self", "", "critical")];
        assert_eq!(of_web(&checks), (CheckStatus::Passing, "No checks found.".into()));
    }
}
