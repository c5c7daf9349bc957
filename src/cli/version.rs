//! `crs version` and `crs keygen`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::failure::{Failure, OK, Outcome};
use crate::output::Out;

/// Where a machine asks, crs is a Consul of this version.
const CONSUL: &str = "1.8.7";

/// Shows the version
#[derive(Args, Debug)]
pub(crate) struct Version {
    /// pretty or json.
    #[arg(long, default_value = "pretty")]
    format: String,
    #[arg(hide = true)]
    _args: Vec<String>,
}

impl Version {
    pub(crate) fn run(self, out: &mut Out) -> Outcome {
        match self.format.as_str() {
            "pretty" => pretty(out),
            "json" => out.line(format_args!(
                "{{\n   \"Version\": \"{CONSUL}\",\n   \"Revision\": \"\",\n   \"Prerelease\": \"\",\n   \"RPC\": {{\n      \
                 \"Default\": 2,\n      \"Min\": 2,\n      \"Max\": 3\n   }}\n}}"
            )),
            other => return Err(Failure::new(format!("Unknown format: {other}"))),
        }
        Ok(OK)
    }
}

/// For people: our own version first, the one we stand for behind it.
pub(crate) fn pretty(out: &mut Out) {
    out.line(format_args!("crs v{} (Consul v{CONSUL})", env!("CARGO_PKG_VERSION")));
    out.line(
        "Protocol 2 spoken by default, understands 2 to 3 (agent will automatically use protocol >2 when speaking to \
         compatible agents)\n",
    );
}

/// Makes a key for gossip encryption
#[derive(Args, Debug)]
pub(crate) struct Keygen {
    #[arg(hide = true)]
    _args: Vec<String>,
}

impl Keygen {
    pub(crate) fn run(self, out: &mut Out) -> Outcome {
        let mut key = [0; 32];
        SystemRandom::new()
            .fill(&mut key)
            .map_err(|_| Failure::new("Error reading random data: the system gives none"))?;
        out.line(STANDARD.encode(key));
        Ok(OK)
    }
}
