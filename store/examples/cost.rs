//! What the journal costs: effects as a run has them, so many at once, written down in memory, in a folder without flushing, and durably.
//!
//! `cargo run --release -p kthw-store --example cost -- FOLDER` prints a table; a folder on the disk that the store will be on.
#![allow(clippy::print_stdout)]
use futures::future::join_all;
use kthw_engine::{Entry, Id, Intent, Ledger, Recovery, Result, SystemClock};
use kthw_store::{
    FolderRecords, MemoryRecords, Records,
    journal::{About, Header, Journal},
    lease::Owner,
};
use std::{path::PathBuf, sync::Arc, time::Instant};

/// Effects of each measurement.
const EFFECTS: u64 = 2048;

fn header(run: u64) -> Header {
    let about = About {
        workspace: "cost".into(),
        verb: "run".into(),
        owner: Owner::me(),
        kthw: env!("CARGO_PKG_VERSION").into(),
        recipes: Vec::new(),
        workspace_sha256: String::new(),
    };
    Header::of(run, about)
}

fn entry(run: u64, number: u64) -> Entry {
    let node = format!("wu{number}");
    let resources = ["etc/hosts", "etc/sysctl.d/kthw.conf", "containerd"].map(|name| Id::new("ssh.file", format!("{node}/{name}"))).into();
    Entry { number, run, resources, intent: Intent::on(&node, "writing /etc/hosts and 2 more", Recovery::Script) }
}

/// Effects of a run, `at_once` at a time; prints one row.
async fn measure(name: &str, records: Arc<dyn Records>, run: u64, at_once: u64) -> Result<()> {
    let journal = Journal::begin(records, Arc::new(SystemClock::default()), header(run))?;
    let begun = Instant::now();
    for first in (1..=EFFECTS).step_by(usize::try_from(at_once).unwrap_or(1)) {
        let effects = (first..first + at_once).map(|number| {
            let journal = &journal;
            async move {
                journal.begin(&entry(run, number)).await?;
                journal.end(number, None).await
            }
        });
        join_all(effects).await.into_iter().collect::<Result<()>>()?;
    }
    journal.write_all().await?;
    let micros = begun.elapsed().as_secs_f64() * 1e6 / EFFECTS as f64;
    let cost = journal.cost().await;
    let (bytes, syncs) = (cost.bytes / EFFECTS, cost.syncs as f64 / EFFECTS as f64);
    println!("| {name} | {at_once} | {micros:.0} | {bytes} | {syncs:.2} |");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from).join("kthw-cost");
    println!("| journal | effects at once | µs per effect | bytes per effect | writes per effect |\n|---|---|---|---|---|");
    for (number, at_once) in (1..).zip([1, 16, 256]) {
        measure("in memory", Arc::new(MemoryRecords::default()), number, at_once).await?;
        measure("folder, not flushed", Arc::new(FolderRecords::unsynced(folder.join("unsynced"))), number, at_once).await?;
        measure("folder", Arc::new(FolderRecords::new(folder.join("durable"))), number, at_once).await?;
    }
    // What it made itself, and nothing else.
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
