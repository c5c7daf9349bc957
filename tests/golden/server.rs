//! The server with the golden catalog.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use crs_testkit::{Client, Kind, Request};
use serde_json::Value;

/// The address that stands in the golden data.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 20, 11);

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    http: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kind() -> Kind {
    match std::env::var("CRS_TEST_SERVER").as_deref() {
        Ok("crs") => Kind::Crs,
        _ => Kind::Consul,
    }
}

fn consul() -> PathBuf {
    let folder = std::env::var_os("CRS_PEERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"), PathBuf::from);
    folder.join("bin/consul")
}

/// Ports that are free now.
fn ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind((ADDRESS, 0)).unwrap());
    std::array::from_fn(|at| listeners[at].local_addr().unwrap().port())
}

impl Server {
    /// Starts it and loads the catalog; `None`, with a word, where the real one is absent.
    pub fn start(folder: &Path) -> Option<Server> {
        let program = match kind() {
            Kind::Crs => PathBuf::from(env!("CARGO_BIN_EXE_crs")),
            Kind::Consul => consul(),
        };
        if !program.exists() {
            assert!(std::env::var_os("CI").is_none(), "{} is not there: run tests/peers", program.display());
            #[allow(clippy::print_stderr)]
            {
                eprintln!("SKIPPED: {} is not there; tests/peers brings it", program.display());
            }
            return None;
        }
        let [http, server, lan, wan] = ports::<4>();
        let arguments = fs::read_to_string(folder.join("agent.args")).unwrap();
        let child = Command::new(program)
            .args(["agent", "-dev"])
            .args(arguments.lines().filter(|line| !line.is_empty()))
            .args([format!("-http-port={http}"), format!("-server-port={server}")])
            .args([format!("-serf-lan-port={lan}"), format!("-serf-wan-port={wan}")])
            .args(["-dns-port=-1", "-grpc-port=-1"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.join("server.log")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { child, http: (ADDRESS, http).into() };
        server.wait(folder);
        server.load(folder);
        Some(server)
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    fn wait(&self, folder: &Path) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut client = Client::new(self.http);
            let reply = client.try_send(&Request::new("GET", "/v1/health/service/consul?passing=1"));
            if reply.is_ok_and(|reply| reply.code() == 200 && reply.body().contains("\"Node\"")) {
                return;
            }
            if Instant::now() > deadline {
                panic!("no server: {}", fs::read_to_string(folder.join("server.log")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn load(&self, folder: &Path) {
        let steps: Vec<Value> =
            serde_json::from_slice(&fs::read(folder.join("catalog.json")).unwrap()).unwrap();
        let mut client = Client::new(self.http);
        let mut saved: Vec<(String, String)> = Vec::new();
        for step in steps {
            let mut path = step["path"].as_str().unwrap().to_owned();
            for (name, value) in &saved {
                path = path.replace(&format!("${{{name}}}"), value);
            }
            let path = quoted(&path);
            let body = match (&step["body"], &step["body_base64"]) {
                (_, Value::String(text)) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
                (Value::String(text), _) => text.clone().into_bytes(),
                (Value::Null, _) => Vec::new(),
                (json, _) => json.to_string().into_bytes(),
            };
            let method = step["method"].as_str().unwrap();
            let until: Vec<&str> = step["until"]
                .as_array()
                .map_or(Vec::new(), |list| list.iter().filter_map(Value::as_str).collect());
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let reply = client.try_send(&Request::new(method, &path).body(body.clone())).unwrap();
                let text = reply.body();
                assert!(reply.code() == 200 || !until.is_empty(), "{method} {path}: {} {text}", reply.code());
                if until.iter().all(|part| text.contains(part)) {
                    if let Some(name) = step["save"].as_str() {
                        let json: Value = serde_json::from_str(&text).unwrap();
                        saved.push((name.to_owned(), json["ID"].as_str().unwrap().to_owned()));
                    }
                    break;
                }
                assert!(Instant::now() < deadline, "{path}: {text}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Blanks and what is not ASCII, percent-encoded.
fn quoted(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'!'..=b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
