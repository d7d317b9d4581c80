//! What is in order today and will not stay so: told by `kthw check`.
use super::{Repository, Workspace};
use crate::{
    add_ons::METRICS_SERVER,
    distribution::{Support, release as release_of},
    kubeadm::{self, COMMUNITY_KEY, COMMUNITY_KEY_ENDS, COMMUNITY_KEY_SHA256},
    openpgp,
    versions::{Component, Minor, add_ons, kubernetes},
};
use jiff::{Span, civil::Date};

/// How long ahead the end of a signing key is told, in days.
const AHEAD_DAYS: i64 = 60;

impl Workspace {
    /// Warnings about this workspace on a day.
    pub fn warnings(&self, today: Date) -> Vec<String> {
        let system = release_of(self);
        let support = match system.support {
            Support::Supported => None,
            Support::Preview => Some(format!("{} is new, and kthw has not been tried on it long", system.title)),
            Support::Ended(day) => Some(format!(
                "{} has had no security updates since {day}: it is known so that clusters can be moved from it, not for new ones",
                system.title
            )),
        };
        let agent =
            self.template.as_ref().filter(|template| self.proxmox.is_some() && template.build_address.is_none() && !system.has_guest_agent);
        let agent = agent.map(|_| {
            format!(
                "the image of {} has no guest agent, and the template is the image as it is: machines are waited for two minutes longer and trusted at \
                 first sight; name a free address in `template.build_address`, and the agent is built in",
                system.title
            )
        });
        support.into_iter().chain(agent).chain(self.of_metrics()).chain(self.ended(today)).chain(self.key_warnings(today)).collect()
    }

    /// metrics-server verifies the certificates of kubelets, which sign their own unless they are told to ask the cluster.
    fn of_metrics(&self) -> Option<String> {
        let wanted = METRICS_SERVER.wanted(self).is_some() && self.kubeadm.kubelet_serving_certificates != Some(true);
        wanted.then(|| {
            "metrics-server gets ready only where kubelets serve with certificates of the cluster's authority: set \
             `kubeadm.kubelet_serving_certificates: true`, unless you see to these certificates yourself"
                .into()
        })
    }

    /// The lines of releases that upstream keeps no more: of Kubernetes, and of the containerd that its nodes get.
    fn ended(&self, today: Date) -> Vec<String> {
        let Some(versions) = &self.versions else { return Vec::new() };
        let today = today.to_string();
        let minor = Minor::of(&versions.kubernetes);
        let release = kubernetes::KUBERNETES.iter().find(|release| release.minor == minor);
        let over = release.filter(|release| release.ends.is_none_or(|day| *day < *today));
        let kubernetes = over.map(|release| {
            let since = release.ends.map_or_else(String::new, |day| format!(" since {day}"));
            format!("upstream no longer patches Kubernetes {minor}{since}: `kthw versions` shows what it keeps, and the way there")
        });
        // A distribution's own package gets what the distribution puts into it.
        let own = release_of(self).containerd.filter(|(package, _)| *package == self.containerd.package).map(|(_, version)| version);
        let (version, keeper) = match (&self.packages.containerd, &self.packages.containerd_repository, own) {
            (Some(version), Some(_), _) => (Some(version.as_str()), "take a newer one in `packages.containerd`".to_owned()),
            (_, None, Some(own)) => {
                let title = release_of(self).title;
                (Some(own), format!("it gets what {title} puts into its package; `packages.containerd_repository` names another"))
            }
            _ => (None, String::new()),
        };
        let line =
            version.and_then(minor_in).and_then(|minor| add_ons::lines(Component::Containerd).iter().find(|line| line.line == minor));
        let containerd = line
            .filter(|line| line.ends.is_some_and(|day| *day < *today))
            .map(|line| format!("upstream no longer patches containerd {} since {}: {keeper}", line.line, line.ends.unwrap_or_default()));
        kubernetes.into_iter().chain(containerd).collect()
    }

    /// Of each key that signs a repository, and whose end can be known from here, when that is.
    fn key_warnings(&self, today: Date) -> Vec<String> {
        let kubernetes =
            self.versions.as_ref().map(|versions| ("the Kubernetes repository", kubeadm::repository(self, &versions.kubernetes)));
        let containerd = self.packages.containerd_repository.clone().map(|repository| ("containerd's repository", repository));
        let distribution = self.packages.distribution.iter().map(|repository| ("the distribution's repository", repository.clone()));
        let repositories = [kubernetes, containerd].into_iter().flatten().chain(distribution);
        repositories.flat_map(|(name, repository)| of_repository(name, &repository, today)).collect()
    }
}

/// The minor version in a package's version, such as 2.2 in `1:2.2.1-0ubuntu1~24.04.2`.
fn minor_in(version: &str) -> Option<Minor> {
    let mut numbers = version.rsplit(':').next()?.split('.');
    Some(Minor(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn of_repository(name: &str, repository: &Repository, today: Date) -> Vec<String> {
    let Repository { url, .. } = repository;
    let keys = repository.signing_keys();
    let next = match keys.len() {
        1 if url.contains("pkgs.k8s.io") => {
            "list its successor beside it in `packages.kubernetes_keys`, or use a kthw that knows it; after that no package comes from there"
        }
        1 => "ask its publisher for the successor and list it beside it in `keys`; after that no package comes from there",
        _ => "another one is listed beside it; take this one out once the other signs",
    };
    let soon = today.saturating_add(Span::new().days(AHEAD_DAYS));
    let mut told = Vec::new();
    for key in &keys {
        let found = key.key.as_deref().map(openpgp::keys);
        if found.as_ref().is_some_and(Vec::is_empty) {
            told.push(format!("what is given as a key of {name}, {url}, is no OpenPGP key"));
        }
        let known = key.sha256.as_deref() == Some(COMMUNITY_KEY_SHA256);
        let known = known.then(|| openpgp::Key { fingerprint: COMMUNITY_KEY.into(), ends: Some(COMMUNITY_KEY_ENDS) });
        for openpgp::Key { fingerprint, ends } in found.into_iter().flatten().chain(known) {
            if let Some(ends) = ends.filter(|ends| *ends <= soon) {
                let when = if today > ends { "expired on" } else { "expires on" };
                told.push(format!("the key {fingerprint} of {name}, {url}, {when} {ends}: {next}"));
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distribution::Distribution,
        openpgp::tests::{ENDS, NEVER},
        workspace::SigningKey,
    };
    use jiff::civil::date;

    /// A workspace with versions that upstream keeps for years.
    fn kept() -> Workspace {
        let mut workspace = crate::ssh::testing::workspace();
        workspace.versions.as_mut().unwrap().kubernetes = "1.37.2".parse().unwrap();
        workspace.containerd.package = "containerd.io".into();
        workspace
    }

    #[test]
    fn metrics_server_wants_certificates_of_the_cluster() {
        let mut workspace = kept();
        assert_eq!(workspace.of_metrics(), None);
        workspace.add_ons.insert("metrics-server".into(), "0.9.0".parse().unwrap());
        assert!(workspace.of_metrics().unwrap().contains("`kubeadm.kubelet_serving_certificates: true`"));
        workspace.kubeadm.kubelet_serving_certificates = Some(true);
        assert_eq!(workspace.of_metrics(), None);
    }

    #[test]
    fn what_upstream_keeps_no_more_is_told() {
        let mut workspace = crate::ssh::testing::workspace();
        let theirs = kubeadm::repository(&workspace, &workspace.versions().unwrap().kubernetes);
        let mut told = |kubernetes: &str, containerd: Option<&str>, repository: bool, day| {
            workspace.versions.as_mut().unwrap().kubernetes = kubernetes.parse().unwrap();
            workspace.packages.containerd = containerd.map(str::to_owned);
            workspace.packages.containerd_repository = repository.then(|| theirs.clone());
            workspace.ended(day).join("\n")
        };
        let day = date(2026, 11, 29);
        assert!(told("1.31.9", None, false, date(2026, 11, 6)).starts_with("upstream no longer patches Kubernetes 1.31: "));
        assert_eq!(told("1.37.2", None, false, date(2026, 11, 6)), "");
        assert!(told("1.37.2", None, false, day).contains("containerd 2.2 since 2026-11-06: it gets what Ubuntu 24.04 LTS puts"));
        assert!(told("1.37.2", Some("1:1.7.28-1"), true, day).contains("containerd 1.7 since 2026-09-30: take a newer one"));
        assert_eq!(told("1.37.2", Some("2.4.2-1"), true, day), "");
        assert_eq!(told("1.37.2", None, true, day), "", "the newest of a repository is not known from here");
        assert!(told("1.37.2", Some("2.4.2-1"), true, date(2027, 12, 1)).contains("Kubernetes 1.37 since 2027-10-28"));
    }

    #[test]
    fn what_will_not_stay_so_is_told_in_time() {
        let mut workspace = kept();
        workspace.template.as_mut().unwrap().build_address = Some([10, 0, 0, 90].into());
        assert_eq!(workspace.warnings(date(2026, 10, 1)), Vec::<String>::new());
        let told = |workspace: &Workspace, day| workspace.warnings(day).join("\n");
        assert!(told(&workspace, date(2026, 11, 1)).contains("expires on 2026-12-29"));
        assert!(told(&workspace, date(2027, 1, 1)).contains("expired on 2026-12-29"));
        workspace.template.as_mut().unwrap().build_address = None;
        assert!(told(&workspace, date(2026, 10, 1)).contains("has no guest agent"));
        (workspace.distribution, workspace.release) = (Distribution::Suse, None);
        let told = told(&workspace, date(2026, 10, 1));
        assert!(told.contains("no security updates since 2026-04-30"), "{told}");
    }

    #[test]
    fn each_key_that_is_in_hand_says_when_it_ends() {
        let mut workspace = kept();
        let key = |text: &str| SigningKey { key: Some(text.into()), ..SigningKey::default() };
        let told = |workspace: &Workspace, day| workspace.warnings(day).join("\n");
        workspace.packages.kubernetes_keys = vec![key(ENDS)];
        let alone = told(&workspace, date(2025, 12, 1));
        assert!(alone.contains("B14AE7BB9548FE306E4717F752E627628A11F2CB") && alone.contains("expires on 2026-01-01"), "{alone}");
        assert!(alone.contains("list its successor"), "{alone}");
        assert_eq!(told(&workspace, date(2025, 11, 1)), "", "more than 60 days ahead");
        workspace.packages.kubernetes_keys.push(key(NEVER));
        let both = told(&workspace, date(2026, 1, 2));
        assert!(both.contains("expired on 2026-01-01") && both.contains("another one is listed"), "{both}");
        workspace.packages.kubernetes_keys = vec![key(NEVER)];
        assert_eq!(told(&workspace, date(2027, 1, 2)), "");
        workspace.packages.kubernetes_keys = vec![key("KEY")];
        assert!(told(&workspace, date(2025, 1, 1)).contains("is no OpenPGP key"));
    }
}
