//! `kthw-checker`: takes sick servers out of NGINX's upstreams, and back when they are well.
use kthw_checker::{Failed, Level, config::BadConfig, config::Config, log, prepare, run, verify};
use std::{env, ffi::OsString, io::Write, path::Path, process::ExitCode};

const USAGE: &str = "\
Usage: kthw-checker FILE                      check until stopped, as the configuration in FILE says
       kthw-checker --check FILE              look whether the configuration is right
       kthw-checker --prepare FILE COMMAND…   write the files with the servers; if COMMAND then fails, they are as before
       kthw-checker --version
";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error(transparent)]
    Failed(#[from] Failed),
}

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let done = match words[..] {
        ["--version"] => return said(concat!("kthw-checker ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help"] => return said(USAGE),
        ["--check", file] => read(file).and_then(|config| Ok(verify(&config)?)),
        ["--prepare", file, ref command @ ..] if !command.is_empty() => {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            read(file).and_then(|config| Ok(prepare(&config, command)?))
        }
        [file] if !file.is_empty() && !file.starts_with('-') => {
            end_when_a_thread_panics();
            read(file).and_then(|config| Ok(run(&config)?))
        }
        _ => {
            log(Level::Error, USAGE.trim_end());
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(Level::Error, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn read(file: &str) -> Result<Config, Error> {
    Ok(Config::read(Path::new(file))?)
}

fn said(text: &str) -> ExitCode {
    if std::io::stdout().write_all(text.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A server that nobody asks any more would count as well for ever, so systemd starts the whole service anew.
fn end_when_a_thread_panics() {
    let tells = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tells(panic);
        std::process::abort();
    }));
}
