//! Rules about versions: known to kthw, and tested with each other upstream.
use super::Check;
use crate::workspace::compatibility::{CALICO, Minor, calico_kubernetes, kubernetes_minors};

pub(super) fn known(check: &mut Check<'_>) {
    let versions = &check.workspace.versions;
    let kubernetes = Minor::of(&versions.kubernetes);
    if !kubernetes_minors().contains(&kubernetes) {
        check.add(
            "kthw::workspace::unknown_version",
            "versions.kubernetes",
            "not known",
            format!("kthw does not know Kubernetes {kubernetes}"),
            format!("it knows {}", Minor::list(&kubernetes_minors())),
        );
    }
    let calico = Minor::of(&versions.calico);
    if calico_kubernetes(calico).is_none() {
        let known: Vec<Minor> = CALICO.iter().map(|(minor, _)| *minor).collect();
        check.add(
            "kthw::workspace::unknown_version",
            "versions.calico",
            "not known",
            format!("kthw does not know Calico {calico}"),
            format!("it knows {}", Minor::list(&known)),
        );
    }
}

pub(super) fn fit(check: &mut Check<'_>) {
    let versions = &check.workspace.versions;
    let (kubernetes, calico) = (Minor::of(&versions.kubernetes), Minor::of(&versions.calico));
    let Some(tested) = calico_kubernetes(calico) else { return };
    if versions.unsupported || tested.contains(&kubernetes) || !kubernetes_minors().contains(&kubernetes) {
        return;
    }
    let (path, calico, tested) = ("versions.calico", versions.calico.clone(), Minor::list(tested));
    check.add_pair(
        "kthw::workspace::versions_do_not_fit",
        ("versions.kubernetes", "with this Kubernetes"),
        (path, "this Calico"),
        format!("upstream does not test Calico {calico} with Kubernetes {kubernetes}"),
        format!("it is tested with {tested}; choose another pair, or write `unsupported: true` under `versions` to take this one as it is"),
    );
}
