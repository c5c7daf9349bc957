//! crs-cli

pub mod template;

use clap::{Args as _, FromArgMatches as _};

pub fn main() -> std::process::ExitCode {
    let mut args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("template") {
        let args: Vec<String> =
            args.drain(1..)
                .map(|a| {
                    if a.starts_with('-') && !a.starts_with("--") && a.len() > 2 {
                        format!("-{a}")
                    } else {
                        a
                    }
                })
                .collect();
        let command = template::TemplateArgs::augment_args(clap::Command::new("template"));
        match command.try_get_matches_from(args).and_then(|m| template::TemplateArgs::from_arg_matches(&m)) {
            Ok(args) => return template::run(args),
            Err(error) => {
                let _ = error.print();
                return template::usage_code();
            }
        }
    }
    std::process::ExitCode::SUCCESS
}
