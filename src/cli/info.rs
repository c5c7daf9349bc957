//! `crs info`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;

use crate::failure::{During as _, OK, Outcome};
use crate::options::HttpOptions;
use crate::output::Out;

/// Shows what an agent knows of itself, for operators
#[derive(Args, Debug)]
pub(crate) struct Info {
    #[command(flatten)]
    http: HttpOptions,
    #[arg(hide = true)]
    _args: Vec<String>,
}

#[derive(Deserialize)]
struct Itself {
    #[serde(rename = "Stats")]
    stats: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

impl Info {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        let answer = self.http.client()?.get("/v1/agent/self", &[]).await.and_then(crs_client::Response::ok);
        let itself: Itself = answer.and_then(|answer| answer.json()).during("Error querying agent")?;
        for (section, values) in &itself.stats {
            out.line(format_args!("{section}:"));
            for (key, value) in values {
                match value.as_str() {
                    Some(text) => out.line(format_args!("\t{key} = {text}")),
                    None => out.line(format_args!("\t{key} = {value}")),
                }
            }
        }
        Ok(OK)
    }
}
