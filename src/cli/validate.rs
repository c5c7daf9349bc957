//! `crs validate`.

use clap::Args;
use crs_config::{Flags, Format, Request};

use crate::config_files::{Paths, look_at_files, lookup};
use crate::failure::{Failure, OK, Outcome};
use crate::machine::machine;
use crate::output::Out;

/// Checks configuration files and directories
#[derive(Args, Debug)]
pub(crate) struct Validate {
    /// Read every file as hcl or as json, whatever its name.
    #[arg(long)]
    config_format: Option<String>,
    /// Say nothing when everything is right.
    #[arg(long)]
    quiet: bool,
    #[arg(value_name = "FILE_OR_DIRECTORY...")]
    args: Vec<String>,
}

impl Validate {
    pub(crate) fn run(self, out: &mut Out) -> Outcome {
        let format = match self.config_format.as_deref() {
            None | Some("") => None,
            Some(word) => match Format::of_word(word) {
                Some(format) => Some(format),
                None => return Err(Failure::new("-config-format must be either 'hcl' or 'json'")),
            },
        };
        if self.args.is_empty() {
            return Err(Failure::new("Must specify at least one config file or directory"));
        }
        let mut paths = Paths::default();
        self.args.iter().for_each(|path| paths.add(path));
        let failed = |why: String| Failure::new(format!("Config validation failed: {why}"));
        let found = paths.read(format).map_err(failed)?;
        let flags = Flags::default();
        let machine = machine();
        let request = Request {
            files: &found.files,
            fragments: &[],
            flags: &flags,
            dev: false,
            machine: &machine,
            lookup: &lookup(),
        };
        let loaded = crs_config::load(&request).map_err(|errors| failed(errors.to_string()))?;
        look_at_files(&loaded.config).map_err(failed)?;
        if !self.quiet {
            found.skipped.iter().for_each(|text| out.error(text));
            loaded.warnings.iter().for_each(|warning| out.error(warning));
            out.line("Configuration is valid!");
        }
        Ok(OK)
    }
}
