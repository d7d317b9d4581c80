//! `kthw lint`: what manifests of workloads lack, such as probes, limits and policies.
use crate::ui::Ui;
use clap::{Args, builder::PossibleValuesParser};
use kthw_engine::{Error, Result};
use kthw_stdlib::lint::{File, RULES, lint};
use miette::Diagnostic;
use std::{
    io::{self, Read},
    path::PathBuf,
};

/// Show what manifests of workloads lack
///
/// Each Deployment, StatefulSet, DaemonSet and ReplicaSet should have versions of its images, readiness and liveness probes, requests and limits, an
/// autoscaler, pods on several nodes, a network policy and a bandwidth; each Namespace a quota. The files are looked at together; what is in a cluster is not
/// known. Ends with 2 if something lacks. `recipes/samples/web.rhai` lacks nothing.
#[derive(Debug, Args)]
pub struct Lint {
    /// Files of YAML documents; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Leave out a rule
    #[arg(long, value_name = "RULE", value_parser = PossibleValuesParser::new(RULES.iter().map(|rule| rule.name)))]
    without: Vec<String>,
    /// Say what the rules ask for, and where that is explained
    #[arg(long)]
    explain: bool,
}

impl Lint {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        if self.explain {
            RULES.iter().for_each(|rule| ui.line(&format!("{}: {}", rule.name, rule.about)));
        }
        let files = self.files.iter().map(read).collect::<Result<Vec<File>>>()?;
        let objects = lint(&files, &self.without).map_err(Error::usage)?;
        let word = if objects == 1 { "object" } else { "objects" };
        ui.line(&format!("{objects} {word}: nothing lacks."));
        Ok(0)
    }
}

fn read(path: &PathBuf) -> Result<File> {
    let read = match path.to_str() {
        Some("-") => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        _ => std::fs::read_to_string(path),
    };
    let label = path.display().to_string();
    let text = read.map_err(|source| Error::usage(Unreadable { label: label.clone(), source }))?;
    Ok(File { label, text })
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read {label}: {source}")]
#[diagnostic(code(kthw::lint::unreadable), help("name a file of YAML, or `-` for standard input"))]
struct Unreadable {
    label: String,
    source: io::Error,
}
