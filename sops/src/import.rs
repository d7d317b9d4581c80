//! Taking over the secrets file of the system before kthw, which spelled the same secrets in four ways.
use super::{
    Format, SopsError,
    file::File,
    keys::KeyServices,
    set::set,
    text::{What, dotted},
};
use kthw_engine::Secret;
use serde_json::Value;
use std::fmt::Write;
use zeroize::{Zeroize, Zeroizing};

mod known;

pub use known::{KNOWN, Known};

/// What an old file becomes.
pub struct Import {
    /// Old name and new name, in the order of [`KNOWN`].
    pub taken: Vec<(String, String)>,
    /// Old names that kthw has no use for.
    pub unused: Vec<String>,
    /// New names of which a typical run needs one of each.
    pub missing: Vec<&'static str>,
    /// Secrets whose old names hold different values, none of which is preferred.
    pub conflicting: Vec<(&'static str, Vec<String>)>,
    /// What a person should know.
    pub notes: Vec<String>,
    values: Vec<(&'static Known, Values)>,
}

/// One value, or those of a list.
#[derive(Clone)]
enum Values {
    One(Secret),
    List(Vec<Secret>),
}

/// The values of an old file, encrypted by sops or plain YAML, by their dotted names.
///
/// # Errors
/// When it is not YAML, or encrypted and does not open.
pub fn old_values(file: &str, text: &str, services: &KeyServices) -> Result<Vec<(String, Secret)>, SopsError> {
    match File::parse(file, Format::Yaml, text) {
        Ok(encrypted) => Ok(encrypted.open(&services.data_key(file, encrypted.metadata())?)?.values().to_vec()),
        Err(SopsError::NotEncrypted { .. }) => {
            let (_, plain) = Format::Yaml.layout().read_plain(file, text.as_bytes())?;
            let value = |what: &What| match what {
                What::Value(value) => std::str::from_utf8(&value.bytes()?).ok().map(Secret::new),
                What::Comment(_) | What::Stray(_) => None,
            };
            Ok(plain.leaves.iter().filter_map(|leaf| Some((dotted(&leaf.path), value(&leaf.what)?))).collect())
        }
        Err(error) => Err(error),
    }
}

impl Import {
    /// Finds kthw's secrets among old ones. Where the names of one secret hold different values, one of `prefer` decides.
    pub fn of(old: &[(String, Secret)], prefer: &[String]) -> Self {
        let mut import = Self {
            taken: Vec::new(),
            unused: Vec::new(),
            missing: Vec::new(),
            conflicting: Vec::new(),
            notes: Vec::new(),
            values: Vec::new(),
        };
        let mut used: Vec<&str> = Vec::new();
        for known in KNOWN {
            // A file that was imported already has the new name.
            let names = std::iter::once(known.name).chain(known.old.iter().copied());
            let found: Vec<(&str, Values)> = names.filter_map(|name| Some((name, values_at(old, name)?))).collect();
            used.extend(found.iter().map(|(name, _)| name));
            let Some(first) = found.first() else { continue };
            let differ = found.iter().any(|(_, values)| values.all() != first.1.all());
            let preferred = found.iter().find(|(name, _)| prefer.iter().any(|one| one == name));
            if differ && preferred.is_none() {
                import.conflicting.push((known.name, found.iter().map(|(name, _)| (*name).to_owned()).collect()));
                continue;
            }
            let (chosen, values) = preferred.unwrap_or(first);
            import.taken.push(((*chosen).to_owned(), known.name.to_owned()));
            for (name, _) in found.iter().filter(|(name, _)| name != chosen) {
                let why = if differ { "another value, not preferred" } else { "the same value" };
                import.notes.push(format!("{name} holds {why}; {chosen} was taken"));
            }
            import.values.push((known, values.clone().in_list(known.list)));
        }
        import.unused = old.iter().filter(|(name, _)| !used.iter().any(|used| is_at(name, used))).map(|(name, _)| name.clone()).collect();
        import.look();
        import
    }

    /// Notes what is missing and what will not work as it is.
    fn look(&mut self) {
        let value = |name: &str| self.values.iter().find(|(known, _)| known.name == name).map(|(_, values)| values);
        let conflicting = |name: &str| self.conflicting.iter().any(|(found, _)| *found == name);
        let has = |name: &str| value(name).is_some() || conflicting(name);
        if !has("proxmox.endpoint") {
            self.missing.push("proxmox.endpoint");
        }
        if !(has("proxmox.token") || has("proxmox.username") && has("proxmox.password")) {
            self.missing.push("proxmox.token (or proxmox.username and proxmox.password)");
        }
        let user = value("proxmox.username").map(Values::all);
        if user.is_some_and(|user| user.iter().any(|user| !user.contains('@'))) {
            self.notes.push("proxmox.username has no realm; add the one that it is in, such as `@pam` or `@pve`".into());
        }
        if value("proxmox.password").is_some() && value("proxmox.token").is_none() {
            self.notes.push("`kthw run operations/rotate-secrets` makes an API token, and the password is no longer needed".into());
        }
        for (name, field) in [("vm.username", "ssh.user"), ("vm.ssh_keys", "ssh.authorized_keys")] {
            if value(name).is_some() {
                self.notes.push(format!("{name} is no secret: write it into workspace.yaml as `{field}`"));
            }
        }
    }

    /// What was taken, left out, and is missing. Names only, never values.
    pub fn report(&self) -> String {
        let mut text = String::new();
        let mut part = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                let _ = writeln!(text, "{title}:");
                lines.iter().for_each(|line| {
                    let _ = writeln!(text, "  {line}");
                });
            }
        };
        let about = |name: &str| KNOWN.iter().find(|known| known.name == name).map_or("", |known| known.used_by);
        part("Taken", self.taken.iter().map(|(old, new)| format!("{old} -> {new} ({})", about(new))).collect());
        part("Unused", self.unused.clone());
        part("Missing", self.missing.iter().map(ToString::to_string).collect());
        let conflicts = self.conflicting.iter().map(|(name, old)| format!("{name}: different values in {}", old.join(", ")));
        part("Conflicting", conflicts.collect());
        part("Notes", self.notes.clone());
        text
    }

    /// The new file, plain YAML.
    ///
    /// # Errors
    /// Never for values that were read from a file.
    pub fn plain(&self, file: &str) -> Result<Zeroizing<Vec<u8>>, SopsError> {
        let mut text = Zeroizing::new(Vec::new());
        for (known, values) in &self.values {
            let mut value = values.to_json();
            let changed = set(file, Format::Yaml, &text, known.name, &value);
            wipe(&mut value);
            text = changed?;
        }
        Ok(text)
    }
}

impl Values {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(secret) => vec![secret.expose()],
            Self::List(secrets) => secrets.iter().map(Secret::expose).collect(),
        }
    }

    /// A list may be written as a value when there is one of it.
    fn in_list(self, list: bool) -> Self {
        match self {
            Self::One(secret) if list => Self::List(vec![secret]),
            values => values,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::One(secret) => secret.expose().into(),
            Self::List(_) => self.all().into(),
        }
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        _ => {}
    }
}

/// Whether `found` is the secret called `name`, or an item of it.
fn is_at(found: &str, name: &str) -> bool {
    found.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What stands at `name`, if that is not blank: a value, or a list of values.
fn values_at(old: &[(String, Secret)], name: &str) -> Option<Values> {
    let at = |wanted: &str| old.iter().find(|(found, _)| found == wanted).map(|(_, secret)| secret.clone());
    if let Some(secret) = at(name) {
        return (!secret.is_blank()).then_some(Values::One(secret));
    }
    let items: Vec<Secret> = (0..).map_while(|index| at(&format!("{name}.{index}"))).filter(|item| !item.is_blank()).collect();
    (!items.is_empty()).then_some(Values::List(items))
}

#[cfg(test)]
mod tests;
