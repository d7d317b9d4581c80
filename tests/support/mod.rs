//! What the levels share: running the real binary in a world of its own, and golden files.
pub mod balancer;
pub mod web;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The project's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder that is removed with its owner, and `kthw` run in it with nothing of the person's environment.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

/// What one call printed and how it ended.
pub struct Said {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `kthw ARGUMENTS…` with its store in this sandbox; the working folder is the project's root.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kthw"));
        command.args(arguments).current_dir(root()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).env("KTHW_STORE", self.path().join("store"));
        command
    }

    /// Runs `kthw ARGUMENTS…`.
    pub fn kthw(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }
}

pub fn said(output: Output) -> Said {
    Said {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap_or(-1),
    }
}

impl Said {
    /// Fails the test with everything that was printed unless the call ended with `code`.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it instead.
#[track_caller]
pub fn golden(file: PathBuf, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(expected, found, "{} differs; look, then write it anew with UPDATE_GOLDEN=1", file.display());
}
