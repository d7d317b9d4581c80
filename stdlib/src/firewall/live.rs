//! What is found of a machine's firewall: files, and what `kthw-firewall look` says of the rules in force.
use kthw_engine::node::{Finding, Output, PathState};

/// The firewall of a machine as found.
#[derive(Debug)]
pub struct LiveHost {
    /// The program that keeps it.
    pub(super) program: Option<PathState>,
    /// The unit that puts it in force when the machine starts.
    pub(super) unit: Option<PathState>,
    /// The rules that are kept.
    pub(super) rules: Option<PathState>,
    /// Whether the unit is enabled.
    pub(super) is_enabled: bool,
    /// The digest of what nft lists now; none where there is no table of ours.
    listed: Option<String>,
    /// The digests of the file that was put in force last, and of what nft listed then.
    loaded: Option<(String, String)>,
    /// Whether rules are on trial.
    on_trial: bool,
}

impl LiveHost {
    /// Understands the answers to the query; `None` where there is nothing of ours.
    pub(super) fn of(findings: &[Finding]) -> Option<Self> {
        let [Finding::Path(program), Finding::Path(unit), Finding::Path(rules), Finding::Run(look), Finding::Run(enabled)] = findings
        else {
            return None;
        };
        let said = |word: &str| look.stdout.lines().find_map(|line| line.strip_prefix(word)).map(str::trim);
        let live = Self {
            program: program.clone(),
            unit: unit.clone(),
            rules: rules.clone(),
            is_enabled: is_enabled(enabled),
            listed: said("listed ").map(str::to_owned),
            loaded: said("loaded ").and_then(|line| line.split_once(' ')).map(|(file, list)| (file.to_owned(), list.to_owned())),
            on_trial: said("trial").is_some(),
        };
        (live.rules.is_some() || live.unit.is_some() || live.program.is_some()).then_some(live)
    }

    /// What is in force, if the file with the digest `wanted` should be.
    pub(super) fn in_force(&self, wanted: &str) -> &'static str {
        match (&self.listed, &self.loaded) {
            (None, _) => "nothing",
            (Some(_), None) => "what somebody else put in force",
            _ if self.on_trial => "on trial",
            (Some(listed), Some((_, then))) if listed != then => "changed by hand",
            (_, Some((file, _))) if file != wanted => "other rules",
            _ => "as written",
        }
    }
}

fn is_enabled(output: &Output) -> bool {
    output.status == 0 && output.stdout.trim() == "enabled"
}
