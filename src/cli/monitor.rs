//! `crs monitor`: the log of an agent as it is written.

use clap::Args;
use crs_client::{Bytes, Method};

use crate::failure::{During as _, OK, Outcome};
use crate::options::HttpOptions;
use crate::output::Out;

/// Streams the log of an agent
#[derive(Args, Debug)]
pub(crate) struct Monitor {
    #[command(flatten)]
    http: HttpOptions,
    /// In JSON.
    #[arg(long)]
    log_json: bool,
    /// Least level shown.
    #[arg(long, default_value = "INFO")]
    log_level: String,
    #[arg(hide = true)]
    _args: Vec<String>,
}

impl Monitor {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        const WHAT: &str = "Error starting monitor";
        let mut query = vec![("loglevel", self.log_level.as_str())];
        if self.log_json {
            query.push(("logjson", "true"));
        }
        let client = self.http.client()?;
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        let start = client.stream(Method::GET, "/v1/agent/monitor", &query, Bytes::new());
        let mut stream = tokio::select! {
            stream = start => stream.during(WHAT)?,
            _ = &mut stop => return Ok(OK),
        };
        if stream.status != 200 {
            stream.collect().await.and_then(crs_client::Response::ok).during(WHAT)?;
            return Ok(OK);
        }
        loop {
            let piece = tokio::select! {
                piece = stream.chunk() => piece,
                _ = &mut stop => return Ok(OK),
            };
            match piece.during("Error streaming logs")? {
                Some(piece) => out.bytes(&piece),
                None => return Ok(OK),
            }
            if out.is_closed() {
                return Ok(OK);
            }
        }
    }
}
