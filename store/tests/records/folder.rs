//! A folder: whose its files are, what is in the way, disks that are full or read-only, and processes that die.
use crate::suite::{check, many_appends, name, race, told};
use kthw_engine::Error;
use kthw_peers::{UNSHARE, ask};
use kthw_store::{Condition, FolderRecords, Records};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

/// Tells a test that runs in a process of its own where.
const HERE: &str = "KTHW_RECORDS_HERE";

#[tokio::test(flavor = "multi_thread")]
async fn a_folder() {
    let folder = tempfile::tempdir().unwrap();
    check(&FolderRecords::new(folder.path().join("made/when/needed"))).await;
    let at = || -> Arc<dyn Records> { Arc::new(FolderRecords::new(folder.path().join("race"))) };
    race([at(), at()]).await;
    many_appends(&FolderRecords::new(folder.path().join("long")), 500).await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_of_the_lab_takes_no_time() {
    let begun = tokio::time::Instant::now();
    let folder = tempfile::tempdir().unwrap();
    check(&FolderRecords::unsynced(folder.path().join("lab"))).await;
    let store: Arc<dyn Records> = Arc::new(FolderRecords::unsynced(folder.path().join("race")));
    race([store.clone(), store]).await;
    many_appends(&FolderRecords::unsynced(folder.path().join("long")), 2000).await;
    assert_eq!(begun.elapsed().as_nanos(), 0);
}

#[tokio::test]
async fn what_is_made_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderRecords::new(folder.path().join("a/b"));
    store.put(&name("c/d"), b"x", Condition::Absent).await.unwrap();
    store.append(&name("c/e"), 0, b"x").await.unwrap();
    let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/e"].map(mode), [0o700, 0o700, 0o700, 0o600, 0o600]);
    assert_eq!(store.place(), folder.path().join("a/b").display().to_string());
}

/// What is there and is no record of ours is left alone.
#[tokio::test]
async fn what_has_no_such_name_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    for file in [".new", "Upper", "a b", "00000000000000000000"] {
        fs::write(folder.path().join(file), "x").unwrap();
    }
    fs::create_dir_all(folder.path().join("empty/.hidden")).unwrap();
    fs::write(folder.path().join("empty/.hidden/x"), "x").unwrap();
    symlink("/", folder.path().join("root")).unwrap();
    let store = FolderRecords::new(folder.path());
    assert_eq!(store.list("").await.unwrap(), []);
    store.put(&name("known_hosts"), b"x", Condition::Absent).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), [name("known_hosts")]);
    assert!(!folder.path().join(".new").exists(), "what somebody who died left there is gone");
}

#[tokio::test]
async fn no_link_is_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret");
    let told = |error: Error| told(&error, &["symbolic link"]);
    for (link, target) in [("lease", &secret), ("logs", &elsewhere.path().to_owned()), ("lease", &elsewhere.path().join("nothing"))] {
        fs::write(&secret, "theirs").unwrap();
        let folder = tempfile::tempdir().unwrap();
        symlink(target, folder.path().join(link)).unwrap();
        let store = FolderRecords::new(folder.path());
        let record = name(if link == "lease" { "lease" } else { "logs/secret" });
        told(store.get(&record).await.unwrap_err());
        told(store.read_log(&record).await.unwrap_err());
        told(store.put(&record, b"mine", Condition::Absent).await.unwrap_err());
        told(store.append(&record, 0, b"mine").await.unwrap_err());
        assert_eq!(store.list("").await.unwrap(), []);
        if link == "logs" {
            told(store.list("logs").await.unwrap_err());
            told(store.remove(&record).await.unwrap_err());
        } else {
            // The link itself goes.
            store.remove(&record).await.unwrap();
            assert!(folder.path().join(link).symlink_metadata().is_err());
        }
        assert_eq!(fs::read_to_string(&secret).unwrap(), "theirs");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }
    // Where a record is written before it takes its place.
    let folder = tempfile::tempdir().unwrap();
    symlink(&secret, folder.path().join(".new")).unwrap();
    FolderRecords::new(folder.path()).put(&name("lease"), b"mine", Condition::Absent).await.unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "theirs");
    // The folder itself.
    let link = folder.path().join("link");
    symlink(elsewhere.path(), &link).unwrap();
    told(FolderRecords::new(&link).put(&name("lease"), b"mine", Condition::Absent).await.unwrap_err());
}

#[tokio::test]
async fn something_else_in_the_way_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderRecords::new(folder.path());
    let made = Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    for record in ["pipe", "folder", "file/below"] {
        let record = name(record);
        let words = ["cannot write `", "something else is in the way", "--store"];
        told(&store.put(&record, b"x", Condition::Absent).await.unwrap_err(), &words);
        let words = ["cannot add to `", "something else is in the way"];
        told(&store.append(&record, 0, b"x").await.unwrap_err(), &words);
        let words = ["cannot read `", "something else is in the way", &folder.path().display().to_string()];
        told(&store.get(&record).await.unwrap_err(), &words);
    }
    assert!(fs::metadata(folder.path().join(".new")).is_err());
}

/// Runs one test of this file again, in a process of its own, after `prepare`: a line of shell that knows the folder `here` as `$0`. What it
/// mounts, nobody else sees.
fn with_mounts(unshare: &Path, prepare: &str, test: &str, here: &Path) {
    let mut command = Command::new(unshare);
    command.args(["--mount", "sh", "-c"]).arg(format!("{prepare} && exec \"$@\"")).arg(here);
    command.arg(env::current_exe().unwrap()).args(["--exact", test, "--ignored", "--nocapture"]).env(HERE, here);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
}

fn here() -> (PathBuf, FolderRecords) {
    let here = PathBuf::from(env::var_os(HERE).unwrap());
    (here.clone(), FolderRecords::new(here))
}

#[test]
fn a_full_disk() {
    let Some([unshare]) = ask([&UNSHARE]) else { return };
    let folder = tempfile::tempdir().unwrap();
    with_mounts(&unshare, "mount -t tmpfs -o size=64k,mode=700 none \"$0\"", "folder::on_a_small_disk", folder.path());
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn on_a_small_disk() {
    let (here, store) = here();
    let full = ["No space left", "make room", "--store"];
    let version = store.put(&name("lease"), b"mine", Condition::Absent).await.unwrap().unwrap();
    let (line, mut length) = ([b'x'; 10_000], 0);
    let error = loop {
        match store.append(&name("journal"), length, &line).await {
            Ok(added) => length += added.map(|()| line.len() as u64).unwrap(),
            Err(error) => break error,
        }
    };
    told(&error, &[&full[..], &["cannot add to `journal`"]].concat());
    assert!(length >= 20_000, "{length}");
    assert_eq!(store.read_log(&name("journal")).await.unwrap().unwrap().len() as u64, length, "what did not fit was taken back");

    let error = store.put(&name("lease"), &line, Condition::Is(version.clone())).await.unwrap_err();
    told(&error, &[&full[..], &["cannot write `lease`"]].concat());
    assert_eq!(store.get(&name("lease")).await.unwrap().unwrap().version, version);
    assert!(!here.join(".new").exists(), "what did not fit does not fill the disk");
    told(&store.append(&name("other"), 0, &line).await.unwrap_err(), &full);
    assert_eq!(store.read_log(&name("other")).await.unwrap(), None);

    store.remove(&name("journal")).await.unwrap();
    assert!(store.put(&name("lease"), &line, Condition::Is(version)).await.unwrap().is_some());
}

#[test]
fn a_read_only_folder() {
    let Some([unshare]) = ask([&UNSHARE]) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lease"), "mine").unwrap();
    let prepare = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    with_mounts(&unshare, prepare, "folder::on_a_read_only_file_system", folder.path());
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn on_a_read_only_file_system() {
    let (_, store) = here();
    let record = store.get(&name("lease")).await.unwrap().unwrap();
    assert_eq!(record.bytes, b"mine");
    assert_eq!(store.list("").await.unwrap(), [name("lease")]);
    let words = ["Read-only file system", "mount it for writing", "--store"];
    told(&store.put(&name("lease"), b"new", Condition::Is(record.version)).await.unwrap_err(), &words);
    told(&store.append(&name("journal/1"), 0, b"x").await.unwrap_err(), &words);
    told(&store.remove(&name("lease")).await.unwrap_err(), &words);
}

/// Starts `test` in a process of its own, lets it say so many lines, and kills it.
fn killed_after(lines: usize, test: &str, here: &Path) -> Vec<String> {
    let program = env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(HERE, here).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // libtest's own words come before, on the first line's beginning too.
    let said = said.filter_map(|line| line.rsplit_once("done: ").map(|(_, number)| number.to_owned())).take(lines).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[tokio::test]
async fn a_process_that_dies_leaves_a_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderRecords::new(folder.path());
    for round in 0..10 {
        let done = killed_after(1 + round, "folder::puts_for_ever", folder.path());
        let record = store.get(&name("lease")).await.unwrap().unwrap();
        let text = String::from_utf8(record.bytes).unwrap();
        let number: u64 = text[..8].parse().unwrap();
        assert_eq!(text, content(number), "half of one and half of another");
        assert!(number >= done.last().unwrap().parse().unwrap(), "what it said it did");
        assert_eq!(store.list("").await.unwrap(), [name("lease")]);
        assert!(store.put(&name("lease"), b"next", Condition::Is(record.version)).await.unwrap().is_some());
        assert!(!folder.path().join(".new").exists());
    }
}

fn content(number: u64) -> String {
    format!("{number:08}").repeat(25_000)
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn puts_for_ever() {
    let (_, store) = here();
    let mut condition = store.get(&name("lease")).await.unwrap().map_or(Condition::Absent, |found| Condition::Is(found.version));
    for number in 0.. {
        condition = Condition::Is(store.put(&name("lease"), content(number).as_bytes(), condition).await.unwrap().unwrap());
        println!("done: {number}");
    }
}

#[tokio::test]
async fn a_process_that_dies_leaves_all_that_it_added() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderRecords::new(folder.path());
    for round in 0..10 {
        let done = killed_after(1 + 7 * round, "folder::adds_for_ever", folder.path());
        let log = String::from_utf8(store.read_log(&name("journal")).await.unwrap().unwrap()).unwrap();
        assert!(log.ends_with('\n'));
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[..done.len()], done, "what it said it did");
        store.remove(&name("journal")).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn adds_for_ever() {
    let (_, store) = here();
    let mut at = 0;
    for number in 0.. {
        let line = format!("{number}\n");
        assert!(store.append(&name("journal"), at, line.as_bytes()).await.unwrap().is_some());
        at += line.len() as u64;
        print!("done: {line}");
    }
}
