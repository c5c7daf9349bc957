//! One task for each stream: it opens or takes over a connection, and moves bytes between it and the owner.

use bytes::Bytes;
use crs_gossip::memberlist::StreamId;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// What the owner has a stream do.
#[derive(Debug)]
pub(crate) enum Order {
    Write(Bytes),
    /// Write what is left, then close.
    Close,
}

/// What a stream tells the owner.
#[derive(Debug)]
pub(crate) enum News {
    Data(Bytes),
    End,
    Failed(String),
}

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// The text for a connection that was not made, as a Go program words it.
fn dial_error(to: SocketAddr, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused",
        io::ErrorKind::HostUnreachable => "connect: no route to host",
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        io::ErrorKind::ConnectionReset => "connect: connection reset by peer",
        io::ErrorKind::TimedOut => "i/o timeout",
        io::ErrorKind::AddrNotAvailable => "connect: cannot assign requested address",
        _ => return format!("dial tcp {to}: connect: {error}"),
    };
    format!("dial tcp {to}: {reason}")
}

/// Opens a connection and serves it. The owner's own deadline ends it by dropping the orders.
pub(crate) async fn dial(
    id: StreamId,
    to: SocketAddr,
    timeout: Duration,
    orders: mpsc::Receiver<Order>,
    news: mpsc::Sender<(StreamId, News)>,
) {
    // a little less than the owner waits, so that it is this text which is read
    let opened = tokio::time::timeout(timeout.mul_f64(0.95), TcpStream::connect(to)).await;
    let failed = match opened {
        Ok(Ok(stream)) => return serve(id, stream, timeout, orders, news).await,
        Ok(Err(error)) => dial_error(to, &error),
        Err(_) => format!("dial tcp {to}: i/o timeout"),
    };
    // the owner may be gone; then nobody is interested
    let _ = news.send((id, News::Failed(failed))).await;
}

/// Moves bytes both ways until the owner closes.
pub(crate) async fn serve(
    id: StreamId,
    stream: TcpStream,
    timeout: Duration,
    mut orders: mpsc::Receiver<Order>,
    news: mpsc::Sender<(StreamId, News)>,
) {
    let (mut reader, mut writer) = stream.into_split();
    let mut buf = vec![0; CHUNK];
    let mut open = true;
    loop {
        // both arms are cancel-safe: `read` takes nothing when it is dropped, `recv` neither
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Write(bytes)) => {
                    let written = tokio::time::timeout(timeout, writer.write_all(&bytes)).await;
                    if !matches!(written, Ok(Ok(()))) {
                        let _ = news.send((id, News::Failed("write: connection lost".into()))).await;
                        return;
                    }
                }
                Some(Order::Close) | None => {
                    let _ = tokio::time::timeout(timeout, writer.shutdown()).await;
                    return;
                }
            },
            read = reader.read(&mut buf), if open => {
                let tell = match read {
                    Ok(0) => {
                        open = false;
                        News::End
                    }
                    Ok(n) => News::Data(Bytes::copy_from_slice(&buf[..n])),
                    Err(error) => {
                        open = false;
                        News::Failed(format!("read: {error}"))
                    }
                };
                if news.send((id, tell)).await.is_err() {
                    return;
                }
            }
        }
    }
}
