//! Automatic updates of a node's operating system: what each family has for them, switched on for a policy, or off.
//!
//! Packages that are held stay, since each of these respects the package manager's locks, and nothing ever restarts a machine.
use crate::workspace::{UpdatePolicy, Updates};

/// What has to be so on a node for a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutomaticUpdates {
    /// The package that does it.
    pub package: Option<&'static str>,
    /// Its files and their contents.
    pub files: Vec<(&'static str, String)>,
    /// Timers that are to run.
    pub on: Vec<&'static str>,
    /// Timers that are not to run.
    pub off: Vec<&'static str>,
}

/// What a node does by itself under a policy; `None` where only a person updates it.
pub(super) fn unattended(updates: Updates) -> Option<UpdatePolicy> {
    (updates.unattended && updates.policy != UpdatePolicy::None).then_some(updates.policy)
}

/// apt: unattended-upgrades, which apt's two daily timers run
/// (<https://wiki.debian.org/PeriodicUpdates>, <https://github.com/mvo5/unattended-upgrades>). `#clear` takes back what the distribution's file allows.
pub(super) fn apt(updates: Updates) -> AutomaticUpdates {
    let timers = vec!["apt-daily.timer", "apt-daily-upgrade.timer"];
    let Some(policy) = unattended(updates) else { return AutomaticUpdates { off: timers, ..AutomaticUpdates::default() } };
    let origins: &[&str] = match policy {
        UpdatePolicy::All => &["origin=*"],
        _ => &[
            "origin=Debian,codename=${distro_codename}-security,label=Debian-Security",
            "origin=Debian,codename=${distro_codename},label=Debian-Security",
            "origin=Ubuntu,archive=${distro_codename}-security,label=Ubuntu",
            "origin=UbuntuESM,archive=${distro_codename}-infra-security",
            "origin=UbuntuESMApps,archive=${distro_codename}-apps-security",
        ],
    };
    let origins: String = origins.iter().map(|origin| format!("  \"{origin}\";\n")).collect();
    let content = format!(
        "APT::Periodic::Enable \"1\";\nAPT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n\
         #clear Unattended-Upgrade::Allowed-Origins;\n#clear Unattended-Upgrade::Origins-Pattern;\n\
         Unattended-Upgrade::Origins-Pattern {{\n{origins}}};\nUnattended-Upgrade::Automatic-Reboot \"false\";\n"
    );
    AutomaticUpdates {
        package: Some("unattended-upgrades"),
        files: vec![("/etc/apt/apt.conf.d/99kthw-updates", content)],
        on: timers,
        off: Vec::new(),
    }
}

/// dnf: dnf-automatic (<https://dnf.readthedocs.io/en/latest/automatic.html>). Its other timer installs whatever the file says.
pub(super) fn dnf(updates: Updates) -> AutomaticUpdates {
    let (own, other) = ("dnf-automatic.timer", "dnf-automatic-install.timer");
    let Some(policy) = unattended(updates) else {
        return AutomaticUpdates { off: vec![own, other], ..AutomaticUpdates::default() };
    };
    let kind = if policy == UpdatePolicy::All { "default" } else { "security" };
    let content = format!(
        "[commands]\nupgrade_type = {kind}\nrandom_sleep = 0\nnetwork_online_timeout = 60\ndownload_updates = yes\napply_updates = yes\n\
         reboot = never\n\n[emitters]\nemit_via = stdio\n\n[base]\ndebuglevel = 1\n"
    );
    AutomaticUpdates { package: Some("dnf-automatic"), files: vec![("/etc/dnf/automatic.conf", content)], on: vec![own], off: vec![other] }
}

/// zypper has nothing of its own: a timer of kthw's (<https://en.opensuse.org/SDB:Zypper_manual>). In a run without questions zypper leaves out patches
/// that ask for a restart afterwards, unless it is told to take them; its exit codes from 100 to 103 only inform.
pub(super) fn zypper(updates: Updates) -> AutomaticUpdates {
    let timer = "kthw-updates.timer";
    let Some(policy) = unattended(updates) else {
        return AutomaticUpdates { off: vec![timer], ..AutomaticUpdates::default() };
    };
    let command = match policy {
        UpdatePolicy::All => "update --auto-agree-with-licenses",
        _ => "patch --category security --with-interactive --auto-agree-with-licenses",
    };
    let service = format!(
        "[Unit]\nDescription=Updates of the operating system by the policy of its workspace\nWants=network-online.target\n\
         After=network-online.target\n\n[Service]\nType=oneshot\nExecStart=/usr/bin/zypper --non-interactive {command}\n\
         SuccessExitStatus=100 101 102 103\n"
    );
    let when = "[Unit]\nDescription=Updates of the operating system, daily\n\n[Timer]\nOnCalendar=daily\nRandomizedDelaySec=1h\nPersistent=true\n\n\
                [Install]\nWantedBy=timers.target\n";
    AutomaticUpdates {
        package: None,
        files: vec![("/etc/systemd/system/kthw-updates.service", service), ("/etc/systemd/system/kthw-updates.timer", when.into())],
        on: vec![timer],
        off: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Distribution;
    use super::*;

    /// What each distribution has to have under a policy: its timers, `+` on and `-` off, and the line that says which updates are meant.
    fn told(policy: UpdatePolicy, unattended: bool, which: &str) -> Vec<String> {
        let told = Distribution::ALL.iter().map(|distribution| {
            let told = distribution.family().automatic_updates(Updates { policy, unattended });
            let timers = told.on.iter().map(|timer| format!("+{timer}")).chain(told.off.iter().map(|timer| format!("-{timer}")));
            let lines = told.files.iter().flat_map(|(_, content)| content.lines()).filter(|line| line.contains(which)).map(str::to_owned);
            format!("{}: {}", distribution.word(), timers.chain(lines).collect::<Vec<_>>().join(" "))
        });
        told.collect()
    }

    #[test]
    fn nothing_moves_by_itself_unless_the_policy_says_so() {
        let off = [
            "ubuntu: -apt-daily.timer -apt-daily-upgrade.timer",
            "debian: -apt-daily.timer -apt-daily-upgrade.timer",
            "rocky: -dnf-automatic.timer -dnf-automatic-install.timer",
            "suse: -kthw-updates.timer",
        ];
        assert_eq!(told(UpdatePolicy::None, false, ""), off);
        assert_eq!(told(UpdatePolicy::All, false, ""), off);
        assert_eq!(told(UpdatePolicy::None, true, ""), off, "which validation refuses");
    }

    #[test]
    fn a_policy_says_which_updates_are_installed() {
        let security = told(UpdatePolicy::Security, true, "security");
        assert!(
            security[0].contains("origin=Ubuntu,archive=${distro_codename}-security") && !security[0].contains("origin=*"),
            "{security:?}"
        );
        assert_eq!(security[2], "rocky: +dnf-automatic.timer -dnf-automatic-install.timer upgrade_type = security");
        assert!(security[3].ends_with("zypper --non-interactive patch --category security --with-interactive --auto-agree-with-licenses"));
        assert!(told(UpdatePolicy::All, true, "origin")[1].ends_with("\"origin=*\";"));
        assert!(told(UpdatePolicy::All, true, "upgrade_type")[2].ends_with("upgrade_type = default"));
        assert!(told(UpdatePolicy::All, true, "zypper")[3].ends_with("zypper --non-interactive update --auto-agree-with-licenses"));
    }

    #[test]
    fn no_machine_restarts_by_itself() {
        for distribution in Distribution::ALL {
            let told = distribution.family().automatic_updates(Updates { policy: UpdatePolicy::All, unattended: true });
            let text: String = told.files.iter().map(|(_, content)| content.as_str()).collect();
            let never = ["Automatic-Reboot \"false\"", "reboot = never"].iter().any(|line| text.contains(line));
            assert!(never || !text.contains("reboot"), "{text}");
        }
    }
}
