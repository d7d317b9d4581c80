//! `kthw graph`: the recipes of a run and what each needs, as text or Graphviz. Nothing of them is run.
use crate::{library::Recipes, ui::Ui};
use clap::{Args, ValueEnum};
use kthw_engine::{Error, Result};

/// Show the recipes that a recipe needs
#[derive(Debug, Args)]
pub struct Graph {
    /// Recipe: a path such as `recipes/ubuntu/full.rhai`, or a name such as `ubuntu/full`
    recipe: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// One recipe per line, in the order in which they run
    Text,
    /// Graphviz
    Dot,
}

impl Graph {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let engine = kthw_stdlib::script_engine();
        let (library, name) = Recipes::locate(&self.recipe);
        let graph = kthw_engine::Graph::load(&engine, &library, &name).map_err(|error| Error::recipe(*error))?;
        match self.format {
            Form::Dot => ui.line(graph.to_dot().trim_end()),
            Form::Text => {
                for recipe in graph.recipes() {
                    let header = &recipe.header;
                    let needs: Vec<&str> = header.needs.iter().map(|need| need.name.as_str()).collect();
                    let after = if needs.is_empty() { String::new() } else { format!("  after {}", needs.join(", ")) };
                    ui.line(&format!("{} {}{after}", recipe.source.name, header.version));
                    if let Some(about) = &header.about {
                        ui.line(&format!("    {about}"));
                    }
                }
            }
        }
        Ok(0)
    }
}
