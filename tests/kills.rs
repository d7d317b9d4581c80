//! Real runs that die: killed at drawn moments, and a plain run right after it; paused, while another takes over, with the store in a folder and in S3.
//!
//! `KTHW_KILLS=30` kills so many (two by default), `KTHW_KILLS_SEED` draws others.
use crate::{peers_support::World, support::said};
use kthw_peers::{FAKEPVE, HOSTS, KUBERNETES, MOTO, TEST_DATA, ask};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const NODES: [(&str, &str, u32); 2] = [("cp1", "control_plane", 1), ("wp1", "worker", 2)];
const FULL: &str = "recipes/ubuntu/full.rhai";
/// The longest that a run of this world takes from nothing.
const WHOLE_RUN: Duration = Duration::from_secs(420);

struct Dice(u64);

impl Dice {
    /// A number of milliseconds below `bound`; <https://www.pcg-random.org>, the multiplier of its 64-bit generator.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Cluster {
    world: World,
    workspace: String,
}

impl Cluster {
    fn begin(&self) -> Child {
        let mut command = self.world.kthw_command(&["run", FULL, "-w", &self.workspace, "--yes"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn kthw(&self, arguments: &[&str]) -> crate::support::Said {
        self.world.kthw(&[arguments, &["-w", &self.workspace]].concat())
    }

    /// Takes machines away, as somebody else would.
    fn lose(&self, numbers: &[u32]) {
        for number in numbers {
            let vmid = 400 + number;
            if self.world.pve(&format!("len([vm for vm in pve.vms if vm.vmid == {vmid}])")) == 0 {
                continue;
            }
            self.world.behind_the_back("POST", &format!("/nodes/pve1/qemu/{vmid}/status/stop"));
            self.until(&format!("VM {vmid} to stop"), || self.world.pve(&format!("pve.find('pve1', {vmid}).status")) == "stopped");
            self.world.behind_the_back("DELETE", &format!("/nodes/pve1/qemu/{vmid}"));
            self.until(&format!("VM {vmid} to be gone"), || {
                self.world.pve(&format!("len([vm for vm in pve.vms if vm.vmid == {vmid}])")) == 0
            });
        }
    }

    fn until(&self, what: &str, so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
            sleep(Duration::from_millis(300));
        }
    }

    /// One plain run, which has to come to its end, and what has to be true after it.
    fn settles(&self, after: &str) -> Duration {
        let begun = Instant::now();
        let plain = self.kthw(&["run", FULL, "--yes"]);
        let took = begun.elapsed();
        assert_eq!(plain.code, 0, "{after}:\n{}\n{}", plain.stdout, plain.stderr);
        assert!(took < WHOLE_RUN, "{after}: the plain run took {} s", took.as_secs());
        let again = self.kthw(&["run", FULL, "--yes"]);
        assert!(again.code == 0 && again.stdout.contains("Nothing to change"), "{after}:\n{}\n{}", again.stdout, again.stderr);
        let verified = self.kthw(&["runs", "verify"]);
        assert_eq!(verified.code, 0, "{after}: {}", verified.stdout);
        for number in [401, 402] {
            assert_eq!(self.world.pve(&format!("len([vm for vm in pve.vms if vm.vmid == {number}])")), 1, "{after}: VM {number}");
        }
        // kubeadm's own token from its first phase lives for a minute; ours say whose they are.
        let tokens = self.world.inside(1, &["kubeadm", "token", "list", "-o", "json"]).ended_with(0).stdout;
        assert!(!tokens.contains("kthw: join of"), "{after}: a token was left: {tokens}");
        took
    }

    /// How many lines the journals of all runs have.
    fn lines(&self) -> usize {
        let shown = self.kthw(&["runs", "show", "--json"]);
        if shown.code == 0 { shown.stdout.lines().count() } else { 0 }
    }

    /// The last run's number.
    fn last_run(&self) -> Option<String> {
        let listed = self.kthw(&["runs", "list"]).stdout;
        Some(listed.lines().last()?.split(' ').next()?.to_owned())
    }
}

fn a_cluster() -> Cluster {
    let mut world = World::up("kills");
    world.learn(&["pve"]);
    let workspace = world.workspace("1.37.2", "containerd.io", &NODES, true);
    Cluster { world, workspace }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn whenever_a_run_is_killed_a_plain_one_right_after_it_settles() {
    let Some(_) = ask([&HOSTS, &KUBERNETES, &FAKEPVE, &TEST_DATA]) else { return };
    let (kills, seed) = (number("KTHW_KILLS", 2), number("KTHW_KILLS_SEED", u64::from(std::process::id())));
    println!("KTHW_KILLS_SEED={seed}");
    let (cluster, mut dice, mut done) = (a_cluster(), Dice(seed), 0);
    while done < kills {
        // Every fifth time everything is lost, the control plane with it.
        let whole = done % 5 == 0;
        cluster.lose(if whole { &[1, 2] } else { &[2] });
        let moment = Duration::from_millis(300 + dice.below(if whole { 75_000 } else { 35_000 }));
        let mut run = cluster.begin();
        sleep(moment);
        run.kill().unwrap();
        if run.wait().unwrap().signal() != Some(9) {
            println!("it was done before {} ms", moment.as_millis());
            cluster.settles("a run that was done");
            continue;
        }
        done += 1;
        let what = format!("kill {done} ({}) after {} ms", if whole { "everything" } else { "a worker" }, moment.as_millis());
        println!("{what}: {} lines of journal", cluster.lines());
        let took = cluster.settles(&what);
        println!("{what}: settled in {:.1} s", took.as_secs_f64());
    }
}

#[test]
fn a_paused_run_that_wakes_after_a_take_over_changes_nothing_more() {
    let Some([.., moto]) = ask([&HOSTS, &KUBERNETES, &FAKEPVE, &TEST_DATA, &MOTO]) else { return };
    let mut cluster = a_cluster();
    cluster.settles("nothing");
    for shared in [false, true] {
        let _server = shared.then(|| Bucket::serve(&mut cluster.world, &moto));
        cluster.lose(&[2]);
        let earlier = cluster.last_run();
        let paused = cluster.begin();
        cluster.until("its first effects", || cluster.last_run() != earlier && cluster.lines() >= 8);
        signal(&paused, Signal::STOP);
        let (run, before) = (cluster.last_run().unwrap(), cluster.lines());
        cluster.kthw(&["lock", "break", "--yes"]).ended_with(0);
        cluster.settles("a take-over");
        signal(&paused, Signal::CONT);
        let told = said(paused.wait_with_output().unwrap());
        assert_eq!(told.code, 5, "{}{}", told.stdout, told.stderr);
        assert!(told.stderr.contains("another run has this workspace now"), "{}", told.stderr);
        let shown = cluster.kthw(&["runs", "show", &run, "--json"]).ended_with(0).stdout;
        assert_eq!(shown.lines().count(), before + 1, "one line more, that of the take-over: {shown}");
        let settled = cluster.kthw(&["run", FULL, "--yes"]).ended_with(0);
        assert!(settled.stdout.contains("Nothing to change"), "{}", settled.stdout);
    }
}

fn signal(run: &Child, signal: Signal) {
    kill_process(Pid::from_child(run), signal).unwrap();
}

/// A bucket on a server that stands in for S3, inside the world's network.
struct Bucket(Child);

impl Bucket {
    fn serve(world: &mut World, moto: &std::path::Path) -> Self {
        let netns = world.value("NETNS").to_owned();
        let inside = |program: &std::ffi::OsStr| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &netns]).arg(program);
            command
        };
        let mut command = inside(moto.as_os_str());
        command.args(["-H", "127.0.0.1", "-p", "5000"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().unwrap());
        let begun = Instant::now();
        loop {
            let mut make = inside("curl".as_ref());
            make.args(["-sS", "--fail", "--max-time", "5", "-X", "PUT", "http://127.0.0.1:5000/kthw"]);
            if make.output().unwrap().status.success() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "moto_server does not answer");
            sleep(Duration::from_millis(200));
        }
        for (name, value) in [
            ("KTHW_STORE", "s3://kthw/team"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000"),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "not-a-key"),
            ("AWS_SECRET_ACCESS_KEY", "not-a-secret-either"),
        ] {
            world.more.insert(name.into(), value.into());
        }
        server
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
