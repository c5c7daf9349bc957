//! What goes before a body: headers of requests and answers, and the errors in them.

use crs_types::{Error, ErrorKind};

use crate::codec::{DecodeError, Encoder, Wire, decode, record};

record! {
    /// Before a request's body.
    pub struct RequestHeader {
        "ServiceMethod" method: String,
        /// The answer repeats it.
        "Seq" seq: u64,
    }

    /// Before an answer's body; after an error, the body is an empty map.
    pub struct ResponseHeader {
        "ServiceMethod" method: String,
        "Seq" seq: u64,
        /// Empty: it went well.
        "Error" error: String,
    }

    /// As crs reads it: a server of crs names the kind of an error where the text does not.
    struct ExtendedHeader {
        "ServiceMethod" method: String,
        "Seq" seq: u64,
        "Error" error: String,
        "ErrorKind" kind: String,
    }
}

/// Appends a request.
pub fn put_request(method: &str, seq: u64, body: &[u8], out: &mut Encoder) {
    RequestHeader { method: method.to_owned(), seq }.put(out);
    out.verbatim(body);
}

/// Appends an answer.
pub fn put_response(method: &str, seq: u64, result: Result<&[u8], &Error>, out: &mut Encoder) {
    let (method, error) = (method.to_owned(), result.err());
    match error {
        None => ResponseHeader { method, seq, error: String::new() }.put(out),
        Some(error) => {
            // No text would mean that it went well.
            let text = if error.text.is_empty() { "unknown error".to_owned() } else { error.text.clone() };
            if kind_of_text(&text) == error.kind {
                ResponseHeader { method, seq, error: text }.put(out);
            } else {
                let kind = kind_name(error.kind).to_owned();
                ExtendedHeader { method, seq, error: text, kind }.put(out);
            }
        }
    }
    match result {
        Ok(body) => out.verbatim(body),
        Err(_) => out.map(0),
    }
}

/// Reads the header of an answer: its number, and the error if there is one.
///
/// # Errors
/// If the bytes are no such header.
pub fn take_response(bytes: &[u8]) -> Result<(u64, Option<Error>), DecodeError> {
    let header: ExtendedHeader = decode(bytes)?;
    if header.error.is_empty() {
        return Ok((header.seq, None));
    }
    let kind = kind_by_name(&header.kind).unwrap_or_else(|| kind_of_text(&header.error));
    Ok((header.seq, Some(Error::new(kind, header.error))))
}

/// What a text means, whoever wrote it: callers of Consul match on parts of it, since nothing else travels.
pub fn kind_of_text(text: &str) -> ErrorKind {
    const PARTS: &[(&str, ErrorKind)] = &[
        ("Permission denied", ErrorKind::PermissionDenied),
        ("ACL not found", ErrorKind::AclNotFound),
        ("RPC rate limit exceeded", ErrorKind::RateLimited),
        ("No cluster leader", ErrorKind::NoLeader),
        ("Not ready to serve consistent reads", ErrorKind::NoLeader),
        ("No known Consul servers", ErrorKind::NoServers),
        ("Remote DC has no server currently reachable", ErrorKind::NoServers),
        ("No path to datacenter", ErrorKind::NoPathToDatacenter),
        ("Query not found", ErrorKind::NotFound),
        ("Service not found: ", ErrorKind::NotFound),
        ("leadership lost while committing log", ErrorKind::Unknown),
        // A server could not reach the one it wanted to hand the request to: nothing was done.
        ("rpc error getting client: ", ErrorKind::NoServers),
    ];
    // It lost the one it had handed it to.
    const ENDS: &[&str] =
        &["EOF", "stream closed", "session shutdown", "connection reset by peer", "broken pipe"];
    let known = PARTS.iter().find(|(part, _)| text.contains(part)).map(|(_, kind)| *kind);
    known.unwrap_or_else(|| {
        let lost = text.starts_with("rpc error making call: ") && ENDS.iter().any(|end| text.ends_with(end));
        if lost { ErrorKind::Unknown } else { ErrorKind::Refused }
    })
}

const KINDS: [(ErrorKind, &str); 12] = [
    (ErrorKind::BadRequest, "bad-request"),
    (ErrorKind::Refused, "refused"),
    (ErrorKind::NotFound, "not-found"),
    (ErrorKind::PermissionDenied, "permission-denied"),
    (ErrorKind::AclNotFound, "acl-not-found"),
    (ErrorKind::TooLarge, "too-large"),
    (ErrorKind::RateLimited, "rate-limited"),
    (ErrorKind::NoLeader, "no-leader"),
    (ErrorKind::NoServers, "no-servers"),
    (ErrorKind::NoPathToDatacenter, "no-path"),
    (ErrorKind::Unknown, "unknown"),
    (ErrorKind::Internal, "internal"),
];

fn kind_name(kind: ErrorKind) -> &'static str {
    // A kind that is not in the table yet travels as its text alone.
    KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name)
}

fn kind_by_name(name: &str) -> Option<ErrorKind> {
    KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(error: Error) -> (Vec<u8>, Error) {
        let mut out = Encoder::new();
        put_response("KVS.Get", 7, Err(&error), &mut out);
        let bytes = out.into_bytes();
        let (body, header) = bytes.split_last().expect("a body");
        assert_eq!(*body, 0x80);
        let (seq, read) = take_response(header).unwrap();
        assert_eq!(seq, 7);
        (header.to_vec(), read.unwrap())
    }

    #[test]
    fn kinds_arrive_whatever_the_text_says() {
        for (kind, _) in KINDS {
            for text in ["No cluster leader", "whatever", "Permission denied: token lacks it"] {
                let error = Error::new(kind, text);
                assert_eq!(sent(error.clone()).1, error);
            }
        }
    }

    #[test]
    fn consuls_own_errors_are_consuls_own_bytes() {
        let (header, _) = sent(Error::no_leader());
        assert_eq!(header[0], 0x83, "three fields, as Consul writes them");
        let (header, _) = sent(Error::bad_request("No cluster leader"));
        assert_eq!(header[0], 0x84);
    }
}
