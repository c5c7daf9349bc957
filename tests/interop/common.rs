//! What the cases share: the subject, and rows that only name a request and its refusal.

use crs_testkit::{Client, Kind, Request, Setup, Subject};

/// The binary of ours.
const CRS: &str = env!("CARGO_BIN_EXE_crs");

/// The subject that the environment names, not started yet.
pub fn setup() -> Setup {
    Setup::new(Kind::from_env(), CRS)
}

/// A fresh agent in `-dev` mode, and a client of it.
pub fn agent() -> (Subject, Client) {
    let subject = setup().start();
    let client = subject.client();
    (subject, client)
}

/// Whether the subject is crs, in a case where that makes a difference on purpose; `row` names the row of
/// `docs/compatibility.md` that gives the reason.
#[track_caller]
pub fn differs(subject: &Subject, row: &str) -> bool {
    assert!(
        crate::deviations::rows().iter().any(|known| known == row),
        "docs/compatibility.md has no row {row:?}"
    );
    subject.is_crs()
}

/// Sends each request and expects each answer: method, target, body, status, text.
#[track_caller]
pub fn table(client: &mut Client, rows: &[(&str, &str, &str, u16, &str)]) {
    for (method, target, body, status, text) in rows {
        let reply = client.send(Request::new(method, target).body(*body));
        let got = (reply.code(), reply.body());
        assert_eq!(got, (*status, (*text).to_string()), "{method} {target} {body}");
    }
}
