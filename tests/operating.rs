//! docs/operating.md, kind of death by kind of death: each is brought about, and then the page's commands are run.
use crate::support::{Said, Sandbox, root, said};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const FULL: &str = "recipes/ubuntu/full.rhai";

/// The commands of the page that a kind of death calls for, block by block.
fn blocks(kind: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let begins = format!("<!-- test: {kind} -->\n```sh\n");
    let found: Vec<Vec<String>> =
        page.split(&begins).skip(1).map(|rest| rest.split("```").next().unwrap().lines().map(str::to_owned).collect()).collect();
    assert!(!found.is_empty(), "the page has nothing for {kind}");
    found
}

/// Runs one line of the page.
fn run(sandbox: &Sandbox, line: &str) -> Said {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "kthw");
    sandbox.kthw(&words[1..])
}

fn runs_folder(sandbox: &Sandbox) -> PathBuf {
    sandbox.path().join("store/ubuntu/lab/runs")
}

/// The last journal.
fn journal(sandbox: &Sandbox) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(runs_folder(sandbox)).ok()?.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.pop()
}

fn lines(sandbox: &Sandbox) -> usize {
    journal(sandbox).and_then(|file| fs::read_to_string(file).ok()).map_or(0, |text| text.lines().count())
}

/// A run in slowed time that has had some effects and goes on, among them the copy of a template, which takes 15 s of the lab's time.
fn under_way(sandbox: &Sandbox) -> Child {
    at_speed("30", sandbox)
}

fn at_speed(speed: &str, sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["run", FULL, "--lab", "--speed", speed, "--yes"]);
    let run = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while lines(sandbox) < 12 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the run does not begin");
        sleep(Duration::from_millis(20));
    }
    run
}

/// A run that was killed while it was under way.
fn killed(sandbox: &Sandbox) {
    let mut run = under_way(sandbox);
    run.kill().unwrap();
    assert_eq!(run.wait().unwrap().signal(), Some(9));
}

fn signal(run: &Child, signal: Signal) {
    kill_process(Pid::from_child(run), signal).unwrap();
}

fn ended(run: Child) -> Said {
    said(run.wait_with_output().unwrap())
}

fn settled(sandbox: &Sandbox) {
    let again = sandbox.kthw(&["run", FULL, "--lab", "--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    let verified = sandbox.kthw(&["runs", "verify", "-w", "ubuntu", "--lab"]).ended_with(0);
    assert!(verified.stdout.contains("as they were written"), "{}", verified.stdout);
    assert!(sandbox.kthw(&["lock", "show", "-w", "ubuntu", "--lab"]).ended_with(0).stdout.contains("Nobody has the lock"));
}

#[test]
fn a_run_that_is_told_to_stop_ends_what_is_under_way_and_lists_what_is_left() {
    for asked in [Signal::INT, Signal::TERM] {
        let sandbox = Sandbox::new();
        let run_one = under_way(&sandbox);
        signal(&run_one, asked);
        let told = ended(run_one).ended_with(1);
        assert!(told.stderr.contains("Stopping after what is under way"), "{}", told.stderr);
        assert!(told.stdout.contains("Skipped, because the run was asked to stop") && told.stdout.contains("Not done:"), "{}", told.stdout);
        let shown = sandbox.kthw(&["runs", "show", "-w", "ubuntu", "--lab"]).ended_with(0).stdout;
        assert!(shown.contains("told to stop") && !shown.contains("open "), "{shown}");
        for line in blocks("stopped").concat() {
            run(&sandbox, &line).ended_with(0);
        }
        settled(&sandbox);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let sandbox = Sandbox::new();
    // So slow that what is under way is not over before the second one comes.
    let run = at_speed("8", &sandbox);
    signal(&run, Signal::INT);
    sleep(Duration::from_millis(300));
    signal(&run, Signal::INT);
    assert_eq!(ended(run).code, 130);
    sandbox.kthw(&["run", FULL, "--lab", "--yes"]).ended_with(0);
    settled(&sandbox);
}

#[test]
fn after_a_kill_the_next_run_goes_on_at_once() {
    let sandbox = Sandbox::new();
    killed(&sandbox);
    let dry = sandbox.kthw(&["run", FULL, "--lab", "--dry-run"]).ended_with(0);
    assert!(dry.stderr.contains("A run settles it first."), "{}", dry.stderr);
    let [show, again, list, last] = &blocks("killed").concat()[..] else { panic!("the page has other commands") };
    let told = run(&sandbox, show).ended_with(0).stdout;
    assert!(told.contains("that process has ended, so the next run takes over at once"), "{told}");
    let told = run(&sandbox, again).ended_with(0);
    assert!(told.stderr.contains("left by run ") && told.stdout.contains("Done:"), "{}{}", told.stderr, told.stdout);
    let told = run(&sandbox, list).ended_with(0).stdout;
    assert!(told.lines().count() == 2 && told.lines().next().unwrap().contains("taken over by run"), "{told}");
    let told = run(&sandbox, last).ended_with(0).stdout;
    assert!(told.contains("settled   effect"), "{told}");
    settled(&sandbox);
}

#[test]
fn a_paused_run_whose_lock_was_broken_changes_nothing_more() {
    let sandbox = Sandbox::new();
    let paused = under_way(&sandbox);
    signal(&paused, Signal::STOP);
    let [show, breaks, again] = &blocks("paused").concat()[..] else { panic!("the page has other commands") };
    assert!(run(&sandbox, show).ended_with(0).stdout.contains("is locked by"));
    run(&sandbox, breaks).ended_with(0);
    let before = fs::read(journal(&sandbox).unwrap()).unwrap();
    let log = journal(&sandbox).unwrap();
    run(&sandbox, again).ended_with(0);
    signal(&paused, Signal::CONT);
    let told = ended(paused).ended_with(5);
    assert!(told.stderr.contains("another run has this workspace now"), "{}", told.stderr);
    assert_eq!(fs::read(log).unwrap(), before, "it wrote into its journal");
    settled(&sandbox);
}

#[test]
fn without_its_store_a_cluster_is_adopted_again() {
    let sandbox = Sandbox::new();
    sandbox.kthw(&["run", FULL, "--lab", "--yes"]).ended_with(0);
    let store = sandbox.path().join("store/ubuntu");
    let (pins, world) = (store.join("lab-known_hosts"), store.join("lab.json"));
    let kept = fs::read_to_string(&pins).unwrap();
    fs::remove_file(&pins).unwrap();
    fs::remove_dir_all(store.join("lab")).unwrap();
    assert!(world.exists(), "the world is not what was lost");
    let [rebuild, again] = &blocks("lost").concat()[..] else { panic!("the page has other commands") };
    run(&sandbox, rebuild).ended_with(0);
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&fs::read_to_string(&pins).unwrap()), sorted(&kept));
    assert!(run(&sandbox, again).ended_with(0).stdout.contains("Nothing to change"));
    settled(&sandbox);
}

#[test]
fn a_damaged_journal_is_named_and_put_aside() {
    let sandbox = Sandbox::new();
    killed(&sandbox);
    let file = journal(&sandbox).unwrap();
    fs::write(&file, fs::read_to_string(&file).unwrap().replacen("\"effect\":2,", "\"effect\":7,", 1)).unwrap();
    let refused = sandbox.kthw(&["run", FULL, "--lab", "--yes"]).ended_with(2);
    assert!(refused.stderr.contains("is damaged at line ") && refused.stderr.contains("kthw runs set-aside"), "{}", refused.stderr);
    let [verify, then] = &blocks("damaged")[..] else { panic!("the page has other blocks") };
    let told = run(&sandbox, &verify[0]).ended_with(1).stdout;
    let number = told.strip_prefix("run ").unwrap().split([',', ':']).next().unwrap().to_owned();
    assert!(told.contains(", line "), "{told}");
    for line in then {
        run(&sandbox, &line.replace("RUN", &number)).ended_with(0);
    }
    settled(&sandbox);
}
