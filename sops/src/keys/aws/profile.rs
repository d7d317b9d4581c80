//! Profiles that take a role: `role_arn` with `source_profile` or `credential_source` in the AWS configuration files
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>). Keys in a profile are reqsign's to find.
use super::super::Variables;
use ini::Ini;
use std::{fs, path::PathBuf};

/// Roles that lead to each other further than this are a mistake.
const MAX_ROLES: usize = 8;

/// Where credentials come from before any role is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The environment, the usual profile, or wherever the SDKs look.
    Anything,
    /// This profile and what it leads to.
    Profile(String),
    /// The environment only.
    Environment,
    /// The container or the instance.
    Surroundings,
}

/// A role to assume.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub arn: String,
    pub session: Option<String>,
    pub external_id: Option<String>,
}

impl Role {
    pub fn new(arn: &str) -> Self {
        Self { arn: arn.into(), session: None, external_id: None }
    }
}

/// The file of credentials and the one of everything else.
pub(super) fn files(variables: &Variables) -> [Option<PathBuf>; 2] {
    [("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), ("AWS_CONFIG_FILE", ".aws/config")].map(|(variable, usual)| {
        let set = |name| variables(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set(variable).or_else(|| Some(set("HOME")?.join(usual)))
    })
}

/// Where to begin and which roles to take, in this order. As the SDKs do: a profile that a key names wins over the environment, and
/// keys in the environment over the usual profile.
pub(super) fn resolve(variables: &Variables, named: Option<&str>) -> Result<(Base, Vec<Role>), String> {
    let set = |name| variables(name).is_some_and(|value| !value.is_empty());
    if named.is_none() && set("AWS_ACCESS_KEY_ID") && set("AWS_SECRET_ACCESS_KEY") {
        return Ok((Base::Environment, Vec::new()));
    }
    let usual = variables("AWS_PROFILE").and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty());
    let profile = named.map(str::to_owned).or(usual).unwrap_or_else(|| "default".into());
    // What cannot be read or parsed counts as empty, as it does for reqsign.
    let [credentials, config] = files(variables).map(|file| {
        let text = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        Ini::load_from_str(&text).unwrap_or_default()
    });
    let (base, roles) = lead(&profile, |profile, key| {
        let section = if profile == "default" { profile.to_owned() } else { format!("profile {profile}") };
        let found = credentials.get_from(Some(profile), key).or_else(|| config.get_from(Some(section), key));
        found.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
    })?;
    let base = if roles.is_empty() && named.is_none() { Base::Anything } else { base };
    Ok((base, roles))
}

/// Follows `profile` to where its credentials come from.
fn lead(profile: &str, setting: impl Fn(&str, &str) -> Option<String>) -> Result<(Base, Vec<Role>), String> {
    let mut roles = Vec::new();
    let mut profile = profile.to_owned();
    let base = loop {
        let Some(arn) = setting(&profile, "role_arn") else { break Base::Profile(profile) };
        if setting(&profile, "mfa_serial").is_some() {
            return Err(format!(
                "the profile `{profile}` wants a code of MFA, which kthw does not ask for; export the credentials of a session"
            ));
        }
        if roles.len() == MAX_ROLES {
            return Err(format!("the profile `{profile}` is part of a circle of roles"));
        }
        roles.insert(0, Role { arn, session: setting(&profile, "role_session_name"), external_id: setting(&profile, "external_id") });
        match (setting(&profile, "source_profile"), setting(&profile, "credential_source").as_deref()) {
            // Its own keys take the role.
            (Some(source), _) if source == profile => break Base::Profile(profile),
            (Some(source), _) => profile = source,
            (None, Some("Environment")) => break Base::Environment,
            (None, Some("Ec2InstanceMetadata" | "EcsContainer")) => break Base::Surroundings,
            (None, _) => return Err(format!("the profile `{profile}` has a role_arn and no source_profile")),
        }
    };
    Ok((base, roles))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const SETTINGS: &[(&str, &str, &str)] = &[
        ("keys", "aws_access_key_id", "AKIA"),
        ("one", "role_arn", "R1"),
        ("one", "source_profile", "keys"),
        ("two", "role_arn", "R2"),
        ("two", "source_profile", "one"),
        ("two", "external_id", "X"),
        ("own", "role_arn", "R3"),
        ("own", "source_profile", "own"),
        ("env", "role_arn", "R4"),
        ("env", "credential_source", "Environment"),
        ("mfa", "role_arn", "R5"),
        ("mfa", "mfa_serial", "S"),
        ("lost", "role_arn", "R6"),
        ("ring", "role_arn", "R7"),
        ("ring", "source_profile", "back"),
        ("back", "role_arn", "R8"),
        ("back", "source_profile", "ring"),
    ];

    #[track_caller]
    fn check(profile: &str, expected: Expect) {
        let setting =
            |profile: &str, key: &str| SETTINGS.iter().find(|known| known.0 == profile && known.1 == key).map(|known| known.2.to_owned());
        expected.assert_eq(&match lead(profile, setting) {
            Ok((base, roles)) => {
                let roles = roles.iter().map(|role| format!(" {}{}", role.arn, role.external_id.as_deref().unwrap_or_default()));
                format!("{base:?}{}", roles.collect::<String>())
            }
            Err(error) => error,
        });
    }

    #[test]
    fn profiles_lead_to_credentials_and_roles() {
        check("keys", expect![[r#"Profile("keys")"#]]);
        check("missing", expect![[r#"Profile("missing")"#]]);
        check("one", expect![[r#"Profile("keys") R1"#]]);
        check("two", expect![[r#"Profile("keys") R1 R2X"#]]);
        check("own", expect![[r#"Profile("own") R3"#]]);
        check("env", expect!["Environment R4"]);
        check("mfa", expect!["the profile `mfa` wants a code of MFA, which kthw does not ask for; export the credentials of a session"]);
        check("lost", expect!["the profile `lost` has a role_arn and no source_profile"]);
        check("ring", expect!["the profile `ring` is part of a circle of roles"]);
    }
}
