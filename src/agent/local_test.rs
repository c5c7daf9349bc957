use crs_types::Secret;

use super::*;

fn spec(id: &str, service: &str) -> CheckSpec {
    CheckSpec {
        id: id.into(),
        name: id.into(),
        notes: String::new(),
        service_id: service.into(),
        token: Secret::default(),
        status: None,
        kind: CheckKind::Ttl(Duration::from_secs(10)),
        interval: Duration::ZERO,
        timeout: Duration::ZERO,
        deregister_critical_service_after: Duration::ZERO,
        success_before_passing: 0,
        failures_before_critical: 0,
        output_max_size_bytes: 0,
    }
}

fn service(id: &str) -> ServiceSpec {
    ServiceSpec { id: id.into(), name: id.into(), ..ServiceSpec::default() }
}

fn with_web() -> LocalState {
    let local = LocalState::new("n".into());
    local.add_service(&service("web"), Source::Api);
    local.add_check(spec("c", "web"), Source::Api, Instant::now()).unwrap();
    local
}

fn update(local: &LocalState, status: CheckStatus, output: &str, defer: Duration) -> Updated {
    local.update_check(&"c".into(), None, status, output.into(), Instant::now(), defer)
}

#[test]
fn a_service_and_its_checks_are_sent_as_one() {
    let local = with_web();
    local.add_check(spec("of-node", ""), Source::Api, Instant::now()).unwrap();
    let pass = local.take_pass(Instant::now());
    assert!(pass.node);
    assert!(matches!(
        &pass.items[..],
        [SyncItem::Service { checks, .. }, SyncItem::Checks(node)] if checks.len() == 1 && node.len() == 1
    ));
    let empty = local.take_pass(Instant::now());
    assert!(!empty.node && empty.items.is_empty());
    pass.items.into_iter().for_each(|item| local.put_back(item));
    assert_eq!(local.take_pass(Instant::now()).items.len(), 2, "put back, checks of one token go together");
}

#[test]
fn what_went_is_deregistered_unless_it_came_back() {
    let local = with_web();
    local.take_pass(Instant::now());
    assert_eq!(local.remove_service(&"web".into()), Some(vec!["c".into()]));
    assert_eq!(local.remove_service(&"web".into()), None);
    let pass = local.take_pass(Instant::now());
    assert!(matches!(&pass.items[..], [SyncItem::GoneService { .. }]), "its checks go with it");
    local.add_service(&service("web"), Source::Api);
    pass.items.into_iter().for_each(|item| local.put_back(item));
    assert!(matches!(&local.take_pass(Instant::now()).items[..], [SyncItem::Service { .. }]));
    assert!(!local.remove_check(&"c".into()));
    local.add_check(spec("c", "web"), Source::Api, Instant::now()).unwrap();
    assert!(local.remove_check(&"c".into()));
    assert!(matches!(&local.take_pass(Instant::now()).items[..], [SyncItem::GoneCheck { .. }]));
}

#[test]
fn a_check_needs_its_service_and_keeps_its_state_when_defined_again() {
    let local = with_web();
    assert_eq!(local.add_check(spec("d", "none"), Source::Api, Instant::now()), None);
    let first = local.check(&"c".into()).unwrap();
    assert_eq!(first.record.service_name, "web");
    assert_eq!(update(&local, CheckStatus::Passing, "fine", Duration::ZERO), Updated::Status);
    let generation = local.add_check(spec("c", "web"), Source::Api, Instant::now()).unwrap();
    let second = local.check(&"c".into()).unwrap();
    assert_eq!((&second.record.status, second.record.output.as_str()), (&CheckStatus::Passing, "fine"));
    assert!(generation > first.generation);
    let stale = local.update_check(
        &"c".into(),
        Some(first.generation),
        CheckStatus::Critical,
        String::new(),
        Instant::now(),
        Duration::ZERO,
    );
    assert_eq!(stale, Updated::Unknown, "a result of the old definition");
}

#[test]
fn output_alone_waits_and_status_does_not() {
    let local = with_web();
    let defer = Duration::from_secs(300);
    update(&local, CheckStatus::Passing, "1", defer);
    local.take_pass(Instant::now());
    assert_eq!(update(&local, CheckStatus::Passing, "2", defer), Updated::Output);
    assert_eq!(update(&local, CheckStatus::Passing, "3", defer), Updated::Output);
    let due = local.next_deferred().unwrap();
    assert!(local.take_pass(due - Duration::from_secs(1)).items.is_empty());
    let pass = local.take_pass(due);
    assert!(matches!(&pass.items[..], [SyncItem::Checks(checks)] if checks[0].record.output == "3"));
    assert_eq!(local.next_deferred(), None);
    update(&local, CheckStatus::Passing, "4", defer);
    update(&local, CheckStatus::Critical, "5", defer);
    assert_eq!(local.next_deferred(), None, "the status takes the output along");
    assert_eq!(local.take_pass(Instant::now()).items.len(), 1);
    assert_eq!(update(&local, CheckStatus::Critical, "5", defer), Updated::Same);
    assert!(local.take_pass(Instant::now()).items.is_empty());
}

#[test]
fn a_literal_address_stands_under_its_family() {
    let local = LocalState::new("n".into());
    local.add_service(&ServiceSpec { address: "10.1.1.1".into(), port: 5, ..service("a") }, Source::File);
    local.add_service(&ServiceSpec { address: "host".into(), ..service("b") }, Source::File);
    let of = |id: &str| local.service(&id.into()).unwrap().record.tagged_addresses.clone();
    let own = ServiceAddress { address: "10.1.1.1".into(), port: 5 };
    assert_eq!(of("a"), [("lan_ipv4".to_owned(), own.clone()), ("wan_ipv4".to_owned(), own)].into());
    assert!(of("b").is_empty());
}

#[test]
fn a_comparison_replaces_what_was_believed() {
    let local = with_web();
    local.add_service(&service("gone"), Source::Api);
    local.remove_service(&"gone".into());
    local.reconcile(|services, checks| {
        assert_eq!((services.len(), checks.len()), (1, 1));
        Difference::default()
    });
    let pass = local.take_pass(Instant::now());
    assert!(!pass.node && pass.items.is_empty(), "the catalog agreed with everything");
    local.reconcile(|_, _| Difference {
        node: true,
        services: vec!["web".into(), "stray".into()],
        checks: vec!["c".into(), "other".into()],
    });
    let pass = local.take_pass(Instant::now());
    assert!(pass.node);
    assert!(matches!(
        &pass.items[..],
        [SyncItem::Service { checks, .. }, SyncItem::GoneService { .. }, SyncItem::GoneCheck { .. }]
            if checks.len() == 1
    ));
}
