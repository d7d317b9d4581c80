//! Secrets on a real node: sshd and everything below it are watched while they are written, and fail, and say them back.
#![allow(clippy::unwrap_used)]
use kthw_engine::{
    Change, Evaluated, Field, Id, Peers, Permit, Recipe, Report, Resource, Rhai, RunOptions, Secret, Source, SystemClock, declare,
    evaluate, plan, run, silent,
};
use kthw_peers::{SSH_KEYGEN, SSHD, ask, make_key, start_sshd};
use kthw_stdlib::{
    Dynamic, script_engine,
    sops::Secrets,
    ssh::{KnownHosts, SshNodes, Starts},
    workspace::{Cluster, Ssh, Workspace},
};
use rhai::NativeCallContext;
use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpListener},
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// Stands for `ssh::node`, which would rename this machine.
#[derive(Debug)]
struct Opened;

impl Resource for Opened {
    type Live = ();
    fn id(&self) -> Id {
        Id::new("ssh.node", "cu1")
    }
    async fn read(&self, _: &Peers) -> kthw_engine::Result<Option<()>> {
        Ok(Some(()))
    }
    fn diff(&self, live: Option<&()>) -> Change {
        live.map_or_else(|| Change::create([Field::new("x", "y")]), |()| Change::None)
    }
    async fn apply(&self, _: Option<()>, _: &Peers, _: &Permit) -> kthw_engine::Result<()> {
        Ok(())
    }
}

/// A server whose every command is written down as it arrives, and whose processes are looked at all the time.
struct World {
    folder: tempfile::TempDir,
    workspace: Arc<Workspace>,
    server: Child,
    /// Command lines and environments that processes of this machine had, of those that know of our folder.
    seen: Arc<Mutex<Vec<u8>>>,
    ends: Arc<AtomicBool>,
    watcher: Option<std::thread::JoinHandle<()>>,
}

impl World {
    /// `None`, said aloud, where there is no sshd.
    #[track_caller]
    fn start(address: &str) -> Option<Self> {
        let [sshd, ssh_keygen] = ask([&SSHD, &SSH_KEYGEN])?;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            make_key(&ssh_keygen, &at(key), "ed25519", "");
        }
        fs::create_dir(at("made")).unwrap();
        let recorder = format!(
            "printf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >>{0}/commands\nenv >>{0}/commands\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
            folder.path().display()
        );
        fs::write(at("recorder"), recorder).unwrap();
        let address: Ipv4Addr = address.parse().unwrap();
        let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let more =
            format!("AuthorizedKeysFile {0}/user.pub\nLogLevel DEBUG3\nForceCommand /bin/sh {0}/recorder\n", folder.path().display());
        let server = start_sshd(&sshd, folder.path(), (address, port).into(), &more);
        let mut workspace: Workspace = serde_saphyr::from_str(include_str!("../../workspaces/ubuntu/workspace.yaml")).unwrap();
        workspace.nodes.truncate(1);
        workspace.nodes[0].address = address;
        workspace.ssh = Ssh { user: "root".into(), port, key_file: Some(at("user").display().to_string()), ..Ssh::default() };
        let (seen, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let watcher = watch(folder.path().display().to_string(), seen.clone(), ends.clone());
        Some(Self { folder, workspace: Arc::new(workspace), server, seen, ends, watcher: Some(watcher) })
    }

    fn run(&self, secrets: &[(String, String)], script: &str) -> Report {
        let mut engine = script_engine();
        engine.register_fn("opened", |cx: NativeCallContext| -> Rhai<Id> { declare(&cx, Opened, vec![]) });
        let made = self.folder.path().join("made").display().to_string();
        let text = format!(
            "const VERSION = \"1.0.0\";\nfn declare(cluster) {{\nlet made = {made:?};\nlet n = cluster.nodes[0];\nopened();\n{script}\n}}\n"
        );
        let recipe = Recipe::parse(&engine, Source { name: "test".into(), path: "test.rhai".into(), text }).unwrap();
        let cluster = Cluster::new(self.workspace.clone()).unwrap();
        let evaluated: Vec<Evaluated> = vec![evaluate(&engine, &recipe, Dynamic::from(cluster)).unwrap()];
        let known = KnownHosts::open(self.folder.path().join("known_hosts")).unwrap();
        let key = fs::read_to_string(self.folder.path().join("host.pub")).unwrap();
        known.learn_vouched(self.workspace.nodes[0].address.into(), self.workspace.ssh.port, &key).unwrap();
        let nodes = Arc::new(SshNodes::new(self.workspace.clone(), known));
        let values = secrets.iter().map(|(name, value)| (name.clone(), Secret::new(value)));
        let peers =
            Peers::new(nodes, Arc::new(SystemClock::default())).with(Secrets::from_values("secrets", values)).with(Starts::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let plan = plan(&evaluated, &peers, &silent()).await.unwrap();
            run(plan, &peers, &silent(), &RunOptions::default()).await
        })
    }

    /// Everything that the node's side keeps or shows to others: commands and environments, processes, the server's most talkative log.
    fn outside(&self) -> String {
        let read = |name: &str| String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap_or_default()).into_owned();
        format!("{}\n{}\n{}", read("commands"), read("log"), String::from_utf8_lossy(&self.seen.lock().unwrap()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.watcher.take().map(std::thread::JoinHandle::join);
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Reads `/proc/*/cmdline` and `/proc/*/environ` round and round.
fn watch(folder: String, seen: Arc<Mutex<Vec<u8>>>, ends: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut known = std::collections::HashSet::new();
        while !ends.load(Ordering::Relaxed) {
            for process in
                fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
            {
                let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
                if !line.windows(folder.len()).any(|window| window == folder.as_bytes()) || !known.insert(line.clone()) {
                    continue;
                }
                let environment = fs::read(process.path().join("environ")).unwrap_or_default();
                seen.lock().unwrap().extend([&line[..], b"\n", &environment, b"\n"].concat());
            }
        }
    })
}

/// A random word and secrets around it, of the shapes that break quoting.
fn secrets() -> Vec<(String, String, String)> {
    let core = || {
        let mut random = [0_u8; 12];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        random.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let shapes: [fn(&str) -> String; 8] = [
        |core| core.to_owned(),
        |core| format!("$(echo {core})'\"`id` \\"),
        |core| format!("-----BEGIN KEY-----\n{core}{core}\n-----END KEY-----\n"),
        |core| format!("größe {core} ☃"),
        |core| format!("{{\"a\": \"{core}\"}}"),
        |core| format!("%s%n{core}%20"),
        |core| format!("a={core}\n"),
        |core| core.repeat(4000),
    ];
    (0..16)
        .map(|number| {
            let core = core();
            (format!("s{number}"), shapes[number % 8](&core), core)
        })
        .collect()
}

#[test]
fn secrets_reach_a_real_node_by_standard_input_alone() {
    let Some(world) = World::start("127.0.0.64") else { return };
    let canaries = secrets();
    let values: Vec<(String, String)> = canaries.iter().map(|(name, value, _)| (name.clone(), value.clone())).collect();
    let files: String = canaries
        .iter()
        .map(|(name, ..)| format!("ssh::file(n, `${{made}}/{name}`, #{{ content: sops::secret(\"{name}\"), mode: \"0600\" }});\n"))
        .collect();
    let report = world.run(&values, &files);
    assert_eq!((report.changed(), report.failures.len()), (16, 0), "{:?}", report.failures);
    for (name, value, _) in &canaries {
        assert_eq!(fs::read_to_string(world.folder.path().join("made").join(name)).unwrap(), *value);
    }
    assert_eq!(world.run(&values, &files).changed(), 0);

    // Failing: a folder that is not there, and programs that say what they know.
    let failing = [
        r#"ssh::file(n, `${made}/none/x`, #{ content: sops::secret("s1") });"#,
        r#"ssh::script(n, "say", #{ check: "false", apply: `cat '${made}'/s* >&2; exit 3` });"#,
        r#"ssh::command(n, "say too", #{
            run: ["sh", "-c", `cd '${made}'; for f in s*; do base64 -w0 <$f; echo; done; exit 3`], creates: "/nonexistent"
        });"#,
    ];
    let mut shown = String::new();
    for failing in failing {
        let report = world.run(&values, &format!("{files}{failing}"));
        assert_eq!(report.failures.len(), 1, "{:?}", report.outcomes);
        for (id, error) in &report.failures {
            shown.push_str(&format!("{id} {error} {error:?} {:?}\n", error.diagnostic().help().map(|help| help.to_string())));
        }
    }
    assert!(shown.contains("<secret>"), "the node said nothing back:\n{shown}");
    let outside = world.outside();
    assert!(outside.contains("/recorder") && outside.contains("ended"), "nothing was recorded");
    for (name, value, core) in &canaries {
        use sha2::Digest;
        let digest = hex::encode(sha2::Sha256::digest(value));
        for (what, text) in [("an error", &shown), ("the node's side", &outside)] {
            assert!(!text.contains(core.as_str()), "{name} is in {what}");
            assert!(!text.contains(&digest), "the digest of {name} is in {what}");
        }
    }
    // The net holds: a command line with a word in it is seen.
    world.run(&values, "ssh::command(n, \"seen\", #{ run: [\"echo\", \"swordfish\"], creates: \"/nonexistent\" });");
    assert!(world.outside().contains("swordfish"));
}
