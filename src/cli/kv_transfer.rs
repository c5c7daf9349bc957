//! `crs kv export` and `import`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use crs_client::Response;
use serde::{Deserialize, Serialize};

use crate::failure::{During as _, Failure, OK, Outcome, at_most};
use crate::kv::{key_of, pairs_of, path_of, refuse_slash};
use crate::options::{NamespaceOption, ServerOptions, data_of};
use crate::output::Out;

/// A pair in a file.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(alias = "Key")]
    key: String,
    #[serde(default, alias = "Flags")]
    flags: u64,
    #[serde(default, alias = "Value")]
    value: String,
}

/// Writes a tree as JSON
#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    #[arg(value_name = "[PREFIX]")]
    args: Vec<String>,
}

impl Export {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        at_most(&self.args, 1)?;
        let key = key_of(self.args.first().map_or("", String::as_str));
        let mut query = self.server.read();
        self.namespace.add(&mut query);
        query.push(("recurse", ""));
        let answer = self.server.client()?.get(&path_of(key), &query).await;
        let pairs = answer.and_then(pairs_of).during("Error querying Consul agent")?;
        let records: Vec<Record> = pairs
            .into_iter()
            .map(|pair| Record { key: pair.key, flags: pair.flags, value: pair.value.unwrap_or_default() })
            .collect();
        let mut text = Vec::new();
        let layout = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, layout);
        records.serialize(&mut writer).during("Error exporting KV data")?;
        text.push(b'\n');
        out.bytes(&text);
        Ok(OK)
    }
}

/// Reads a tree from JSON
#[derive(Args, Debug)]
pub(crate) struct Import {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    #[arg(value_name = "DATA")]
    args: Vec<String>,
}

impl Import {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        let data = match self.args.as_slice() {
            [] => return Err(Failure::new("Error! Missing DATA argument")),
            [word] => data_of(word)?,
            more => {
                return Err(Failure::new(format!("Too many arguments (expected 1, got {})", more.len())));
            }
        };
        let records: Vec<Record> =
            serde_json::from_slice(&data).map_err(|error| Failure::new(cannot_read(&data, &error)))?;
        // Everything is decoded before anything is written: a bad value in the middle leaves nothing half done.
        let mut values = Vec::new();
        for record in &records {
            let what = format!("Error base64 decoding value for key {}", record.key);
            values.push(STANDARD.decode(&record.value).during(&what)?);
        }
        let client = self.server.client()?;
        for (record, value) in records.iter().zip(values) {
            let flags = record.flags.to_string();
            let mut query = Vec::new();
            self.namespace.add(&mut query);
            if record.flags != 0 {
                query.push(("flags", flags.as_str()));
            }
            let what = format!("Error! Failed writing data for key {}", record.key);
            refuse_slash(&record.key).during(&what)?;
            let answer = client.put(&path_of(&record.key), &query, value).await.and_then(Response::ok);
            answer.during(&what)?;
            out.line(format_args!("Imported: {}", record.key));
        }
        Ok(OK)
    }
}

/// Go's words where the text is no JSON at all, ours where it is JSON of another shape.
fn cannot_read(data: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(data);
    let read =
        |text: String| crs_config::read(&crs_config::Source::new("data", crs_config::Format::Json, text));
    // The reader takes objects only, so the text stands as a value of one.
    let fault = match read(format!("{{\"\":{text}}}")) {
        Ok(_) => None,
        Err(_) => read(format!("{{\"\":{text}")).err(),
    };
    match fault {
        Some(fault) => format!("Cannot unmarshal data: {}", fault.text),
        None => format!("Cannot unmarshal data: {error}"),
    }
}
