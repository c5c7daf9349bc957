//! The log, line by line, as long as the client listens.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use crs_acl::{Access, Resource};
use crs_agent::Monitor;
use crs_config::LogLevel;
use hyper::body::Frame;

use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::reply::Reply;

pub(crate) async fn monitor(call: Call) -> Outcome {
    call.require_on_own_node(Resource::Agent, Access::Read)?;
    let word = match call.param("loglevel") {
        "" => "INFO",
        word => word,
    };
    let level = LogLevel::parse(word)
        .ok_or_else(|| Failure::bad_request(format!("Bad request: Unknown log level: {word}")))?;
    let lines = call.agent()?.log().monitor(level, call.has_param("logjson"));
    Ok(Reply::stream(Body::new(Lines(lines)), None))
}

/// Ends when the agent does.
struct Lines(Monitor);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_next(cx).map(|line| line.map(|line| Ok(Frame::data(line.into()))))
    }
}
