//! Who may get a kubeconfig from kthw, and for how long.
use kthw_engine::{Error, Result};

/// The shortest that Kubernetes signs, in seconds, for certificates and tokens alike.
pub const SHORTEST_S: u32 = 600;
/// The longest that kthw asks for: a year.
pub const LONGEST_S: u32 = 366 * 86_400;

/// Who gets a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A person, whom a certificate names.
    Person {
        /// The name.
        user: String,
        /// The groups.
        groups: Vec<String>,
    },
    /// A service account, whose token it holds.
    ServiceAccount {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
}

impl Holder {
    /// A person in groups.
    ///
    /// # Errors
    /// Names that are not taken: those of Kubernetes itself, and what is not plain.
    pub fn person(user: &str, groups: &[String]) -> Result<Self> {
        for name in std::iter::once(user).chain(groups.iter().map(String::as_str)) {
            if name == "system:masters" {
                return Err(Error::usage(BadHolder {
                    why: "nobody is put into `system:masters`: it may do everything, no rule of the cluster bounds it, and until the certificate ends \
                          nobody can take that back"
                        .into(),
                    next: "take a group of your own, and give it what it needs with `kubernetes::grant` in a recipe".into(),
                }));
            }
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@:".contains(&byte));
            if name.starts_with("system:") || !is_plain || name.is_empty() || name.len() > 64 {
                return Err(Error::usage(BadHolder {
                    why: format!("{name:?} cannot be the name of a person or of a group"),
                    next: "use up to 64 letters, digits and `.-_@:`; what begins with `system:` is Kubernetes' own".into(),
                }));
            }
        }
        Ok(Self::Person { user: user.to_owned(), groups: groups.to_vec() })
    }

    /// A service account, written `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// What is not written so.
    pub fn service_account(text: &str) -> Result<Self> {
        use crate::workspace::ObjectName;
        let parsed = text.split_once('/').and_then(|(namespace, name)| {
            let namespace = namespace.parse::<ObjectName>().ok()?;
            let is_name = !name.is_empty() && name.len() <= 253 && name.split('.').all(|part| part.parse::<ObjectName>().is_ok());
            is_name.then(|| Self::ServiceAccount { namespace: namespace.to_string(), name: name.to_owned() })
        });
        parsed.ok_or_else(|| {
            Error::usage(BadHolder {
                why: format!("{text:?} is not a service account"),
                next: "write its namespace and its name, such as `apps/deployer`".into(),
            })
        })
    }

    /// What the user and the file are called in a kubeconfig.
    pub fn label(&self) -> String {
        match self {
            Self::Person { user, .. } => user.clone(),
            Self::ServiceAccount { namespace, name } => format!("{namespace}-{name}"),
        }
    }

    /// Who it is, in words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Person { user, groups } if groups.is_empty() => format!("{user}, in no group"),
            Self::Person { user, groups } => format!("{user}, in {}", groups.join(" and ")),
            Self::ServiceAccount { namespace, name } => format!("the service account {namespace}/{name}"),
        }
    }
}

/// Reads `30m`, `8h` or `7d` as seconds.
///
/// # Errors
/// What is not written so, is too short for Kubernetes, or is longer than a year.
pub fn duration_s(text: &str) -> std::result::Result<u32, String> {
    let (digits, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let unit_s = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("write minutes, hours or days: `30m`, `8h`, `7d`".into()),
    };
    let seconds = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit_s));
    match seconds {
        None => Err("write minutes, hours or days: `30m`, `8h`, `7d`".into()),
        Some(seconds) if seconds < SHORTEST_S => Err("Kubernetes signs nothing for less than 10 minutes: `10m`".into()),
        Some(seconds) if seconds > LONGEST_S => Err("that is longer than a year; nobody can take a certificate back before it ends".into()),
        Some(seconds) => Ok(seconds),
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{why}")]
#[diagnostic(code(kthw::kubeconfig::holder), help("{next}"))]
struct BadHolder {
    why: String,
    next: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kubernetes_itself_are_not_given_away() {
        let person = |user: &str, group: &str| Holder::person(user, &[group.to_owned()]).map_err(|error| error.to_string());
        assert!(person("alice", "viewers").is_ok() && person("alice@example.com", "team:a").is_ok());
        assert!(person("alice", "system:masters").is_err_and(|why| why.contains("nobody can take that back")));
        for (user, group) in
            [("system:node:cu1", "a"), ("alice", "system:nodes"), ("a,O=system:masters", "a"), ("a+b", "a"), ("", "a"), ("a", "x\ny")]
        {
            assert!(person(user, group).is_err(), "{user:?} {group:?}");
        }
    }

    #[test]
    fn a_service_account_has_a_namespace() {
        let label = |text: &str| Holder::service_account(text).map(|holder| holder.label()).ok();
        assert_eq!(label("apps/deployer"), Some("apps-deployer".into()));
        for wrong in ["deployer", "/a", "a/", "a/b/c", "A/b", "a/../b"] {
            assert_eq!(label(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_bounds() {
        assert_eq!([duration_s("10m"), duration_s("8h"), duration_s("7d")], [Ok(600), Ok(28_800), Ok(604_800)]);
        for wrong in ["", "h", "8", "9m", "-1h", "400d", "1y", "99999999999h", "8é"] {
            assert!(duration_s(wrong).is_err(), "{wrong}");
        }
    }
}
