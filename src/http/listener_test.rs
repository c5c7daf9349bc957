//! Over real sockets on loopback.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::api_test::api;
use crate::{Bound, ListenLimits, Router, Settings, serve};

struct Listening {
    address: std::net::SocketAddr,
    stopping: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn listen(limits: ListenLimits) -> Listening {
    let bound = Bound::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = bound.local_addr().unwrap();
    let stopping = CancellationToken::new();
    let api = api(Settings::default()).await;
    let task = tokio::spawn(serve(bound, api, Arc::new(Router::new()), limits, stopping.clone()));
    Listening { address, stopping, task }
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads until the other side ends or `enough` was said.
async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin), enough: &str) -> String {
    let mut said = String::new();
    let mut buffer = [0; 4096];
    let reading = async {
        while enough.is_empty() || !said.contains(enough) {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(n) => said.push_str(&String::from_utf8_lossy(&buffer[..n])),
            }
        }
    };
    timeout(Duration::from_secs(20), reading).await.expect("an answer or an end");
    said
}

const LEADER: &[u8] = b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn headers_leave_as_go_writes_them() {
    let listening = listen(ListenLimits::default()).await;
    let mut stream = listening.connect().await;
    stream.write_all(b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let said = read(&mut stream, "\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 404 Not Found\r\n"), "{said}");
    for line in [
        "X-Consul-Index: 1\r\n",
        "X-Consul-Knownleader: true\r\n",
        "X-Consul-Lastcontact: 0\r\n",
        "Vary: Accept-Encoding\r\n",
        "Content-Length: 0\r\n",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_no_more() {
    let listening = listen(ListenLimits { max_conns_per_client: 2, ..ListenLimits::default() }).await;
    let mut held = [listening.connect().await, listening.connect().await];
    for stream in &mut held {
        stream.write_all(LEADER).await.unwrap();
        assert!(read(stream, "8300\"").await.contains("200 OK"));
    }
    let said = read(&mut listening.connect().await, "").await;
    assert!(said.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{said}");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{said}");
    drop(held);
    // Their places are free as soon as the server has seen them go.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let mut stream = listening.connect().await;
        stream.write_all(LEADER).await.unwrap();
        if read(&mut stream, "8300\"").await.contains("200 OK") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the places stay taken");
    }
}

#[tokio::test]
async fn who_sends_no_whole_request_is_sent_away_and_who_rests_is_not() {
    let limits = ListenLimits { header_timeout: Duration::from_millis(100), ..ListenLimits::default() };
    let listening = listen(limits).await;
    let mut resting = listening.connect().await;
    // A request whose body comes apart from its head.
    resting.write_all(b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    resting.write_all(b"hi").await.unwrap();
    assert!(read(&mut resting, "true").await.contains("200 OK"));
    let mut silent = listening.connect().await;
    let mut dribbling = listening.connect().await;
    dribbling.write_all(LEADER).await.unwrap();
    assert!(read(&mut dribbling, "8300\"").await.contains("200 OK"));
    dribbling.write_all(b"GET /v1/st").await.unwrap();
    assert_eq!(read(&mut silent, "").await, "");
    assert_eq!(read(&mut dribbling, "").await, "");
    resting.write_all(LEADER).await.unwrap();
    assert!(read(&mut resting, "8300\"").await.contains("200 OK"));
}

#[tokio::test]
async fn at_the_end_answers_are_finished_and_idle_connections_closed() {
    let listening = listen(ListenLimits::default()).await;
    let mut idle = listening.connect().await;
    idle.write_all(LEADER).await.unwrap();
    read(&mut idle, "8300\"").await;
    let mut waiting = listening.connect().await;
    waiting.write_all(b"GET /v1/kv/a?index=1&wait=300ms HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    listening.stopping.cancel();
    assert_eq!(read(&mut idle, "").await, "");
    assert!(read(&mut waiting, "\r\n\r\n").await.starts_with("HTTP/1.1 404"));
    timeout(Duration::from_secs(20), listening.task).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_at_the_end() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("crs-http-{}.sock", std::process::id()));
    let bound = Bound::unix(path.clone(), Some(0o600), (None, None)).unwrap();
    drop(bound);
    // What an earlier process left is replaced.
    let bound = Bound::unix(path.clone(), Some(0o600), (None, None)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let stopping = CancellationToken::new();
    let api = api(Settings::default()).await;
    let router = Arc::new(Router::new());
    let task = tokio::spawn(serve(bound, api, router, ListenLimits::default(), stopping.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(LEADER).await.unwrap();
    assert!(read(&mut stream, "8300\"").await.contains("200 OK"));
    stopping.cancel();
    timeout(Duration::from_secs(20), task).await.expect("it ends").unwrap();
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    let refused = Bound::unix(path.clone(), None, (None, None)).unwrap_err().to_string();
    assert!(refused.contains("is no socket"), "{refused}");
    std::fs::remove_file(&path).unwrap();
}
