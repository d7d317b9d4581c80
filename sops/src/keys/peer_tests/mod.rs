//! The services against the real programs: sops, gpg, age, ssh-keygen, moto_server for AWS, and Vault. Each test makes its own folder and keys.
//! Nothing is sent to any address but 127.0.0.1.
mod age;
mod groups;
mod kms;
pub(crate) mod moto;
pub(crate) mod pgp;
mod plugin;
pub(crate) mod vault;

use super::{super::*, tests::metadata, *};
use kthw_peers::{AGE, GPG, MOTO, PYTHON, SOPS, SSH_KEYGEN, ask};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const PLAIN: &str = "a: secret ü\nlist: [1, x]\n";

/// A person's home with keys, and the environment in which both programs look for them.
pub(crate) struct Home {
    folder: TempDir,
    pub variables: Vec<(String, OsString)>,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Self { folder, variables: Vec::new() };
        let (path, gnupg) = (home.path().to_owned(), home.path().join("gnupg"));
        let home = home.with("HOME", path).with("GNUPGHOME", gnupg).with("AWS_EC2_METADATA_DISABLED", "true");
        // What a program would send elsewhere than to 127.0.0.1, name lookups included, ends at a port where nobody listens.
        home.with("HTTP_PROXY", "http://127.0.0.1:9").with("HTTPS_PROXY", "http://127.0.0.1:9").with("NO_PROXY", "127.0.0.1")
    }

    /// With a variable set, or set otherwise.
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.retain(|known| known.0 != name);
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Without these variables.
    fn without(&self, names: &[&str]) -> Vec<(String, OsString)> {
        self.variables.iter().filter(|known| !names.contains(&known.0.as_str())).cloned().collect()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn services(&self) -> KeyServices {
        services(self.variables.clone())
    }

    /// Runs a program in this home with these variables and no others but the search path.
    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        self.run_with(&self.variables, program, arguments)
    }

    fn run_with(&self, variables: &[(String, OsString)], program: &Path, arguments: &[&str]) -> Output {
        let variables = variables.iter().map(|(name, value)| (name, value));
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("SOPS_DISABLE_VERSION_CHECK", "1");
        command.envs(variables).current_dir(self.path()).args(arguments).output().expect("it runs")
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder is ours");
        fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// What sops makes of [`PLAIN`] with these arguments.
    fn sops_encrypts(&self, sops: &Path, arguments: &[&str]) -> String {
        let plain = self.write("plain.yaml", PLAIN);
        let arguments: Vec<&str> = arguments.iter().copied().chain([plain.to_str().expect("UTF-8")]).collect();
        text(self.run(sops, &arguments))
    }

    /// What sops reads in a file with these variables; `None` when it refuses.
    fn sops_decrypts(&self, sops: &Path, encrypted: &str, variables: &[(String, OsString)]) -> Option<String> {
        let file = self.write("ours.yaml", encrypted);
        let output = self.run_with(variables, sops, &["decrypt", file.to_str().expect("UTF-8")]);
        // Shown when the test fails.
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        output.status.success().then(|| String::from_utf8(output.stdout).expect("sops writes text"))
    }
}

fn services(variables: Vec<(String, OsString)>) -> KeyServices {
    KeyServices::new(move |name| variables.iter().find(|known| known.0 == name).map(|known| known.1.clone()))
}

#[track_caller]
fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it writes text")
}

/// [`PLAIN`] encrypted by us.
fn encrypted_to(services: &KeyServices, groups: &[Vec<Recipient>], threshold: Option<usize>) -> String {
    let groups = groups.iter().map(|group| group.iter().cloned().map(MasterKey::to).collect()).collect();
    let key = new_data_key();
    let mut metadata = metadata(groups, threshold);
    services.seal_to("ours.yaml", &mut metadata.groups, threshold, &key).expect("all recipients are reached");
    encrypt("ours.yaml", Format::Yaml, PLAIN.as_bytes(), &metadata, &key, None).expect("the text is YAML")
}

/// The first value of [`PLAIN`] in an encrypted file.
fn opened(services: &KeyServices, encrypted: &str) -> Result<String, SopsError> {
    let file = File::parse("theirs.yaml", Format::Yaml, encrypted)?;
    let opened = file.open(&services.data_key("theirs.yaml", file.metadata())?)?;
    Ok(opened.values()[0].1.expose().to_owned())
}

/// sops seals and kthw opens; kthw seals and sops opens.
#[track_caller]
fn both_ways(home: &Home, sops: &Path, arguments: &[&str], recipients: &[Recipient]) {
    let theirs = home.sops_encrypts(sops, arguments);
    assert_eq!(opened(&home.services(), &theirs).expect("kthw opens what sops sealed"), "secret ü");
    let ours = encrypted_to(&home.services(), &[recipients.to_vec()], None);
    let decrypted = home.sops_decrypts(sops, &ours, &home.variables).expect("sops opens what kthw sealed");
    assert!(decrypted.contains("secret ü"), "{decrypted}");
}
