//! `kthw secrets set`: one value from standard input or a prompt, never from the command line.
use super::{
    change::{seal_again, services},
    target::{Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::{Error, Result};
use serde_json::Value;
use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
};
use zeroize::Zeroizing;

/// A longer value is refused.
const MAX_BYTES: u64 = 16 << 20;

/// Set one secret from standard input or a prompt
///
/// A line ending at the end of a single line does not belong to the value; a value of several lines is taken as it is.
#[derive(Debug, Args)]
pub struct Set {
    /// The name, such as `proxmox.token`; an item of a list by its position from 0; `["a.b"]` where a key has a dot; `[1].` before it for the second document
    name: String,
    /// Refused: other users see the command line, and the shell keeps it
    #[arg(hide = true)]
    value: Option<String>,
    /// The file; the workspace's when absent
    #[arg(short, long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    /// The value is JSON: a number, a boolean, a list or a map is stored as such
    #[arg(long)]
    json_value: bool,
}

impl Set {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        if self.value.map(Zeroizing::new).is_some() {
            return Err(Error::usage(InArgument { name: self.name }));
        }
        let target = TargetFile::of(self.file, &self.place)?;
        // The file is opened first: whoever cannot change it is not asked for a value.
        let unlocked = target.load()?.unlock(&services(ui))?;
        // `set name=value` would write the value into the name, and names are not encrypted.
        let names = unlocked.encrypted.file.names();
        let known = || kthw_sops::resolve(&target.name, names.iter().map(String::as_str), &self.name);
        if self.name.contains('=') && matches!(known(), Ok(None)) {
            return Err(Error::usage(InArgument { name: self.name.split('=').next().unwrap_or_default().into() }));
        }
        let text = value_of(&self.name, ui)?;
        let value = if self.json_value {
            serde_json::from_str(&text)
                .map_err(|error| Error::usage(NotJson { name: self.name.clone(), line: error.line(), column: error.column() }))?
        } else {
            Value::String(text.to_string())
        };
        let plain = kthw_sops::set(&target.name, target.format, unlocked.opened.plain(), &self.name, &value);
        wipe(value);
        let plain = plain.map_err(Error::recipe)?;
        if *plain == unlocked.opened.plain() {
            ui.note(&format!("Nothing changed: `{}` has this value already.", self.name));
            return Ok(0);
        }
        seal_again(&unlocked, &target, &plain)?;
        ui.note(&format!("Set `{}` in {}.", self.name, target.name));
        Ok(0)
    }
}

fn value_of(name: &str, ui: &Ui) -> Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        let entered = ui.secret(&format!("Value of `{name}` (it is not shown): ")).ok_or_else(|| Error::usage(NoValue))?;
        return Ok(Zeroizing::new(entered.expose().into()));
    }
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text);
    if read.is_err() || text.len() as u64 > MAX_BYTES {
        return Err(Error::usage(NotText { max_mib: MAX_BYTES >> 20 }));
    }
    if text.is_empty() {
        return Err(Error::usage(NothingSent));
    }
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    if let Some(line) = line.filter(|line| !line.contains('\n')) {
        return Ok(Zeroizing::new(line.to_owned()));
    }
    Ok(text)
}

/// Wipes all texts of a value.
fn wipe(value: Value) {
    match value {
        Value::String(text) => drop(Zeroizing::new(text)),
        Value::Array(items) => items.into_iter().for_each(wipe),
        Value::Object(fields) => fields.into_iter().for_each(|(_, value)| wipe(value)),
        _ => {}
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the value of `{name}` must not stand on the command line")]
#[diagnostic(
    code(kthw::secrets::in_argument),
    help(
        "other users see it there, and the shell keeps it: change that value. Then leave it out to be asked for it, or send it in: `kthw secrets set {name} < FILE`"
    )
)]
struct InArgument {
    name: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the value of `{name}` is not JSON, from line {line}, column {column} on")]
#[diagnostic(code(kthw::secrets::not_json), help("a text needs its quotes: `\"…\"`; or leave out `--json-value`"))]
struct NotJson {
    name: String,
    line: usize,
    column: usize,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no value was entered")]
#[diagnostic(code(kthw::secrets::no_value), help("enter it at the prompt, or send it in over standard input"))]
struct NoValue;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("nothing came over standard input")]
#[diagnostic(
    code(kthw::secrets::nothing_sent),
    help("the program before the pipe may have failed; an empty line (`echo | …`) sets an empty value")
)]
struct NothingSent;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("standard input is not a text of at most {max_mib} MiB")]
#[diagnostic(code(kthw::secrets::not_text), help("encode other data first, for instance with `base64`"))]
struct NotText {
    max_mib: u64,
}
