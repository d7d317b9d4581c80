//! `kthw import cpc`: folders of the system before, as people have them, become workspaces; what became of each variable is told.
use crate::support::{Said, Sandbox, golden, root};
use std::path::{Path, PathBuf};

/// One folder for each distribution: one as it was shipped, and three as people change it.
const SAMPLES: [(&str, &[&str]); 4] =
    [("ubuntu", &["k8s133", "ubuntu"]), ("suse", &["suse"]), ("debian", &["debian"]), ("rocky", &["rocky"])];

fn sample(name: &str) -> PathBuf {
    root().join("tests/import").join(name)
}

/// Imports a folder into the sandbox; paths in what it says are those of a person who stands in the project.
fn import(sandbox: &Sandbox, folder: &str, more: &[&str]) -> Said {
    let (from, into) = (format!("tests/import/{folder}"), sandbox.path().join("workspaces"));
    let said = sandbox.kthw(&[&["import", "cpc", &from, "--into", into.to_str().unwrap()], more].concat());
    let plain = |text: &str| text.replace(into.to_str().unwrap(), "INTO");
    Said { stdout: plain(&said.stdout), stderr: plain(&said.stderr), code: said.code }
}

fn written(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(sandbox.path().join("workspaces")).map_or(0, Iterator::count)
}

#[test]
fn each_sample_becomes_workspaces_that_are_in_order() {
    for (name, workspaces) in SAMPLES {
        let sandbox = Sandbox::new();
        let said = import(&sandbox, name, &[]).ended_with(0);
        golden(sample(name).join("expected/report.txt"), &said.stdout);
        assert_eq!(written(&sandbox), workspaces.len());
        for workspace in workspaces {
            let folder = sandbox.path().join("workspaces").join(workspace);
            golden(
                sample(name).join(format!("expected/{workspace}.yaml")),
                &std::fs::read_to_string(folder.join("workspace.yaml")).unwrap(),
            );
            let recipe = format!("{name}/full");
            let checked = sandbox.kthw(&["check", &recipe, "-w", folder.to_str().unwrap()]).ended_with(0);
            assert!(checked.stdout.contains(&format!("for workspace {workspace}.")), "{}", checked.stdout);
        }
    }
}

/// The values of secrets in the samples begin with `made-up`; so does a variable that kthw does not know.
#[test]
fn no_secret_is_written_or_told() {
    let sandbox = Sandbox::new();
    let said = import(&sandbox, "debian", &[]).ended_with(0);
    let text = std::fs::read_to_string(sandbox.path().join("workspaces/debian/workspace.yaml")).unwrap();
    let json = import(&Sandbox::new(), "debian", &["--json"]).ended_with(0);
    let all = [said.stdout, said.stderr, text, json.stdout, json.stderr].concat();
    assert!(!all.contains("made-up"), "{all}");
    assert!(all.contains("kthw secrets set proxmox.password -w INTO/debian"), "{all}");
}

/// Every assignment and every command in the files is told about, at its line.
#[test]
fn every_line_that_says_something_is_in_the_report() {
    for (name, _) in SAMPLES {
        let report = import(&Sandbox::new(), name, &["--dry-run"]).ended_with(0).stdout;
        let mut seen = 0;
        for file in files(&sample(name)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let shown = file.strip_prefix(sample(name)).unwrap().display().to_string();
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
                let place = format!("({shown}:{})", index + 1);
                assert!(report.contains(&place), "{name}: {place} `{line}` is not in\n{report}");
                seen += 1;
            }
        }
        assert!(seen > 40, "{name}: {seen}");
    }
}

fn files(sample: &Path) -> Vec<PathBuf> {
    let envs = std::fs::read_dir(sample.join("envs")).unwrap().map(|entry| entry.unwrap().path());
    envs.chain([sample.join("cpc.env")]).collect()
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_nothing_is_written() {
    let mut cases: Vec<_> = std::fs::read_dir(sample("bad")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 10);
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let sandbox = Sandbox::new();
        let said = import(&sandbox, &format!("bad/{name}"), &[]).ended_with(2);
        assert_eq!(said.stdout, "", "{name}");
        assert!(!said.stderr.contains("made-up"), "{name}: a secret in\n{}", said.stderr);
        assert_eq!(written(&sandbox), 0, "{name}");
        golden(case.join("said.txt"), &said.stderr);
    }
}

#[test]
fn nothing_is_overwritten_and_single_environments_can_be_taken() {
    let sandbox = Sandbox::new();
    import(&sandbox, "ubuntu", &["--only", "ubuntu", "--dry-run"]).ended_with(0);
    assert_eq!(written(&sandbox), 0, "a dry run");
    import(&sandbox, "ubuntu", &["--only", "ubuntu"]).ended_with(0);
    let file = sandbox.path().join("workspaces/ubuntu/workspace.yaml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{before}# mine\n")).unwrap();
    let said = import(&sandbox, "ubuntu", &[]).ended_with(2);
    assert!(said.stderr.contains("INTO/ubuntu/workspace.yaml is there already") && said.stdout.is_empty(), "{}", said.stderr);
    assert_eq!((std::fs::read_to_string(&file).unwrap(), written(&sandbox)), (format!("{before}# mine\n"), 1));

    // Beside one that is there, another is looked at as by every command.
    let said = import(&sandbox, "bad/two-that-collide", &["--only", "debian"]).ended_with(2);
    assert!(said.stderr.contains("`u` is also the release letter of `ubuntu`"), "{}", said.stderr);
    import(&sandbox, "ubuntu", &["--only", "k8s133"]).ended_with(0);
    assert_eq!(written(&sandbox), 2);

    let said = import(&Sandbox::new(), "ubuntu", &["--only", "ubunut"]).ended_with(2);
    assert!(
        said.stderr.contains("there is no environment `ubunut`") && said.stderr.contains("there are: k8s133, ubuntu"),
        "{}",
        said.stderr
    );
    let said = import(&Sandbox::new(), "nowhere", &[]).ended_with(2);
    assert!(said.stderr.contains("tests/import/nowhere/envs cannot be read"), "{}", said.stderr);
}

#[test]
fn programs_get_an_event_for_each_variable_and_workspace() {
    let said = import(&Sandbox::new(), "rocky", &["--json", "--dry-run"]).ended_with(0);
    let events: Vec<serde_json::Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().find(|event| event["name"] == name).unwrap();
    assert_eq!((&of("RELEASE_LETTER")["fate"], &of("RELEASE_LETTER")["says"]), (&"taken".into(), &"-> release_letter: r".into()));
    assert_eq!(of("CALICO_VERSION")["fate"], "no_effect");
    assert_eq!((&of("rocky")["event"], &of("rocky")["recipe"]), (&"workspace".into(), &"rocky/full".into()));
}
