//! The `crs` binary: hands over to the command line, see `src/cli`.

fn main() -> std::process::ExitCode {
    crs_cli::main()
}
