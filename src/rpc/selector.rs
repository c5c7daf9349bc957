//! The first byte of a connection: what is spoken on it.

/// What a connection to the `server` port begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selector {
    /// One session of requests and answers, on the connection itself.
    Rpc,
    /// TLS; inside comes another selector.
    Tls,
    /// Streams, each a session of requests and answers: what agents use.
    Mux,
    /// One snapshot, there or back.
    Snapshot,
    /// TLS without a client's certificate; inside comes a session for asking for a certificate, without a selector.
    OpenTls,
    /// Raft between servers of crs. Consul's own raft has 1; its later versions use numbers up to 9 and TLS's 22, so
    /// this one is far from both.
    Raft,
}

impl Selector {
    /// As the byte on the wire.
    pub fn byte(self) -> u8 {
        match self {
            Selector::Rpc => 0,
            Selector::Tls => 3,
            Selector::Mux => 4,
            Selector::Snapshot => 5,
            Selector::OpenTls => 7,
            Selector::Raft => 0xc5,
        }
    }

    /// `None` for what is not spoken here: Consul's raft (1), the multiplexer before yamux (2), network areas (6), TLS
    /// from the first byte (22).
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Selector::Rpc, Selector::Tls, Selector::Mux, Selector::Snapshot, Selector::OpenTls, Selector::Raft]
            .into_iter()
            .find(|selector| selector.byte() == byte)
    }
}
