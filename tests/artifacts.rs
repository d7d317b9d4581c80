//! `kthw artifacts` with files that come from a web server on the loopback network.
use crate::support::{
    Sandbox, root,
    web::{Page, Web},
};
use sha2::{Digest, Sha256};
use std::{fs, path::PathBuf};

const DEFINITIONS: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things.example.test\n";
const OPERATOR: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: tigera-operator\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: tigera-operator\n  namespace: tigera-operator\n";
const IMAGE: &[u8] = b"QFI\xfb the disk of a machine";
const PATH: &str = "calico/v3.32.1/operator-crds.yaml";

/// A copy of the workspace `current` in a folder `mine`, whose files come from a server: a mirror for the manifests, and the image.
struct Site {
    sandbox: Sandbox,
    web: Web,
    folder: PathBuf,
}

impl Site {
    fn new() -> Self {
        let (sandbox, web) = (Sandbox::new(), Web::new());
        web.serve("/calico/v3.32.1/operator-crds.yaml", Page::of(DEFINITIONS));
        web.serve("/calico/v3.32.1/tigera-operator.yaml", Page::of(OPERATOR));
        web.serve("/images/ubuntu-24.04/noble.img", Page::of(IMAGE));
        web.serve("/images/ubuntu-24.04/SHA256SUMS", Page::of(format!("{} *noble.img\n", digest(IMAGE))));
        let folder = sandbox.path().join("mine");
        fs::create_dir(&folder).unwrap();
        let shipped = fs::read_to_string(root().join("workspaces/current/workspace.yaml")).unwrap();
        // Of its add-ons no byte is at hand here.
        let shipped = shipped.split("\nmetallb:").next().unwrap();
        let lines = shipped.lines().filter(|line| !line.contains("sha256:")).map(|line| match line.trim() {
            url if url.starts_with("url:") => format!("    url: {}/noble/noble.img", web.address()),
            "name: current" => "name: mine".into(),
            "domain: bevz.net" => "domain: home.example".into(),
            _ => line.to_owned(),
        });
        let text = format!("{}\nartifacts:\n  mirror: {}\n", lines.collect::<Vec<_>>().join("\n"), web.address());
        fs::write(folder.join("workspace.yaml"), text).unwrap();
        Self { sandbox, web, folder }
    }

    fn artifacts(&self, arguments: &[&str]) -> crate::support::Said {
        let workspace = self.folder.to_str().unwrap();
        self.sandbox.kthw(&[&["artifacts"], arguments, &["-w", workspace]].concat())
    }

    /// What is in the workspace's folder, and what is recorded there.
    fn recorded(&self) -> (Vec<String>, String) {
        let mut names: Vec<String> =
            fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        (names, fs::read_to_string(self.folder.join("artifacts.lock.yaml")).unwrap_or_default())
    }

    fn is_untouched(&self) {
        assert_eq!(self.recorded(), (vec!["workspace.yaml".into()], String::new()));
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn what_has_no_digest_is_shown_and_recorded_once_somebody_agreed() {
    let site = Site::new();
    let checked = site.sandbox.kthw(&["check", "current/full", "-w", site.folder.to_str().unwrap()]).ended_with(0);
    assert!(checked.stderr.contains(&format!("`kthw artifacts pin -w {}`", site.folder.display())), "{}", checked.stderr);
    let listed = site.artifacts(&["list"]).ended_with(0).stdout;
    assert!(listed.matches("no digest").count() == 3 && listed.contains("3 of 3 are refused"), "{listed}");

    let asked = site.artifacts(&["pin"]).ended_with(2);
    assert!(asked.stderr.contains("nobody to ask") && asked.stderr.contains("--yes"), "{}", asked.stderr);
    for told in [
        "holds 1 CustomResourceDefinition",
        "holds 1 Deployment, 1 Namespace",
        "/images/ubuntu-24.04/SHA256SUMS says the same",
        "came over plain HTTP",
        &format!("{} bytes, sha256 {}", OPERATOR.len(), digest(OPERATOR.as_bytes())),
    ] {
        assert!(asked.stdout.contains(told), "{told}: {}", asked.stdout);
    }
    site.is_untouched();

    site.artifacts(&["pin", "--yes"]).ended_with(0);
    let (names, text) = site.recorded();
    assert_eq!(names, ["artifacts.lock.yaml", "workspace.yaml"]);
    for bytes in [IMAGE, DEFINITIONS.as_bytes(), OPERATOR.as_bytes()] {
        assert!(text.contains(&digest(bytes)), "{text}");
    }
    assert!(text.contains("https://raw.githubusercontent.com/projectcalico/"), "upstream's address, whatever mirror it came from:\n{text}");
    let listed = site.artifacts(&["list"]).ended_with(0).stdout;
    assert!(listed.matches(", pinned 20").count() == 3 && !listed.contains("refused"), "{listed}");
    assert!(site.artifacts(&["pin", "--yes"]).ended_with(0).stdout.contains("every file has a digest"));
    let checked = site.sandbox.kthw(&["check", "current/full", "-w", site.folder.to_str().unwrap()]).ended_with(0);
    assert!(!checked.stderr.contains("artifacts pin"), "{}", checked.stderr);
}

#[test]
fn what_is_pinned_is_never_replaced_unasked() {
    let site = Site::new();
    site.artifacts(&["pin", "--yes"]).ended_with(0);
    let before = site.recorded();
    assert!(site.artifacts(&["pin", PATH, "--yes"]).ended_with(0).stdout.contains("as they were"));
    let changed = format!("{DEFINITIONS}  labels: {{ a: b }}\n");
    site.web.serve("/calico/v3.32.1/operator-crds.yaml", Page::of(changed.as_str()));
    let refused = site.artifacts(&["pin", "operator-crds.yaml", "--yes"]).ended_with(1).stderr;
    let shown: String = refused.split_whitespace().filter(|word| *word != "│").collect();
    assert!(shown.contains(&digest(DEFINITIONS.as_bytes())) && shown.contains(&digest(changed.as_bytes())), "{refused}");
    assert!(refused.contains("--repin"), "{refused}");
    assert_eq!(site.recorded(), before);
    site.artifacts(&["pin", "--repin", PATH]).ended_with(2);
    assert_eq!(site.recorded(), before, "nobody agreed");
    site.artifacts(&["pin", "--repin", PATH, "--yes"]).ended_with(0);
    let (_, after) = site.recorded();
    assert!(after.contains(&digest(changed.as_bytes())) && !after.contains(&digest(DEFINITIONS.as_bytes())), "{after}");
}

#[test]
fn what_comes_in_a_files_place_is_refused_and_leaves_nothing() {
    let site = Site::new();
    let path = format!("/{PATH}");
    site.web
        .serve(&path, Page { headers: vec![("Content-Type", "text/html".into())], ..Page::of("<!DOCTYPE html><title>Sign in</title>") });
    let page = site.artifacts(&["pin", "--yes"]).ended_with(3).stderr;
    assert!(page.contains("text/html") && page.contains("<!DOCTYPE html><title>Sign in</title>"), "{page}");
    site.is_untouched();
    site.web.serve(&path, Page { cut: Some(20), ..Page::of(DEFINITIONS) });
    let cut = site.artifacts(&["pin", "--yes"]).ended_with(3).stderr;
    assert!(cut.contains("it broke off after 20 bytes"), "{cut}");
    site.is_untouched();
    site.web.serve(&path, Page::of(DEFINITIONS));
    site.web.serve("/images/ubuntu-24.04/SHA256SUMS", Page::of(format!("{} *noble.img\n", digest(b"another"))));
    let other = site.artifacts(&["pin", "--yes"]).ended_with(3).stderr;
    assert!(other.contains("is not the file that") && other.contains(&digest(b"another")), "{other}");
    site.is_untouched();
}

#[test]
fn a_mirror_may_be_a_folder_and_names_are_known_ones() {
    let site = Site::new();
    let mirror = site.sandbox.path().join("mirror");
    fs::create_dir_all(mirror.join("calico/v3.32.1")).unwrap();
    fs::write(mirror.join(PATH), DEFINITIONS).unwrap();
    let set = format!("artifacts.mirror={}", mirror.display());
    site.artifacts(&["pin", "operator-crds.yaml", "--yes", "--set", &set]).ended_with(0);
    let missing = site.artifacts(&["pin", "tigera-operator.yaml", "--yes", "--set", &set]).ended_with(3);
    assert!(missing.stderr.contains("cannot fetch") && missing.stderr.contains("artifacts.mirror"), "{}", missing.stderr);
    let wrong = site.artifacts(&["pin", "operator-crd.yaml"]).ended_with(2).stderr;
    assert!(wrong.contains("did you mean `operator-crds.yaml`"), "{wrong}");
    let inside = site.sandbox.kthw(&["artifacts", "pin", "-w", "current", "--lab"]).ended_with(2).stderr;
    assert!(inside.contains("in the lab nothing is downloaded"), "{inside}");
    // A file that somebody spoiled says where.
    fs::write(site.folder.join("artifacts.lock.yaml"), site.recorded().1.replace("size:", "siez:")).unwrap();
    let spoiled = site.artifacts(&["list"]).ended_with(2).stderr;
    assert!(spoiled.contains("siez") && spoiled.contains("artifacts.lock.yaml:"), "{spoiled}");
}

#[test]
fn the_guide_does_what_it_says() {
    let site = Site::new();
    let guide = fs::read_to_string(root().join("docs/guides/artifacts.md")).unwrap();
    let calls: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("$ kthw ")).collect();
    assert!(calls.len() >= 4, "{calls:?}");
    for call in calls {
        let words: Vec<&str> = call.split('#').next().unwrap().split_whitespace().collect();
        let output = site.sandbox.command(&words).current_dir(site.sandbox.path()).output().unwrap();
        crate::support::said(output).ended_with(0);
    }
    let (_, text) = site.recorded();
    assert!(text.matches("sha256:").count() == 3, "{text}");
}
