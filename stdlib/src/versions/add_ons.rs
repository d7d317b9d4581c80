//! What is installed into a cluster beside Calico, with the Kubernetes versions that upstream names for each line.
use super::{Component, Line, Minor, Needs, calico, containerd};
use semver::Version;

const fn line(line: Minor, newest: (u64, u64, u64), needs: Needs, ends: Option<&'static str>, source: &'static str) -> Line {
    Line { line, newest, needs, ends, source }
}

const CERT_MANAGER_PAGE: &str = "https://cert-manager.io/docs/releases/";

/// cert-manager. From the tables of supported and of old releases on its page (`content/docs/releases/README.md` in
/// `github.com/cert-manager/website`, 2026-08-22). 1.20 ends when 1.22 comes and 1.21 when 1.23 comes, so they have no date. 1.22 was
/// announced for November 2026 without a list.
pub const CERT_MANAGER: &[Line] = &[
    line(Minor(1, 14), (1, 14, 7), Needs::Tested(24, 31), Some("2024-10-03"), CERT_MANAGER_PAGE),
    line(Minor(1, 15), (1, 15, 5), Needs::Tested(25, 32), Some("2025-02-03"), CERT_MANAGER_PAGE),
    line(Minor(1, 16), (1, 16, 5), Needs::Tested(25, 32), Some("2025-06-10"), CERT_MANAGER_PAGE),
    line(Minor(1, 17), (1, 17, 4), Needs::Tested(29, 33), Some("2025-10-07"), CERT_MANAGER_PAGE),
    line(Minor(1, 18), (1, 18, 6), Needs::Tested(29, 33), Some("2026-03-10"), CERT_MANAGER_PAGE),
    line(Minor(1, 19), (1, 19, 6), Needs::Tested(31, 35), Some("2026-07-08"), CERT_MANAGER_PAGE),
    line(Minor(1, 20), (1, 20, 3), Needs::Tested(32, 35), None, CERT_MANAGER_PAGE),
    line(Minor(1, 21), (1, 21, 2), Needs::Tested(33, 36), None, CERT_MANAGER_PAGE),
];

const METRICS_SERVER_PAGE: &str = "https://github.com/kubernetes-sigs/metrics-server#compatibility-matrix";

/// metrics-server. From its README, read in the Go module `sigs.k8s.io/metrics-server` v0.9.0.
pub const METRICS_SERVER: &[Line] = &[
    line(Minor(0, 6), (0, 6, 4), Needs::Since(25), None, METRICS_SERVER_PAGE),
    line(Minor(0, 7), (0, 7, 2), Needs::Since(27), None, METRICS_SERVER_PAGE),
    line(Minor(0, 8), (0, 8, 1), Needs::Since(31), None, METRICS_SERVER_PAGE),
    line(Minor(0, 9), (0, 9, 0), Needs::Since(34), None, METRICS_SERVER_PAGE),
];

const METALLB_PAGE: &str = "https://metallb.io/release-notes/";

/// MetalLB, which publishes no list; its chart asks for 1.19. Which client its newest patch is built on is in its `go.mod`; that of 0.16.2 was
/// read in the Go module `go.universe.tf/metallb`, the others not.
pub const METALLB: &[Line] = &[
    line(Minor(0, 14), (0, 14, 9), Needs::Unpublished("no list; built on the client of 1.31"), None, METALLB_PAGE),
    line(Minor(0, 15), (0, 15, 3), Needs::Unpublished("no list; built on the client of 1.34"), None, METALLB_PAGE),
    line(Minor(0, 16), (0, 16, 2), Needs::Unpublished("no list; built on the client of 1.37"), None, METALLB_PAGE),
];

const TRAEFIK_PAGE: &str = "https://github.com/traefik/traefik-helm-chart/blob/master/traefik/Changelog.md";

/// The chart of Traefik, by major version: the newest release of each and `kubeVersion`, both from its changelog (2026-08-21). 28 is the first
/// that installs Traefik 3.
pub const TRAEFIK_CHART: &[Line] = &[
    line(Minor(28, 0), (28, 3, 0), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(29, 0), (29, 0, 1), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(30, 0), (30, 1, 0), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(31, 0), (31, 1, 1), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(32, 0), (32, 1, 0), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(33, 0), (33, 2, 1), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(34, 0), (34, 5, 0), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(35, 0), (35, 4, 0), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(36, 0), (36, 3, 0), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(37, 0), (37, 4, 0), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(38, 0), (38, 0, 2), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(39, 0), (39, 0, 9), Needs::Since(22), None, TRAEFIK_PAGE),
    line(Minor(40, 0), (40, 3, 0), Needs::Since(25), None, TRAEFIK_PAGE),
    line(Minor(41, 0), (41, 3, 0), Needs::Since(25), None, TRAEFIK_PAGE),
];

/// The Traefik that the newest release of each chart in [`TRAEFIK_CHART`] installs.
pub const TRAEFIK: &[(u64, &str)] = &[
    (28, "3.0.2"),
    (29, "3.0.4"),
    (30, "3.1.2"),
    (31, "3.1.4"),
    (32, "3.1.5"),
    (33, "3.2.2"),
    (34, "3.3.4"),
    (35, "3.4.0"),
    (36, "3.4.3"),
    (37, "3.6.2"),
    (38, "3.6.6"),
    (39, "3.6.15"),
    (40, "3.7.4"),
    (41, "3.7.11"),
];

const KUBE_VIP_PAGE: &str = "https://github.com/kube-vip/kube-vip/releases";

/// kube-vip, which publishes no list. The newest patches are those that were seen in others' upgrades; its own list of releases was not read.
pub const KUBE_VIP: &[Line] = &[
    line(Minor(0, 8), (0, 8, 9), Needs::Unpublished("no list"), None, KUBE_VIP_PAGE),
    line(Minor(0, 9), (0, 9, 2), Needs::Unpublished("no list"), None, KUBE_VIP_PAGE),
    line(Minor(1, 0), (1, 0, 4), Needs::Unpublished("no list"), None, KUBE_VIP_PAGE),
    line(Minor(1, 1), (1, 1, 2), Needs::Unpublished("no list"), None, KUBE_VIP_PAGE),
    line(Minor(1, 2), (1, 2, 3), Needs::Unpublished("no list"), None, KUBE_VIP_PAGE),
];

/// The lines of a component that is measured by Kubernetes; none of Kubernetes and etcd, which have tables of their own.
pub fn lines(component: Component) -> &'static [Line] {
    match component {
        Component::Kubernetes | Component::Etcd => &[],
        Component::Containerd => containerd::LINES,
        Component::Calico => calico::LINES,
        Component::MetalLb => METALLB,
        Component::TraefikChart => TRAEFIK_CHART,
        Component::CertManager => CERT_MANAGER,
        Component::MetricsServer => METRICS_SERVER,
        Component::KubeVip => KUBE_VIP,
    }
}

/// The line that a version belongs to, if it is known.
pub fn line_of(component: Component, version: &Version) -> Option<&'static Line> {
    let line = component.line(version);
    lines(component).iter().find(|known| known.line == line)
}

/// That a component goes from one line to the next without leaving one out: who asks for that, and where.
pub fn order(component: Component) -> (&'static str, &'static str) {
    match component {
        Component::CertManager => ("upstream asks for one minor version at a time", "https://cert-manager.io/docs/installation/upgrade/"),
        Component::TraefikChart => (
            "upstream says that every major version of the chart breaks something",
            "https://github.com/traefik/traefik-helm-chart#upgrading",
        ),
        Component::Containerd => ("upstream supports the next line, and one long-term line to the next", containerd::UPGRADES),
        Component::Calico => {
            ("kthw takes one minor version at a time, which upstream neither asks for nor tests otherwise", calico::UPGRADES)
        }
        Component::MetalLb => ("kthw takes one minor version at a time; upstream says to read the notes of each", METALLB_PAGE),
        Component::MetricsServer => ("kthw takes one minor version at a time", METRICS_SERVER_PAGE),
        Component::KubeVip => ("kthw takes one minor version at a time", KUBE_VIP_PAGE),
        Component::Kubernetes => ("kubeadm upgrades by one minor version", super::kubernetes::SKEW),
        Component::Etcd => ("etcd upgrades by one minor version", super::etcd::ONE_MINOR),
    }
}

/// Releases that are known to be in trouble. None is refused because of it, and no way goes through one unless its end is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The component.
    pub component: Component,
    /// The first release that has it.
    pub from: (u64, u64, u64),
    /// The last release that has it.
    pub to: (u64, u64, u64),
    /// What happens, as the end of a sentence that begins with the release.
    pub what: &'static str,
    /// Where it was reported.
    pub source: &'static str,
}

/// What is known of releases in trouble.
pub const TROUBLES: &[Trouble] = &[Trouble {
    component: Component::KubeVip,
    from: (1, 0, 1),
    to: (1, 0, 3),
    what: "loses its address when an election stalls",
    source: "https://github.com/kube-vip/kube-vip/issues/1377",
}];

/// The trouble that a release has.
pub fn trouble(component: Component, version: &Version) -> Option<&'static Trouble> {
    let version = (version.major, version.minor, version.patch);
    TROUBLES.iter().find(|trouble| trouble.component == component && trouble.from <= version && version <= trouble.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(component: Component, rows: &[(u64, u64, u64, Option<u64>)]) {
        let known = lines(component);
        assert_eq!(known.len(), rows.len(), "{component}");
        for (line, (major, minor, from, to)) in known.iter().zip(rows) {
            assert_eq!(line.line, Minor(*major, *minor));
            let far = |kubernetes| line.needs.outside(Minor(1, kubernetes));
            assert_eq!([far(from - 2), far(from - 1), far(*from)], [2, 1, 0], "{component} {}", line.line);
            match to {
                Some(to) => assert_eq!([far(*to), far(to + 1), far(to + 3)], [0, 1, 3], "{component} {}", line.line),
                None => assert_eq!(far(99), 0, "{component} {}", line.line),
            }
        }
    }

    /// One line for each row: the first and the last Kubernetes version that upstream names.
    #[test]
    fn each_row_is_what_upstream_names() {
        check(
            Component::CertManager,
            &[
                (1, 14, 24, Some(31)),
                (1, 15, 25, Some(32)),
                (1, 16, 25, Some(32)),
                (1, 17, 29, Some(33)),
                (1, 18, 29, Some(33)),
                (1, 19, 31, Some(35)),
                (1, 20, 32, Some(35)),
                (1, 21, 33, Some(36)),
            ],
        );
        check(Component::MetricsServer, &[(0, 6, 25, None), (0, 7, 27, None), (0, 8, 31, None), (0, 9, 34, None)]);
        let charts: Vec<_> = (28..=41).map(|major| (major, 0, if major < 40 { 22 } else { 25 }, None)).collect();
        check(Component::TraefikChart, &charts);
    }

    #[test]
    fn what_upstream_does_not_publish_is_never_outside() {
        for line in METALLB.iter().chain(KUBE_VIP) {
            assert!((20..40).all(|kubernetes| line.needs.outside(Minor(1, kubernetes)) == 0));
        }
    }

    #[test]
    fn lines_are_in_order_and_hold_their_newest_release() {
        for component in Component::ALL {
            assert!(lines(component).windows(2).all(|pair| pair[0].line < pair[1].line), "{component}");
            for line in lines(component) {
                assert_eq!(component.line(&line.newest()), line.line, "{component}");
                assert!(line.source.starts_with("https://") && order(component).1.starts_with("https://"));
                assert_eq!(trouble(component, &line.newest()), None, "{component} {}", line.newest());
                assert!(line.ends.is_none_or(|day| day.len() == 10), "{component}");
            }
        }
        assert!(TRAEFIK.iter().map(|(chart, _)| *chart).eq(TRAEFIK_CHART.iter().map(|line| line.line.0)));
        assert!(trouble(Component::KubeVip, &Version::new(1, 0, 2)).is_some());
    }

    #[test]
    fn a_chart_has_one_line_for_each_major_version() {
        assert_eq!(line_of(Component::TraefikChart, &Version::new(37, 2, 0)).map(|line| line.line), Some(Minor(37, 0)));
        assert_eq!(line_of(Component::TraefikChart, &Version::new(27, 0, 2)), None);
    }
}
