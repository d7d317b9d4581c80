//! What is in order today and will not stay so, or is in order in the lab alone: told by `kthw check`.
use super::Workspace;
use crate::{
    distribution::{Support, release},
    kubeadm::COMMUNITY_KEY_ENDS,
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
        let image = self.template.as_ref().map(|template| &template.image).filter(|image| image.sha256.is_none());
        let image = image.map(|image| {
            format!(
                "the image {} has no digest (`template.image.sha256`): it is taken in the lab, and refused for real machines",
                image.file
            )
        });
        let agent =
            self.template.as_ref().filter(|template| self.proxmox.is_some() && template.build_address.is_none() && !system.has_guest_agent);
        let agent = agent.map(|_| {
            format!(
                "the image of {} has no guest agent, and the template is the image as it is: machines are waited for two minutes longer and trusted at \
                 first sight; name a free address in `template.build_address`, and the agent is built in",
                system.title
            )
        });
        [support, image, agent, self.key_warning(today)].into_iter().flatten().collect()
    }

    fn key_warning(&self, today: Date) -> Option<String> {
        let soon = today.checked_add(Span::new().days(AHEAD_DAYS)).ok()?;
        if self.packages.kubernetes.is_some() || soon < COMMUNITY_KEY_ENDS {
            return None;
        }
        let when = if today > COMMUNITY_KEY_ENDS { "expired on" } else { "expires on" };
        Some(format!(
            "the key that signs pkgs.k8s.io, as kthw pins it, {when} {COMMUNITY_KEY_ENDS}: after that no package comes from there; name the repository \
             with its new key in `packages.kubernetes`, or use a kthw that knows it"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Distribution;
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
        workspace.template.as_mut().unwrap().image.sha256 = None;
        let told = told(&workspace, date(2026, 10, 1));
        assert!(told.contains("no security updates since 2026-04-30") && told.contains("has no digest"), "{told}");
    }
}
