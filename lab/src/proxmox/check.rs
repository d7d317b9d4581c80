//! Checks the parameters of a request against the table, with Proxmox VE's own words for what is wrong.
use super::{
    patterns::{PATTERNS, has_format, split_properties},
    table::{Call, Kind, Parameter},
};
use std::collections::BTreeMap;

/// The checked parameters of a request, those of the path included.
pub(crate) type Parameters = BTreeMap<String, Vec<String>>;

/// What is wrong, by parameter.
pub(crate) type Errors = BTreeMap<String, String>;

/// Compares what came with what `call` allows.
pub(crate) fn check(call: &Call, given: &Parameters) -> Errors {
    let mut errors = Errors::new();
    for (name, values) in given {
        let wrong = match call.parameter(name) {
            None => Err("property is not defined in schema and the schema does not allow additional properties".into()),
            Some(parameter) => values.iter().try_for_each(|value| check_value(parameter, value)),
        };
        if let Err(text) = wrong {
            errors.insert(name.clone(), text);
        }
    }
    for parameter in call.parameters.iter().filter(|parameter| parameter.required) {
        if !given.contains_key(parameter.name) {
            errors.insert(parameter.name.into(), "property is missing and it is not optional".into());
        }
    }
    // Upstream: each of these two requires the other.
    for (name, requires) in [("checksum", "checksum-algorithm"), ("checksum-algorithm", "checksum")] {
        if call.parameter(name).is_some() && given.contains_key(name) && !given.contains_key(requires) {
            errors.insert(requires.into(), format!("missing property - '{name}' requires this property"));
        }
    }
    errors
}

fn check_value(parameter: &Parameter, value: &str) -> Result<(), String> {
    match &parameter.kind {
        Kind::Boolean if as_boolean(value).is_none() => return Err(format!("type check ('boolean') failed - got '{value}'")),
        Kind::Integer { minimum, maximum } => {
            let number: i64 = value.parse().map_err(|_| format!("type check ('integer') failed - got '{value}'"))?;
            if let Some(minimum) = minimum.filter(|minimum| number < *minimum) {
                return Err(format!("value must have a minimum value of {minimum}"));
            }
            if let Some(maximum) = maximum.filter(|maximum| number > *maximum) {
                return Err(format!("value must have a maximum value of {maximum}"));
            }
        }
        Kind::Enum(known) if !known.iter().any(|known| known == value) => {
            return Err(format!("value '{value}' does not have a value in the enumeration '{}'", known.join(", ")));
        }
        _ => {}
    }
    if let Some(length) = parameter.max_length.filter(|length| value.chars().count() > *length) {
        return Err(format!("value may only be {length} characters long"));
    }
    if let Some((.., matches)) = PATTERNS.iter().find(|(name, ..)| parameter.pattern == Some(name))
        && !matches(value)
    {
        return Err("value does not match the regex pattern".into());
    }
    if let Some(format) = parameter.format {
        has_format(format, value)?;
    }
    check_keys(parameter, value)
}

fn check_keys(parameter: &Parameter, value: &str) -> Result<(), String> {
    let Some(default_key) = parameter.keys.first() else { return Ok(()) };
    match split_properties(value, default_key).find(|(key, _)| !parameter.keys.contains(key)) {
        None => Ok(()),
        Some((key, _)) => Err(format!(
            "invalid format - format error\n{}.{key}: property is not defined in schema and the schema does not allow additional properties\n",
            parameter.name
        )),
    }
}

/// A boolean as Proxmox VE reads it.
pub(crate) fn as_boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check_request(method: &str, path: &str, given: &[(&str, &str)], expected: Expect) {
        let (call, _) = Call::find(method, path).unwrap();
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        let lines: Vec<String> = check(call, &given).iter().map(|(name, text)| format!("{name}: {}", text.trim_end())).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_good_clone_passes() {
        let given = [("newid", "401"), ("full", "1"), ("name", "cu1"), ("storage", "local-lvm"), ("target", "homelab")];
        check_request("POST", "/nodes/a/qemu/9000/clone", &given, expect![""]);
    }

    #[test]
    fn wrong_parameters_are_named_one_by_one() {
        let given = [("newid", "99"), ("full", "maybe"), ("nmae", "cu1"), ("format", "vdi")];
        check_request(
            "POST",
            "/nodes/a/qemu/9000/clone",
            &given,
            expect![[r#"
                format: value 'vdi' does not have a value in the enumeration 'raw, qcow2, vmdk'
                full: type check ('boolean') failed - got 'maybe'
                newid: value must have a minimum value of 100
                nmae: property is not defined in schema and the schema does not allow additional properties"#]],
        );
    }

    #[test]
    fn a_missing_parameter_is_named() {
        check_request(
            "PUT",
            "/nodes/a/qemu/1/resize",
            &[("size", "20GB")],
            expect![[r#"
            disk: property is missing and it is not optional
            size: value does not match the regex pattern"#]],
        );
    }

    #[test]
    fn property_strings_are_checked_by_key() {
        let given = [("net0", "virtio,bridge=vmbr0,vlan=5"), ("scsi0", "local-lvm:0,import-from=local:import/a.qcow2")];
        check_request(
            "PUT",
            "/nodes/a/qemu/1/config",
            &given,
            expect![[r#"
            net0: invalid format - format error
            net[n].vlan: property is not defined in schema and the schema does not allow additional properties"#]],
        );
    }
}
