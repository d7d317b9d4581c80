//! The lock: taken, renewed, taken over, broken, given back; by clocks that agree on nothing.
use super::{EXPIRES, Holder, Owner, break_lock, holder, record, take};
use crate::{
    MemoryRecords,
    journal::{About, End, Header, Journal, Tail},
    records::{Condition, Records},
};
use kthw_engine::{BoxFuture, Clock, Entry, Fence, Intent, Ledger, Recovery};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A clock that only goes on when somebody sleeps; its date may be set.
#[derive(Debug, Default)]
struct Hands {
    ms: AtomicU64,
    date: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }
    fn unix_ms(&self) -> u64 {
        self.date.load(Ordering::Relaxed)
    }
    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.pass(span);
            tokio::task::yield_now().await;
        })
    }
}

impl Hands {
    fn at(date: u64) -> Arc<Self> {
        Arc::new(Self { ms: AtomicU64::new(0), date: AtomicU64::new(date) })
    }

    fn pass(&self, span: Duration) {
        let ms = u64::try_from(span.as_millis()).unwrap();
        self.ms.fetch_add(ms, Ordering::Relaxed);
        self.date.fetch_add(ms, Ordering::Relaxed);
    }
}

fn somebody(host: &str) -> Owner {
    Owner { user: "ada".into(), host: host.into(), pid: 7, birth: String::new() }
}

/// A process of this machine that has ended.
fn dead() -> Owner {
    let me = Owner::me();
    Owner { birth: format!("{} 0", me.birth.rsplit_once(' ').unwrap().0), ..me }
}

fn store() -> Arc<dyn Records> {
    Arc::new(MemoryRecords::default())
}

async fn taken(records: &Arc<dyn Records>, clock: &Arc<Hands>, owner: Owner) -> kthw_engine::Result<super::Lease> {
    take(records.clone(), clock.clone(), "ubuntu", "run x", owner, &|_| ()).await
}

#[tokio::test]
async fn a_free_lock_is_taken_at_once_and_its_number_only_rises() {
    let (records, clock) = (store(), Hands::at(1000));
    let first = taken(&records, &clock, somebody("a")).await.unwrap();
    assert_eq!(first.number(), 1000);
    first.give_back(End::Same).await.unwrap();
    assert_eq!(holder(&*records, "ubuntu").await.unwrap().unwrap().owner, None);
    let later = Hands::at(10);
    assert_eq!(taken(&records, &later, somebody("b")).await.unwrap().number(), 1001, "a clock that went back changes nothing");
    assert_eq!(later.now(), Duration::ZERO);
}

#[tokio::test]
async fn an_owner_of_this_machine_that_is_gone_waits_for_nobody() {
    let (records, clock) = (store(), Hands::at(1000));
    taken(&records, &clock, dead()).await.unwrap();
    assert_eq!(taken(&records, &clock, somebody("b")).await.unwrap().number(), 1001);
    assert_eq!(clock.now(), Duration::ZERO);
}

#[tokio::test]
async fn an_owner_that_renews_keeps_the_lock_and_is_named() {
    let (records, clock) = (store(), Hands::at(1000));
    let first = taken(&records, &clock, somebody("a")).await.unwrap();
    let second = async {
        let refused = taken(&records, &clock, somebody("b")).await.unwrap_err();
        assert_eq!(refused.exit_code(), 5);
        assert_eq!(refused.to_string(), "workspace ubuntu is locked: ada@a, process 7 is at `run x` and renews the lock");
    };
    first.renewing(second).await;
    first.check().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_nobody_renews_is_taken_over_and_the_old_run_changes_nothing_more() {
    // The date of the second machine is a day behind: it counts for nothing.
    let (records, mine, theirs) = (store(), Hands::at(100_000_000), Hands::at(13_600_000));
    let old = taken(&records, &theirs, somebody("a")).await.unwrap();
    let journal = journal(&records, &theirs, old.number());
    let told = AtomicUsize::new(0);
    let waiting = |_: &Holder| _ = told.fetch_add(1, Ordering::Relaxed);
    let new = take(records.clone(), mine.clone(), "ubuntu", "run y", somebody("b"), &waiting).await.unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 1, "it is told once what is waited for");
    assert!(mine.now() >= EXPIRES && mine.now() < EXPIRES + Duration::from_secs(3), "{:?}", mine.now());
    // It slept and knows nothing of that: its next intent is refused, though the lease looks fresh to it.
    old.check().await.unwrap();
    assert_eq!(journal.begin(&entry(old.number())).await.unwrap_err().exit_code(), 5);
    // A while later it asks.
    theirs.pass(Duration::from_secs(25));
    assert_eq!(old.check().await.unwrap_err().exit_code(), 5);
    old.give_back(End::Same).await.unwrap();
    new.check().await.unwrap();
    assert_eq!(holder(&*records, "ubuntu").await.unwrap().unwrap().owner, Some(somebody("b")), "the lock of another is not given back");
}

fn journal(records: &Arc<dyn Records>, clock: &Arc<Hands>, run: u64) -> Journal {
    let about = About {
        workspace: "ubuntu".into(),
        verb: "run".into(),
        owner: somebody("a"),
        kthw: "0.1.0".into(),
        recipes: Vec::new(),
        workspace_sha256: String::new(),
    };
    Journal::begin(records.clone(), clock.clone(), Header::of(run, about)).unwrap()
}

fn entry(run: u64) -> Entry {
    Entry { number: 1, run, resources: Vec::new(), intent: Intent::on("tiny", "a", Recovery::Look) }
}

#[tokio::test]
async fn a_broken_lock_is_free_and_its_run_changes_nothing_more() {
    let (records, clock) = (store(), Hands::at(1000));
    let old = taken(&records, &clock, somebody("a")).await.unwrap();
    let journal = journal(&records, &clock, old.number());
    journal.begin(&entry(old.number())).await.unwrap();
    assert_eq!(break_lock(&records, "ubuntu", &*clock).await.unwrap().owner, Some(somebody("a")));
    assert_eq!(journal.begin(&entry(old.number())).await.unwrap_err().exit_code(), 5);
    assert_eq!(break_lock(&records, "ubuntu", &*clock).await.unwrap_err().to_string(), "nobody has the lock of workspace ubuntu");
    assert!(taken(&records, &clock, somebody("b")).await.unwrap().number() > old.number());
}

#[tokio::test]
async fn a_date_that_jumps_makes_the_owner_ask_and_nothing_else() {
    let (records, clock) = (store(), Hands::at(1_000_000));
    let lease = taken(&records, &clock, somebody("a")).await.unwrap();
    for date in [90_000_000, 5] {
        clock.date.store(date, Ordering::Relaxed);
        lease.check().await.unwrap();
    }
    assert_eq!(holder(&*records, "ubuntu").await.unwrap().unwrap().beat, 2);
}

#[tokio::test]
async fn of_many_that_want_it_at_once_one_gets_it() {
    for _ in 0..50 {
        let (records, clock) = (store(), Hands::at(1000));
        taken(&records, &clock, dead()).await.unwrap();
        let all = (0..8).map(|number| {
            let (records, clock) = (records.clone(), clock.clone());
            async move { taken(&records, &clock, somebody(&format!("host{number}"))).await.map(|lease| lease.number()) }
        });
        let won: Vec<u64> = futures::future::join_all(all).await.into_iter().flatten().collect();
        assert!(!won.is_empty());
        let last = holder(&*records, "ubuntu").await.unwrap().unwrap();
        assert_eq!(won.iter().max(), Some(&last.number), "{won:?}");
    }
}

#[tokio::test]
async fn a_record_that_is_newer_damaged_or_anothers_is_refused() {
    let text = |schema: u32, workspace: &str| {
        format!(r#"{{"schema":{schema},"workspace":"{workspace}","number":1,"owner":null,"what":"","beat":0,"renewed_ms":0}}"#)
    };
    for (bytes, told) in [
        (text(99, "ubuntu").replace("\"beat\":0", "\"beat\":{}"), "was written by a newer kthw (version 99)"),
        (text(1, "suse"), "is that of workspace suse, not of ubuntu"),
        (text(1, "ubuntu")[..50].to_owned(), "cannot be read"),
        (String::new(), "cannot be read"),
    ] {
        let records = store();
        records.put(&record(), bytes.as_bytes(), Condition::Absent).await.unwrap().unwrap();
        let refused = taken(&records, &Hands::at(1000), somebody("a")).await.unwrap_err();
        assert!(refused.to_string().contains(told), "{refused}");
    }
}

#[tokio::test]
async fn what_a_run_left_is_read_unless_the_one_before_gave_the_lock_back_with_nothing_open() {
    let tail = |settled| End::At(Tail { run: 1000, chain: "c".into(), settled });
    for (owner, end, believed) in [
        (somebody("a"), Some(tail(true)), true),
        (somebody("a"), Some(tail(false)), false),
        (somebody("a"), Some(End::Unknown), false),
        (somebody("a"), Some(End::Same), false),
        (dead(), None, false),
    ] {
        let (records, clock) = (store(), Hands::at(1000));
        let first = taken(&records, &clock, owner).await.unwrap();
        if let Some(end) = end.clone() {
            first.give_back(end).await.unwrap();
        }
        let second = taken(&records, &clock, somebody("b")).await.unwrap();
        assert_eq!(second.last().await.is_some_and(|last| last.settled), believed, "{end:?}");
        // It wrote nothing: what it knew is what is known.
        second.give_back(End::Same).await.unwrap();
        let third = taken(&records, &clock, somebody("c")).await.unwrap();
        assert_eq!(third.last().await.is_some_and(|last| last.settled), believed, "{end:?}");
    }
    let (records, clock) = (store(), Hands::at(1000));
    taken(&records, &clock, somebody("a")).await.unwrap().give_back(tail(true)).await.unwrap();
    taken(&records, &clock, somebody("b")).await.unwrap();
    break_lock(&records, "ubuntu", &*clock).await.unwrap();
    assert_eq!(taken(&records, &clock, somebody("c")).await.unwrap().last().await, None, "a broken lock knows nothing");
}
