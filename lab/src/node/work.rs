//! Answers probes and does actions on one machine, without a shell.
use super::{
    files::Kind,
    host::Host,
    script::{AtWork, Script},
};
use kthw_engine::node::{Action, Block, BlockOutcome, Finding, HostKey, KeyTrust, Output, PathKind, PathState, Probe, Told};

/// Looks at one thing.
pub(crate) fn look(host: &mut Host, probe: &Probe) -> Finding {
    match probe {
        Probe::Path { path, .. } if path.starts_with("/sys/module/") => Finding::Path(module(host, path)),
        Probe::Path { path, expect } => Finding::Path(host.machine.files.state(path, expect.as_deref())),
        Probe::Line { path, line } => Finding::Line(host.machine.files.text(path).lines().any(|found| found == line)),
        Probe::Run { argv } | Probe::Check { argv, .. } => {
            host.looking = true;
            let output = host.run(argv, &[]);
            host.looking = false;
            Finding::Run(output)
        }
        // The seam knows what is believed of it; this is what the machine itself would say.
        Probe::HostKey => Finding::HostKey(HostKey { fingerprint: String::new(), trust: KeyTrust::Pinned }),
    }
}

/// The directory of a loaded kernel module.
fn module(host: &Host, path: &str) -> Option<PathState> {
    let there = host.machine.modules.contains(path.trim_start_matches("/sys/module/"));
    there.then(|| PathState {
        kind: PathKind::Directory,
        mode: 0o755,
        owner: "root".into(),
        group: "root".into(),
        modified_s: 0,
        sha256: None,
        content: None,
    })
}

/// Whether a finding still says the same. When a file was written last does not count.
fn same(seen: &Finding, now: &Finding) -> bool {
    let timeless = |finding: &Finding| match finding {
        Finding::Path(Some(state)) => Finding::Path(Some(PathState { modified_s: 0, ..state.clone() })),
        other => other.clone(),
    };
    timeless(seen) == timeless(now)
}

/// Guards, changes and reads again; stops after so many blocks, if it is told to.
pub(crate) fn change(host: &mut Host, batch: &[Block], told: &(dyn Fn(Told<'_>) + Sync), stops_after: Option<usize>) -> Vec<BlockOutcome> {
    let holds = |host: &mut Host, (probe, seen): &(Probe, Finding)| {
        matches!(probe, Probe::Run { .. } | Probe::Check { .. }) || same(seen, &look(host, probe))
    };
    if !batch.iter().all(|block| block.guard.iter().all(|one| holds(host, one))) {
        return batch.iter().map(|block| BlockOutcome::Moved(reread(host, block))).collect();
    }
    let mut script = Script::new(batch);
    while !script.is_over() && stops_after.is_none_or(|blocks| script.blocks() < blocks) {
        host.state.observers.tell(|observer| observer.script(&AtWork { host, script: &script }));
        script.step(host, |position| told(Told::Began(position)));
    }
    let mut outcomes = script.into_outcomes();
    // As on a real node, the second look comes after all changes.
    for (outcome, block) in outcomes.iter_mut().zip(batch) {
        if let BlockOutcome::Done(findings) = outcome {
            *findings = reread(host, block);
        }
    }
    outcomes
}

fn reread(host: &mut Host, block: &Block) -> Vec<Finding> {
    block.reread.iter().map(|probe| look(host, probe)).collect()
}

/// Does one action.
pub(crate) fn act(host: &mut Host, action: &Action) -> Output {
    let now_s = host.now_s();
    host.state.writes += 1;
    let files = &mut host.machine.files;
    let done = match action {
        Action::Run { argv, stdin, .. } => return host.run(argv, stdin.bytes()),
        Action::Write { path, content, mode, owner } => {
            let done = files.write(path, content.bytes().to_vec(), *mode, now_s);
            own(host, path, owner.as_deref());
            done
        }
        Action::Directory { path, mode, owner } => {
            files.make_directory(path, *mode, now_s);
            let is_directory = files.is_directory(path);
            if let Some(entry) = files.get_mut(path).filter(|entry| matches!(entry.kind, Kind::Directory)) {
                entry.mode = *mode;
            }
            own(host, path, owner.as_deref());
            if is_directory { Ok(()) } else { Err(format!("cannot create directory '{path}': File exists")) }
        }
        Action::Symlink { path, target } => files.link(path, target, now_s),
        Action::AppendLine { path, line } => {
            let mut content = files.content(path).map(<[u8]>::to_vec).unwrap_or_default();
            let mode = files.get(path).map_or(0o644, |entry| entry.mode);
            if !content.is_empty() && !content.ends_with(b"\n") {
                content.push(b'\n');
            }
            content.extend(line.bytes().chain([b'\n']));
            files.write(path, content, mode, now_s)
        }
        Action::Remove { path } => files.remove(path),
    };
    host.took_ms += 5;
    match done {
        Ok(()) => Output::default(),
        Err(text) => Output { status: 1, stderr: format!("{text}\n"), ..Output::default() },
    }
}

fn own(host: &mut Host, path: &str, owner: Option<&str>) {
    if let (Some((user, group)), Some(entry)) = (owner.and_then(|owner| owner.split_once(':')), host.machine.files.get_mut(path)) {
        user.clone_into(&mut entry.owner);
        group.clone_into(&mut entry.group);
    }
}
