//! Two runs of the same plan on one world at the same time.
use super::{FULL, Lab, changes, failures};
use kthw_engine::{Report, RunOptions, run, silent};
use kthw_lab::{at_rest, differences};
use std::{collections::BTreeMap, time::Duration};

/// Later than every run of the lab.
const FIRST: u64 = u64::MAX >> 1;

/// A run with this number that begins after a while.
async fn begin(lab: &Lab, recipe: &str, number: u64, after: Duration) -> Report {
    let process = lab.again();
    let plan = process.plan(recipe).await;
    process.peers.clock().sleep(after).await;
    run(plan, &process.peers, &silent(), &RunOptions { number: Some(number), ..RunOptions::default() }).await
}

/// Who worked on which node, from when to when.
fn scripts(lab: &Lab) -> BTreeMap<String, Vec<(u64, u64, u64)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for line in lab.world.journal() {
        let Some((node, rest)) = line.split_once(" script of run ") else { continue };
        let numbers: Vec<u64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
        found.entry(node.to_owned()).or_default().push((numbers[1], numbers[2], numbers[0]));
    }
    found
}

/// No node ran two scripts at once, and on none did the earlier run anything after the later one.
fn check_turns(lab: &Lab) -> usize {
    let mut both = 0;
    // What a template is built on is started anew meanwhile and forgets who was there; runs that hold the workspace's lock, as these do not, are
    // kept apart by that.
    for (node, mut scripts) in scripts(lab).into_iter().filter(|(node, _)| !node.contains('@')) {
        scripts.sort_unstable();
        let later = scripts.iter().position(|(_, _, run)| *run == FIRST + 1);
        both += usize::from(later.is_some() && scripts.iter().any(|(_, _, run)| *run == FIRST));
        for pair in scripts.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{node} ran two scripts at once: {pair:?}");
        }
        if let Some(later) = later {
            assert!(
                scripts[later..].iter().all(|(_, _, run)| *run == FIRST + 1),
                "{node} was changed by a run that was overtaken: {scripts:?}"
            );
        }
    }
    both
}

#[tokio::test(start_paused = true)]
async fn the_later_run_takes_the_nodes_over_one_by_one() {
    let undisturbed = Lab::new("alone");
    assert_eq!(failures(&undisturbed.apply(FULL).await), "");
    let wanted = at_rest(&undisturbed.world);
    let mut shared = 0;
    for after_ms in [0, 10_000, 62_000, 75_000, 85_000] {
        let lab = Lab::new(&format!("two-{after_ms}"));
        assert_eq!(failures(&lab.apply("phases/machines").await), "");
        let (first, second) =
            futures::join!(begin(&lab, FULL, FIRST, Duration::ZERO), begin(&lab, FULL, FIRST + 1, Duration::from_millis(after_ms)));
        shared += check_turns(&lab);
        assert_eq!(failures(&second), "", "{after_ms} ms: the later run");
        assert!(failures(&first).contains("this one changes nothing more there"), "{after_ms} ms: {}", failures(&first));
        assert_eq!(failures(&begin(&lab, FULL, FIRST + 2, Duration::ZERO).await), "", "{after_ms} ms");
        assert_eq!(changes(&lab.again().plan(FULL).await), Vec::<String>::new(), "{after_ms} ms");
        assert_eq!(differences(&at_rest(&lab.world), &wanted), Vec::<String>::new(), "{after_ms} ms");
    }
    assert!(shared > 0, "no node was ever changed by both");
}

#[tokio::test(start_paused = true)]
async fn two_runs_that_begin_with_nothing_make_each_machine_once() {
    for after_ms in [0, 500, 20_000, 45_000, 80_000] {
        let lab = Lab::new(&format!("two-empty-{after_ms}"));
        let (first, second) =
            futures::join!(begin(&lab, FULL, FIRST, Duration::ZERO), begin(&lab, FULL, FIRST + 1, Duration::from_millis(after_ms)));
        check_turns(&lab);
        let told = [failures(&first), failures(&second)].concat();
        // Without the workspace's lock they are in each other's way where the template is built, and what they made of it is put right.
        let meanwhile = ["proxmox.template/", "was made by another run at the same time", "this one changes nothing more there"];
        assert!(told.lines().filter(|line| !line.is_empty()).all(|line| meanwhile.iter().any(|words| line.contains(words))), "{told}");
        assert_eq!(failures(&begin(&lab, FULL, FIRST + 2, Duration::ZERO).await), "", "{after_ms} ms");
        assert_eq!(changes(&lab.again().plan(FULL).await), Vec::<String>::new(), "{after_ms} ms");
    }
}
