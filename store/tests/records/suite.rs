//! What every store does alike.
use kthw_engine::Error;
use kthw_store::{Condition, MemoryRecords, Name, Record, Records, Version};
use std::sync::Arc;

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// An error says all of this, its help included.
#[track_caller]
pub fn told(error: &Error, words: &[&str]) {
    let help = error.diagnostic().help().map(|help| help.to_string()).unwrap_or_default();
    let text = format!("{error} [{help}]");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not all in\n{text}");
}

async fn written(store: &dyn Records, at: &str, text: &str, condition: Condition) -> Option<Version> {
    store.put(&name(at), text.as_bytes(), condition).await.unwrap()
}

async fn added(store: &dyn Records, log: &str, at: u64, text: &str) -> bool {
    store.append(&name(log), at, text.as_bytes()).await.unwrap().is_some()
}

async fn log_of(store: &dyn Records, log: &str) -> Option<String> {
    store.read_log(&name(log)).await.unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

async fn names(store: &dyn Records, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().iter().map(ToString::to_string).collect()
}

/// An empty store behaves as the trait says.
pub async fn check(store: &dyn Records) {
    records(store).await;
    logs(store).await;
    lists_and_removal(store).await;
}

async fn records(store: &dyn Records) {
    assert_eq!(store.get(&name("lease")).await.unwrap(), None);
    let nobodys = Version::clone(&written(store, "scratch", "x", Condition::Absent).await.unwrap());
    assert_eq!(written(store, "lease", "mine", Condition::Is(nobodys.clone())).await, None, "there is none to replace");
    assert_eq!(store.get(&name("lease")).await.unwrap(), None, "a conflict writes nothing");

    let first = written(store, "lease", "mine", Condition::Absent).await.unwrap();
    assert_eq!(store.get(&name("lease")).await.unwrap(), Some(Record { bytes: b"mine".to_vec(), version: first.clone() }));
    assert_eq!(written(store, "lease", "theirs", Condition::Absent).await, None);
    assert_eq!(written(store, "lease", "theirs", Condition::Is(nobodys)).await, None);
    assert_eq!(store.get(&name("lease")).await.unwrap().unwrap().bytes, b"mine");

    let second = written(store, "lease", "mine, 2", Condition::Is(first.clone())).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(written(store, "lease", "too late", Condition::Is(first)).await, None);
    let read = store.get(&name("lease")).await.unwrap().unwrap();
    assert_eq!((read.bytes.as_slice(), &read.version), (&b"mine, 2"[..], &second));

    // Bytes are bytes, none and many included.
    for bytes in [Vec::new(), (0..=255).collect::<Vec<u8>>(), vec![b'x'; 1 << 20]] {
        let found = store.get(&name("deep/in/it")).await.unwrap();
        let condition = found.map_or(Condition::Absent, |found| Condition::Is(found.version));
        let version = store.put(&name("deep/in/it"), &bytes, condition).await.unwrap().unwrap();
        assert_eq!(store.get(&name("deep/in/it")).await.unwrap(), Some(Record { bytes, version }));
    }

    store.remove(&name("lease")).await.unwrap();
    assert_eq!(store.get(&name("lease")).await.unwrap(), None);
    assert_eq!(written(store, "lease", "gone", Condition::Is(second)).await, None);
    assert!(written(store, "lease", "anew", Condition::Absent).await.is_some());
}

async fn logs(store: &dyn Records) {
    assert_eq!(log_of(store, "journal/7").await, None);
    assert!(added(store, "journal/7", 0, "one\n").await);
    assert!(!added(store, "journal/7", 0, "somebody else's\n").await, "it is longer by now");
    assert!(added(store, "journal/7", 4, "two\n").await);
    assert!(!added(store, "journal/7", 4, "somebody else's\n").await);
    assert!(added(store, "journal/7", 8, "").await);
    assert!(added(store, "journal/7", 8, "ü\n").await);
    assert_eq!(log_of(store, "journal/7").await.as_deref(), Some("one\ntwo\nü\n"));
    assert!(added(store, "journal/8", 0, "").await);
    assert_eq!(log_of(store, "journal/8").await, None, "nothing makes no log");
}

async fn lists_and_removal(store: &dyn Records) {
    assert!(added(store, "journal/10", 0, "ten\n").await);
    assert!(added(store, "journal-old/1", 0, "old\n").await);
    assert_eq!(names(store, "").await, ["deep/in/it", "journal-old/1", "journal/10", "journal/7", "lease", "scratch"]);
    assert_eq!(names(store, "journal").await, ["journal/10", "journal/7"]);
    assert_eq!(names(store, "deep").await, ["deep/in/it"]);
    assert_eq!(names(store, "deep/in").await, ["deep/in/it"]);
    assert_eq!(names(store, "lease").await, [""; 0], "a record is not below itself");
    assert_eq!(names(store, "nowhere").await, [""; 0]);
    for prefix in ["..", "/", "journal/", "a//b"] {
        assert!(store.list(prefix).await.is_err(), "{prefix:?}");
    }
    for _ in 0..2 {
        store.remove(&name("journal/7")).await.unwrap();
        store.remove(&name("nowhere/at/all")).await.unwrap();
    }
    assert_eq!(log_of(store, "journal/7").await, None);
    assert_eq!(names(store, "journal").await, ["journal/10"]);
    assert!(added(store, "journal/7", 0, "anew\n").await);
    assert_eq!(log_of(store, "journal/7").await.as_deref(), Some("anew\n"));
    assert!(!store.place().is_empty());
}

/// Of two who write one thing at once, one does; 200 times each for records and logs.
pub async fn race(stores: [Arc<dyn Records>; 2]) {
    let (record, log) = (name("lease"), name("journal/1"));
    let (mut length, mut expected) = (0, Vec::new());
    for round in 0..200 {
        let found = stores[0].get(&record).await.unwrap();
        let condition = found.map_or(Condition::Absent, |found| Condition::Is(found.version));
        let writers = [0, 1].map(|who| {
            let (store, record, log, condition) = (stores[who].clone(), record.clone(), log.clone(), condition.clone());
            tokio::spawn(async move {
                let bytes = format!("writer {who} in round {round}\n").into_bytes();
                let put = store.put(&record, &bytes, condition).await.unwrap();
                let added = store.append(&log, length, &bytes).await.unwrap();
                (bytes, put, added)
            })
        });
        let [first, second] = writers;
        let done = [first.await.unwrap(), second.await.unwrap()];
        let winners: Vec<_> = done.iter().filter_map(|(bytes, put, _)| Some((bytes, put.as_ref()?))).collect();
        let [(bytes, version)] = winners[..] else { panic!("round {round}: {done:?}") };
        assert_eq!(stores[1].get(&record).await.unwrap(), Some(Record { bytes: bytes.clone(), version: version.clone() }));
        let adders: Vec<_> = done.iter().filter(|(_, _, added)| added.is_some()).collect();
        let [(bytes, ..)] = adders[..] else { panic!("round {round}: {done:?}") };
        length += bytes.len() as u64;
        expected.extend_from_slice(bytes);
    }
    assert_eq!(stores[0].read_log(&log).await.unwrap(), Some(expected));
}

/// A log of many lines reads as it was written.
pub async fn many_appends(store: &dyn Records, many: usize) {
    let log = name("journal/long");
    let mut expected = String::new();
    for line in 0..many {
        let text = format!("line {line} {}\n", "x".repeat(line % 300));
        assert!(store.append(&log, expected.len() as u64, text.as_bytes()).await.unwrap().is_some());
        expected.push_str(&text);
    }
    assert_eq!(log_of(store, "journal/long").await, Some(expected));
    assert_eq!(names(store, "").await, ["journal/long"]);
    store.remove(&log).await.unwrap();
    assert_eq!(names(store, "").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    check(&MemoryRecords::default()).await;
    let store = Arc::new(MemoryRecords::default());
    race([store.clone(), store]).await;
    many_appends(&MemoryRecords::default(), 2000).await;
}
