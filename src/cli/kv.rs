//! `crs kv get`, `put` and `delete`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use crs_client::Response;
use serde::Deserialize;

use crate::failure::{During as _, Failure, OK, Outcome, at_most};
use crate::kv_transfer::{Export, Import};
use crate::options::{NamespaceOption, ServerOptions, data_of};
use crate::output::Out;

/// Works with the key/value store
#[derive(Subcommand, Debug)]
pub(crate) enum Kv {
    Delete(Delete),
    Export(Export),
    Get(Get),
    Import(Import),
    Put(Put),
}

impl Kv {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        match self {
            Kv::Delete(command) => command.run(out).await,
            Kv::Export(command) => command.run(out).await,
            Kv::Get(command) => command.run(out).await,
            Kv::Import(command) => command.run(out).await,
            Kv::Put(command) => command.run(out).await,
        }
    }
}

/// A pair as the API shows it.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KvPair {
    pub(crate) key: String,
    pub(crate) flags: u64,
    pub(crate) value: Option<String>,
    lock_index: u64,
    #[serde(default)]
    session: String,
    create_index: u64,
    modify_index: u64,
}

impl KvPair {
    fn value(&self) -> Result<Vec<u8>, Failure> {
        STANDARD.decode(self.value.as_deref().unwrap_or_default()).during("Error querying Consul agent")
    }

    fn shown(&self, base64: bool) -> Result<Vec<u8>, Failure> {
        if base64 { Ok(self.value.clone().unwrap_or_default().into_bytes()) } else { self.value() }
    }

    fn detailed(&self, out: &mut Out, base64: bool) -> Result<(), Failure> {
        let session = if self.session.is_empty() { "-" } else { &self.session };
        for (name, value) in [
            ("CreateIndex", self.create_index.to_string()),
            ("Flags", self.flags.to_string()),
            ("Key", self.key.clone()),
            ("LockIndex", self.lock_index.to_string()),
            ("ModifyIndex", self.modify_index.to_string()),
            ("Session", session.to_owned()),
        ] {
            out.line(format_args!("{name:<17}{value}"));
        }
        // An empty cell at the end of the last line is not padded to.
        let value = self.shown(base64)?;
        let mut line = if value.is_empty() { b"Value".to_vec() } else { b"Value            ".to_vec() };
        line.extend(value);
        line.push(b'\n');
        out.bytes(&line);
        Ok(())
    }
}

/// The key of a command line: one slash in front is cut, because keys do not begin with one.
pub(crate) fn key_of(word: &str) -> &str {
    word.strip_prefix('/').unwrap_or(word)
}

/// What Consul's client says before it asks anybody.
pub(crate) fn refuse_slash(key: &str) -> Result<(), String> {
    match key.starts_with('/') {
        true => Err(format!("Invalid key. Key must not begin with a '/': {key}")),
        false => Ok(()),
    }
}

pub(crate) fn path_of(key: &str) -> String {
    format!("/v1/kv/{key}")
}

/// Reads a list of pairs; absent is empty.
pub(crate) fn pairs_of(answer: Response) -> Result<Vec<KvPair>, crs_client::Error> {
    if answer.status == 404 { Ok(Vec::new()) } else { read_ok(answer)?.json() }
}

/// KV reads are refused without Consul's body, as its client prints them.
fn read_ok(answer: Response) -> Result<Response, crs_client::Error> {
    if answer.status == 200 {
        return Ok(answer);
    }
    let code = answer.status;
    Err(crs_client::Error::Decode(format!("Unexpected response code: {code}")))
}

/// Reads values, or lists keys
#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    /// Show values in base64.
    #[arg(long)]
    base64: bool,
    /// Show everything that is known of a key, not only its value.
    #[arg(long)]
    detailed: bool,
    /// List keys below the prefix.
    #[arg(long)]
    keys: bool,
    /// Read everything below the prefix.
    #[arg(long)]
    recurse: bool,
    /// With -keys: list up to this separator only.
    #[arg(long, default_value = "/")]
    separator: String,
    #[arg(value_name = "[KEY_OR_PREFIX]")]
    args: Vec<String>,
}

impl Get {
    async fn run(self, out: &mut Out) -> Outcome {
        at_most(&self.args, 1)?;
        let key = key_of(self.args.first().map_or("", String::as_str));
        if key.is_empty() && !self.recurse && !self.keys {
            return Err(Failure::new("Error! Missing KEY argument"));
        }
        let client = self.server.client()?;
        let mut query = self.server.read();
        self.namespace.add(&mut query);
        const WHAT: &str = "Error querying Consul agent";
        if self.keys {
            query.push(("keys", ""));
            if !self.separator.is_empty() {
                query.push(("separator", &self.separator));
            }
            let answer = client.get(&path_of(key), &query).await.during(WHAT)?;
            if answer.status != 404 {
                let keys: Vec<String> = read_ok(answer).and_then(|answer| answer.json()).during(WHAT)?;
                keys.iter().for_each(|key| out.line(key));
            }
            return Ok(OK);
        }
        if self.recurse {
            query.push(("recurse", ""));
        }
        let answer = client.get(&path_of(key), &query).await.during(WHAT)?;
        let pairs = pairs_of(answer).during(WHAT)?;
        if self.recurse {
            for (n, pair) in pairs.iter().enumerate() {
                if self.detailed {
                    if n > 0 {
                        out.line("");
                    }
                    pair.detailed(out, self.base64)?;
                    continue;
                }
                let mut line = format!("{}:", pair.key).into_bytes();
                line.extend(pair.shown(self.base64)?);
                line.push(b'\n');
                out.bytes(&line);
            }
            return Ok(OK);
        }
        let Some(pair) = pairs.first() else {
            return Err(Failure::new(format!("Error! No key exists at: {key}")));
        };
        if self.detailed {
            pair.detailed(out, self.base64)?;
        } else {
            let mut line = pair.shown(self.base64)?;
            line.push(b'\n');
            out.bytes(&line);
        }
        Ok(OK)
    }
}

/// Sets a value
#[derive(Args, Debug)]
pub(crate) struct Put {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    /// Lock the key with -session.
    #[arg(long)]
    acquire: bool,
    /// DATA is base64 and is decoded first.
    #[arg(long)]
    base64: bool,
    /// Only if the key is still at -modify-index (0: only if there is none).
    #[arg(long)]
    cas: bool,
    /// A number kept with the value.
    #[arg(long, default_value_t = 0)]
    flags: u64,
    /// The ModifyIndex for -cas.
    #[arg(long)]
    modify_index: Option<u64>,
    /// Unlock the key with -session.
    #[arg(long)]
    release: bool,
    /// Session for -acquire and -release.
    #[arg(long, default_value = "")]
    session: String,
    #[arg(value_name = "KEY [DATA]")]
    args: Vec<String>,
}

impl Put {
    async fn run(self, out: &mut Out) -> Outcome {
        let (key, data) = match self.args.as_slice() {
            [] => return Err(Failure::new("Error! Missing KEY argument")),
            [key] => (key.as_str(), Vec::new()),
            [key, data] => (key.as_str(), data_of(data)?),
            more => {
                let text = format!("Error! Too many arguments (expected 1 or 2, got {})", more.len());
                return Err(Failure::new(text));
            }
        };
        if key.is_empty() {
            return Err(Failure::new("Error! Missing KEY argument"));
        }
        let data = if self.base64 {
            STANDARD.decode(&data).map_err(|error| {
                let at = match error {
                    base64::DecodeError::InvalidByte(at, _) => at,
                    _ => data.len(),
                };
                let text =
                    format!("Error! Cannot base 64 decode data: illegal base64 data at input byte {at}");
                Failure::new(text)
            })?
        } else {
            data
        };
        if self.cas && self.modify_index.unwrap_or(0) == 0 {
            return Err(Failure::new("Must specify -modify-index with -cas!"));
        }
        if self.modify_index.unwrap_or(0) != 0 && !self.cas {
            return Err(Failure::new("Cannot specify -modify-index without -cas!"));
        }
        if (self.acquire || self.release) && self.session.is_empty() {
            return Err(Failure::new("Error! Missing -session (required with -acquire and -release)"));
        }
        let (flags, index) = (self.flags.to_string(), self.modify_index.unwrap_or(0).to_string());
        let mut query = Vec::new();
        self.namespace.add(&mut query);
        if self.flags != 0 {
            query.push(("flags", flags.as_str()));
        }
        // Consul asks for one of them, in this order.
        let (done, refused) = if self.cas {
            query.push(("cas", index.as_str()));
            ("Success! Data written to", format!("Error! Did not write to {key}: CAS failed"))
        } else if self.acquire {
            query.push(("acquire", &self.session));
            ("Success! Lock acquired on", "Error! Did not acquire lock".into())
        } else if self.release {
            query.push(("release", &self.session));
            ("Success! Lock released on", "Error! Did not release lock".into())
        } else {
            ("Success! Data written to", format!("Error! Did not write to {key}"))
        };
        let client = self.server.client()?;
        refuse_slash(key).during("Error! Failed writing data")?;
        let answer = client.put(&path_of(key), &query, data).await.and_then(Response::ok);
        let answer = answer.during("Error! Failed writing data")?;
        if !answer.text().contains("true") {
            return Err(Failure::new(refused));
        }
        out.line(format_args!("{done}: {key}"));
        Ok(OK)
    }
}

/// Removes keys
#[derive(Args, Debug)]
pub(crate) struct Delete {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    namespace: NamespaceOption,
    /// Only if the key is still at -modify-index.
    #[arg(long)]
    cas: bool,
    /// The ModifyIndex for -cas.
    #[arg(long, default_value_t = 0)]
    modify_index: u64,
    /// Remove everything below the prefix.
    #[arg(long)]
    recurse: bool,
    #[arg(value_name = "KEY_OR_PREFIX")]
    args: Vec<String>,
}

impl Delete {
    async fn run(self, out: &mut Out) -> Outcome {
        at_most(&self.args, 1)?;
        let key = key_of(self.args.first().map_or("", String::as_str));
        if key.is_empty() && !self.recurse {
            return Err(Failure::new("Error! Missing KEY argument"));
        }
        if self.cas && self.recurse {
            return Err(Failure::new("Cannot specify both -cas and -recurse!"));
        }
        if self.cas && self.modify_index == 0 {
            return Err(Failure::new("Must specify -modify-index with -cas!"));
        }
        if self.modify_index != 0 && !self.cas {
            return Err(Failure::new("Cannot specify -modify-index without -cas!"));
        }
        let index = self.modify_index.to_string();
        let mut query = Vec::new();
        self.namespace.add(&mut query);
        if self.recurse {
            query.push(("recurse", ""));
        }
        if self.cas {
            query.push(("cas", &index));
        }
        let what = match (self.recurse, self.cas) {
            (true, _) => format!("Error! Did not delete prefix {key}"),
            (_, true) => format!("Error! Did not delete key {key}"),
            _ => format!("Error deleting key {key}"),
        };
        let answer = self.server.client()?.delete(&path_of(key), &query).await.and_then(Response::ok);
        let answer = answer.during(&what)?;
        if self.cas && !answer.text().contains("true") {
            return Err(Failure::new(format!("Error! Did not delete key {key}: CAS failed")));
        }
        out.line(match self.recurse {
            true => format!("Success! Deleted keys with prefix: {key}"),
            false => format!("Success! Deleted key: {key}"),
        });
        Ok(OK)
    }
}
