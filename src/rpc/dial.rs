//! Reaching a server: TCP, TLS, the first byte.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use crs_types::Datacenter;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::channel::BoxedIo;
use crate::selector::Selector;
use crate::tls::Tls;

/// Longest wait for a connection with its handshakes, as Consul has it.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// Its `server` port.
    pub address: SocketAddr,
    /// Part of the name in its certificate.
    pub datacenter: Datacenter,
}

/// Dials servers.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Arc<ArcSwap<Tls>>,
    /// Where connections come from; `None`: as the system has it.
    source: Option<IpAddr>,
}

impl Dialer {
    /// With TLS as `tls` says at the time of dialling.
    pub fn new(tls: Arc<ArcSwap<Tls>>, source: Option<IpAddr>) -> Self {
        Dialer { tls, source }
    }

    /// A connection on which `selector` was said.
    ///
    /// # Errors
    /// If it cannot be had within ten seconds.
    pub async fn dial(&self, target: &Target, selector: Selector) -> io::Result<BoxedIo> {
        match timeout(DIAL_TIMEOUT, self.connect(target, selector)).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")),
        }
    }

    async fn connect(&self, target: &Target, selector: Selector) -> io::Result<BoxedIo> {
        let stream = self.connect_tcp(target.address).await?;
        prepare(&stream)?;
        let tls = self.tls.load();
        let mut io: BoxedIo = match &tls.connect {
            None => Box::new(stream),
            Some(connect) => {
                let name = format!("server.{}.{}", target.datacenter, connect.domain);
                let name = ServerName::try_from(name).map_err(io::Error::other)?;
                let mut stream = stream;
                stream.write_all(&[Selector::Tls.byte()]).await?;
                Box::new(TlsConnector::from(connect.config.clone()).connect(name, stream).await?)
            }
        };
        io.write_all(&[selector.byte()]).await?;
        io.flush().await?;
        Ok(io)
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    }
}

/// What every connection of this port is set to.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
