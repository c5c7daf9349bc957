use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection with the answer that `reply` makes of the request's head.
async fn server(reply: fn(&str) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let answer = reply(&String::from_utf8_lossy(&request[..length]));
                _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

async fn probe(url: &str, method: &str, header: &BTreeMap<String, Vec<String>>) -> Outcome {
    let probe = Probe { url, method, header, body: "", tls_skip_verify: false };
    run(probe, &TlsTrust::default(), Duration::from_millis(700), 20).await
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn the_status_code_is_the_result() {
    let address = server(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        match path {
            "/warn" => answer("429 Too Many Requests", "slow"),
            "/fail" => answer("500 Internal Server Error", "oh"),
            "/moved" => "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n".into(),
            "/loop" => "HTTP/1.1 302 Found\r\nLocation: loop\r\nContent-Length: 0\r\n\r\n".into(),
            "/long" => answer("200 OK", &"0123456789".repeat(9)),
            "/ok" => answer("204 No Content", ""),
            _ => answer("200 OK", "hello"),
        }
    })
    .await;
    let none = BTreeMap::new();
    let at = |path: &str| format!("http://{address}{path}");
    let text = |path: &str, rest: &str| format!("HTTP GET {}: {rest}", at(path));
    for (path, expected) in [
        ("", Outcome::passing(text("", "200 OK Output: hello"))),
        ("/warn", Outcome::warning(text("/warn", "429 Too Many Requests Output: slow"))),
        ("/fail", Outcome::critical(text("/fail", "500 Internal Server Error Output: oh"))),
        ("/moved", Outcome::passing(text("/moved", "204 No Content Output: "))),
        ("/long", Outcome::passing(text("/long", "200 OK Output: 01234567890123456789"))),
        ("/loop", Outcome::critical(format!("Get {:?}: stopped after 10 redirects", at("/loop")))),
    ] {
        assert_eq!(probe(&at(path), "", &none).await, expected, "{path}");
    }
}

#[tokio::test]
async fn method_and_headers_are_sent() {
    let address = server(|request| {
        let right = request.starts_with("PUT /x?q=1 HTTP/1.1\r\n")
            && request.to_lowercase().contains("\r\nx-a: b\r\n")
            && request.contains("Consul Health Check")
            && request.contains("Host: virtual\r\n");
        answer(if right { "200 OK" } else { "400 Bad Request" }, "")
    })
    .await;
    let header = [("X-A", "b"), ("Host", "virtual")];
    let header = header.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])).into();
    let url = format!("http://{address}/x?q=1");
    assert_eq!(
        probe(&url, "PUT", &header).await,
        Outcome::passing(format!("HTTP PUT {url}: 200 OK Output: "))
    );
}

#[tokio::test]
async fn failures_are_critical_and_say_why() {
    let none = BTreeMap::new();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/x");
    let refused = format!("Get {url:?}: dial tcp {closed}: connect: connection refused");
    assert_eq!(probe(&url, "", &none).await, Outcome::critical(refused));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outcome = probe(&format!("http://{}/", silent.local_addr().unwrap()), "", &none).await;
    assert!(outcome.output.contains("deadline exceeded"), "{outcome:?}");
    assert!(probe("ftp://a/", "", &none).await.output.contains("unsupported protocol scheme"));
    assert_eq!(probe("http://%%zz/", "", &none).await.status, crs_types::CheckStatus::Critical);
}
