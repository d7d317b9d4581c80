//! What `kthw help` says of the modules: names, arguments and doc comments, read from the modules themselves.
use crate::{MODULES, script_engine};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A function that scripts can call.
#[derive(Clone, Debug)]
pub struct Function {
    /// The module: `ssh`.
    pub module: String,
    /// Its own name: `file`.
    pub name: String,
    /// Argument names.
    pub arguments: Vec<String>,
    /// The doc comment, without comment marks.
    pub documentation: String,
}

impl Function {
    /// `ssh::file`.
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.module, self.name)
    }

    /// `ssh::file(node, path, options)`.
    pub fn signature(&self) -> String {
        format!("{}({})", self.full_name(), self.arguments.join(", "))
    }

    /// The first line of its doc comment.
    pub fn summary(&self) -> &str {
        self.documentation.lines().next().unwrap_or_default()
    }

    /// Signature and documentation.
    pub fn page(&self) -> String {
        format!("{}\n\n{}\n", self.signature(), self.documentation.trim_end())
    }

    /// The examples: the contents of its ```` ```rhai ```` fences.
    pub fn examples(&self) -> Vec<String> {
        let mut examples = Vec::new();
        let mut current: Option<String> = None;
        for line in self.documentation.lines() {
            match &mut current {
                None if line.trim() == "```rhai" => current = Some(String::new()),
                None => {}
                Some(example) if line.trim() == "```" => {
                    examples.push(std::mem::take(example));
                    current = None;
                }
                Some(example) => {
                    example.push_str(line);
                    example.push('\n');
                }
            }
        }
        examples
    }
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    modules: BTreeMap<String, ModuleMetadata>,
}

#[derive(Deserialize)]
struct ModuleMetadata {
    #[serde(default)]
    functions: Vec<FunctionMetadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionMetadata {
    name: String,
    #[serde(default)]
    params: Vec<Parameter>,
    #[serde(default)]
    doc_comments: Vec<String>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    name: Option<String>,
}

/// All functions of all modules; of several with the same name the one with the most arguments.
pub fn functions() -> Vec<Function> {
    let json = script_engine().gen_fn_metadata_to_json(false).unwrap_or_default();
    let Ok(metadata) = serde_json::from_str::<Metadata>(&json) else { return Vec::new() };
    let mut found: BTreeMap<(usize, String), Function> = BTreeMap::new();
    for (position, (module, _)) in MODULES.iter().enumerate() {
        let Some(of_module) = metadata.modules.get(*module) else { continue };
        for function in &of_module.functions {
            let arguments: Vec<String> = function.params.iter().filter_map(|parameter| parameter.name.clone()).collect();
            let key = (position, function.name.clone());
            if found.get(&key).is_none_or(|known| known.arguments.len() < arguments.len()) {
                let documentation = function.doc_comments.iter().map(|comment| without_marks(comment)).collect::<Vec<_>>().join("\n");
                found.insert(key, Function { module: (*module).into(), name: function.name.clone(), arguments, documentation });
            }
        }
    }
    found.into_values().collect()
}

/// Takes the `///` off every line of a comment.
fn without_marks(comment: &str) -> String {
    comment
        .lines()
        .map(|line| line.trim_start().strip_prefix("///").unwrap_or(line))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}
