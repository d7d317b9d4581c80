//! The commands: one file and one line each.
use crate::ui::Ui;
use clap::Subcommand;
use kthw_engine::{Error, Result};

mod artifacts;
mod bundle;
mod check;
mod destroy;
mod exec;
mod graph;
mod help;
mod import;
mod kubeconfig;
mod lab;
mod lint;
mod lock;
mod run;
mod runs;
mod schema;
mod secrets;
mod store;
mod validate;
mod versions;

/// What kthw can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a recipe would change, then make it so
    Run(run::Run),
    /// Remove what a recipe made
    Destroy(destroy::Destroy),
    /// Check a recipe and its workspace without reaching anything
    Check(check::Check),
    /// Show the recipes that a recipe needs
    Graph(graph::Graph),
    /// Explain a module, a function, the workspace or a command
    Help(help::Help),
    /// Fetch the cluster's kubeconfig into a file of its own
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Run a command on nodes
    Exec(exec::Exec),
    /// Read and change files of secrets that sops or kthw encrypted
    Secrets(secrets::Secrets),
    /// Make workspaces from what another system knew
    Import(import::Import),
    /// Show what earlier runs did
    Runs(runs::Runs),
    /// Show or break the lock of a workspace
    Lock(lock::Lock),
    /// Make what kthw remembers of a workspace anew
    Store(store::Store),
    /// Show whether a cluster or an edge does what it is for, and change nothing
    Validate(validate::Validate),
    /// Show what manifests of workloads lack
    Lint(lint::Lint),
    /// Show which versions go together, and the steps from one set of them to another
    Versions(versions::Versions),
    /// Show which of upstream's files a workspace needs, and pin those that nobody knows
    Artifacts(artifacts::Artifacts),
    /// Make one file with what a cluster is made of, and serve it where there is no internet
    Bundle(bundle::Bundle),
    /// Print the JSON Schema of workspace.yaml, for editors
    Schema(schema::Schema),
    /// Manage the simulated world
    Lab(lab::Lab),
}

/// Runs a command and returns the exit code.
///
/// # Errors
/// Whatever the command fails with; the error's kind decides the exit code.
pub fn dispatch(command: Command, ui: &Ui) -> Result<u8> {
    match command {
        Command::Run(command) => blocking(command.run(ui)),
        Command::Destroy(command) => blocking(command.run(ui)),
        Command::Check(command) => command.run(ui),
        Command::Graph(command) => command.run(ui),
        Command::Help(command) => command.run(ui),
        Command::Kubeconfig(command) => blocking(command.run(ui)),
        Command::Exec(command) => blocking(command.run(ui)),
        Command::Secrets(command) => command.run(ui),
        Command::Import(command) => command.run(ui),
        Command::Runs(command) => blocking(command.run(ui)),
        Command::Lock(command) => blocking(command.run(ui)),
        Command::Store(command) => blocking(command.run(ui)),
        Command::Validate(command) => blocking(command.run(ui)),
        Command::Lint(command) => command.run(ui),
        Command::Versions(command) => command.run(ui),
        Command::Artifacts(command) => blocking(command.run(ui)),
        Command::Bundle(command) => blocking(command.run(ui)),
        Command::Schema(command) => command.run(ui),
        Command::Lab(command) => blocking(command.run(ui)),
    }
}

/// Runs a command that talks to peers, on a runtime made for it.
fn blocking(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    // TLS libraries ask for the process-wide provider; ring is the only one that is linked.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|source| Error::usage(NoRuntime { source }))?;
    let code = runtime.block_on(work);
    runtime.shutdown_background();
    code
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot start the asynchronous runtime")]
#[diagnostic(code(kthw::runtime), help("the system refuses threads or file descriptors; see `ulimit -a`"))]
struct NoRuntime {
    source: std::io::Error,
}
