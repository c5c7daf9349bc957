//! Recorded exchanges between real agents and servers: each message is read into its type and written again to the
//! same bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeSet;

use crs_rpc::codec::{Extent, Wire, decode, encode};
use crs_rpc::envelope::{RequestHeader, ResponseHeader};
use crs_rpc::methods::{self, Method};
use support::{Exchange, canonical, exchanges, tell};

const CALLS: &str = include_str!("../../../tests/data/wire/rpc-calls.txt");
const CALLS_ACL: &str = include_str!("../../../tests/data/wire/rpc-calls-acl.txt");
const HANDMADE: &str = include_str!("../../../tests/data/wire/rpc-handmade.txt");

/// What is written where another form was read, because inside both are one thing. Each with its reason.
const SAME: &[(&str, &str, &str)] = &[
    ("TaggedAddresses: None, Tags", "TaggedAddresses: {}, Tags", "a service's addresses: agents send a map"),
    ("Weights: None", "Weights: {Passing: 1, Warning: 1}", "no weights are weights of 1"),
];

fn again<T: Wire>(what: &str, bytes: &[u8]) {
    let value: T = decode(bytes).unwrap_or_else(|error| panic!("{what}: {error}\n{}", tell(bytes)));
    let written = encode(&value);
    // Values that nobody looks into stay in the order in which they came.
    if written == bytes || written == canonical(bytes) {
        return;
    }
    let (mut wanted, got) = (tell(&canonical(bytes)), tell(&written));
    for (read, wrote, _) in SAME {
        wanted = wanted.replace(read, wrote);
    }
    same(what, &got, &wanted);
}

/// Shows where two texts part, not all of them.
fn same(what: &str, got: &str, wanted: &str) {
    if got != wanted {
        let at = got.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
        let part = |text: &str| {
            text.bytes().skip(at.saturating_sub(60)).take(160).map(char::from).collect::<String>()
        };
        panic!("{what}\n   got ...{}...\nwanted ...{}...", part(got), part(wanted));
    }
}

/// Whether `M` is the method of the exchange; if so, its messages are checked.
fn checked<M: Method>(exchange: &Exchange, shape_only: bool) -> bool {
    let header: RequestHeader = decode(&exchange.request[0]).unwrap();
    if header.method != M::NAME {
        return false;
    }
    let title = &exchange.title;
    if shape_only {
        decode::<M::Request>(&exchange.request[1]).unwrap_or_else(|error| panic!("{title}: {error}"));
    } else {
        again::<M::Request>(&format!("{title}, request"), &exchange.request[1]);
    }
    let response: ResponseHeader = decode(&exchange.response[0]).unwrap();
    if response.error.is_empty() {
        again::<M::Reply>(&format!("{title}, reply"), &exchange.response[1]);
    } else {
        assert_eq!(exchange.response[1], [0x80], "{title}");
    }
    true
}

macro_rules! every_method {
    ($exchange:expr, $shape_only:expr; $($part:ident: $($name:ident)*;)*) => {
        $($(checked::<methods::$part::$name>($exchange, $shape_only) ||)*)* false
    };
}

fn check(exchange: &Exchange, shape_only: bool) -> bool {
    every_method!(exchange, shape_only;
        status: Ping Leader Peers Stats;
        catalog: Register Deregister ListDatacenters ListNodes ListServices ListServiceNames ListServiceNodes
            ReadNodeServices ListNodeServices;
        health: ServiceNodes ServiceChecks NodeChecks ChecksInState;
        kv: Apply Get List ListKeys;
        session: Apply Get List NodeSessions Renew;
        coordinate: Update ListDatacenters ListNodes Node;
        internal: EventFire NodeInfo DumpNodes DumpServices KeyringOperation;
        txn: Apply Read;
        prepared_query: Apply Get List Execute Explain;
        operator: RaftGetConfiguration RaftRemovePeerByAddress RaftRemovePeerById AutopilotGetConfiguration
            AutopilotSetConfiguration ReadServerHealth;
        acl: ReadToken PolicyResolve RoleResolve GetPolicy BootstrapTokens TokenSet TokenClone TokenDelete TokenList
            PolicySet PolicyDelete ReadPolicy PolicyList RoleSet RoleDelete ReadRole RoleList BindingRuleSet
            BindingRuleDelete ReadBindingRule BindingRuleList AuthMethodSet AuthMethodDelete ReadAuthMethod
            AuthMethodList Login Logout Authorize ReplicationStatus;
    )
}

#[test]
fn messages_of_real_agents_are_read_and_written_again() {
    let mut seen = BTreeSet::new();
    for exchange in exchanges(CALLS).iter().chain(&exchanges(CALLS_ACL)) {
        again::<RequestHeader>(&exchange.title, &exchange.request[0]);
        again::<ResponseHeader>(&exchange.title, &exchange.response[0]);
        let method = decode::<RequestHeader>(&exchange.request[0]).unwrap().method;
        assert!(methods::kind_of(&method).is_some(), "{method} is not in the table");
        if check(exchange, false) {
            seen.insert(method);
        }
    }
    assert!(seen.len() >= 55, "only {} methods seen", seen.len());
}

#[test]
fn short_requests_are_read_and_their_answers_written_again() {
    let mut count = 0;
    for exchange in exchanges(HANDMADE) {
        // Written by hand: fields are missing, so only the answers come out the same.
        count += usize::from(check(&exchange, true));
    }
    assert!(count >= 19, "only {count} exchanges checked");
}

#[test]
fn values_are_what_the_recording_says() {
    let mut count = 0;
    for exchange in exchanges(CALLS).iter().chain(&exchanges(CALLS_ACL)).chain(&exchanges(HANDMADE)) {
        for (told, bytes) in exchange.told.iter().zip([&exchange.request[1], &exchange.response[1]]) {
            if let Some(told) = told
                && !bytes.is_empty()
                // Whose words were cut short without a mark.
                && !exchange.title.starts_with("900")
            {
                // Long ones were cut.
                match told.find("...") {
                    Some(cut) => {
                        let told = told[..cut].trim_end();
                        same(&exchange.title, &tell(bytes)[..told.len()], told);
                    }

                    None => same(&exchange.title, &tell(bytes), told),
                }
                count += 1;
            }
        }
    }
    assert!(count >= 190, "only {count} messages compared");
}

#[test]
fn the_end_of_a_message_is_found_however_it_arrives() {
    for exchange in exchanges(CALLS) {
        for bytes in exchange.request.iter().chain(&exchange.response) {
            let mut stream = bytes.clone();
            stream.extend_from_slice(&[0x81, 0xa1]);
            assert_eq!(Extent::new(1 << 20).scan(&stream), Ok(Some(bytes.len())));
            let mut extent = Extent::new(1 << 20);
            for end in 0..bytes.len() {
                assert_eq!(extent.scan(&stream[..end]), Ok(None), "{}", exchange.title);
            }
            assert_eq!(extent.scan(&stream[..bytes.len()]), Ok(Some(bytes.len())));
        }
    }
}
