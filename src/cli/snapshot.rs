//! `crs snapshot`: saving, restoring and looking at archives of the servers' state.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use clap::{Args, Subcommand};
use crs_client::{Bytes, Method, Response};

use crate::archive;
use crate::failure::{During as _, Failure, OK, Outcome};
use crate::options::ServerOptions;
use crate::output::Out;

/// Saves, restores and inspects the servers' state
#[derive(Subcommand, Debug)]
pub(crate) enum Snapshot {
    Inspect(Inspect),
    Restore(Restore),
    Save(Save),
}

impl Snapshot {
    pub(crate) async fn run(self, out: &mut Out) -> Outcome {
        match self {
            Snapshot::Inspect(command) => command.run(out),
            Snapshot::Restore(command) => command.run(out).await,
            Snapshot::Save(command) => command.run(out).await,
        }
    }
}

fn file_of(args: &[String]) -> Result<&str, Failure> {
    match args {
        [] => Err(Failure::new("Missing FILE argument")),
        [file] => Ok(file),
        more => Err(Failure::new(format!("Too many arguments (expected 1, got {})", more.len()))),
    }
}

/// Saves the state to a file
#[derive(Args, Debug)]
pub(crate) struct Save {
    #[command(flatten)]
    server: ServerOptions,
    #[arg(value_name = "FILE")]
    args: Vec<String>,
}

impl Save {
    async fn run(self, out: &mut Out) -> Outcome {
        let file = file_of(&self.args)?;
        let client = self.server.client()?;
        const WHAT: &str = "Error saving snapshot";
        let mut stream = client
            .stream(Method::GET, "/v1/snapshot", &self.server.read(), Bytes::new())
            .await
            .during(WHAT)?;
        if stream.status != 200 {
            stream.collect().await.and_then(Response::ok).during(WHAT)?;
            return Ok(OK);
        }
        // What is not verified never has the name that was asked for.
        let unverified = format!("{file}.unverified");
        let what = format!("Error writing unverified snapshot file: open {unverified}");
        let writing =
            |error: std::io::Error| Failure::new(format!("{what}: {}", crs_client::system_text(&error)));
        let mut target = File::create(&unverified).map_err(writing)?;
        let _cleaner = Remove(Path::new(&unverified));
        while let Some(piece) = stream.chunk().await.during(WHAT)? {
            target.write_all(&piece).map_err(writing)?;
        }
        target.sync_all().map_err(writing)?;
        let found = archive::verify(open(&unverified)?).during("Error verifying snapshot file")?;
        std::fs::rename(&unverified, file).during("Error renaming snapshot file")?;
        out.line(format_args!("Saved and verified snapshot to index {}", found.index));
        Ok(OK)
    }
}

/// Removes a file that was not renamed.
struct Remove<'a>(&'a Path);

impl Drop for Remove<'_> {
    fn drop(&mut self) {
        // Gone after a rename, which is what is wanted.
        let _ = std::fs::remove_file(self.0);
    }
}

fn open(path: &str) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let why = crs_client::system_text(&error);
        Failure::new(format!("Error opening snapshot file: open {path}: {why}"))
    })
}

/// Puts the state of a file in place of the present one
#[derive(Args, Debug)]
pub(crate) struct Restore {
    #[command(flatten)]
    server: ServerOptions,
    #[arg(value_name = "FILE")]
    args: Vec<String>,
}

impl Restore {
    async fn run(self, out: &mut Out) -> Outcome {
        let file = file_of(&self.args)?;
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut open(file)?, &mut data).during("Error reading snapshot file")?;
        let answer = self.server.client()?.put("/v1/snapshot", &[], data).await;
        answer.and_then(Response::ok).during("Error restoring snapshot")?;
        out.line("Restored snapshot");
        Ok(OK)
    }
}

/// Shows what a file holds
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    #[arg(value_name = "FILE")]
    args: Vec<String>,
}

impl Inspect {
    fn run(self, out: &mut Out) -> Outcome {
        let found = archive::verify(open(file_of(&self.args)?)?).during("Error verifying snapshot")?;
        for (name, value) in [
            ("ID", found.id),
            ("Size", found.size.to_string()),
            ("Index", found.index.to_string()),
            ("Term", found.term.to_string()),
            ("Version", found.version.to_string()),
        ] {
            out.line(format_args!("{name:<13}{value}"));
        }
        out.line("");
        Ok(OK)
    }
}
