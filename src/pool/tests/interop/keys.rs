//! Keys and names: rotation over mixed pools, strangers without the key, two of one name, a rejoin after a crash.

use crate::member::Ours;
use crate::mixed::ring;
use crate::peer::{Net, SerfAgent, binary, eventually};
use crs_pool::{Event, KeyOp, Keyring, MemberStatus};
use std::time::Duration;

const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "AAECAwQFBgcICQoLDA0ODw==";
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_goes_through_with_serf_keys_and_with_ours() {
    let Some(program) = binary("serf") else { return };
    let net = Net::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serf-keyring");
    std::fs::write(&file, format!("[\"{OLD}\"]")).unwrap();
    let option = format!("-keyring-file={}", file.display());
    let real = SerfAgent::start(&program, "s1", net.ip(1), &[&option]);
    let plain = SerfAgent::start(&program, "s2", net.ip(2), &["-encrypt", OLD]);
    let home = folder.path().join("ours");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("keyring"), format!("[\"{OLD}\"]")).unwrap();
    let ours = Ours::start("c1", net.ip(11), Some(&home), |_| {}).await;
    let second = Ours::start("c2", net.ip(12), None, |cfg| cfg.keyring = ring()).await;
    real.ready().await;
    plain.ready().await;
    for ip in [2, 11, 12] {
        let (ok, text) = real.run("join", &[&net.ip(ip).to_string()]);
        assert!(ok, "{text}");
    }
    let four = || {
        let sees =
            [real.members().len(), plain.members().len(), ours.members().len(), second.members().len()];
        if sees == [4; 4] { Ok(()) } else { Err(format!("{sees:?}")) }
    };
    eventually(SOON, "four members", four).await;

    for args in [["-install", NEW], ["-use", NEW], ["-remove", OLD]] {
        let (ok, text) = real.run("keys", &args);
        assert!(ok, "{args:?}: {text}");
    }
    let (ok, text) = real.run("keys", &["-list"]);
    assert!(ok && text.contains("[4/4]") && text.contains(NEW) && !text.contains(OLD), "{text}");
    let saved = std::fs::read_to_string(home.join("keyring")).unwrap();
    assert!(saved.contains(NEW) && !saved.contains(OLD), "{saved}");

    // and back, from our side
    let old: Vec<u8> = (0..32).collect();
    let new: Vec<u8> = (0..16).collect();
    for (op, key) in [(KeyOp::Install, &old), (KeyOp::Use, &old), (KeyOp::Remove, &new)] {
        let report = second.pool.keys(op, key, 0).await.unwrap();
        assert_eq!((report.responses, report.error.clone()), (4, None), "{report:?}");
    }
    let report = second.pool.keys(KeyOp::List, &[], 0).await.unwrap();
    assert_eq!(report.keys, [(OLD.to_owned(), 4)]);
    let report = second.pool.keys(KeyOp::Remove, &old, 0).await.unwrap();
    assert_eq!(report.error.as_deref(), Some("4/4 nodes reported failure"));
    assert!(
        report.messages.iter().all(|(_, m)| m == "Removing the primary key is not allowed"),
        "{report:?}"
    );
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(saved.contains(OLD) && !saved.contains(NEW), "{saved}");

    // the pool still holds together
    ours.pool.user_event("deploy", "after", false).await.unwrap();
    eventually(SOON, "an event under the new key", || {
        if real.events().contains("after") && second.heard("deploy", "after") == 1 {
            Ok(())
        } else {
            Err(real.log())
        }
    })
    .await;
    eventually(SOON, "four members", four).await;
    ours.crash().await;
    second.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_without_the_key_are_refused_with_the_texts_of_the_real_ones() {
    let Some(program) = binary("serf") else { return };
    let net = Net::new();
    let locked = SerfAgent::start(&program, "s1", net.ip(1), &["-encrypt", OLD]);
    let open = SerfAgent::start(&program, "s2", net.ip(2), &[]);
    let ours_open = Ours::start("c1", net.ip(11), None, |_| {}).await;
    let ours_locked = Ours::start("c2", net.ip(12), None, |cfg| cfg.keyring = ring()).await;
    locked.ready().await;
    open.ready().await;
    let to = |ip: u8| [net.ip(ip).to_string()];
    let error = ours_open.pool.join(&to(1), false).await.unwrap_err().to_string();
    let want = format!(
        "1 error occurred:\n\t* Failed to join {}: Encryption is configured but remote state is not encrypted\n\n",
        net.ip(1)
    );
    // a real one answers sealed, which a member without keys cannot read either
    let sealed = want.replace(
        "Encryption is configured but remote state is not encrypted",
        "Remote state is encrypted and encryption is not configured",
    );
    assert!(error == want || error == sealed, "{error}");
    let error = ours_locked.pool.join(&to(2), false).await.unwrap_err().to_string();
    assert!(
        error.contains("Remote state is encrypted and encryption is not configured")
            || error.contains("Encryption is configured but remote state is not encrypted"),
        "{error}"
    );
    let (ok, text) = open.run("join", &to(12).each_ref().map(String::as_str));
    assert!(!ok && text.to_lowercase().contains("encrypt"), "{text}");
    let (ok, text) = locked.run("join", &to(11).each_ref().map(String::as_str));
    assert!(!ok && text.to_lowercase().contains("encrypt"), "{text}");
    let error = ours_open.pool.join(&to(77), false).await.unwrap_err().to_string();
    let ip = net.ip(77);
    assert_eq!(
        error,
        format!(
            "1 error occurred:\n\t* Failed to join {ip}: dial tcp {ip}:7946: connect: connection refused\n\n"
        )
    );
    assert_eq!(ours_open.members().len(), 1);
    ours_open.crash().await;
    ours_locked.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_ones_vote_against_a_second_one_of_a_name() {
    let Some(program) = binary("serf") else { return };
    let net = Net::new();
    let real: Vec<SerfAgent> =
        (1..=3).map(|i| SerfAgent::start(&program, &format!("s{i}"), net.ip(i), &[])).collect();
    for agent in &real {
        agent.ready().await;
    }
    for i in [2, 3] {
        let (ok, text) = real[0].run("join", &[&net.ip(i).to_string()]);
        assert!(ok, "{text}");
    }
    eventually(SOON, "three", || if real[2].members().len() == 3 { Ok(()) } else { Err(String::new()) })
        .await;
    let thief = Ours::start("s3", net.ip(11), None, |_| {}).await;
    thief.pool.join(&[net.ip(1).to_string()], false).await.unwrap();
    eventually(SOON, "a vote", || {
        let events = thief.events.lock().unwrap();
        if events.contains(&Event::NameLost) { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;
    assert_eq!(real[0].status("s3").as_deref(), Some("alive"));
    thief.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_member_finds_its_pool_again_by_its_snapshot() {
    let Some(program) = binary("serf") else { return };
    let net = Net::new();
    let real = SerfAgent::start(&program, "s1", net.ip(1), &["-snapshot=/dev/null"]);
    drop(real);
    let real = SerfAgent::start(&program, "s1", net.ip(1), &[]);
    real.ready().await;
    let home = tempfile::tempdir().unwrap();
    let ours = Ours::start("c1", net.ip(11), Some(home.path()), |_| {}).await;
    ours.pool.join(&[net.ip(1).to_string()], false).await.unwrap();
    let text = || std::fs::read_to_string(home.path().join("snapshot")).unwrap_or_default();
    eventually(SOON, "snapshot", || if text().contains("alive: s1 ") { Ok(()) } else { Err(text()) }).await;
    ours.crash().await;
    eventually(Duration::from_secs(45), "failure", || match real.status("c1").as_deref() {
        Some("failed") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let again = Ours::start("c1", net.ip(11), Some(home.path()), |_| {}).await;
    eventually(SOON, "rejoin", || match (real.status("c1").as_deref(), again.status("s1")) {
        (Some("alive"), Some(MemberStatus::Alive)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // the real one reads a file of ours
    again.crash().await;
    drop(real);
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(home.path().join("snapshot"), copy.path().join("snapshot")).unwrap();
    let target = Ours::start("s1", net.ip(1), None, |cfg| cfg.keyring = Keyring::default()).await;
    let option = format!("-snapshot={}", copy.path().join("snapshot").display());
    let reader = SerfAgent::start(&program, "c9", net.ip(12), &[&option]);
    reader.ready().await;
    eventually(SOON, "a real agent rejoins by our file", || match target.status("c9") {
        Some(MemberStatus::Alive) => Ok(()),
        other => Err(format!("{other:?} {}", reader.log())),
    })
    .await;
    assert!(reader.file("log").exists());
    target.crash().await;
}
