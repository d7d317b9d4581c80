//! `kthw`: runs versioned recipes that build and operate kubeadm clusters on Proxmox VE.

mod commands;
mod interrupt;
mod library;
mod options;
mod private_file;
mod session;
mod store;
mod text_file;
mod ui;

use clap::Parser;
use commands::Command;
use std::process::ExitCode;

/// Build and operate kubeadm Kubernetes clusters on Proxmox VE from versioned recipes
#[derive(Debug, Parser)]
#[command(name = "kthw", version, disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print events as JSON, one per line, instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Never use colour or a live display
    #[arg(long, global = true)]
    plain: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = ui::Ui::new(cli.json, cli.plain);
    let of_panics = ui.clone();
    std::panic::set_hook(Box::new(move |panic| of_panics.panic(panic)));
    let code = match commands::dispatch(cli.command, &ui) {
        Ok(code) => code,
        Err(error) => {
            ui.error(&error);
            error.exit_code()
        }
    };
    kthw_engine::forget_secrets();
    ExitCode::from(ui.end(code))
}
