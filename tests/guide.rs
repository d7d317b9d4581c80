//! Follows docs/guides/add-a-module.md, add-a-distribution.md and add-an-add-on.md word by word, in a copy of the project.
use crate::support::{root, said};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn adding_a_module_a_distribution_or_an_add_on_costs_one_file_and_one_line() {
    let copy = Copy::of_the_project();
    copy.follow("docs/guides/add-a-module.md", 2, "stdlib/src/lib.rs", "    sops,\n");
    copy.follow("docs/guides/add-a-distribution.md", 1, "stdlib/src/distribution/mod.rs", "    suse = Suse,\n");
    copy.follow("docs/guides/add-an-add-on.md", 1, "stdlib/src/add_ons/mod.rs", "    local_path: LOCAL_PATH,\n");

    let distribution = std::fs::read_to_string(root().join("docs/guides/add-a-distribution.md")).unwrap();
    let command = distribution.lines().find_map(|line| line.trim_start().strip_prefix("kthw run ")).unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    let run = |more: &[&str]| copy.cargo(&[&["run", "--quiet", "--", "run"], words.as_slice(), more].concat());
    let built = run(&["--yes"]);
    assert!(built.contains("0 failed, 0 skipped"), "{built}");
    assert!(run(&["--dry-run"]).contains("Nothing to change"));
    let shown = copy.cargo(&["run", "--quiet", "--", "lab", "show", "-w", "rocky"]);
    assert!(shown.contains("containerd.io 2.4.2-1.el9"), "{shown}");

    let named = ["run", "recipes/ubuntu/full.rhai", "--lab", "--set", "add_ons={gateway-api: 1.4.0}"];
    let run = |more: &[&str]| copy.cargo(&[&["run", "--quiet", "--"], &named[..], more].concat());
    assert!(run(&["--dry-run"]).contains("+ kubernetes.upstream/gateway-api"));
    assert!(run(&["--yes"]).contains("0 failed, 0 skipped"));
    assert!(run(&["--dry-run"]).contains("Nothing to change"));

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
            "checker",
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

    /// Writes the files that a guide shows, and its one line below the last one of a table.
    fn follow(&self, guide: &str, files: usize, table: &str, last: &str) {
        let guide = std::fs::read_to_string(root().join(guide)).unwrap();
        let shown = files_of(&guide);
        assert_eq!(shown.len(), files);
        for (file, text) in shown {
            std::fs::write(self.path().join(file), text).unwrap();
        }
        let line = guide.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(line.lines().count(), 1);
        let table = self.path().join(table);
        let text = std::fs::read_to_string(&table).unwrap();
        std::fs::write(&table, text.replacen(last, &format!("{last}{line}"), 1)).unwrap();
        assert!(std::fs::read_to_string(&table).unwrap().contains(line), "the table looks different now");
    }

    fn cargo(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).arg("--offline").current_dir(self.path()).env("CARGO_TARGET_DIR", self.path().join("target"));
        if let Some(end) = arguments.iter().position(|argument| *argument == "--") {
            command = Command::new(env!("CARGO"));
            command.args(&arguments[..end]).arg("--offline").args(&arguments[end..]);
            command.current_dir(self.path()).env("CARGO_TARGET_DIR", self.path().join("target"));
        }
        // A lab of the copy's own.
        command.env("KTHW_STORE", self.path().join("store"));
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
