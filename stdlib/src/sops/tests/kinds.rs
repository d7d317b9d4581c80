//! The kinds of keys of the matrix, made on the spot: age, SSH, PGP in a throw-away home, AWS KMS of a moto server, groups of them.
use super::super::{Group, MasterKey, Metadata, Recipient, Rules};
use super::{ENCRYPTED, KEY};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A kind of key.
pub(super) struct Kind {
    pub name: &'static str,
    /// The creation rule for sops.
    pub creation: Value,
    /// What both programs need to open and seal.
    pub variables: BTreeMap<String, OsString>,
    groups: Vec<Group>,
    threshold: Option<usize>,
}

impl Kind {
    /// The block of a file that kthw encrypts.
    pub fn metadata(&self, rules: Rules, mac_only_encrypted: bool) -> Metadata {
        Metadata::new(self.groups.clone(), self.threshold, rules, mac_only_encrypted)
    }
}

/// All kinds; what they need runs until this is dropped.
pub(super) struct Kinds {
    /// age is the first.
    pub all: Vec<Kind>,
    moto: Child,
    gnupg: OsString,
}

impl Drop for Kinds {
    fn drop(&mut self) {
        let _ = self.moto.kill();
        let _ = self.moto.wait();
        let _ = Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", &self.gnupg).status();
    }
}

impl Kinds {
    pub fn start(folder: &Path) -> Self {
        let mut variables: BTreeMap<String, OsString> = BTreeMap::new();
        let mut set = |name: &str, value: OsString| variables.insert(name.into(), value);
        set("SOPS_AGE_KEY", KEY.into());
        let age = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it").to_owned();

        let key = folder.join("id_ed25519");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().expect("ssh-keygen runs");
        assert!(made.success());
        let ssh = fs::read_to_string(key.with_extension("pub")).expect("ssh-keygen wrote it").trim().to_owned();
        set("SOPS_AGE_SSH_PRIVATE_KEY_FILE", key.into());

        let gnupg = folder.join("gnupg");
        fs::create_dir(&gnupg).expect("the folder is ours");
        set("GNUPGHOME", gnupg.clone().into());
        let pgp = pgp_key(&gnupg);

        let (moto, endpoint) = moto(folder);
        let arn = kms_key(&endpoint);
        set("AWS_ENDPOINT_URL", format!("http://{endpoint}").into());
        for (name, value) in
            [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "eu-central-1"), ("AWS_EC2_METADATA_DISABLED", "true")]
        {
            set(name, value.into());
        }

        let context = BTreeMap::from([("Role".to_owned(), "kthw".to_owned())]);
        let kms = |context| Recipient::AwsKms { arn: arn.clone(), role: None, context, profile: None };
        let [age, ssh, pgp, kms, kms_with_context] = [
            (json!({ "age": [age] }), Recipient::Age(age.clone())),
            (json!({ "age": [ssh] }), Recipient::Age(ssh.clone())),
            (json!({ "pgp": [pgp] }), Recipient::Pgp(pgp.clone())),
            (json!({ "kms": [{ "arn": arn }] }), kms(BTreeMap::new())),
            (json!({ "kms": [{ "arn": arn, "context": context }] }), kms(context.clone())),
        ];
        let kind = |name, groups: &[&[&(Value, Recipient)]], threshold: Option<usize>| {
            let key_groups: Vec<Value> = groups.iter().map(|group| merged(group.iter().map(|key| &key.0))).collect();
            let mut creation = json!({ "key_groups": key_groups });
            if let Some(threshold) = threshold {
                creation["shamir_threshold"] = threshold.into();
            }
            let groups = groups.iter().map(|group| group.iter().map(|key| MasterKey::to(key.1.clone())).collect()).collect();
            Kind { name, creation, variables: variables.clone(), groups, threshold }
        };
        let all = vec![
            kind("age", &[&[&age]], None),
            kind("ssh-ed25519", &[&[&ssh]], None),
            kind("pgp", &[&[&pgp]], None),
            kind("aws kms", &[&[&kms]], None),
            kind("aws kms with context", &[&[&kms_with_context]], None),
            kind("one group of all", &[&[&age, &ssh, &pgp, &kms]], None),
            kind("groups (2 of 3)", &[&[&age], &[&pgp, &ssh], &[&kms]], Some(2)),
            kind("groups (all of 2)", &[&[&ssh], &[&kms_with_context]], None),
        ];
        Self { all, moto, gnupg: gnupg.into() }
    }
}

/// The lists of several keys as one group.
fn merged<'a>(keys: impl Iterator<Item = &'a Value>) -> Value {
    let mut group = serde_json::Map::new();
    for (name, list) in keys.filter_map(Value::as_object).flatten() {
        let known = group.entry(name).or_insert_with(|| json!([]));
        if let (Value::Array(known), Value::Array(list)) = (known, list) {
            known.extend(list.iter().cloned());
        }
    }
    Value::Object(group)
}

/// A new key without a passphrase; its fingerprint.
fn pgp_key(home: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(home, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    let gpg = |arguments: &[&str]| {
        let output = Command::new("gpg").env("GNUPGHOME", home).args(["--batch", "--quiet", "--passphrase", ""]).args(arguments).output().expect("gpg runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    gpg(&["--quick-generate-key", "kthw <kthw@example.test>", "future-default", "default", "never"]);
    let list = gpg(&["--list-keys", "--with-colons"]);
    list.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).expect("gpg lists it").trim_end_matches(':').to_owned()
}

/// A moto server and where it listens.
fn moto(folder: &Path) -> (Child, String) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let log = || fs::File::options().append(true).create(true).open(folder.join("moto.log")).expect("the folder is ours");
    let program = std::env::var_os("KTHW_MOTO").unwrap_or_else(|| "moto_server".into());
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdin(Stdio::null()).stdout(log()).stderr(log());
    let child = command.spawn().expect("moto_server runs: `pip install moto[server,kms]`, and name it in KTHW_MOTO");
    let endpoint = format!("127.0.0.1:{port}");
    for _ in 0..300 {
        if TcpStream::connect(&endpoint).is_ok() {
            return (child, endpoint);
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("moto_server did not listen within 30 seconds: {}", fs::read_to_string(folder.join("moto.log")).unwrap_or_default());
}

/// A new key of KMS; its ARN.
fn kms_key(endpoint: &str) -> String {
    let mut stream = TcpStream::connect(endpoint).expect("moto listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes it");
    let credential = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=0";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {endpoint}\r\nX-Amz-Target: TrentService.CreateKey\r\nAuthorization: {credential}\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).expect("moto reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("moto answers");
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    let body: Value = serde_json::from_str(body.trim()).unwrap_or_else(|_| panic!("moto answers with JSON: {answer}"));
    body["KeyMetadata"]["Arn"].as_str().expect("the key has a name").to_owned()
}
