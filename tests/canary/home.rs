//! A place with a workspace, an encrypted file of canaries and recipes, in which the real binary is called.
use super::{scan::Scanner, values::Canary};
use crate::support::{Said, Sandbox, root, said};
use kthw_sops::{Format, KeyServices, MasterKey, Metadata, Recipient, Rules, encrypt, new_data_key};
use std::path::PathBuf;

const AGE_KEY: &str = include_str!("../../sops/src/fixtures/age-key.txt");

/// The sandbox, and who looks at what comes out of it.
pub struct Home<'a> {
    pub sandbox: Sandbox,
    pub scanner: &'a Scanner,
}

impl<'a> Home<'a> {
    /// A workspace like `like` (a folder of the project), whose secrets file holds all canaries and these `more` values.
    pub fn new(scanner: &'a Scanner, like: &str, canaries: &[Canary], more: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new();
        for folder in ["workspace", "recipes"] {
            std::fs::create_dir(sandbox.path().join(folder)).unwrap();
        }
        // With its own domain: the shipped one is refused for real machines.
        let text = std::fs::read_to_string(root().join(like).join("workspace.yaml")).unwrap();
        std::fs::write(sandbox.path().join("workspace/workspace.yaml"), text.replace("domain: bevz.net", "domain: home.example")).unwrap();
        let home = Self { sandbox, scanner };
        home.encrypt(canaries, more);
        home
    }

    /// Writes the secrets file anew.
    pub fn encrypt(&self, canaries: &[Canary], more: &[(&str, &str)]) {
        let mut plain = serde_json::Map::new();
        let values = canaries.iter().map(|canary| (canary.name.as_str(), canary.value.as_str()));
        for (name, value) in values.chain(more.iter().copied()) {
            let (group, key) = name.split_once('.').unwrap();
            let group = plain.entry(group).or_insert_with(|| serde_json::json!({}));
            group[key] = value.into();
        }
        let recipient = AGE_KEY.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
        let key = new_data_key();
        let mut groups = vec![vec![MasterKey::to(Recipient::Age(recipient.into()))]];
        KeyServices::new(|_| None).seal_to("secrets", &mut groups, None, &key).unwrap();
        let metadata = Metadata::new(groups, None, Rules::default(), false);
        // JSON is YAML, and its strings hold every character.
        let plain = serde_json::to_vec_pretty(&plain).unwrap();
        let text = encrypt("secrets.sops.yaml", Format::Yaml, &plain, &metadata, &key, None).unwrap();
        std::fs::write(self.secrets(), text).unwrap();
    }

    pub fn secrets(&self) -> PathBuf {
        self.sandbox.path().join("workspace/secrets.sops.yaml")
    }

    /// Writes a recipe and returns its path.
    pub fn recipe(&self, name: &str, declare: &str) -> String {
        let path = self.sandbox.path().join(format!("recipes/{name}.rhai"));
        std::fs::write(&path, format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{declare}\n}}\n")).unwrap();
        path.display().to_string()
    }

    /// Calls kthw with the key to the secrets, as talkative as it gets, and looks at everything that came out.
    #[track_caller]
    pub fn kthw(&self, arguments: &[&str]) -> Said {
        let mut command = self.sandbox.command(arguments);
        command.env("SOPS_AGE_KEY", AGE_KEY.lines().last().unwrap());
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").env("NO_PROXY", "*");
        let said = said(command.output().unwrap());
        let call = arguments.join(" ");
        self.scanner.clean(&format!("stdout of `{call}`"), &said.stdout);
        self.scanner.clean(&format!("stderr of `{call}`"), &said.stderr);
        assert!(!said.stderr.contains("panicked") && !said.stderr.contains("mistake in kthw"), "`{call}`: {}", said.stderr);
        said
    }

    /// The workspace's path.
    pub fn workspace(&self) -> String {
        self.sandbox.path().join("workspace").display().to_string()
    }

    /// Looks at everything that was written: the store, the workspace with its encrypted file, the recipes.
    #[track_caller]
    pub fn clean(&self) {
        self.scanner.clean_folder("a file", self.sandbox.path());
    }
}
