//! Opens connections for the pool: TCP, TLS over TCP, or a socket file.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Error;
use crate::config::{Address, ClientConfig};
use crate::error::system_text;

/// Longest time until a connection stands, as in Go's client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Goes where the configuration says, whatever the URI is.
#[derive(Clone)]
pub(crate) struct Connector {
    address: Address,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

impl Connector {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, Error> {
        let tls = match &config.address {
            Address::Https(host) => {
                let name = match config.tls.server_name.as_str() {
                    "" => {
                        host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).trim_matches(['[', ']'])
                    }
                    name => name,
                };
                let name = ServerName::try_from(name.to_owned())
                    .map_err(|_| Error::Setup(format!("{name:?} is no name a certificate can carry")))?;
                Some((crate::tls::connector(&config.tls)?, name))
            }
            Address::Http(_) | Address::Unix(_) => None,
        };
        Ok(Connector { address: config.address.clone(), tls })
    }

    async fn open(self) -> Result<Stream, ConnectError> {
        let host = match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| {
                    ConnectError(format!("dial unix {}: connect: {}", path.display(), system_text(&error)))
                })?;
                return Ok(Stream::Unix(TokioIo::new(stream)));
            }
            Address::Http(host) | Address::Https(host) => host,
        };
        let stream = dial(host).await?;
        let Some((config, name)) = self.tls else { return Ok(Stream::Tcp(TokioIo::new(stream))) };
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| ConnectError(format!("TLS handshake with {host}: {error}")))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }
}

async fn dial(host: &str) -> Result<TcpStream, ConnectError> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let addresses = tokio::net::lookup_host(host)
        .await
        .map_err(|_| ConnectError(format!("dial tcp: lookup {name}: no such host")))?;
    let mut last = ConnectError(format!("dial tcp: lookup {name}: no such host"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are small; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => {
                last = ConnectError(format!("dial tcp {address}: connect: {}", system_text(&error)))
            }
        }
    }
    Err(last)
}

/// Why there is no connection, in Go's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConnectError(pub(crate) String);

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, connector.open()).await {
                Ok(result) => result,
                Err(_) => Err(ConnectError("dial tcp: i/o timeout".into())),
            }
        })
    }
}

/// A connection of one of the kinds.
pub(crate) enum Stream {
    Tcp(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
    Unix(TokioIo<UnixStream>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}
