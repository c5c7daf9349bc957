//! A member of ours in the LAN pool of a real Consul server, as a client would be.

use crate::member::Ours;
use crate::peer::{Net, binary, eventually};
use crs_pool::SerfConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Consul(Child);

impl Drop for Consul {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn members(program: &Path, api: &str) -> String {
    let out = Command::new(program).args(["members", &format!("-http-addr={api}")]).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consul_server_takes_our_member_for_a_client() {
    let Some(program) = binary("consul") else { return };
    let net = Net::new();
    let server = net.ip(1).to_string();
    let api = format!("{server}:8500");
    let _server = Consul(
        Command::new(&program)
            .args(["agent", "-dev", "-node=srv", "-bind", &server, "-client", &server, "-log-level=warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    eventually(Duration::from_secs(20), "consul", || {
        let text = members(&program, &api);
        if text.contains("srv") { Ok(()) } else { Err(text) }
    })
    .await;
    let ours = Ours::start("cli", net.ip(11), None, |cfg| {
        let addr = SocketAddr::new(net.ip(11).into(), 8301);
        *cfg = SerfConfig::consul_lan("cli", addr);
        for (key, value) in [
            ("role", "node"),
            ("dc", "dc1"),
            ("segment", ""),
            ("id", "11111111-2222-3333-4444-555555555555"),
            ("vsn", "2"),
            ("vsn_min", "2"),
            ("vsn_max", "3"),
            ("build", "1.8.7:"),
            ("acls", "0"),
        ] {
            cfg.tags.insert(key.into(), value.into());
        }
    })
    .await;
    assert_eq!(ours.pool.join(std::slice::from_ref(&server), true).await, Ok(1));
    eventually(Duration::from_secs(20), "a client in the server's eyes", || {
        let text = members(&program, &api);
        let row = text.lines().find(|l| l.starts_with("cli ")).unwrap_or_default();
        let words: Vec<&str> = row.split_whitespace().collect();
        if words.get(2..6) == Some(&["alive", "client", "1.8.7", "2"]) { Ok(()) } else { Err(text) }
    })
    .await;
    let seen = ours.pool.members();
    let srv = seen.get("srv").unwrap();
    assert_eq!(srv.tags()["role"], "consul");
    drop(seen);
    assert!(ours.pool.leave().await.unwrap());
    eventually(Duration::from_secs(20), "left", || {
        let text = members(&program, &api);
        if text.lines().any(|l| l.starts_with("cli ") && l.contains("left")) { Ok(()) } else { Err(text) }
    })
    .await;
    ours.crash().await;
}
