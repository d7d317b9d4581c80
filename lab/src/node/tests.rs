//! Machines as the seam sees them: programs, blocks, kubeadm's checks.
use super::{
    boot::{Seed, provide},
    host::Host,
    work,
};
use crate::state::State;
use expect_test::{Expect, expect};
use kthw_engine::node::{Action, Block, BlockOutcome, Content, Finding, Output, Probe};

const KEY: &str = "bare/10.0.0.5";

/// A world with one Ubuntu machine.
pub(super) fn a_world() -> State {
    let mut state = State::default();
    let seed = Seed {
        name: "cu1.bevz.net".into(),
        user: "kthw".into(),
        keys: "ssh-ed25519 AAAA\n".into(),
        address: "10.0.0.5/24".into(),
        cores: 2,
        memory_mib: 4096,
        ..Seed::default()
    };
    provide(&mut state, KEY, &seed);
    state.settle();
    state
}

fn on<T>(state: &mut State, work: impl FnOnce(&mut Host) -> T) -> T {
    let mut host = Host::take(state, KEY, "cu1").unwrap();
    let answer = work(&mut host);
    state_after(host);
    answer
}

fn state_after(host: Host) {
    let took_ms = host.took_ms;
    host.state.now_ms += took_ms;
    host.put_back();
}

pub(super) fn run(state: &mut State, command: &str) -> Output {
    let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
    on(state, |host| host.run(&argv, &[]))
}

/// Runs commands one after the other and shows what each said.
fn check(state: &mut State, commands: &[&str], expected: Expect) {
    let shown = commands.iter().map(|command| {
        let output = run(state, command);
        format!("$ {command}\n{}{}[{}]\n", output.stdout, output.stderr, output.status)
    });
    expected.assert_eq(&shown.collect::<String>());
}

#[test]
fn names_and_kernel() {
    check(
        &mut a_world(),
        &[
            "hostname",
            "hostname -f",
            "sysctl -n net.ipv4.ip_forward",
            "sysctl -n net.bridge.bridge-nf-call-iptables",
            "modprobe -- br_netfilter",
            "sysctl -n net.bridge.bridge-nf-call-iptables",
            "modprobe -- nonsense",
            "cat /proc/swaps",
        ],
        expect![[r#"
            $ hostname
            cu1
            [0]
            $ hostname -f
            cu1.bevz.net
            [0]
            $ sysctl -n net.ipv4.ip_forward
            0
            [0]
            $ sysctl -n net.bridge.bridge-nf-call-iptables
            sysctl: cannot stat /proc/sys/net/bridge/bridge-nf-call-iptables: No such file or directory
            [1]
            $ modprobe -- br_netfilter
            [0]
            $ sysctl -n net.bridge.bridge-nf-call-iptables
            1
            [0]
            $ modprobe -- nonsense
            modprobe: FATAL: Module nonsense not found in directory /lib/modules/6.8.0-79-generic
            [1]
            $ cat /proc/swaps
            Filename				Type		Size		Used		Priority
            [0]
        "#]],
    );
}

#[test]
fn packages_need_lists_and_keep_holds() {
    check(
        &mut a_world(),
        &[
            "apt-get install -y socat",
            "apt-get update",
            "apt-get install -y socat",
            "apt-get install -y containerd=1.0",
            "apt-get install -y containerd=1.7.12-0ubuntu4",
            "apt-mark hold containerd",
            "apt-get install -y containerd",
            "dpkg-query -W -f=${Package}|${db:Status-Abbrev}|${Version}\\n containerd runc nothing",
        ],
        expect![[r#"
            $ apt-get install -y socat
            E: Unable to locate package socat
            [100]
            $ apt-get update
            Reading package lists...
            [0]
            $ apt-get install -y socat
            Reading package lists...
            Building dependency tree...
            Setting up socat (1.8.0.0-4build3) ...
            [0]
            $ apt-get install -y containerd=1.0
            E: Version '1.0' for 'containerd' was not found
            [100]
            $ apt-get install -y containerd=1.7.12-0ubuntu4
            Reading package lists...
            Building dependency tree...
            Setting up runc (1.2.5-0ubuntu1~24.04.1) ...
            Setting up containerd (1.7.12-0ubuntu4) ...
            [0]
            $ apt-mark hold containerd
            containerd set on hold.
            [0]
            $ apt-get install -y containerd
            E: Held packages were changed and -y was used without --allow-change-held-packages.
            [100]
            $ dpkg-query -W -f=${Package}|${db:Status-Abbrev}|${Version}\n containerd runc nothing
            containerd|hi |1.7.12-0ubuntu4
            runc|ii |1.2.5-0ubuntu1~24.04.1
            dpkg-query: no packages found matching nothing
            [1]
        "#]],
    );
}

#[test]
fn services() {
    let mut state = a_world();
    for command in ["apt-get update", "apt-get install -y containerd"] {
        run(&mut state, command);
    }
    check(
        &mut state,
        &[
            "systemctl show -p ActiveState,UnitFileState,LoadState containerd",
            "systemctl stop containerd",
            "systemctl is-active containerd",
            "systemctl show -p LoadState nothing",
            "systemctl start nothing",
        ],
        expect![[r#"
            $ systemctl show -p ActiveState,UnitFileState,LoadState containerd
            LoadState=loaded
            ActiveState=active
            UnitFileState=enabled
            [0]
            $ systemctl stop containerd
            [0]
            $ systemctl is-active containerd
            inactive
            [3]
            $ systemctl show -p LoadState nothing
            LoadState=not-found
            [0]
            $ systemctl start nothing
            Failed to start nothing.service: Unit nothing.service not found.
            [5]
        "#]],
    );
    run(&mut state, "systemctl start containerd");
    let shown = run(&mut state, "systemctl show --property=ExecMainStartTimestamp -- containerd").stdout;
    assert!(shown.starts_with("ExecMainStartTimestamp=Sat 2026-08-15 08:00:"), "{shown}");
}

/// As much of a containerd configuration as kubeadm minds.
const SYSTEMD_CGROUP: &str =
    "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc.options]\n  SystemdCgroup = true\n";

#[test]
fn kubeadm_checks_what_it_finds() {
    let mut state = a_world();
    for command in ["apt-get update", "apt-get install -y containerd conntrack"] {
        run(&mut state, command);
    }
    on(&mut state, |host| {
        host.machine.files.put("/etc/apt/sources.list.d/k8s.list", "deb https://pkgs.k8s.io/core:/stable:/v1.31/deb/ /\n", 0o644, 0)
    });
    for command in ["apt-get update", "apt-get install -y kubelet=1.31.9-1.1 kubeadm=1.31.9-1.1 kubectl=1.31.9-1.1"] {
        assert_eq!(run(&mut state, command).status, 0);
    }
    check(
        &mut state,
        &["kubelet --version", "kubeadm init"],
        expect![[r#"
        $ kubelet --version
        Kubernetes v1.31.9
        [0]
        $ kubeadm init
        [preflight] Running pre-flight checks
        error execution phase preflight: [preflight] Some fatal errors occurred:
        	[ERROR FileContent--proc-sys-net-bridge-bridge-nf-call-iptables]: /proc/sys/net/bridge/bridge-nf-call-iptables does not exist
        	[ERROR FileContent--proc-sys-net-ipv4-ip_forward]: /proc/sys/net/ipv4/ip_forward contents are not set to 1
        [preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`
        [1]
    "#]],
    );
    for command in ["modprobe br_netfilter", "sysctl -w net.ipv4.ip_forward=1"] {
        run(&mut state, command);
    }
    let early = run(&mut state, "kubeadm init");
    assert!(early.stderr.contains("disagree about the cgroup driver"), "{}", early.stderr);
    run(&mut state, "kubeadm reset -f");
    on(&mut state, |host| host.machine.files.put("/etc/containerd/config.toml", SYSTEMD_CGROUP, 0o644, 0));
    run(&mut state, "systemctl restart containerd");
    assert_eq!(run(&mut state, "kubeadm init").status, 0);
    check(
        &mut state,
        &["kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw=/readyz", "kubeadm token delete abcdef"],
        expect![[r#"
        $ kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw=/readyz
        ok[0]
        $ kubeadm token delete abcdef
        failed to delete bootstrap token "abcdef": secrets "bootstrap-token-abcdef" not found
        [1]
    "#]],
    );
}

fn write(path: &str, text: &str) -> Action {
    Action::Write { path: path.into(), content: Content::plain(text), mode: 0o644, owner: Some("kthw:adm".into()) }
}

fn block(after: &[usize], actions: Vec<Action>) -> Block {
    Block { after: after.to_vec(), guard: Vec::new(), actions, reread: vec![Probe::Line { path: "/etc/a".into(), line: "one".into() }] }
}

fn outcomes(state: &mut State, batch: &[Block]) -> String {
    let outcomes = on(state, |host| work::change(host, batch, &|_| {}, None));
    let word = |outcome: &BlockOutcome| match outcome {
        BlockOutcome::Done(findings) => format!("done {findings:?}"),
        BlockOutcome::Failed { action, output } => format!("failed {action}: {}", output.stderr.trim()),
        BlockOutcome::Skipped => "skipped".into(),
        BlockOutcome::Moved(findings) => format!("moved {findings:?}"),
    };
    outcomes.iter().map(word).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_block_waits_for_the_ones_before_it() {
    let batch = [
        block(&[], vec![write("/nowhere/a", "x")]),
        block(&[0], vec![write("/etc/b", "never")]),
        block(&[], vec![Action::AppendLine { path: "/etc/a".into(), line: "one".into() }]),
        block(&[2], vec![Action::run(["true"]), Action::run(["false"])]),
    ];
    let mut state = a_world();
    assert_eq!(
        outcomes(&mut state, &batch),
        "failed 0: cannot create /nowhere/a: Directory nonexistent\nskipped\ndone [Line(true)]\nfailed 1: "
    );
    assert!(!state.machines[KEY].files.exists("/etc/b"));
}

#[test]
fn a_node_that_moved_is_left_alone() {
    let mut state = a_world();
    let probe = Probe::path("/etc/hosts");
    let seen = on(&mut state, |host| work::look(host, &probe));
    let guarded = |seen: &Finding| [Block { guard: vec![(probe.clone(), seen.clone())], ..block(&[], vec![write("/etc/a", "one")]) }];
    on(&mut state, |host| host.machine.files.get_mut("/etc/hosts").unwrap().mode = 0o600);
    assert_eq!(outcomes(&mut state, &guarded(&seen)), "moved [Line(false)]");
    let seen = on(&mut state, |host| work::look(host, &probe));
    assert_eq!(outcomes(&mut state, &guarded(&seen)), "done [Line(true)]");
    let entry = state.machines[KEY].files.get("/etc/a").unwrap();
    assert_eq!((entry.owner.as_str(), entry.group.as_str()), ("kthw", "adm"));
}
