//! Wrong workspaces, each with the diagnostic that people see. `UPDATE_GOLDEN=1` writes the expected files anew.
//!
//! `NN-name.yaml` is the wrong workspace, `NN-name.txt` the diagnostic; `NN-name.beside.yaml` is a workspace that it is checked against.
use kthw_stdlib::workspace::{Workspace, WorkspaceError, WorkspaceFile};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use std::{collections::BTreeSet, fs, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/bad-workspaces")
}

/// The names of all cases, in order.
fn cases() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the folder is there");
    let names = entries.map(|entry| entry.expect("it lists").file_name().into_string().expect("names are plain"));
    let cases: BTreeSet<String> =
        names.filter(|name| !name.ends_with(".beside.yaml")).filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    cases.into_iter().collect()
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(folder().join(name)).ok()
}

fn check(case: &str) -> Result<(), WorkspaceError> {
    let label = format!("{case}.yaml");
    let file = WorkspaceFile::parse(&label, &read(&label).expect("the case is there"))?;
    let beside = format!("{case}.beside.yaml");
    let other = read(&beside).map(|text| WorkspaceFile::parse(&beside, &text).expect("the workspace beside is right"));
    file.validate(&other.iter().collect::<Vec<_>>())
}

fn render(diagnostic: &dyn Diagnostic) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_links(false).with_width(100);
    let mut text = String::new();
    handler.render_report(&mut text, diagnostic).expect("text takes everything");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn each_wrong_workspace_is_explained() {
    let cases = cases();
    assert!(cases.len() >= 22, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let shown = render(&check(case).expect_err(case));
        let golden = format!("{case}.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(folder().join(&golden), &shown).expect("the folder can be written");
        } else if read(&golden).as_deref() != Some(shown.as_str()) {
            wrong.push(format!("{golden} is another than what is shown now:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nrun again with UPDATE_GOLDEN=1 if this is what is wanted", wrong.join("\n"));
}

#[test]
fn every_diagnostic_has_a_place_and_a_next_step() {
    for case in cases() {
        let error = check(&case).expect_err(&case);
        for problem in error.problems() {
            assert!(problem.help().is_some_and(|help| !help.to_string().is_empty()), "{case}: no next step");
            assert!(problem.code().is_some_and(|code| code.to_string().starts_with("kthw::workspace::")), "{case}: no code");
            let places = problem.labels().into_iter().flatten().count();
            assert!(places > 0 && problem.source_code().is_some(), "{case}: no place");
        }
    }
}

#[test]
fn the_shipped_workspaces_are_right() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../workspaces");
    let mut files = Vec::new();
    for entry in fs::read_dir(root).expect("there are workspaces") {
        let path = entry.expect("it lists").path().join("workspace.yaml");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        files.push(WorkspaceFile::parse(&path.display().to_string(), &text).unwrap_or_else(|error| panic!("{}", render(&error))));
    }
    assert!(!files.is_empty());
    for file in &files {
        file.validate(&files.iter().collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{}", render(&error)));
    }
}

/// Real machines that are there already, an old Calico, mirrors for everything: what an air-gapped site writes.
const AIR_GAPPED: &str = r#"
name: site
domain: lab.test
release_letter: t
distribution: debian
versions: { kubernetes: v1.36.3, calico: 3.26.4, unsupported: true }
network:
  nodes: 10.77.0.0/24
  gateway: 10.77.0.1
  pods: 10.244.0.0/16
  services: 10.96.0.0/16
nodes:
  - { name: ct1, role: control_plane, address: 10.77.0.11 }
  - { name: wt1, role: worker, address: 10.77.0.12 }
  - { name: wt2, role: worker, address: 10.77.0.13 }
packages:
  kubernetes: { url: "http://10.77.0.1:3143/kubernetes/", key: "-----BEGIN PGP PUBLIC KEY BLOCK-----" }
  kubernetes_revision: "1"
containerd:
  mirrors: { registry.k8s.io: "http://10.77.0.1:5000" }
kubeadm:
  image_repository: 10.77.0.1:5000
  cgroup_driver: cgroupfs
  fail_swap_on: false
  skip_phases: [addon/kube-proxy]
  ignore_preflight_errors: [SystemVerification]
artifacts: { mirror: /srv/artifacts }
values: { team: { name: blue } }
"#;

#[test]
fn an_air_gapped_site_with_machines_of_its_own_can_be_written_down() {
    let workspace = Workspace::parse("site.yaml", AIR_GAPPED).unwrap_or_else(|error| panic!("{}", render(&error)));
    assert_eq!(workspace.versions().expect("a cluster").kubernetes.to_string(), "1.36.3");
    assert_eq!(workspace.endpoint(), "ct1.lab.test:6443");
}

#[test]
fn a_problem_made_by_set_points_into_the_argument() {
    let mut file = WorkspaceFile::parse("site.yaml", AIR_GAPPED).expect("it is right");
    file.set("nodes.wt2.address=10.77.0.12").expect("it is an address");
    let shown = render(&file.validate(&[]).expect_err("two nodes share it now"));
    assert_eq!(
        shown,
        "kthw::workspace::duplicate_address

  × nodes `wt1` and `wt2` have the same address
   ╭─[--set:1:19]
 1 │ nodes.wt2.address=10.77.0.12
   ·                   ─────┬────
   ·                        ╰── the second
   ╰────
  help: choose another free address inside 10.77.0.0/24
"
    );
}
