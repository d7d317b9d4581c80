//! Taking over the secrets file of the system before kthw, which spelled the same secrets in four ways.
use super::{
    Format, SopsError,
    file::File,
    keys::KeyServices,
    text::{Step, What, dotted},
};
use kthw_engine::Secret;
use serde_json::Value;
use std::fmt::Write;
use zeroize::{Zeroize, Zeroizing};

/// One secret as kthw names it.
#[derive(Debug)]
pub struct Known {
    /// Its dotted name.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// Who uses it.
    pub used_by: &'static str,
    /// Whether it is a list, each of whose items is a secret.
    pub list: bool,
    /// Its names in the files of the system before.
    pub old: &'static [&'static str],
}

const fn known(name: &'static str, meaning: &'static str, used_by: &'static str, old: &'static [&'static str]) -> Known {
    Known { name, meaning, used_by, list: false, old }
}

/// For what kthw has no module yet: recipes of one's own can use it.
const RECIPES: &str = "recipes, by `sops::secret`";

/// All secrets that kthw knows by name. The old names are those of the loader (`global`, `default`), of the top level, of the host name
/// scripts (`virtual_environment_…`, `proxmox_…`) and of the object storage script (`minio_…`).
pub const KNOWN: &[Known] = &[
    known(
        "proxmox.endpoint",
        "URL of a Proxmox host",
        "module proxmox",
        &["default.proxmox.endpoint", "proxmox_endpoint", "virtual_environment_endpoint"],
    ),
    known("proxmox.token", "API token, `user@realm!id=uuid`", "module proxmox", &["virtual_environment_api_token"]),
    known(
        "proxmox.username",
        "user with its realm, where there is no token",
        "module proxmox",
        &["default.proxmox.username", "proxmox_username", "virtual_environment_username"],
    ),
    known(
        "proxmox.password",
        "that user's password",
        "module proxmox",
        &["default.proxmox.password", "proxmox_password", "virtual_environment_password"],
    ),
    known("ssh.private_key", "key that nodes are logged in to with", "`ssh.key_secret` of the workspace", &[]),
    known("vm.username", "user of the machines; `ssh.user` of the workspace is what counts", RECIPES, &["global.vm_username", "vm_username"]),
    known("vm.password", "that user's password; kthw logs in with keys alone", RECIPES, &["global.vm_password", "vm_password"]),
    Known {
        name: "vm.ssh_keys",
        meaning: "public keys of the machines; `ssh.authorized_keys` of the workspace is what counts",
        used_by: RECIPES,
        list: true,
        old: &["global.vm_ssh_keys", "vm_ssh_keys"],
    },
    known("cloudflare.api_token", "token for DNS", RECIPES, &["global.cloudflare_dns_api_token"]),
    known("cloudflare.email", "account of that token", RECIPES, &["global.cloudflare_email"]),
    known("docker_hub.username", "account of the image registry", RECIPES, &["global.docker_hub_username"]),
    known("docker_hub.password", "its password", RECIPES, &["global.docker_hub_password"]),
    known("s3.bucket", "bucket of the object storage", RECIPES, &["default.s3_backend.bucket", "minio_bucket"]),
    known("s3.region", "its region", RECIPES, &["default.s3_backend.region", "minio_region"]),
    known("s3.endpoint", "its URL", RECIPES, &["default.s3_backend.endpoint", "minio_endpoint"]),
    known("s3.access_key", "access key", RECIPES, &["default.s3_backend.access_key", "minio_access_key"]),
    known("s3.secret_key", "secret key", RECIPES, &["default.s3_backend.secret_key", "minio_secret_key"]),
    known("pihole.password", "password of the name server's web interface", RECIPES, &["default.pihole.web_password"]),
    known("pihole.address", "its address", RECIPES, &["default.pihole.ip_address"]),
    known("harbor.hostname", "host name of the registry", RECIPES, &["default.harbor.hostname"]),
    known("harbor.robot_username", "its robot account", RECIPES, &["default.harbor.robot_username", "default.harbor.robot_user"]),
    known("harbor.robot_token", "the token of that account", RECIPES, &["default.harbor.robot_token"]),
];

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
    values: Vec<(String, Secret)>,
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
                What::Comment(_) => None,
            };
            Ok(plain.leaves.iter().filter_map(|leaf| Some((dotted(&leaf.path), value(&leaf.what)?))).collect())
        }
        Err(error) => Err(error),
    }
}

impl Import {
    /// Finds kthw's secrets among old ones. Where the names of one secret hold different values, one of `prefer` decides.
    pub fn of(old: &[(String, Secret)], prefer: &[String]) -> Self {
        let mut import =
            Self { taken: Vec::new(), unused: Vec::new(), missing: Vec::new(), conflicting: Vec::new(), notes: Vec::new(), values: Vec::new() };
        let present = |name: &str| old.iter().any(|(found, secret)| is_at(found, name) && !secret.is_blank());
        let mut used: Vec<&str> = Vec::new();
        for known in KNOWN {
            // A file that was imported already has the new name.
            let found: Vec<&str> = std::iter::once(known.name).chain(known.old.iter().copied()).filter(|name| present(name)).collect();
            used.extend(&found);
            let values = |name: &str| values_at(old, name, known.list);
            let differ = found.iter().any(|name| !same(&values(name), &values(found[0])));
            let chosen = match found.iter().find(|name| prefer.iter().any(|one| one == **name)) {
                Some(preferred) => preferred,
                None if differ => {
                    import.conflicting.push((known.name, found.iter().map(ToString::to_string).collect()));
                    continue;
                }
                None => match found.first() {
                    Some(first) => first,
                    None => continue,
                },
            };
            import.taken.push(((*chosen).to_owned(), known.name.to_owned()));
            for name in found.iter().filter(|name| *name != chosen) {
                let why = if differ { "another value, not preferred" } else { "the same value" };
                import.notes.push(format!("{name} holds {why}; {chosen} was taken"));
            }
            import.values.extend(values(chosen).into_iter().map(|(below, secret)| (format!("{}{below}", known.name), secret)));
        }
        import.unused = old.iter().filter(|(name, _)| !used.iter().any(|used| is_at(name, used))).map(|(name, _)| name.clone()).collect();
        import.look();
        import
    }

    /// Notes what is missing and what will not work as it is.
    fn look(&mut self) {
        let value = |name: &str| self.values.iter().find(|(found, _)| found == name).map(|(_, secret)| secret);
        let conflicting = |name: &str| self.conflicting.iter().any(|(found, _)| *found == name);
        let has = |name: &str| value(name).is_some() || conflicting(name);
        if !has("proxmox.endpoint") {
            self.missing.push("proxmox.endpoint");
        }
        if !has("proxmox.token") && !(has("proxmox.username") && has("proxmox.password")) {
            self.missing.push("proxmox.token (or proxmox.username and proxmox.password)");
        }
        let user = value("proxmox.username").filter(|user| !user.disclose().contains('@'));
        if user.is_some() {
            self.notes.push("proxmox.username has no realm; add the one that it is in, such as `@pam` or `@pve`".into());
        }
        if value("proxmox.password").is_some() && value("proxmox.token").is_none() {
            self.notes.push("`kthw run operations/rotate-secrets` makes an API token, and the password is no longer needed".into());
        }
        for (name, field) in [("vm.username", "ssh.user"), ("vm.ssh_keys.0", "ssh.authorized_keys")] {
            if value(name).is_some() {
                let name = name.trim_end_matches(".0");
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
    pub fn plain(&self, file: &str) -> Result<Zeroizing<String>, SopsError> {
        let mut text = Zeroizing::new(String::new());
        for (name, secret) in &self.values {
            let path: Vec<Step> = name.split('.').map(|step| step.parse().map_or_else(|_| Step::Key(step.into()), Step::Index)).collect();
            // Disclosed: it goes into a text that is wiped, to be encrypted next.
            let mut value = Value::String(secret.disclose().to_owned());
            let set = Format::Yaml.layout().set(file, &text, &path, &value);
            if let Value::String(text) = &mut value {
                text.zeroize();
            }
            text = set?;
        }
        Ok(text)
    }
}

/// Whether `found` is the secret called `name`, or an item of it.
fn is_at(found: &str, name: &str) -> bool {
    found.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The values of `name` with what stands behind its name: nothing, or `.0`, `.1` in a list. A list of one may be written as a value.
fn values_at(old: &[(String, Secret)], name: &str, list: bool) -> Vec<(String, Secret)> {
    let found = old.iter().filter(|(found, secret)| is_at(found, name) && !secret.is_blank());
    let values = found.map(|(found, secret)| (found[name.len()..].to_owned(), secret.clone()));
    values.map(|(below, secret)| if list && below.is_empty() { (".0".into(), secret) } else { (below, secret) }).collect()
}

fn same(one: &[(String, Secret)], other: &[(String, Secret)]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && a.1.disclose() == b.1.disclose())
}

#[cfg(test)]
mod tests;
