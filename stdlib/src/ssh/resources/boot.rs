//! What a system says of its start: how far cloud-init is, and why it needs another one.
use super::declare::{path_at, run_at};
use kthw_engine::{
    Result,
    node::{Finding, PathKind, Probe},
};
use serde::Deserialize;

const RESULT: &str = "/run/cloud-init/result.json";
/// Where Debian's and Ubuntu's packages ask for a restart; it is gone after one.
const RESTART_ASKED: &str = "/run/reboot-required";
/// Where Debian and Ubuntu point at the newest kernel that is installed.
const KERNEL_LINKS: [&str; 2] = ["/boot/vmlinuz", "/vmlinuz"];

/// How far cloud-init is. Read from its own files: asking `cloud-init status` costs a third of a second on every look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FirstStart {
    /// Finished, disabled, or not there at all.
    Over,
    Running,
    Failed(String),
}

#[derive(Deserialize)]
struct CloudInitResult {
    v1: CloudInitV1,
}

#[derive(Deserialize)]
struct CloudInitV1 {
    #[serde(default)]
    errors: Vec<String>,
}

/// What tells whether a node needs a restart, and whether it has started.
pub fn restart_query() -> Vec<Probe> {
    vec![
        // The host name and the running kernel.
        Probe::run(["uname", "-nr"]),
        Probe::path("/run/cloud-init"),
        Probe::path("/run/cloud-init/disabled"),
        // It is a link to a file that outlives a restart, so only the link tells of this start.
        Probe::run(["cat", RESULT]),
        Probe::path(RESTART_ASKED),
        Probe::path(KERNEL_LINKS[0]),
        Probe::path(KERNEL_LINKS[1]),
    ]
}

/// Whether a node has finished its start, from the answers to [`restart_query`]. One that failed has.
///
/// # Errors
/// When they are no such answers.
pub fn has_started(findings: &[Finding]) -> Result<bool> {
    Ok(first_start(findings, &[])? != FirstStart::Running)
}

/// How far it is, where errors of these modules of cloud-init do not matter.
pub(super) fn first_start(findings: &[Finding], accepted: &[String]) -> Result<FirstStart> {
    let result = run_at(findings, 3)?;
    Ok(match (path_at(findings, 1), path_at(findings, 2)) {
        (None, _) | (_, Some(_)) => FirstStart::Over,
        (Some(_), None) if result.status == 0 => finished(&result.stdout, accepted),
        (Some(_), None) => FirstStart::Running,
    })
}

/// Why a node needs a restart, from the answers to [`restart_query`].
pub fn restart_reasons(findings: &[Finding]) -> Vec<String> {
    let running = run_at(findings, 0).ok().and_then(|said| said.stdout.split_whitespace().nth(1)).unwrap_or_default();
    let installed = [5, 6].iter().find_map(|position| match &path_at(findings, *position)?.kind {
        PathKind::Symlink { target } => target.rsplit('/').next()?.strip_prefix("vmlinuz-"),
        _ => None,
    });
    let asked = path_at(findings, 4).map(|_| format!("{RESTART_ASKED} is there"));
    let kernel = installed.filter(|installed| !running.is_empty() && is_newer(installed, running));
    asked.into_iter().chain(kernel.map(|kernel| format!("kernel {kernel} is installed, {running} runs"))).collect()
}

/// Whether a kernel's release is the newer one: its numbers count, one after the other.
fn is_newer(one: &str, other: &str) -> bool {
    let numbers =
        |text: &str| -> Vec<u64> { text.split(|sign: char| !sign.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect() };
    numbers(one) > numbers(other)
}

fn finished(result: &str, accepted: &[String]) -> FirstStart {
    // An error is written as Python shows a pair: `('scripts_user', RuntimeError('1 failed'))`.
    let is_accepted = |error: &String| accepted.iter().any(|module| error.starts_with(&format!("('{module}',")));
    match serde_json::from_str::<CloudInitResult>(result) {
        Ok(result) => match result.v1.errors.iter().filter(|error| !is_accepted(error)).cloned().collect::<Vec<_>>() {
            errors if errors.is_empty() => FirstStart::Over,
            errors => FirstStart::Failed(errors.join("; ")),
        },
        // It is being written just now.
        Err(_) => FirstStart::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, failed, printed};
    use kthw_engine::node::PathState;

    const NONE: Finding = Finding::Path(None);

    #[test]
    fn an_error_of_cloud_init_is_accepted_by_its_name() {
        let result = r#"{"v1": {"errors": ["('scripts_user', RuntimeError('1 failed'))", "('apt_configure', OSError('x'))"]}}"#;
        let with = |names: &[&str]| finished(result, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(with(&["scripts_user", "apt_configure"]), FirstStart::Over);
        assert_eq!(with(&["scripts_user"]), FirstStart::Failed("('apt_configure', OSError('x'))".into()));
        assert_eq!(with(&["scripts", "apt"]), finished(result, &[]), "a part of a name is no name");
    }

    fn some(content: &str) -> Finding {
        Finding::Path(Some(a_file(content, false)))
    }

    #[test]
    fn a_restart_is_needed_when_the_system_asks_or_a_newer_kernel_waits() {
        let link = |target: &str| Finding::Path(Some(PathState { kind: PathKind::Symlink { target: target.into() }, ..a_file("", true) }));
        let reasons = |asked: Finding, boot: Finding, root: Finding| {
            restart_reasons(&[printed("cu1 6.8.0-9-generic\n"), NONE, NONE, failed(1), asked, boot, root]).join("; ")
        };
        assert_eq!(reasons(NONE, NONE, NONE), "");
        assert_eq!(reasons(NONE, link("vmlinuz-6.8.0-9-generic"), NONE), "");
        assert_eq!(reasons(NONE, link("vmlinuz-6.5.0-90-generic"), NONE), "");
        assert_eq!(
            reasons(NONE, NONE, link("boot/vmlinuz-6.8.0-10-generic")),
            "kernel 6.8.0-10-generic is installed, 6.8.0-9-generic runs"
        );
        assert_eq!(reasons(some(""), NONE, NONE), "/run/reboot-required is there");
        assert_eq!(restart_reasons(&[]), Vec::<String>::new());
    }
}
