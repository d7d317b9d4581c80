//! Logs as they are written, cut, damaged and read again.
use super::{About, Damage, End, Fault, Header, History, Journal, Line, RunLog, SCHEMA, Tail, What, chain};
use crate::{MemoryRecords, lease::Owner, records::Records};
use kthw_engine::{Entry, Id, Intent, Ledger, Leftover, Recovery, SystemClock, Unsettled};
use std::sync::Arc;

pub fn header(run: u64, previous: Option<Tail>) -> Header {
    let about = About {
        workspace: "ubuntu".into(),
        verb: "run".into(),
        owner: Owner { user: "ada".into(), host: "desk".into(), pid: 7, birth: String::new() },
        kthw: "0.1.0".into(),
        recipes: Vec::new(),
        workspace_sha256: "00".into(),
    };
    Header { previous, ..Header::of(run, about) }
}

fn journal(records: &Arc<dyn Records>, header: Header) -> Journal {
    Journal::begin(records.clone(), Arc::new(SystemClock::default()), header).unwrap()
}

pub fn entry(number: u64, what: &str, recovery: Recovery) -> Entry {
    Entry { number, run: 1, resources: vec![Id::new("tiny.machine", what)], intent: Intent::on("tiny", what, recovery) }
}

fn token() -> Leftover {
    Leftover("a token".into())
}

/// A run that did one effect, died in a second that has a name, and left a token.
async fn died(records: &Arc<dyn Records>, previous: Option<Tail>) -> Tail {
    let log = journal(records, header(1, previous));
    log.begin(&entry(1, "a", Recovery::Look)).await.unwrap();
    log.end(1, None).await.unwrap();
    log.begin(&entry(2, "a token", Recovery::TakeBack(token()))).await.unwrap();
    log.end(2, None).await.unwrap();
    log.begin(&entry(3, "b", Recovery::Task)).await.unwrap();
    log.note(3, "job 9").await.unwrap();
    ends(&log).await
}

/// Where a log ends that is on disk.
async fn ends(log: &Journal) -> Tail {
    match log.tail().await {
        End::At(tail) => tail,
        other => panic!("{other:?}"),
    }
}

async fn bytes(records: &Arc<dyn Records>, run: u64) -> Vec<u8> {
    records.read_log(&super::history::log_name(run)).await.unwrap().unwrap_or_default()
}

fn memory() -> Arc<dyn Records> {
    Arc::new(MemoryRecords::default())
}

fn shown(open: &[Unsettled]) -> Vec<String> {
    open.iter()
        .map(|one| format!("{}/{} {} {:?} {}", one.entry.run, one.entry.number, one.entry.intent.what, one.names, one.ended))
        .collect()
}

#[tokio::test]
async fn what_is_open_is_what_nobody_saw_end_and_what_was_left() {
    let records = memory();
    let tail = died(&records, None).await;
    let history = History::new(records.clone(), "ubuntu");
    let open = history.unsettled().await.unwrap();
    assert_eq!(shown(&open), [r#"1/2 a token [] true"#, r#"1/3 b ["job 9"] false"#]);

    let next = journal(&records, Header { open, ..header(2, Some(tail)) });
    next.settled(1, 3, "the task ended").unwrap();
    let revoke = Entry { run: 2, ..entry(1, "the end of a token", Recovery::Look) };
    let revoke = Entry { intent: revoke.intent.clone().taking_back(token()), ..revoke };
    next.begin(&revoke).await.unwrap();
    assert_eq!(shown(&history.unsettled().await.unwrap()), [r#"1/2 a token [] true"#, "2/1 the end of a token [] false"]);
    next.end(1, Some("refused")).await.unwrap();
    next.write_all().await.unwrap();
    assert_eq!(shown(&history.unsettled().await.unwrap()), [r#"1/2 a token [] true"#], "what failed took nothing back");
    next.begin(&Entry { number: 2, ..revoke }).await.unwrap();
    next.end(2, None).await.unwrap();
    next.write_all().await.unwrap();
    assert_eq!(shown(&history.unsettled().await.unwrap()), Vec::<String>::new());
    assert_eq!(history.verify(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_run_without_an_effect_leaves_no_log() {
    let records = memory();
    let log = journal(&records, header(1, None));
    log.planned("00".into(), 0).unwrap();
    assert_eq!(log.tail().await, End::Same);
    assert!(records.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_log_that_is_cut_anywhere_is_read_as_far_as_it_goes() {
    let records = memory();
    died(&records, None).await;
    let whole = bytes(&records, 1).await;
    let lines = RunLog::read(1, &whole).lines;
    assert_eq!(lines.len(), 7);
    for cut in 0..whole.len() {
        let log = RunLog::read(1, &whole[..cut]);
        let ends = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(log.lines, lines[..ends], "cut at {cut}");
        let at_an_end = cut == 0 || whole[cut - 1] == b'\n';
        assert_eq!(log.fault, (!at_an_end).then_some(Fault::Torn { line: ends as u64 + 1 }), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_bit_that_is_flipped_anywhere_shows_and_its_line_is_named() {
    let records = memory();
    died(&records, None).await;
    let whole = bytes(&records, 1).await;
    let mut of_last = 0;
    for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << bit;
        let line = whole[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        match RunLog::read(1, &changed).fault {
            Some(Fault::Changed { line: named, .. }) => assert_eq!(named, line, "bit {bit} of byte {at}"),
            // Without its end, the last line is one that was not written.
            Some(Fault::Torn { line: named }) => {
                assert_eq!((at, named), (whole.len() - 1, line));
                of_last += 1;
            }
            other => panic!("bit {bit} of byte {at}: {other:?}"),
        }
    }
    assert_eq!(of_last, 8);
}

#[tokio::test]
async fn whoever_takes_over_ends_the_log_and_nothing_is_written_after_that() {
    let clock = SystemClock::default();
    for cut in [None, Some(3), Some(40)] {
        let records = memory();
        let log = journal(&records, header(1, None));
        log.begin(&entry(1, "a", Recovery::Look)).await.unwrap();
        if let Some(cut) = cut {
            let name = super::history::log_name(1);
            let whole = bytes(&records, 1).await;
            records.append(&name, whole.len() as u64, &whole[..cut]).await.unwrap().unwrap();
        }
        let history = History::new(records.clone(), "ubuntu");
        history.end(1, 5, &clock).await.unwrap();
        let ended = history.log(1).await.unwrap().unwrap();
        assert_eq!((ended.taken_over_by(), ended.fault, ended.lines.len()), (Some(5), None, 3), "{cut:?}");
        let refused = log.begin(&entry(2, "b", Recovery::Look)).await.unwrap_err();
        assert_eq!(refused.exit_code(), 5);
        assert!(refused.to_string().contains("another run has this workspace now"), "{refused}");
        history.end(1, 6, &clock).await.unwrap();
        assert_eq!(history.log(1).await.unwrap().unwrap().taken_over_by(), Some(5), "it is ended once");
        assert_eq!(shown(&history.unsettled().await.unwrap()), ["1/1 a [] false"]);
    }
}

#[tokio::test]
async fn a_run_that_was_overtaken_before_it_wrote_anything_never_does() {
    let records = memory();
    let tail = died(&records, None).await;
    let late = journal(&records, header(2, Some(tail)));
    let history = History::new(records.clone(), "ubuntu");
    history.end(2, 3, &SystemClock::default()).await.unwrap();
    assert_eq!(late.begin(&entry(1, "a", Recovery::Look)).await.unwrap_err().exit_code(), 5);
    assert_eq!(history.last().await.unwrap().unwrap().run, 1, "its log says nothing but that it ended");
    assert_eq!(history.verify(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_log_of_a_newer_kthw_or_of_another_workspace_is_refused() {
    let records = memory();
    died(&records, None).await;
    let text = String::from_utf8(bytes(&records, 1).await).unwrap();
    let first = text.lines().next().unwrap();
    let (json, _) = chain::open(first).unwrap();
    let newer = json.replace(&format!("\"schema\":{SCHEMA}"), "\"schema\":99").replace("\"verb\":\"run\"", "\"verb\":{\"new\":1}");
    let (line, _) = chain::seal(&newer, "");
    assert_eq!(RunLog::read(1, format!("{line}\n").as_bytes()).fault, Some(Fault::Newer { schema: 99 }));

    let other = History::new(records.clone(), "suse").unsettled().await.unwrap_err();
    assert_eq!(other.to_string(), "run 1 in memory was one of workspace ubuntu, not of suse");
    let found = History::new(records, "suse").verify(None).await.unwrap();
    assert_eq!(found, [Damage::Workspace { run: 1, workspace: "ubuntu".into() }]);
}

#[tokio::test]
async fn a_damaged_log_keeps_the_next_run_from_beginning_until_it_is_put_aside() {
    let records = memory();
    let tail = died(&records, None).await;
    let name = super::history::log_name(1);
    let damaged = String::from_utf8(bytes(&records, 1).await).unwrap().replace("a token", "a tokem");
    records.remove(&name).await.unwrap();
    records.append(&name, 0, damaged.as_bytes()).await.unwrap().unwrap();
    let history = History::new(records.clone(), "ubuntu");
    let refused = history.unsettled().await.unwrap_err();
    assert!(refused.to_string().starts_with("the journal of run 1 in memory is damaged at line 4: its digest"), "{refused}");
    let found = history.verify(Some(&tail)).await.unwrap();
    assert!(
        matches!(&found[..], [Damage::Line { run: 1, fault: Fault::Changed { line: 4, .. } }, Damage::Link { previous: 1, .. }]),
        "{found:?}"
    );
    assert_eq!(history.set_aside(1).await.unwrap(), "aside/run-1 in memory");
    assert_eq!(history.unsettled().await.unwrap(), []);
    assert!(history.set_aside(1).await.unwrap_err().to_string().contains("there is no run 1"));
}

#[tokio::test]
async fn a_log_that_was_cut_at_a_lines_end_or_lost_shows_by_the_run_after_it() {
    let records = memory();
    let tail = died(&records, None).await;
    let next = journal(&records, header(2, Some(tail)));
    next.begin(&Entry { run: 2, ..entry(1, "a", Recovery::Look) }).await.unwrap();
    let last = ends(&next).await;
    let history = History::new(records.clone(), "ubuntu");
    assert_eq!(history.verify(Some(&last)).await.unwrap(), []);
    let (name, whole) = (super::history::log_name(1), bytes(&records, 1).await);
    let shorter = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    records.remove(&name).await.unwrap();
    records.append(&name, 0, &whole[..shorter]).await.unwrap().unwrap();
    let why = "its last lines are missing or were changed".to_owned();
    assert_eq!(history.verify(Some(&last)).await.unwrap(), [Damage::Link { run: 2, previous: 1, why }]);
    records.remove(&name).await.unwrap();
    assert_eq!(history.verify(Some(&last)).await.unwrap(), [], "the earliest may go");
    assert_eq!(history.prune(0).await.unwrap(), 0, "the last stays");
    records.remove(&super::history::log_name(2)).await.unwrap();
    assert!(matches!(&history.verify(Some(&last)).await.unwrap()[..], [Damage::Link { run: 0, previous: 2, .. }]));
}

#[tokio::test]
async fn many_at_once_share_what_it_costs() {
    let records = memory();
    let log = Arc::new(journal(&records, header(1, None)));
    let entries: Vec<Entry> = (1..=200).map(|number| entry(number, "a", Recovery::Look)).collect();
    for result in futures::future::join_all(entries.iter().map(|one| log.begin(one))).await {
        result.unwrap();
    }
    let cost = log.cost().await;
    assert!(cost.syncs <= 200, "{cost:?}");
    assert_eq!(cost.bytes, bytes(&records, 1).await.len() as u64);
    assert_eq!(history_lines(&records).await, 201);
}

async fn history_lines(records: &Arc<dyn Records>) -> usize {
    let log = History::new(records.clone(), "ubuntu").log(1).await.unwrap().unwrap();
    assert_eq!(log.fault, None);
    let numbers: Vec<u64> = log.lines.iter().map(|line: &Line| line.n).collect();
    assert!(numbers.iter().zip(1..).all(|(found, wanted)| *found == wanted));
    assert!(matches!(log.lines[0].what, What::Run(_)));
    log.lines.len()
}
