//! The compiled scripts, run by this machine's own `/bin/sh` and understood again.
use super::{change_script::NOTICES, *};
use kthw_engine::node::{Action, Block, BlockOutcome, Content, Finding, Output, PathKind, Probe};
use sha2::Digest as _;
use std::{
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

fn sh(command: &str, stdin: &[u8]) -> Vec<u8> {
    let mut child = Command::new("/bin/sh").arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || drop(input.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

fn read(probes: &[Probe]) -> Vec<Finding> {
    let mark = Separator::random().unwrap();
    let query = Query::new(probes);
    let answer = sh(&Privilege::Root.command(&query.script(&mark)), b"");
    let sections = super::answer::Sections::split(&answer, &mark).unwrap();
    query.understand(&sections).unwrap()
}

fn change(blocks: &[Block]) -> Vec<BlockOutcome> {
    let mark = Separator::random().unwrap();
    let batch = ChangeScript::of_blocks(blocks, &mark, Privilege::Root, None);
    let answer = sh(&batch.command, batch.stdin.as_ref().map_or(b"", |stdin| stdin.as_slice()));
    match ChangeScript::understand(blocks, &answer, &mark).unwrap() {
        ScriptEnd::Blocks(outcomes) => outcomes,
        not_done => panic!("{not_done:?}"),
    }
}

fn act(action: &Action) -> Output {
    let mark = Separator::random().unwrap();
    let batch = ChangeScript::of_action(action, &mark, Privilege::Root, None);
    let answer = sh(&batch.command, batch.stdin.as_ref().map_or(b"", |stdin| stdin.as_slice()));
    ChangeScript::understand_action(&answer, &mark).unwrap().unwrap()
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Action {
    Action::Write { path: text(path), content: Content::plain(content), mode: 0o644, owner: None }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn block(actions: Vec<Action>) -> Block {
    Block { after: vec![], guard: vec![], actions, reread: vec![] }
}

/// Names that a careless script would stumble over.
const NAMES: &[&str] = &[
    "plain",
    "with space",
    "it's",
    "dollar $HOME",
    "star *",
    "quote \"x\"",
    "ünïcode – ✓",
    "-dash",
    "semi;colon",
    "a:b",
    "`id`",
    "$(id)",
    "%s%d",
    "#hash",
    "!bang",
    "~",
    "&",
    "|",
    ">out",
];

#[test]
fn every_name_is_found_with_its_kind_mode_and_content() {
    let folder = tempfile::tempdir().unwrap();
    let mut probes = Vec::new();
    for (position, name) in NAMES.iter().enumerate() {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("content of {name}\n{position}")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let expect = if position % 2 == 0 { sha256(format!("content of {name}\n{position}")) } else { sha256("else") };
        probes.push(Probe::Path { path: text(&path), expect: Some(expect) });
    }
    for ((position, name), finding) in NAMES.iter().enumerate().zip(read(&probes)) {
        let Finding::Path(Some(state)) = finding else { panic!("{name} was not found") };
        let content = format!("content of {name}\n{position}");
        assert_eq!((state.kind, state.mode, state.owner.as_str()), (PathKind::File, 0o640, "root"), "{name}");
        assert_eq!(state.sha256, Some(sha256(&content)), "{name}");
        assert_eq!(state.content, (position % 2 == 1).then(|| content.into_bytes()), "{name}");
        assert!(state.modified_s > 1_700_000_000, "{name}");
    }
}

#[test]
fn kinds_links_missing_and_big_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink("some where/else\\n", at("link")).unwrap();
    symlink(at("big"), at("link to file")).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("big"), vec![b'x'; 65_537]).unwrap();
    std::fs::write(at("edge"), vec![b'y'; 65_536]).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("binary"), [0_u8, 255, 10, 0, 13]).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let expecting = |name: &str| Probe::Path { path: text(&at(name)), expect: Some(sha256("other")) };
    let names = ["link", "link to file", "folder", "big", "edge", "empty", "binary", "pipe", "missing"];
    let mut probes: Vec<Probe> = names.iter().map(|name| expecting(name)).collect();
    probes.push(Probe::path(text(&at("big"))));
    let found = read(&probes);
    let state = |position: usize| match &found[position] {
        Finding::Path(state) => state.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(state(0).unwrap().kind, PathKind::Symlink { target: "some where/else\\n".into() });
    assert_eq!(state(1).unwrap().sha256, None, "a link is not followed");
    assert_eq!(state(2).unwrap().kind, PathKind::Directory);
    assert_eq!((state(3).unwrap().sha256, state(3).unwrap().content), (Some(sha256(vec![b'x'; 65_537])), None), "big");
    assert_eq!(state(4).unwrap().content.map(|content| content.len()), Some(65_536), "just small enough");
    assert_eq!(state(5).unwrap().content, Some(vec![]));
    assert_eq!(state(6).unwrap().content, Some(vec![0, 255, 10, 0, 13]));
    assert_eq!(state(7).unwrap().kind, PathKind::Other);
    assert_eq!(state(8), None);
    assert_eq!(state(9).unwrap().sha256, None, "nobody asked for a digest");
}

#[test]
fn lines_are_whole_and_literal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it's a file");
    std::fs::write(&file, "one\n two\nth.ee\n-e\nlast without end").unwrap();
    let cases = [
        ("one", true),
        ("two", false),
        (" two", true),
        ("th.ee", true),
        ("thxee", false),
        ("-e", true),
        ("last without end", true),
        ("on", false),
        ("*", false),
    ];
    let mut probes: Vec<Probe> = cases.iter().map(|(line, _)| Probe::Line { path: text(&file), line: (*line).into() }).collect();
    probes.push(Probe::Line { path: text(&folder.path().join("missing")), line: "one".into() });
    let found = read(&probes);
    for ((line, there), finding) in cases.iter().zip(&found) {
        assert_eq!(*finding, Finding::Line(*there), "{line}");
    }
    assert_eq!(found[cases.len()], Finding::Line(false));
}

#[test]
fn programs_tell_status_and_both_outputs() {
    let found = read(&[
        Probe::run(["printf", "%s", "no end"]),
        Probe::run(["sh", "-c", "echo out; echo err >&2; exit 3"]),
        Probe::run(["no-such-program-here"]),
        Probe::run(["printf", "a\n\n'b' $HOME *\n"]),
        Probe::run(["true"]),
        Probe::run(["cat"]),
    ]);
    let run = |status: i32, stdout: &str, stderr: &str| Finding::Run(Output { status, stdout: stdout.into(), stderr: stderr.into() });
    assert_eq!(found[0], run(0, "no end", ""));
    assert_eq!(found[1], run(3, "out\n", "err"));
    assert!(matches!(&found[2], Finding::Run(output) if output.status == 127 && output.stderr.contains("no-such-program-here")));
    assert_eq!(found[3], run(0, "a\n\n'b' $HOME *\n", ""));
    assert_eq!(found[4], run(0, "", ""));
    assert_eq!(found[5], run(0, "", ""), "there is no input");
}

#[test]
fn a_cut_answer_is_refused() {
    let mark = Separator::fixed();
    let query = [Probe::run(["true"])];
    let script = Query::new(&query).script(&mark);
    let answer = sh(&Privilege::Root.command(&script), b"");
    for length in 0..answer.len() - 1 {
        assert!(super::answer::Sections::split(&answer[..length], &mark).is_err(), "{length}");
    }
}

#[test]
fn long_queries_are_cut_into_commands_that_fit() {
    let probes: Vec<Probe> = (0..3000).map(|n| Probe::Path { path: format!("/nowhere/it's {n}"), expect: Some(sha256("x")) }).collect();
    let pieces = Query::pieces(&probes);
    assert!(pieces.len() > 5);
    assert_eq!(pieces.iter().map(ExactSizeIterator::len).sum::<usize>(), probes.len());
    for piece in pieces {
        let command = Privilege::Sudo.command(&Query::new(&probes[piece]).script(&Separator::fixed()));
        assert!(command.len() < 128 * 1024, "{}", command.len());
    }
}

#[test]
fn all_kinds_of_actions_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("no end"), "first").unwrap();
    std::fs::write(at("go away"), "").unwrap();
    std::fs::create_dir(at("old")).unwrap();
    let names: Vec<Action> = NAMES.iter().map(|name| write(&at(name), format!("of {name}"))).collect();
    let outcomes = change(&[
        block(names),
        block(vec![
            Action::Directory { path: text(&at("new/deep")), mode: 0o750, owner: None },
            Action::Directory { path: text(&at("old")), mode: 0o1777, owner: Some("nobody:nogroup".into()) },
            Action::Symlink { path: text(&at("link")), target: "it's there".into() },
            Action::AppendLine { path: text(&at("no end")), line: "$second 'line'".into() },
            Action::AppendLine { path: text(&at("fresh")), line: "only".into() },
            Action::Remove { path: text(&at("go away")) },
            Action::Write {
                path: text(&at("secret")),
                content: Content::Secret(kthw_engine::Secret::new("s3cret")),
                mode: 0o600,
                owner: Some("nobody:nogroup".into()),
            },
            Action::Write { path: text(&at("program")), content: Content::plain([0, 1, 10, 255]), mode: 0o755, owner: None },
            Action::Write { path: text(&at("empty")), content: Content::plain(""), mode: 0o444, owner: None },
            Action::Run { argv: vec!["tee".into(), text(&at("tee"))], stdin: Content::plain("through input"), timeout_s: 5 },
        ]),
    ]);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, BlockOutcome::Done(_))), "{outcomes:?}");
    for name in NAMES {
        assert_eq!(std::fs::read_to_string(at(name)).unwrap(), format!("of {name}"));
    }
    let mode = |name: &str| std::fs::symlink_metadata(at(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        [mode("new/deep"), mode("old"), mode("plain"), mode("secret"), mode("program"), mode("empty")],
        [0o750, 0o1777, 0o644, 0o600, 0o755, 0o444]
    );
    assert_eq!(std::fs::read_link(at("link")).unwrap(), Path::new("it's there"));
    assert_eq!(std::fs::read_to_string(at("no end")).unwrap(), "first\n$second 'line'\n");
    assert_eq!(std::fs::read_to_string(at("fresh")).unwrap(), "only\n");
    assert!(!at("go away").exists());
    assert_eq!(std::fs::read(at("program")).unwrap(), [0, 1, 10, 255]);
    assert_eq!(std::fs::read_to_string(at("tee")).unwrap(), "through input");
    let owner = read(&[Probe::path(text(&at("secret")))]);
    assert!(matches!(&owner[0], Finding::Path(Some(state)) if state.owner == "nobody" && state.group == "nogroup"));
    let left: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("kthw-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_failure_ends_its_block_and_skips_those_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let after = |others: &[usize], mut one: Block| {
        one.after = others.to_vec();
        one.reread = vec![Probe::path(text(&at("later")))];
        one
    };
    let outcomes = change(&[
        block(vec![write(&at("a"), "1"), Action::run(["sh", "-c", "echo told; echo why >&2; exit 7"]), write(&at("never"), "x")]),
        after(&[0], block(vec![write(&at("never"), "y")])),
        after(&[], block(vec![write(&at("later"), "with content behind skipped content")])),
        after(&[1], block(vec![])),
        after(&[2], block(vec![])),
        block(vec![write(&at("no/such/folder"), "x")]),
        block(vec![Action::run_for(1, ["sleep", "20"])]),
    ]);
    assert!(
        matches!(&outcomes[0], BlockOutcome::Failed { action: 1, output } if *output == Output { status: 7, stdout: "told\n".into(), stderr: "why\n".into() }),
        "{outcomes:?}"
    );
    assert!(matches!(&outcomes[1], BlockOutcome::Skipped));
    assert!(matches!(&outcomes[2], BlockOutcome::Done(found) if matches!(found[..], [Finding::Path(Some(_))])));
    assert!(matches!((&outcomes[3], &outcomes[4]), (BlockOutcome::Skipped, BlockOutcome::Done(_))));
    assert!(
        matches!(&outcomes[5], BlockOutcome::Failed { action: 0, output } if output.stderr.contains("no/such/folder")),
        "{:?}",
        outcomes[5]
    );
    assert!(matches!(&outcomes[6], BlockOutcome::Failed { action: 0, output } if output.status == 124));
    assert!(!at("never").exists());
    assert_eq!(std::fs::read_to_string(at("later")).unwrap(), "with content behind skipped content");
}

#[test]
fn a_moved_node_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("it's mine"), "old\n").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    symlink("nowhere", at("link")).unwrap();
    let probes = vec![
        Probe::Path { path: text(&at("it's mine")), expect: Some(sha256("new\n")) },
        Probe::path(text(&at("folder"))),
        Probe::path(text(&at("link"))),
        Probe::path(text(&at("absent"))),
        Probe::Line { path: text(&at("it's mine")), line: "old".into() },
        Probe::Line { path: text(&at("it's mine")), line: "young".into() },
        Probe::run(["date", "+%N"]),
    ];
    let guard = || probes.iter().cloned().zip(read(&probes)).collect::<Vec<_>>();
    let blocks = |guard| [Block { after: vec![], guard, actions: vec![write(&at("it's mine"), "new\n")], reread: probes.clone() }];
    let disturbances: [(&str, &dyn Fn()); 5] = [
        ("content", &|| std::fs::write(at("it's mine"), "moved\n").unwrap()),
        ("mode", &|| std::fs::set_permissions(at("it's mine"), PermissionsExt::from_mode(0o600)).unwrap()),
        ("kind", &|| std::fs::remove_dir(at("folder")).unwrap()),
        ("target", &|| drop((std::fs::remove_file(at("link")), symlink("somewhere", at("link"))))),
        ("appeared", &|| std::fs::write(at("absent"), "").unwrap()),
    ];
    for (what, disturb) in disturbances {
        let before = guard();
        disturb();
        let outcomes = change(&blocks(before));
        assert!(matches!(&outcomes[0], BlockOutcome::Moved(found) if found.len() == probes.len()), "{what}: {outcomes:?}");
    }
    let outcomes = change(&blocks(guard()));
    assert!(matches!(&outcomes[0], BlockOutcome::Done(_)), "{outcomes:?}");
    assert_eq!(std::fs::read_to_string(at("it's mine")).unwrap(), "new\n");
}

#[test]
fn nothing_is_done_before_all_input_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let blocks =
        [block(vec![Action::run(["touch", &text(&folder.path().join("early"))]), write(&folder.path().join("file"), "0123456789")])];
    let mark = Separator::random().unwrap();
    let batch = ChangeScript::of_blocks(&blocks, &mark, Privilege::Root, None);
    let answer = sh(&batch.command, &batch.stdin.as_ref().unwrap()[..9]);
    assert!(matches!(ChangeScript::understand(&blocks, &answer, &mark).unwrap(), ScriptEnd::InputCutShort));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn every_byte_comes_through_the_command_line_and_through_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<u8> = (1..=255).collect();
    // An argument is text: each character up to U+00FF, and the bytes that it has in UTF-8.
    let characters: String = ('\u{1}'..='\u{ff}').chain("\u{2713}\u{1f600}".chars()).collect();
    let outcomes = change(&[block(vec![
        write(&folder.path().join("bytes"), &all),
        Action::run(["sh", "-c", "printf %s \"$1\" >\"$2\"", "sh", &characters, &text(&folder.path().join("characters"))]),
    ])]);
    assert!(matches!(outcomes[..], [BlockOutcome::Done(_)]), "{outcomes:?}");
    assert_eq!(std::fs::read(folder.path().join("bytes")).unwrap(), all);
    assert_eq!(std::fs::read_to_string(folder.path().join("characters")).unwrap(), characters);
}

#[test]
fn a_long_batch_goes_over_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let long = "it's long ".repeat(40);
    let blocks: Vec<Block> = (0..400)
        .map(|n| block(vec![write(&folder.path().join(format!("file {n}")), format!("{n}\0\n")), Action::run(["test", "-n", &long])]))
        .collect();
    let batch = ChangeScript::of_blocks(&blocks, &Separator::fixed(), Privilege::Root, None);
    assert!(batch.command.len() < 2000 && batch.stdin.unwrap().len() > 100_000);
    assert!(change(&blocks).iter().all(|outcome| matches!(outcome, BlockOutcome::Done(_))));
    for n in 0..400 {
        assert_eq!(std::fs::read_to_string(folder.path().join(format!("file {n}"))).unwrap(), format!("{n}\0\n"));
    }
}

#[test]
fn an_action_alone_tells_everything() {
    assert_eq!(
        act(&Action::run(["sh", "-c", "echo out; echo err >&2; exit 9"])),
        Output { status: 9, stdout: "out\n".into(), stderr: "err\n".into() }
    );
    let big = act(&Action::run(["head", "-c", "300000", "/dev/zero"]));
    assert_eq!((big.status, big.stdout.len()), (0, 300_000));
    let daemon = act(&Action::run(["sh", "-c", "sleep 3 & echo left behind"]));
    assert_eq!(daemon.stdout, "left behind\n");
    let echoed = act(&Action::Run { argv: vec!["cat".into()], stdin: Content::plain("in\n"), timeout_s: 5 });
    assert_eq!(echoed.stdout, "in\n");
}

#[test]
fn cut_output_says_how_much_is_missing() {
    let lines = "yes 0123456789abcdef | head -c";
    let cut = act(&Action::run(["sh", "-c", &format!("{lines} 10000000; {lines} 20000 >&2")]));
    assert!(cut.stdout.starts_with("(the first 6 MiB are missing)\n0123456789abcdef\n"), "{}", &cut.stdout[..80]);
    assert!(cut.stderr.starts_with("(the first 12 KiB are missing)\n0123456789abcdef\n"), "{}", &cut.stderr[..80]);
    let whole = act(&Action::run(["sh", "-c", &format!("{lines} 4000000; {lines} 8000 >&2")]));
    assert!(whole.stdout.starts_with("0123") && whole.stderr.starts_with("0123"));
}

#[test]
fn what_an_action_notices_is_told_once_and_with_its_block() {
    let notice = |text: &str| Action::run(["sh", "-c", &format!("printf '%s\\n' {text} >>\"${NOTICES}\"")]);
    let failing = Action::run(["sh", "-c", &format!("echo last >>\"${NOTICES}\"; exit 1")]);
    let blocks = [block(vec![notice("'one  two' three")]), block(vec![Action::run(["true"])]), block(vec![notice("four"), failing])];
    let mark = Separator::random().unwrap();
    let batch = ChangeScript::of_blocks(&blocks, &mark, Privilege::Root, None);
    let answer = sh(&batch.command, b"");
    let told: Vec<_> = answer.split(|byte| *byte == b'\n').filter_map(|line| ChangeScript::noticed(line, &mark)).collect();
    assert_eq!(told, [(0, "one  two".into()), (0, "three".into()), (2, "four".into()), (2, "last".into())]);
    let ScriptEnd::Blocks(outcomes) = ChangeScript::understand(&blocks, &answer, &mark).unwrap() else { panic!() };
    assert!(matches!(outcomes[..], [BlockOutcome::Done(_), BlockOutcome::Done(_), BlockOutcome::Failed { action: 1, .. }]), "{outcomes:?}");
}

#[test]
fn beginnings_are_told_by_line() {
    let mark = Separator::fixed();
    assert_eq!(ChangeScript::begun(b"kthw-0123456789abcdef-begin 12\n", &mark), Some(12));
    assert_eq!(ChangeScript::begun(b"kthw-0123456789abcdef-ended 12 0 1\n", &mark), None);
    assert_eq!(ChangeScript::begun(b"begin 12\n", &mark), None);
}
