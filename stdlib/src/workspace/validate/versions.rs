//! Rules about versions: known to kthw, and tested with each other upstream.
use super::Check;
use crate::add_ons::{ALL, Facts, UnknownAddOn};
use crate::versions::{Component, Gone, Minor, check as problems_of, flag_gone_since, gate_gone_since, known_lines};

pub(super) fn known(check: &mut Check<'_>) {
    let kubernetes = check.versions().map(|versions| versions.kubernetes.clone());
    let kubernetes =
        kubernetes.map(|version| ("Kubernetes", "versions.kubernetes".to_owned(), version, known_lines(Component::Kubernetes)));
    let add_ons =
        ALL.iter().filter_map(|facts| Some((facts.title, facts.field(), facts.wanted(check.workspace)?.clone(), (facts.lines)())));
    for (title, path, version, known) in kubernetes.into_iter().chain(add_ons) {
        let line = Minor::of(&version);
        if !known.contains(&line) {
            check.add(
                "kthw::workspace::unknown_version",
                &path,
                "not known",
                format!("kthw does not know {title} {line}"),
                format!("it knows {}", Minor::list(&known)),
            );
        }
    }
}

/// Add-ons that nobody knows would not be installed.
pub(super) fn add_ons(check: &mut Check<'_>) {
    let workspace = check.workspace;
    for name in workspace.add_ons.keys() {
        if let Err(unknown) = Facts::named(name) {
            let (path, help) = (format!("add_ons.{name}"), UnknownAddOn::next(name));
            check.add("kthw::workspace::unknown_add_on", &path, "not known", unknown.to_string(), help);
        }
    }
}

pub(super) fn fit(check: &mut Check<'_>) {
    let (Some(versions), Ok(set)) = (check.versions(), check.workspace.version_set()) else { return };
    if versions.unsupported || set.iter().any(|(component, version)| !known_lines(component).contains(&component.line(version))) {
        return;
    }
    for problem in problems_of(&set) {
        let nearest = problem.nearest.map(|nearest| format!("the nearest right set is {nearest}; ")).unwrap_or_default();
        check.add_pair(
            "kthw::workspace::versions_do_not_fit",
            ("versions.kubernetes", "with this Kubernetes"),
            ("versions.calico", "this Calico"),
            problem.rule,
            format!("{nearest}or write `unsupported: true` under `versions` to take this one as it is\n{}", problem.page),
        );
    }
}

/// A kubelet does not start with a flag or a feature gate that it does not know.
pub(super) fn kubelet_flags(check: &mut Check<'_>) {
    let Some(versions) = check.versions() else { return };
    let minor = Minor::of(&versions.kubernetes);
    let arguments = check.workspace.kubeadm.kubelet_extra_args.clone();
    for (flag, value) in &arguments {
        let path = format!("kubeadm.kubelet_extra_args.{flag}");
        if let Some(gone) = flag_gone_since(minor, flag.trim_start_matches('-')) {
            add_gone(check, &path, &format!("the flag `--{}`", flag.trim_start_matches('-')), minor, gone);
        }
        let gates = value.split(',').filter_map(|gate| gate.split_once('=')).filter(|_| flag == "feature-gates");
        for (gate, gone) in gates.filter_map(|(gate, _)| Some((gate, gate_gone_since(minor, gate.trim())?))) {
            add_gone(check, &path, &format!("the feature gate {}", gate.trim()), minor, gone);
        }
    }
}

fn add_gone(check: &mut Check<'_>, path: &str, what: &str, minor: Minor, gone: &Gone) {
    check.add(
        "kthw::workspace::gone",
        path,
        "this one",
        format!("the kubelet of Kubernetes {minor} does not start with {what}, which is gone since {}", gone.minor),
        format!("take it out\n{}", gone.source),
    );
}
