//! Both ways between kthw and the real sops: every format with every feature, for every kind of key.
//!
//! A cell passes when what one writes opens in the other with a valid MAC, both see the same tree (each by its own reader, and once more
//! as the JSON that sops makes of it), and both encrypted the same names.
use super::samples::{FEATURES, Feature, SAMPLES};
use super::{
    flips::tree,
    kinds::{Kind, Kinds},
};
use crate::{
    File, Format, KeyServices, Metadata, Rules, SopsError, encrypt, new_data_key,
    text::{What, dotted},
};
use kthw_peers::{GPG, MOTO, SOPS, SSH_KEYGEN, ask};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::Path,
    process::Command,
    thread,
};
use tempfile::TempDir;

pub(super) const FORMATS: [(Format, &str); 5] =
    [(Format::Yaml, "yaml"), (Format::Json, "json"), (Format::Dotenv, "env"), (Format::Ini, "ini"), (Format::Binary, "bin")];

/// What a cell says.
type Cell = Result<&'static str, String>;

#[test]
fn kthw_and_the_real_sops_read_each_other() {
    let Some([sops, moto, gpg, ssh_keygen]) = ask([&SOPS, &MOTO, &GPG, &SSH_KEYGEN]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kinds = Kinds::start(folder.path(), [&moto, &gpg, &ssh_keygen]);
    let peer = |format, ending| Peer { sops: &sops, format, ending, folder: tempfile::tempdir().expect("a temporary folder") };
    let columns: Vec<Vec<(String, Cell)>> = thread::scope(|scope| {
        let column = |(format, ending): (Format, &'static str)| {
            let (kinds, peer) = (&kinds, peer(format, ending));
            scope.spawn(move || {
                let sample = SAMPLES.iter().find(|sample| sample.0 == format).expect("every format has one").1;
                let keys = kinds.all.iter().map(|kind| {
                    (
                        format!("key: {}", kind.name),
                        peer.cell(sample.as_bytes(), &kind.creation, &kind.metadata(Rules::default(), false), &kind.variables),
                    )
                });
                let features = FEATURES.iter().map(|feature| (feature.name.to_owned(), peer.feature_of_all(feature, &kinds.all)));
                keys.chain(features).collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = FORMATS.into_iter().map(column).collect();
        running.into_iter().map(|thread| thread.join().expect("a cell does not panic")).collect()
    });
    print(&columns);
    let failed: Vec<String> = columns
        .iter()
        .zip(FORMATS)
        .flat_map(|(cells, (_, ending))| {
            cells.iter().filter_map(move |(name, cell)| Some(format!("{ending}, {name}: {}", cell.as_ref().err()?)))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Layouts that people write, and that a reader of lines trips over.
const ODD: &[&str] = &[
    "password: | # note\n  hunter2\n  line2\nother: x\n",
    "a: >- # c | d\n  folded\n  text\nlist:\n  - |  # of the item\n    x\n  - b: | # b\n      y\n    c: z\n",
    "a:\n  | # own line\n  x\nb: 1\n",
    "\"a #b\": >-\n  y\n'c | #d': |\n  z\ne: # f | g\n  |\n  h\n",
    "cert: !!binary //79\ntext: !!binary aGVsbG8=\nlines: !!binary |\n  //79\n  //79\npw: x\n",
    "list:\n  - !!binary //79\n  - &anchor !!binary //79\n  - !!str 1\n  - !own 2\n",
    "a: {} # x\nb: [] # y\nc:\n  d: {} # z\ne: f\n",
    "a: x\nb_unencrypted: 1.0\nc_unencrypted: [1e3, 5., 089]\n",
    "x_unencrypted: 2020-01-01T00:00:00,5Z\ny_unencrypted: 2020-01-01 00:00:00.1234567891\nz_unencrypted: 2020-001-1\n",
    "w_unencrypted: ._1\nv_unencrypted: .5\nu_unencrypted: 1_0.5\na: x\n",
    "k: |\n  x",
    "# c\n    a: b\n    c:\n      d: |\n        e\n# f\n",
    "---\n  a: b\n---\n c: d\n",
    "? a\n: b\n? c\n: - d\n",
    "&x a: b\nc: {d: e}\n!!str f: g\nh:\n  &y i: j\n  k: [*y]\n",
    "k: |+\n  x\n\n",
    "k: |\n  x \n     \n\nl: |\n  two\n  lines ",
    "k: >\n  x\n  y",
];

/// What sops would not keep, or reads otherwise.
const REFUSED: &[&str] = &["%YAML 1.2\n---\na: b\n", "a: ! 1\n", "a: !!timestamp 2020-01-01\n", "a: !!binary %\n", "a: !!int 1\n"];

#[test]
fn odd_layouts_read_back_in_both() {
    let Some([sops, moto, gpg, ssh_keygen]) = ask([&SOPS, &MOTO, &GPG, &SSH_KEYGEN]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kinds = Kinds::start(folder.path(), [&moto, &gpg, &ssh_keygen]);
    let peer = Peer { sops: &sops, format: Format::Yaml, ending: "yaml", folder };
    let age = &kinds.all[0];
    let metadata = age.metadata(Rules::default(), false);
    let failed: Vec<String> = ODD
        .iter()
        .filter_map(|text| Some(format!("{text}{}", peer.cell(text.as_bytes(), &age.creation, &metadata, &age.variables).err()?)))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    for text in REFUSED {
        let sealed = encrypt("f", Format::Yaml, text.as_bytes(), &metadata, &new_data_key(), None);
        assert!(matches!(sealed, Err(SopsError::Malformed { .. })), "{text}: {sealed:?}");
    }
}

fn print(columns: &[Vec<(String, Cell)>]) {
    let head: Vec<_> = FORMATS.iter().map(|(format, _)| format!("{format:?}")).collect();
    println!("{:<30} {}", "", head.iter().map(|name| format!("{name:<8}")).collect::<String>());
    let mut reasons = BTreeSet::new();
    for row in 0..columns[0].len() {
        let cells = columns.iter().map(|column| match &column[row].1 {
            Ok("") => "ok".to_owned(),
            Ok(reason) => {
                reasons.insert(format!(
                    "{}, {}: {reason}",
                    columns[0][row].0,
                    FORMATS[columns.iter().position(|one| std::ptr::eq(one, column)).expect("it is one of them")].1
                ));
                "n/a".to_owned()
            }
            Err(_) => "FAILED".to_owned(),
        });
        println!("{:<30} {}", columns[0][row].0, cells.map(|cell| format!("{cell:<8}")).collect::<String>().trim_end());
    }
    println!("ok: kthw->sops and sops->kthw; features with every kind of key. n/a:");
    reasons.iter().for_each(|reason| println!("  {reason}"));
}

/// The real sops, with one format.
struct Peer<'a> {
    sops: &'a Path,
    format: Format,
    ending: &'static str,
    folder: TempDir,
}

impl Peer<'_> {
    /// A feature with every kind of key.
    fn feature_of_all(&self, feature: &Feature, kinds: &[Kind]) -> Cell {
        kinds.iter().try_fold("", |_, kind| self.feature(feature, kind).map_err(|error| format!("key {}: {error}", kind.name)))
    }

    fn feature(&self, feature: &Feature, kind: &Kind) -> Cell {
        let plain = match feature.of(self.format) {
            Ok(plain) => plain,
            Err(reason) => return Ok(reason),
        };
        let mut creation = kind.creation.clone();
        let mut rules = Rules::default();
        if let Some((field, text)) = feature.rule {
            creation[field] = text.into();
            rules = Rules::of_field(field, text).map_err(|reason| reason.to_owned())?;
        }
        if feature.mac_only_encrypted {
            creation["mac_only_encrypted"] = true.into();
        }
        self.cell(plain, &creation, &kind.metadata(rules, feature.mac_only_encrypted), &kind.variables)
    }

    fn cell(&self, plain: &[u8], creation: &Value, metadata: &Metadata, variables: &BTreeMap<String, OsString>) -> Cell {
        let known = variables.clone();
        let services = KeyServices::new(move |name| known.get(name).cloned());
        let said = |deed: &'static str| move |error: crate::SopsError| format!("{deed}: {error}");
        let path = self.folder.path().join(format!("plain.{}", self.ending));
        let config = self.folder.path().join("rules.json");
        fs::write(&path, plain)
            .and_then(|()| fs::write(&config, serde_json::json!({ "creation_rules": [creation] }).to_string()))
            .map_err(|error| error.to_string())?;

        // sops writes, kthw reads.
        let config: [&Path; 2] = [Path::new("--config"), &config];
        let by_sops = self.run(variables, &[config[0], config[1], "encrypt".as_ref(), &path])?;
        let by_sops = String::from_utf8(by_sops).map_err(|error| error.to_string())?;
        let file = File::parse("sops's file", self.format, &by_sops).map_err(said("kthw parses sops's file"))?;
        let key = services.data_key("sops's file", file.metadata()).map_err(said("kthw opens sops's key"))?;
        let opened = file.open(&key).map_err(said("kthw opens sops's file"))?;
        let decrypted = self.decrypt(&by_sops, variables, None)?;
        let tree_of = |plain: &[u8]| tree(self.format, plain).map_err(said("kthw reads a plain file"));
        same("tree of sops's file", &tree_of(opened.plain())?, &tree_of(&decrypted)?)?;

        // kthw writes it again, sops reads.
        let again = encrypt("sops's file", self.format, opened.plain(), file.metadata(), &key, Some(&opened))
            .map_err(said("kthw writes sops's file"))?;
        let decrypted = self.decrypt(&again, variables, None).map_err(|error| format!("sops's file again: {error}\n{again}"))?;
        same("tree of sops's file written again", &tree_of(opened.plain())?, &tree_of(&decrypted)?)?;

        // kthw writes, sops reads.
        let key = new_data_key();
        let mut metadata = metadata.clone();
        services.seal_to("kthw's file", &mut metadata.groups, metadata.shamir_threshold, &key).map_err(said("kthw seals the key"))?;
        let by_kthw = encrypt("kthw's file", self.format, plain, &metadata, &key, None).map_err(said("kthw encrypts"))?;
        let decrypted = self.decrypt(&by_kthw, variables, None).map_err(|error| format!("kthw's file: {error}\n{by_kthw}"))?;
        same("tree of kthw's file", &tree_of(&decrypted)?, &tree_of(plain)?)?;
        let file = File::parse("kthw's file", self.format, &by_kthw).map_err(said("kthw parses its own file"))?;
        let opened = file
            .open(&services.data_key("kthw's file", file.metadata()).map_err(said("kthw opens its key"))?)
            .map_err(said("kthw opens its own file"))?;
        same("tree of kthw's own file", &tree_of(opened.plain())?, &tree_of(plain)?)?;
        same("encrypted names", &sealed_names(self.format, &by_kthw), &sealed_names(self.format, &by_sops))?;

        // What sops itself sees, without any reader of kthw's. JSON has one document, no infinity, no bytes and no repeated sections.
        let beyond_json = ["\n---\n", ".inf\n", "\n[Peer]\n", "!!binary"];
        if self.format != Format::Binary && !beyond_json.iter().any(|part| String::from_utf8_lossy(plain).contains(part)) {
            let by_value = |text| {
                self.decrypt(text, variables, Some("json"))
                    .and_then(|json| serde_json::from_slice::<Value>(&json).map_err(|error| error.to_string()))
            };
            let seen = by_value(&by_kthw)?;
            same("JSON of both", &by_value(&by_sops)?, &seen)?;
            let values: BTreeMap<String, String> =
                opened.values().iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
            let mut flat = BTreeMap::new();
            flatten(String::new(), &seen, &mut flat);
            same("values as sops sees them", &values, &flat)?;
        } else if self.format == Format::Binary {
            same("bytes", &decrypted, &plain.to_vec())?;
            same("bytes", &opened.plain().to_vec(), &plain.to_vec())?;
        }
        Ok("")
    }

    fn decrypt(&self, encrypted: &str, variables: &BTreeMap<String, OsString>, output: Option<&str>) -> Result<Vec<u8>, String> {
        let path = self.folder.path().join(format!("encrypted.{}", self.ending));
        fs::write(&path, encrypted).map_err(|error| error.to_string())?;
        let mut arguments: Vec<&Path> = vec!["decrypt".as_ref()];
        if let Some(output) = output {
            arguments.extend(["--output-type".as_ref(), output.as_ref()] as [&Path; 2]);
        }
        arguments.push(&path);
        self.run(variables, &arguments)
    }

    fn run(&self, variables: &BTreeMap<String, OsString>, arguments: &[&Path]) -> Result<Vec<u8>, String> {
        let mut command = Command::new(self.sops);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.folder.path());
        command.env("SOPS_DISABLE_VERSION_CHECK", "1").envs(variables).current_dir(self.folder.path()).args(arguments);
        let output = command.output().map_err(|error| format!("sops does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("sops {}: {}", arguments[0].display(), String::from_utf8_lossy(&output.stderr)));
        }
        Ok(output.stdout)
    }
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, left: &T, right: &T) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{what}:\n  {left:?}\nis not\n  {right:?}")) }
}

/// The names whose values are encrypted.
fn sealed_names(format: Format, text: &str) -> BTreeSet<String> {
    let Ok(read) = format.layout().read("encrypted", text) else { return BTreeSet::new() };
    let sealed = read.leaves.iter().filter(|leaf| {
        // sops makes list items of the comments in a list.
        matches!(&leaf.what, What::Value(value) if value.bytes().is_some_and(|bytes| bytes.starts_with(b"ENC[") && !bytes.ends_with(b"comment]")))
    });
    sealed.map(|leaf| crate::text::keys(&leaf.path).join(".")).chain([dotted(&[])]).collect()
}

/// The scalars of a JSON text by their dotted names, spelled as in the MAC.
fn flatten(name: String, value: &Value, flat: &mut BTreeMap<String, String>) {
    let below = |step: &str| if name.is_empty() { step.to_owned() } else { format!("{name}.{step}") };
    let text = match value {
        Value::Null => return,
        Value::Object(map) => return map.iter().for_each(|(key, value)| flatten(below(key), value, flat)),
        Value::Array(items) => return items.iter().enumerate().for_each(|(index, value)| flatten(below(&index.to_string()), value, flat)),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.as_i64().map_or_else(|| number.as_f64().unwrap_or_default().to_string(), |int| int.to_string()),
        Value::String(text) => text.clone(),
    };
    flat.insert(name, text);
}
