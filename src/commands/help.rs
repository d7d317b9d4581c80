//! `kthw help`: modules and functions from their doc comments, the workspace's fields, and the commands.
use crate::ui::Ui;
use clap::{Args, CommandFactory};
use kthw_engine::{Error, Result, nearest};
use kthw_stdlib::help::{Function, functions};

/// Explain a module, a function, the workspace or a command
#[derive(Debug, Args)]
pub struct Help {
    /// A module (`ssh`), a function (`ssh::file`), `workspace`, or a command (`run`)
    topic: Option<String>,
}

impl Help {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let functions = functions();
        let Some(topic) = self.topic else {
            return overview(ui, &functions);
        };
        let mut command = crate::Cli::command();
        if let Some(subcommand) = command.find_subcommand_mut(&topic) {
            ui.line(subcommand.render_long_help().to_string().trim_end());
            return Ok(0);
        }
        if topic == "workspace" {
            ui.line(kthw_stdlib::workspace::reference().trim_end());
            return Ok(0);
        }
        let found: Vec<&Function> = functions.iter().filter(|function| function.module == topic || function.full_name() == topic).collect();
        match found.as_slice() {
            [] => Err(Error::usage(NoTopic::new(topic, &functions))),
            [function] if function.full_name() == topic => {
                ui.line(function.page().trim_end());
                Ok(0)
            }
            several => {
                for function in several {
                    ui.line(&format!("{}\n    {}", function.signature(), function.summary()));
                }
                ui.line(&format!("\n`kthw help {}` explains one of them.", several[0].full_name()));
                Ok(0)
            }
        }
    }
}

fn overview(ui: &Ui, functions: &[Function]) -> Result<u8> {
    ui.line(crate::Cli::command().render_help().to_string().trim_end());
    ui.line("\nModules of recipes (`kthw help MODULE` or `kthw help MODULE::FUNCTION`):");
    for (module, _) in kthw_stdlib::MODULES {
        let names: Vec<&str> =
            functions.iter().filter(|function| function.module == *module).map(|function| function.name.as_str()).collect();
        ui.line(&format!("  {module:<11} {}", names.join(", ")));
    }
    ui.line("\n`kthw help workspace` lists the fields of workspace.yaml; `kthw schema` prints them as JSON Schema, for editors.");
    Ok(0)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no help on `{topic}`")]
#[diagnostic(code(kthw::help::no_topic), help("{help}"))]
struct NoTopic {
    topic: String,
    help: String,
}

impl NoTopic {
    fn new(topic: String, functions: &[Function]) -> Self {
        let names: Vec<String> =
            functions.iter().flat_map(|function| [function.module.clone(), function.full_name()]).chain(["workspace".into()]).collect();
        let help = nearest(&topic, names.iter().map(String::as_str))
            .map_or_else(|| "`kthw help` lists everything".into(), |name| format!("did you mean `{name}`?"));
        Self { topic, help }
    }
}
