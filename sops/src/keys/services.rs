//! Opening and sealing the data key of a file: which keys, in which order, and how many groups.
use super::{
    Asking, DataKey, Group, KEY_BYTES, KeyService, MasterKey, OtherKind, Person, Recipient, Variables, age::AgeService,
    azure::AzureService, gcp::GcpKmsService, kms::KmsService, pgp::PgpService, shamir, vault::VaultService,
};
use crate::{Metadata, SopsError};
use kthw_engine::Secret;
use std::{ffi::OsString, sync::Arc};

/// The kinds that are tried first, as in sops: they need no network.
const DEFAULT_ORDER: &str = "age,pgp";
/// Of a kind that no service here is responsible for.
const NOT_USED: &str = "kthw does not use this kind of key";

/// All services that kthw knows, over one environment. A passphrase is asked for once and then known to the same value.
pub struct KeyServices {
    variables: Arc<Variables>,
    services: Vec<Box<dyn KeyService>>,
    person: Option<Person>,
}

impl KeyServices {
    /// Over the environment of the process.
    pub fn of_environment() -> Self {
        Self::new(|name| std::env::var_os(name))
    }

    /// Over other variables.
    pub fn new(variables: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        let variables: Arc<Variables> = Arc::new(variables);
        let services: Vec<Box<dyn KeyService>> = vec![
            Box::new(AgeService::new(variables.clone())),
            Box::new(PgpService::new(variables.clone())),
            Box::new(KmsService::new(variables.clone())),
            Box::new(GcpKmsService::new(variables.clone())),
            Box::new(AzureService::new(variables.clone())),
            Box::new(VaultService::new(variables.clone())),
        ];
        Self { variables, services, person: None }
    }

    /// Lets `ask` ask a person for a passphrase when nothing else opens a file. It gets the words to ask with, such as
    /// `Passphrase of /home/me/.ssh/id_ed25519`, and answers `None` to go without.
    #[must_use]
    pub fn with_passphrase(self, ask: impl Fn(&str) -> Option<Secret> + Send + Sync + 'static) -> Self {
        Self { person: Some(Person { ask: Box::new(ask), tell: Box::new(|_| ()) }), ..self }
    }

    /// Lets `tell` tell the person who is asked for passphrases what else a key waits for, such as `age-plugin-yubikey says: touch it`.
    #[must_use]
    pub fn with_messages(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        if let Some(person) = &mut self.person {
            person.tell = Box::new(tell);
        }
        self
    }

    /// The data key of `file`, whose `sops` block is `metadata`.
    ///
    /// # Errors
    /// When no key at hand opens it, or too few groups of several.
    pub fn data_key(&self, file: &str, metadata: &Metadata) -> Result<DataKey, SopsError> {
        let mut groups: Vec<Attempt> = metadata.groups.iter().map(|group| self.attempt(group, metadata.groups.len())).collect();
        let needed = match groups.len() {
            0 | 1 => 1,
            // Fewer than two parts are no parts.
            several => metadata.shamir_threshold.unwrap_or(several).max(2),
        };
        let person = self.person.as_ref().map_or(Asking::Programs, Asking::Person);
        for asking in [Asking::NotYet, person] {
            for group in &mut groups {
                group.open(&self.services, asking);
            }
            let parts: Vec<&DataKey> = groups.iter().filter_map(|group| group.opened.as_ref()).collect();
            match &parts[..] {
                [only] if needed == 1 => return Ok((*only).clone()),
                parts if parts.len() >= needed => return shamir::combine(parts).ok_or_else(|| not_parts(file)),
                _ => {}
            }
        }
        Err(failure(file, needed, &groups))
    }

    /// Seals `key` to everybody in `groups`; with several groups, a part to each, of which `threshold` (all, if `None`) are needed.
    ///
    /// # Errors
    /// When one recipient is malformed, of a kind that kthw does not use, or its service cannot be reached: then nobody's key is changed.
    pub fn seal_to(&self, file: &str, groups: &mut [Group], threshold: Option<usize>, key: &DataKey) -> Result<(), SopsError> {
        self.seal(file, groups, threshold, key, &[])
    }

    /// As [`KeyServices::seal_to`] for the same `key` as `before`, the groups of the file so far: with one group before and after, who
    /// was in it keeps the sealed key as it is, so nobody needs access to a recipient that does not change.
    ///
    /// # Errors
    /// As [`KeyServices::seal_to`].
    pub fn seal_missing(
        &self,
        file: &str,
        groups: &mut [Group],
        threshold: Option<usize>,
        key: &DataKey,
        before: &[Group],
    ) -> Result<(), SopsError> {
        let stay = match (&before, &groups) {
            ([before], [_]) => &before[..],
            // Parts cannot be added to: several groups get new ones.
            _ => &[],
        };
        self.seal(file, groups, threshold, key, stay)
    }

    fn seal(&self, file: &str, groups: &mut [Group], threshold: Option<usize>, key: &DataKey, stay: &[MasterKey]) -> Result<(), SopsError> {
        let parts = match groups.len() {
            0 => return Err(SopsError::NoRecipients { file: file.into(), place: "it".into() }),
            1 => vec![key.clone()],
            several => {
                let threshold = threshold.unwrap_or(several);
                shamir::split(key, several, threshold).ok_or_else(|| SopsError::Threshold {
                    file: file.into(),
                    threshold,
                    groups: several,
                })?
            }
        };
        let mut sealed = groups.to_vec();
        for (number, (group, part)) in sealed.iter_mut().zip(&parts).enumerate() {
            if group.is_empty() {
                return Err(SopsError::NoRecipients { file: file.into(), place: format!("key group {}", number + 1) });
            }
            for key in group {
                match stay.iter().find(|known| known.recipient.same_as(&key.recipient) && !known.encrypted.is_empty()) {
                    Some(known) => *key = known.clone(),
                    None => self.seal_one(key, part)?,
                }
            }
        }
        groups.clone_from_slice(&sealed);
        Ok(())
    }

    fn seal_one(&self, key: &mut MasterKey, part: &DataKey) -> Result<(), SopsError> {
        let Some(service) = self.services.iter().find(|service| service.serves(&key.recipient)) else {
            return Err(SopsError::CannotSeal {
                recipient: key.recipient.to_string(),
                reason: NOT_USED.into(),
                help: "do this with the real sops, or leave that key out in `.sops.yaml`".into(),
            });
        };
        if let Some(settled) = service.settle(&key.recipient)? {
            key.recipient = settled;
        }
        key.encrypted = service.encrypt(&key.recipient, part)?;
        key.created_at = match key.recipient {
            Recipient::Age(_) => None,
            _ => Some(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        };
        Ok(())
    }

    /// The keys of a group in the order in which they are tried.
    fn attempt<'a>(&self, group: &'a Group, groups: usize) -> Attempt<'a> {
        let order = (self.variables)("SOPS_DECRYPTION_ORDER").and_then(|order| order.into_string().ok());
        let order = order.filter(|order| !order.is_empty()).unwrap_or_else(|| DEFAULT_ORDER.into());
        let place = |key: &&MasterKey| order.split(',').position(|kind| kind.trim() == key.recipient.kind()).unwrap_or(usize::MAX);
        let mut keys: Vec<&MasterKey> = group.iter().collect();
        keys.sort_by_key(place);
        let bytes = if groups > 1 { KEY_BYTES + shamir::OVERHEAD } else { KEY_BYTES };
        Attempt { group, bytes, keys, opened: None, failures: Vec::new() }
    }
}

/// A group that is being opened.
struct Attempt<'a> {
    group: &'a Group,
    /// The length of what its keys hold.
    bytes: usize,
    keys: Vec<&'a MasterKey>,
    opened: Option<DataKey>,
    /// Why its keys do not open, in the order in which they were tried.
    failures: Vec<(&'a Recipient, SopsError)>,
}

impl Attempt<'_> {
    fn open(&mut self, services: &[Box<dyn KeyService>], asking: Asking<'_>) {
        if self.opened.is_some() {
            return;
        }
        let again = !self.failures.is_empty();
        for (index, &key) in self.keys.iter().enumerate() {
            let service = services.iter().find(|service| service.serves(&key.recipient));
            let error = match service {
                Some(service) if again && !service.may_ask() => continue,
                Some(service) => match service.decrypt(key, asking) {
                    Ok(opened) if opened.len() == self.bytes => {
                        self.opened = Some(opened);
                        return;
                    }
                    Ok(opened) => cannot_open(key, format!("it holds {} bytes in place of {}", opened.len(), self.bytes)),
                    Err(error) => error,
                },
                None => cannot_open(key, NOT_USED.into()),
            };
            match self.failures.get_mut(index) {
                Some(failure) => failure.1 = error,
                None => self.failures.push((&key.recipient, error)),
            }
        }
    }

    /// Every recipient with the reason why it does not open; recipients with the same reason together.
    fn tried(&self) -> String {
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for (recipient, error) in &self.failures {
            let reason = match error {
                SopsError::CannotOpen { reason, .. } => reason.clone(),
                other => other.to_string(),
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, recipients)) => recipients.push(recipient.to_string()),
                None => reasons.push((reason, vec![recipient.to_string()])),
            }
        }
        let reasons = reasons.into_iter().map(|(reason, recipients)| format!("{}: {reason}", recipients.join(", ")));
        reasons.collect::<Vec<_>>().join("; ")
    }
}

fn cannot_open(key: &MasterKey, reason: String) -> SopsError {
    SopsError::CannotOpen { recipient: key.recipient.to_string(), reason, help: String::new() }
}

fn not_parts(file: &str) -> SopsError {
    SopsError::Malformed { file: file.into(), reason: "the parts in its key groups do not belong together".into() }
}

/// Why a file does not open, in the most helpful words that there are for it.
fn failure(file: &str, needed: usize, groups: &[Attempt<'_>]) -> SopsError {
    let file = file.to_owned();
    let names = |group: &Group| group.iter().map(|key| key.recipient.to_string()).collect::<Vec<_>>().join(", ");
    let all = || groups.iter().flat_map(|group| group.group.iter().map(|key| &key.recipient));
    let failures = || groups.iter().flat_map(|group| &group.failures).map(|(_, error)| error);
    if all().next().is_none() {
        return SopsError::Malformed { file, reason: "its `sops` block lists no key".into() };
    }
    if all().all(|recipient| matches!(recipient, Recipient::Other { kind: OtherKind::HuaweiKms, .. })) {
        return SopsError::OtherKeys { file, keys: all().map(Recipient::to_string).collect::<Vec<_>>().join(", ") };
    }
    let first = failures().next();
    if let Some(SopsError::ReadKey { place, .. }) = first
        && failures().all(|error| matches!(error, SopsError::ReadKey { place: other, .. } if other == place))
    {
        return first.cloned().expect("it was just looked at");
    }
    let mut advice: Vec<&str> = Vec::new();
    for error in failures() {
        if let SopsError::CannotOpen { help, .. } = error
            && !help.is_empty()
            && !advice.contains(&help.as_str())
        {
            advice.push(help);
        }
    }
    let last = format!("ask a holder to run `kthw secrets updatekeys {file}`");
    let advice = advice.into_iter().chain([last.as_str()]).collect::<Vec<_>>().join("; or ");
    match groups {
        [only] => SopsError::NoKey { file, tried: only.tried(), advice },
        groups => {
            let opened = groups.iter().filter(|group| group.opened.is_some()).count();
            let told = groups.iter().enumerate().map(|(index, group)| match &group.opened {
                Some(_) => format!("group {} ({}) opens", index + 1, names(group.group)),
                None => format!("group {} does not: {}", index + 1, group.tried()),
            });
            SopsError::TooFewGroups { file, opened, needed, groups: told.collect::<Vec<_>>().join(". "), advice }
        }
    }
}
