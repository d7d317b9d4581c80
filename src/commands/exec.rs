//! `kthw exec`: one command on some nodes, side by side, with its output and exit status.
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::Args;
use futures::future::join_all;
use kthw_engine::{
    Error, Result, RunOptions, nearest,
    node::{Action, Heard},
    presentable,
};
use kthw_stdlib::workspace::{Role, Workspace};
use std::sync::{Mutex, PoisonError};

/// Run a command on nodes
#[derive(Debug, Args)]
pub struct Exec {
    /// Nodes: names, `control-planes`, `workers`, `load-balancers` or `all`; several with commas
    selector: String,
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// The longest time that the command may take, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u32,
    /// The command and its arguments; it runs as root, without a shell
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Exec {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        let workspace = session::workspace_of(&self.workspace)?;
        let nodes = select(&workspace, &self.selector)?;
        let target = session::connect_workspace(&workspace, &self.workspace)?;
        let action = Action::run_for(self.timeout, self.command);
        let options = RunOptions::default();
        let one = async |node: &String| {
            if ui.is_json() {
                return kthw_engine::execute(node, &action, target.peers(), &options).await;
            }
            let lines = Lines::new(node, ui);
            let ended = kthw_engine::execute_heard(node, &action, target.peers(), &options, &|piece| lines.hear(piece)).await;
            lines.end();
            ended
        };
        let outputs = join_all(nodes.iter().map(one)).await;
        target.save()?;
        target.tell_trust(ui)?;
        target.tell_unplayed(ui);
        let mut code = 0;
        for (node, output) in nodes.iter().zip(outputs) {
            let output = match output {
                Ok(output) => output,
                Err(error) => {
                    ui.error(&error);
                    code = code.max(error.exit_code());
                    continue;
                }
            };
            if ui.is_json() {
                ui.line(
                    &serde_json::json!({ "node": node, "status": output.status, "stdout": output.stdout, "stderr": output.stderr })
                        .to_string(),
                );
            }
            if output.status != 0 {
                ui.note(&format!("{node}: ended with status {}", output.status));
                code = code.max(1);
            }
        }
        Ok(code)
    }
}

/// Prints what a node says as it comes, line by line, so that those of several nodes do not mix.
struct Lines<'a> {
    node: &'a str,
    ui: &'a Ui,
    /// The beginnings of the lines that have not ended yet, of standard output and of standard error.
    open: Mutex<[Vec<u8>; 2]>,
}

impl<'a> Lines<'a> {
    fn new(node: &'a str, ui: &'a Ui) -> Self {
        Self { node, ui, open: Mutex::default() }
    }

    fn hear(&self, piece: Heard<'_>) {
        let (stream, bytes) = match piece {
            Heard::Stdout(bytes) => (0, bytes),
            Heard::Stderr(bytes) => (1, bytes),
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            open[stream].extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.print(stream, &std::mem::take(&mut open[stream]));
            }
        }
    }

    /// Prints what has no line end.
    fn end(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (stream, line) in open.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            self.print(stream, line);
        }
    }

    fn print(&self, stream: usize, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = format!("{}: {}", self.node, presentable(text.strip_suffix('\r').unwrap_or(text)));
        if stream == 0 { self.ui.line(&text) } else { self.ui.note(&text) }
    }
}

/// The names of the nodes that `selector` asks for; asking for none is an error.
fn select(workspace: &Workspace, selector: &str) -> Result<Vec<String>> {
    let mut chosen: Vec<String> = Vec::new();
    for part in selector.split(',').map(str::trim) {
        let found: Vec<String> = workspace
            .nodes
            .iter()
            .filter(|node| match part {
                "all" => true,
                "control-planes" => node.role == Role::ControlPlane,
                "workers" => node.role == Role::Worker,
                "load-balancers" => node.role == Role::LoadBalancer,
                name => node.name == name,
            })
            .map(|node| node.name.to_string())
            .collect();
        if found.is_empty() {
            let known: Vec<&str> = workspace
                .nodes
                .iter()
                .map(|node| node.name.as_str())
                .chain(["all", "control-planes", "workers", "load-balancers"])
                .collect();
            let help = nearest(part, known.iter().copied())
                .map_or_else(|| format!("there are: {}", known.join(", ")), |name| format!("did you mean `{name}`?"));
            return Err(Error::usage(NoNode { part: part.into(), workspace: workspace.name.clone(), help }));
        }
        chosen.extend(found.into_iter().filter(|name| !chosen.contains(name)).collect::<Vec<_>>());
    }
    Ok(chosen)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no node of workspace {workspace} is called `{part}`")]
#[diagnostic(code(kthw::exec::no_node), help("{help}"))]
struct NoNode {
    part: String,
    workspace: String,
    help: String,
}
