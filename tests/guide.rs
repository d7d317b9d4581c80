//! Follows docs/guides/add-a-module.md word by word, in a copy of the project.
use crate::support::{root, said};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn adding_a_module_costs_one_file_and_one_line() {
    let guide = std::fs::read_to_string(root().join("docs/guides/add-a-module.md")).unwrap();
    let copy = Copy::of_the_project();
    for (file, text) in files_of(&guide) {
        std::fs::write(copy.path().join(file), text).unwrap();
    }
    let table = copy.path().join("stdlib/src/lib.rs");
    let text = std::fs::read_to_string(&table).unwrap();
    let line = guide.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(line.lines().count(), 1);
    std::fs::write(&table, text.replacen("    sops,\n", &format!("    sops,\n{line}"), 1)).unwrap();
    assert!(std::fs::read_to_string(&table).unwrap().contains(line), "the table of modules looks different now");

    let tested = copy.cargo(&["test", "--quiet", "-p", "kthw-stdlib", "--lib", "clock::"]);
    assert!(tested.contains("1 passed"), "{tested}");
    let page = copy.cargo(&["run", "--quiet", "--", "help", "clock::timezone"]);
    assert!(page.contains("Keeps a node's time zone."), "{page}");
    let checked = copy.cargo(&["run", "--quiet", "--", "check", "recipes/phases/timezone.rhai", "-w", "ubuntu"]);
    assert!(checked.contains("is in order"), "{checked}");
}

/// The files that the guide shows: a line with the path in backticks and a colon, then a fence.
fn files_of(guide: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(file) = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) else { continue };
        let text: Vec<&str> =
            lines.by_ref().skip_while(|line| !line.starts_with("```")).skip(1).take_while(|line| *line != "```").collect();
        found.push((file, text.join("\n") + "\n"));
    }
    assert_eq!(found.len(), 2);
    found
}

/// A copy of the tracked sources beside a linked copy of what is already compiled, so that only the project itself is built again.
struct Copy(PathBuf);

impl Copy {
    fn of_the_project() -> Self {
        let target = Path::new(env!("CARGO_BIN_EXE_kthw")).ancestors().nth(2).unwrap().to_owned();
        let copy = Self(target.join("guide-test"));
        let _ = std::fs::remove_dir_all(copy.path());
        std::fs::create_dir_all(copy.path().join("target")).unwrap();
        let names = [
            "Cargo.toml",
            "Cargo.lock",
            "src",
            "engine",
            "http",
            "yaml",
            "sops",
            "store",
            "stdlib",
            "lab",
            "recipes",
            "workspaces",
            "tests",
        ];
        run(Command::new("cp").arg("-r").args(names.map(|name| root().join(name))).arg(copy.path()));
        run(Command::new("cp").arg("-al").arg(target.join("debug")).arg(copy.path().join("target")));
        copy
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn cargo(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).arg("--offline").current_dir(self.path()).env("CARGO_TARGET_DIR", self.path().join("target"));
        if let Some(end) = arguments.iter().position(|argument| *argument == "--") {
            command = Command::new(env!("CARGO"));
            command.args(&arguments[..end]).arg("--offline").args(&arguments[end..]);
            command.current_dir(self.path()).env("CARGO_TARGET_DIR", self.path().join("target"));
        }
        run(&mut command)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.path());
    }
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let said = said(command.output().unwrap()).ended_with(0);
    format!("{}{}", said.stdout, said.stderr)
}
