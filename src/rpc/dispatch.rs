//! What whoever implements the methods sees of a call.

use std::net::SocketAddr;

use bytes::Bytes;
use crs_types::Error;
use futures::future::BoxFuture;

use crate::blocks::ReplyMeta;
use crate::channel::BoxedIo;
use crate::codec::{Wire, decode, encode};
use crate::methods::{self, Kind, Method};
use crate::snapshot::{Archive, BoxedArchive, SnapshotRequest};

/// A request that arrived whole.
#[derive(Clone, Debug)]
pub struct Call {
    /// `Service.Method`, as the peer wrote it.
    pub method: String,
    /// The request, encoded: it can be handed to another server as it is.
    pub body: Bytes,
    /// Who asks.
    pub peer: SocketAddr,
    /// It came over TLS without a client's certificate: only a certificate may be asked for.
    pub open_tls: bool,
}

impl Call {
    /// Whether it may change something; what is unknown may.
    pub fn kind(&self) -> Kind {
        methods::kind_of(&self.method).unwrap_or(Kind::Write)
    }

    /// The request of a method.
    ///
    /// # Errors
    /// If it is none.
    pub fn request<M: Method>(&self) -> Result<M::Request, Error> {
        decode(&self.body).map_err(|error| Error::refused(format!("{}: {error}", M::NAME)))
    }

    /// Reads the request of a method, has it answered, writes the reply.
    ///
    /// # Errors
    /// If the request is none of the method's, or whatever `handler` says.
    pub async fn answer<M: Method>(
        &self,
        handler: impl AsyncFnOnce(M::Request) -> Result<M::Reply, Error>,
    ) -> Result<Bytes, Error> {
        handler(self.request::<M>()?).await.map(|reply| reply_bytes(&reply))
    }
}

/// A reply as [`Dispatch::call`] returns it.
pub fn reply_bytes<T: Wire>(reply: &T) -> Bytes {
    encode(reply).into()
}

/// The methods of a server.
pub trait Dispatch: Send + Sync + 'static {
    /// Answers a call with an encoded reply. A handler of a read is dropped when the caller goes away; one of a write
    /// runs to its end. A panic answers the caller with an error.
    ///
    /// A method that this server does not know answers [`methods::unknown`].
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Bytes, Error>>;

    /// Saves a snapshot, or restores the one in `archive`. Dropped when the connection fails.
    fn snapshot<'a>(
        &'a self,
        peer: SocketAddr,
        request: SnapshotRequest,
        archive: &'a mut Archive,
    ) -> BoxFuture<'a, Result<(ReplyMeta, Option<BoxedArchive>), Error>>;
}

/// Takes connections of raft.
pub trait RaftInlet: Send + Sync + 'static {
    /// Serves a connection to its end.
    fn accept(&self, io: BoxedIo, peer: SocketAddr) -> BoxFuture<'_, ()>;
}
