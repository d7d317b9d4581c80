//! Wrong recipes: each gets a diagnostic that says what, where and what next.
use crate::support::{Sandbox, golden, root};

#[test]
fn every_wrong_recipe_gets_its_diagnostic() {
    let folder = root().join("tests/bad-recipes");
    let mut cases: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20);
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let recipe = format!("tests/bad-recipes/{name}/recipe.rhai");
        let said = Sandbox::new().kthw(&["check", &recipe, "-w", "ubuntu"]).ended_with(2);
        assert_eq!(said.stdout, "", "{name}: an error does not belong on stdout");
        assert!(said.stderr.contains("help:"), "{name}: no next step in\n{}", said.stderr);
        golden(case.join("expected.txt"), &said.stderr);
    }
}
