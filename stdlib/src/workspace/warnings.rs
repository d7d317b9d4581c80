//! What is in order today and will not stay so: told by `kthw check`.
use super::{Repository, Workspace};
use crate::{
    distribution::{Support, release},
    kubeadm::{self, COMMUNITY_KEY, COMMUNITY_KEY_ENDS, COMMUNITY_KEY_SHA256},
    openpgp,
};
use jiff::{Span, civil::Date};

/// How long ahead the end of a signing key is told, in days.
const AHEAD_DAYS: i64 = 60;

impl Workspace {
    /// Warnings about this workspace on a day.
    pub fn warnings(&self, today: Date) -> Vec<String> {
        let system = release(self);
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
        support.into_iter().chain(agent).chain(self.key_warnings(today)).collect()
    }

    /// Of each key that signs a repository, and whose end can be known from here, when that is.
    fn key_warnings(&self, today: Date) -> Vec<String> {
        let kubernetes = ("the Kubernetes repository", kubeadm::repository(self));
        let containerd = self.packages.containerd_repository.clone().map(|repository| ("containerd's repository", repository));
        let distribution = self.packages.distribution.iter().map(|repository| ("the distribution's repository", repository.clone()));
        let repositories = [Some(kubernetes), containerd].into_iter().flatten().chain(distribution);
        repositories.flat_map(|(name, repository)| of_repository(name, &repository, today)).collect()
    }
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

    #[test]
    fn what_will_not_stay_so_is_told_in_time() {
        let mut workspace = crate::ssh::testing::workspace();
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
        let mut workspace = crate::ssh::testing::workspace();
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
