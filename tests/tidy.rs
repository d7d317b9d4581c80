//! The rules of docs/ARCHITECTURE.md that a machine can check.
use crate::support::root;
use std::path::{Path, PathBuf};

mod asking;

fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    assert!(!found.is_empty(), "{folder} holds no .{extension} file");
    found
}

fn product_code() -> Vec<(PathBuf, String)> {
    ["src", "engine/src", "http/src", "yaml/src", "sops/src", "store/src", "checker/src", "stdlib/src", "lab/src"]
        .into_iter()
        .flat_map(|folder| files(folder, "rs"))
        .collect()
}

/// The files in which a line outside of comments holds `piece`.
fn files_with(piece: &str) -> Vec<String> {
    let holds = |text: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(piece));
    let mut found: Vec<String> = product_code()
        .into_iter()
        .filter(|(_, text)| holds(text))
        .map(|(path, _)| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

#[test]
fn there_is_one_door() {
    assert_eq!(files_with("Door::open("), ["engine/src/recovery.rs", "engine/src/run.rs"], "only a run opens it");
    assert_eq!(files_with("Door::numbered("), ["engine/src/run.rs"], "only a run opens it");
    assert_eq!(files_with("Permit {"), ["engine/src/door.rs"], "only the door makes permits");
    assert_eq!(files_with("Effect {"), ["engine/src/door.rs"], "only a permit makes effects");
}

#[test]
fn a_raw_client_that_could_write_stays_in_its_file() {
    for piece in ["kube::Client", "Api<", "PatchParams", "DeleteParams", "PostParams"] {
        let found: Vec<String> = files_with(piece).into_iter().filter(|file| !file.contains("test")).collect();
        assert!(found.iter().all(|file| file == "stdlib/src/kubernetes/client.rs"), "{piece} in {found:?}");
    }
    let of_proxmox = |piece: &str| files_with(piece).into_iter().filter(|file| file.starts_with("stdlib/src/proxmox")).collect::<Vec<_>>();
    assert_eq!(of_proxmox("send(http, "), ["stdlib/src/proxmox/session.rs"]);
    assert_eq!(of_proxmox("seams::send"), Vec::<String>::new());
    assert_eq!(files_with("http.send("), ["http/src/lib.rs"], "there every request gets its limit");
}

/// What enters the world is the seed's in the lab, or two runs of one seed would differ.
#[test]
fn random_numbers_that_enter_the_world_come_from_the_peers() {
    let secrets = ["sops/src/cipher.rs", "sops/src/keys/mod.rs", "sops/src/keys/shamir.rs"];
    let in_a_conversation = "stdlib/src/ssh/transport/shell/mod.rs";
    assert_eq!(files_with("getrandom::fill("), [&["engine/src/random.rs"], &secrets[..], &[in_a_conversation]].concat());
}

/// Everything that changes a peer takes an effect: a method that does not would be a second door.
#[test]
fn every_writing_method_takes_an_effect() {
    let writers = [
        ("engine/src/node.rs", "fn change<"),
        ("engine/src/node.rs", "fn act<"),
        ("engine/src/node.rs", "fn act_heard<"),
        ("engine/src/node.rs", "fn keep_host_key<"),
        ("stdlib/src/proxmox/client.rs", "pub async fn write("),
        ("stdlib/src/proxmox/client.rs", "pub async fn make("),
        ("stdlib/src/kubernetes/client.rs", "pub async fn apply("),
        ("stdlib/src/kubernetes/client.rs", "pub async fn patch("),
        ("stdlib/src/kubernetes/client.rs", "pub async fn evict("),
        ("stdlib/src/kubernetes/client.rs", "pub async fn delete("),
        ("sops/src/secrets.rs", "pub fn set("),
        ("stdlib/src/ssh/transport/known_hosts.rs", "pub fn pin("),
        ("stdlib/src/ssh/transport/known_hosts.rs", "pub fn pin_learnt("),
        ("stdlib/src/ssh/transport/known_hosts.rs", "pub fn forget("),
    ];
    for (file, signature) in writers {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let from = text.find(signature).unwrap_or_else(|| panic!("{file} has no `{signature}`"));
        let head = text[from..].split(['{', ';']).next().unwrap();
        assert!(head.contains("Effect"), "{file}: {head}");
    }
}

#[test]
fn only_the_ui_prints() {
    for piece in ["println!(", "print!(", "eprintln!(", "eprint!("] {
        let printing: Vec<String> = files_with(piece).into_iter().filter(|file| file != "src/ui.rs").collect();
        assert!(printing.iter().all(|file| file.contains("test")), "{piece} in {printing:?}");
    }
}

#[test]
fn dependencies_point_one_way() {
    let manifest = |name: &str| {
        let text = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        text.split_once("[dependencies]").unwrap().1.to_owned()
    };
    for (name, others) in [
        ("engine", &["kthw-"][..]),
        ("http", &["kthw-"]),
        ("yaml", &["kthw-"]),
        ("sops", &["kthw-stdlib", "kthw-lab", "rhai"]),
        ("store", &["kthw-http", "kthw-sops", "kthw-stdlib", "kthw-lab", "rhai"]),
        ("checker", &["kthw-engine", "kthw-stdlib", "kthw-lab", "tokio", "reqwest"]),
        ("stdlib", &["kthw-lab", "kthw-store"]),
    ] {
        let manifest = manifest(name);
        assert!(others.iter().all(|other| !manifest.contains(other)), "{name} does not know {others:?}");
    }
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let silent: Vec<PathBuf> = product_code().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "no `//!` line at the top of {silent:?}");
}

#[test]
fn a_recipe_changes_only_with_its_version() {
    use std::fmt::Write;
    let mut lock = String::new();
    let mut recipes = files("recipes", "rhai");
    recipes.sort();
    for (path, text) in recipes {
        let name = path.strip_prefix(root().join("recipes")).unwrap().with_extension("");
        let version = text.lines().find_map(|line| line.strip_prefix("const VERSION")).unwrap().split('"').nth(1).unwrap();
        writeln!(lock, "{} {version} {}", name.display(), sha256(&text)).unwrap();
    }
    let file = root().join("recipes.lock");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let old = std::fs::read_to_string(&file).unwrap_or_default();
        for line in lock.lines() {
            let [name, version, digest] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("three words") };
            let before = old.lines().find(|old| old.starts_with(&format!("{name} {version} ")));
            assert!(
                before.is_none_or(|before| before.ends_with(digest)) || std::env::var("UPDATE_GOLDEN").unwrap() == "force",
                "{name} changed: raise its VERSION"
            );
        }
        std::fs::write(&file, &lock).unwrap();
    }
    let locked = std::fs::read_to_string(&file).unwrap();
    assert_eq!(locked, lock, "a recipe changed: raise its VERSION, then UPDATE_GOLDEN=1");
}

fn sha256(text: &str) -> String {
    kthw_engine::node::Content::plain(text).sha256()
}
