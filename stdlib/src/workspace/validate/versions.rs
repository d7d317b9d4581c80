//! Rules about versions: known to kthw, and tested with each other upstream.
use super::Check;
use crate::versions::{Component, Minor, check as problems_of, known_lines};

pub(super) fn known(check: &mut Check<'_>) {
    let versions = check.workspace.versions.clone();
    for (component, version, path) in
        [(Component::Kubernetes, &versions.kubernetes, "versions.kubernetes"), (Component::Calico, &versions.calico, "versions.calico")]
    {
        let (line, known) = (component.line(version), known_lines(component));
        if !known.contains(&line) {
            check.add(
                "kthw::workspace::unknown_version",
                path,
                "not known",
                format!("kthw does not know {component} {line}"),
                format!("it knows {}", Minor::list(&known)),
            );
        }
    }
}

pub(super) fn fit(check: &mut Check<'_>) {
    let versions = &check.workspace.versions;
    let set = check.workspace.version_set();
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
            format!("{nearest}or write `unsupported: true` under `versions` to take this one as it is. See {}", problem.page),
        );
    }
}
