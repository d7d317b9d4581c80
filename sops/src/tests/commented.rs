//! Random commented documents through sops' own library: what kthw encrypts, sops reads as it reads the plain text, comments and all.
//!
//! `KTHW_SOPS_DOCUMENTS=A..B` names other seeds than the usual ones; a failure says which document it was.
use super::{
    ENCRYPTED,
    documents::{Document, RULES},
};
use crate::{File, Format, KeyServices, MasterKey, Metadata, Recipient, Rules, SopsError, encrypt, new_data_key, text::What};
use kthw_peers::{SOPS, SOPS_LIBRARY, ask};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    ops::Range,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// How many there are when nobody says.
const USUAL: Range<u64> = 0..5000;

/// sops' library in a process of its own.
struct Library {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Library {
    fn start(program: &Path) -> Self {
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the library starts");
        let (questions, answers) = (child.stdin.take().expect("a pipe"), BufReader::new(child.stdout.take().expect("a pipe")));
        Self { child, questions, answers }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").expect("the library reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the library answers");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Same,
    UnlikeInSops,
    RefusedBySops,
    RefusedByKthw,
}

#[test]
fn random_commented_documents_are_read_as_sops_reads_them() {
    let Some([library]) = ask([&SOPS_LIBRARY]) else { return };
    let mut library = Library::start(&library);
    let (mut fates, mut failed) = (BTreeMap::new(), Vec::new());
    let seeds = seeds();
    for seed in seeds.clone() {
        match compare(&mut library, &Document::of(seed), RULES[(seed % RULES.len() as u64) as usize]) {
            Ok(fate) => *fates.entry(fate).or_insert(0_u64) += 1,
            Err(reason) => failed.push(format!("document {seed}: {reason}")),
        }
    }
    println!("documents {seeds:?}: {fates:?}, {} otherwise", failed.len());
    let shown: Vec<&String> = failed.iter().take(5).collect();
    assert!(
        failed.is_empty(),
        "{} of {seeds:?}; the first:\n{shown:#?}\n{}",
        failed.len(),
        failed.iter().take(12).map(|one| format!("\n{one}")).collect::<String>()
    );
    let share = |fate| fates.get(&fate).copied().unwrap_or_default() * 100 / (seeds.end - seeds.start).max(1);
    assert!(share(Fate::RefusedByKthw) < 1 && share(Fate::RefusedBySops) < 30, "{fates:?}");
}

/// Fewer through the program itself, whose every answer is a process: what it decrypts is the same text, whoever encrypted it.
#[test]
fn the_sops_program_decrypts_both_to_one_text() {
    const DOCUMENTS: u64 = 100;
    let Some([sops, library]) = ask([&SOPS, &SOPS_LIBRARY]) else { return };
    let mut library = Library::start(&library);
    let folder = super::folder();
    let services = KeyServices::new(|_| None);
    let mut compared = 0;
    for seed in 0..DOCUMENTS {
        let (plain, (field, rule)) = (Document::of(seed), RULES[(seed % RULES.len() as u64) as usize]);
        if compare(&mut library, &plain, (field, rule)) != Ok(Fate::Same) {
            continue;
        }
        let mut metadata = metadata(field, rule).expect("a rule");
        let key = new_data_key();
        services.seal_to("f", &mut metadata.groups, None, &key).expect("the recipient is one");
        let by_kthw = encrypt("f", Format::Yaml, plain.as_bytes(), &metadata, &key, None).expect("it was encrypted before");
        let [text, kthw] = ["plain.yaml", "kthw.yaml"].map(|name| folder.path().join(name));
        std::fs::write(&text, &plain).and_then(|()| std::fs::write(&kthw, by_kthw)).expect("the folder is ours");
        let rules = folder.path().join("rules.json");
        let mut creation = json!({ "age": recipient() });
        creation[field] = rule.into();
        std::fs::write(&rules, json!({ "creation_rules": [creation] }).to_string()).expect("the folder is ours");
        let by_sops = super::sops_encrypt(&sops, &["--config".as_ref(), rules.as_os_str(), "encrypt".as_ref()], &text);
        let again = folder.path().join("sops.yaml");
        std::fs::write(&again, by_sops).expect("the folder is ours");
        let decrypted = [&again, &kthw].map(|file| {
            let output = Command::new(&sops)
                .arg("decrypt")
                .arg(file)
                .env("SOPS_AGE_KEY", super::KEY)
                .env("SOPS_DISABLE_VERSION_CHECK", "1")
                .output();
            let output = output.expect("sops runs");
            assert!(output.status.success(), "document {seed}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("sops writes text")
        });
        assert_eq!(decrypted[0], decrypted[1], "document {seed}");
        compared += 1;
    }
    assert!(compared > DOCUMENTS / 2, "{compared}");
}

fn recipient() -> &'static str {
    ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it")
}

fn metadata(field: &str, rule: &str) -> Result<Metadata, String> {
    let rules = Rules::of_field(field, rule)?;
    Ok(Metadata::new(vec![vec![MasterKey::to(Recipient::Age(recipient().into()))]], None, rules, false))
}

fn seeds() -> Range<u64> {
    let Ok(named) = std::env::var("KTHW_SOPS_DOCUMENTS") else { return USUAL };
    let (from, to) = named.split_once("..").expect("KTHW_SOPS_DOCUMENTS is `A..B`");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn compare(library: &mut Library, plain: &str, (field, rule): (&str, &str)) -> Result<Fate, String> {
    let metadata = metadata(field, rule)?;
    let key = new_data_key();
    let sealed = encrypt("f", Format::Yaml, plain.as_bytes(), &metadata, &key, None);
    let by_kthw = sealed.as_ref().map_or("", String::as_str);
    let encoded = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(&*key)
    };
    let said = library.ask(&json!({ "plain": plain, "kthw": by_kthw, "key": encoded, "field": field, "rule": rule }));
    let told = |what: &str| {
        format!("{field}: {rule}: {what}\n{plain}\n--- by kthw\n{by_kthw}\n--- by sops\n{}", said["file"].as_str().unwrap_or_default())
    };
    if said["refused"].is_string() {
        return Ok(Fate::RefusedBySops);
    }
    match &sealed {
        Err(SopsError::Malformed { .. }) => return Ok(Fate::RefusedByKthw),
        Err(error) => return Err(told(&error.to_string())),
        Ok(_) => {}
    }
    if let Some(broken) = said["broken"].as_str() {
        return Err(told(&format!("sops does not open it: {broken}")));
    }
    let (plain_tree, mut tree) = (&said["plain"], said["kthw"].clone());
    let known = comments(plain_tree);
    // What sops drops of the plain text it may find again where the `sops` block follows.
    let dropped = without(&mut tree, &known);
    if tree != *plain_tree {
        return Err(told(&format!("sops reads the plain text as\n{plain_tree}\nand kthw's as\n{}", said["kthw"])));
    }
    if said["kthw_sealed"] != said["sealed"] && !dropped {
        return Err(told(&format!("sops encrypts\n{}\nand kthw\n{}", said["sealed"], said["kthw_sealed"])));
    }
    let readable = comments(&said["sealed"]);
    let read = Format::Yaml.layout().read("f", by_kthw).map_err(|error| told(&error.to_string()))?;
    for leaf in &read.leaves {
        let (What::Comment(text) | What::Stray(text)) = &leaf.what else { continue };
        if !text.is_empty() && !text.starts_with("ENC[") && !readable.contains(text.as_str()) {
            return Err(told(&format!("`#{}` is readable", text.as_str())));
        }
    }
    if said["again"] != said["plain"] {
        // sops wrote a file that it does not read back itself.
        return Ok(Fate::UnlikeInSops);
    }
    let by_sops = said["file"].as_str().unwrap_or_default();
    let opened = File::parse("f", Format::Yaml, by_sops)
        .and_then(|file| file.open(&key))
        .map_err(|error| told(&format!("kthw reads sops's: {error}")))?;
    let left = |text: &str| text.matches("ENC[AES256_GCM").count();
    let left_by_kthw = left(std::str::from_utf8(opened.plain()).unwrap_or_default());
    if left_by_kthw > 0 {
        return Err(told(&format!("{left_by_kthw} texts stay encrypted when kthw decrypts sops's")));
    }
    let own = File::parse("f", Format::Yaml, by_kthw).and_then(|file| file.open(&key)).map_err(|error| told(&error.to_string()))?;
    let values = |opened: &crate::Opened| -> Vec<(String, String)> {
        opened.values().iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    };
    if values(&own) != values(&opened) {
        return Err(told("kthw reads other values out of sops's"));
    }
    Ok(Fate::Same)
}

/// Takes comments out of a tree that are not among those; says whether there were such.
fn without(tree: &mut Value, known: &BTreeSet<String>) -> bool {
    match tree {
        Value::Array(items) => {
            let before = items.len();
            items.retain(|item| !matches!(item.as_array().map(Vec::as_slice), Some([Value::String(mark), Value::String(text)]) if mark == "#" && !known.contains(text)));
            let fewer = items.len() < before;
            items.iter_mut().fold(fewer, |dropped, item| without(item, known) || dropped)
        }
        // All of them, not only up to the first.
        Value::Object(fields) => fields.values_mut().filter_map(|value| without(value, known).then_some(())).count() > 0,
        _ => false,
    }
}

/// The comments of a tree that are readable.
fn comments(tree: &Value) -> BTreeSet<String> {
    match tree {
        Value::Array(items) => match &items[..] {
            [Value::String(mark), Value::String(text)] if mark == "#" => BTreeSet::from([text.clone()]),
            _ => items.iter().flat_map(comments).collect(),
        },
        Value::Object(fields) => fields.values().flat_map(comments).collect(),
        _ => BTreeSet::new(),
    }
}
