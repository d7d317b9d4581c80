//! `kthw exec`: one command on some nodes, side by side, with its output and exit status.
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::Args;
use futures::future::join_all;
use kthw_engine::{Error, Result, RunOptions, nearest, node::Action};
use kthw_stdlib::workspace::{Role, Workspace};

/// Run a command on nodes
#[derive(Debug, Args)]
pub struct Exec {
    /// Nodes: names, `control-planes`, `workers` or `all`; several with commas
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
        let outputs = join_all(nodes.iter().map(|node| kthw_engine::execute(node, &action, target.peers(), &options))).await;
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
            } else {
                for line in output.stdout.lines() {
                    ui.line(&format!("{node}: {line}"));
                }
                for line in output.stderr.lines() {
                    ui.note(&format!("{node}: {line}"));
                }
            }
            if output.status != 0 {
                ui.note(&format!("{node}: ended with status {}", output.status));
                code = code.max(1);
            }
        }
        Ok(code)
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
                name => node.name == name,
            })
            .map(|node| node.name.to_string())
            .collect();
        if found.is_empty() {
            let known: Vec<&str> =
                workspace.nodes.iter().map(|node| node.name.as_str()).chain(["all", "control-planes", "workers"]).collect();
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
