//! meet-ai from the outside: the command line, and the client of the HTTP API that it and agents in Rust share.
//!
//! It knows the process (arguments, environment, signals, exit codes) and nothing of rooms: the
//! server is `meet_server`, and the client commands speak its public API like everybody else.
//!
//! An agent needs [`client`] and nothing else of it.

mod args;
pub mod client;
mod commands;
mod connection;
mod credentials;
mod dotenv;
mod failure;
mod files;
mod first_start;
mod invocation;
mod mcp;
mod output;
mod own;
mod server_url;
mod signals;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};

/// Runs the command line that this process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Nothing that this process makes is for other users of the machine.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    let as_json = commands::is_json(&command);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if !matches!(command, Command::Serve(_)) {
        runtime.worker_threads(1);
    }
    let outcome = match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(commands::run(command)),
        Err(error) => Err(failure::Failure::refused(format!("the system gives no threads: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(as_json);
            failure.exit_code()
        }
    }
}
