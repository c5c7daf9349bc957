use crs_types::{CheckStatus, ServiceSpec};

use super::*;
use crate::local::Source;

fn node() -> Node {
    Node { id: "i".into(), node: "n".into(), address: "10.0.0.1".into(), ..Node::default() }
}

fn local(names: &[&str]) -> LocalState {
    let local = LocalState::new("n".into());
    for name in names {
        let spec = ServiceSpec { id: (*name).into(), name: (*name).into(), ..ServiceSpec::default() };
        local.add_service(&spec, Source::Api);
        assert!(local.add_maintenance(Some(&(*name).into()), "why", Secret::default()));
    }
    local
}

fn as_catalog(local: &LocalState) -> NodeRecords {
    let services = local.services().iter().map(|service| (*service.record).clone()).collect();
    let checks = local.checks().iter().map(|check| (*check.record).clone()).collect();
    NodeRecords { node: Some(node()), services, checks }
}

fn compare(local: &LocalState, theirs: &NodeRecords) -> Difference {
    difference(&node(), &local.services(), &local.checks(), theirs, false)
}

#[test]
fn a_catalog_that_agrees_has_no_difference() {
    let local = local(&["a", "b"]);
    let mut theirs = as_catalog(&local);
    theirs.services.push(NodeService {
        id: "consul".into(),
        service: "consul".into(),
        ..NodeService::default()
    });
    theirs.checks.push(HealthCheck { check_id: "serfHealth".into(), ..HealthCheck::default() });
    assert_eq!(compare(&local, &theirs), Difference::default());
}

#[test]
fn what_is_missing_changed_or_too_much_is_found() {
    let local = local(&["a", "b"]);
    let mut theirs = as_catalog(&local);
    theirs.node = None;
    theirs.services[0].port = 7;
    theirs.services.remove(1);
    theirs.services.push(NodeService { id: "x".into(), ..NodeService::default() });
    theirs.checks[1].status = CheckStatus::Passing;
    theirs.checks.push(HealthCheck {
        check_id: "of-x".into(),
        service_id: "x".into(),
        ..HealthCheck::default()
    });
    theirs.checks.push(HealthCheck { check_id: "stray".into(), ..HealthCheck::default() });
    let found = compare(&local, &theirs);
    assert!(found.node);
    assert_eq!(found.services, ["a", "b", "x"]);
    assert_eq!(found.checks, ["_service_maintenance:b", "stray"]);
}

#[test]
fn deferred_output_is_no_difference() {
    let local = local(&["a"]);
    let mut theirs = as_catalog(&local);
    theirs.checks[0].output = "older".to_owned();
    let (services, checks) = (local.services(), local.checks());
    assert_eq!(difference(&node(), &services, &checks, &theirs, true), Difference::default());
    assert_eq!(difference(&node(), &services, &checks, &theirs, false).checks.len(), 1);
}

#[test]
fn the_interval_grows_with_the_cluster() {
    let minutes = |nodes: usize| -> u64 { scaled(nodes).as_secs() / 60 };
    assert_eq!([0usize, 1, 128, 129, 256, 257, 512, 513].map(minutes), [1u64, 1, 1, 2, 2, 3, 3, 4]);
}
