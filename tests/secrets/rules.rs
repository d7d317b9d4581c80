//! Wrong `.sops.yaml` files: each gets a diagnostic that says what, where and what next. `UPDATE_GOLDEN=1` writes them anew.
use super::desk::{Desk, fed};
use crate::support::{golden, root};

#[test]
fn every_wrong_rule_gets_its_diagnostic() {
    let folder = root().join("tests/bad-sops-rules");
    let mut cases: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 10);
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let desk = Desk::new();
        desk.write("secrets.sops.yaml", "a: 1\n");
        std::fs::copy(case.join(".sops.yaml"), desk.file(".sops.yaml")).unwrap();
        let said = fed(desk.command(&["encrypt", "secrets.sops.yaml"]), "").ended_with(2);
        assert_eq!(said.stdout, "", "{name}: an error does not belong on stdout");
        assert!(said.stderr.contains("help:") && said.stderr.contains(".sops.yaml:"), "{name}: no place or next step in\n{}", said.stderr);
        assert!(!said.stderr.contains("AGE-SECRET-KEY-1") && !said.stderr.contains("AGE-PLUGIN-"), "{name}: a private key is shown");
        let shown: String = said.stderr.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        golden(case.join("expected.txt"), &shown);
    }
}
