//! One creation rule, and one key group in it: which fields they have, of which types, and what they come to.
use super::{CreationRules, last_line, recipient, start_of};
use crate::{
    Metadata, Pattern, Rules, SopsError,
    keys::{Group, MasterKey, Recipient},
};
use kthw_engine::nearest;
use kthw_yaml::{Entry, Node, Problem, Value};
use std::borrow::Cow;

/// What a field holds.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Bool,
    Count,
    /// Recipients: a text with commas, or a list.
    Texts,
    /// Recipients that are blocks of these fields.
    Blocks(&'static [(&'static str, Kind)]),
    /// Any names, each with a text.
    Context,
    /// Key groups.
    Groups,
}

const RULE: &[(&str, Kind)] = &[
    ("path_regex", Kind::Text),
    ("age", Kind::Texts),
    ("pgp", Kind::Texts),
    ("kms", Kind::Texts),
    ("aws_profile", Kind::Text),
    ("gcp_kms", Kind::Texts),
    ("hckms", Kind::Texts),
    ("azure_keyvault", Kind::Texts),
    ("hc_vault_transit_uri", Kind::Texts),
    ("key_groups", Kind::Groups),
    ("shamir_threshold", Kind::Count),
    ("unencrypted_suffix", Kind::Text),
    ("encrypted_suffix", Kind::Text),
    ("unencrypted_regex", Kind::Text),
    ("encrypted_regex", Kind::Text),
    ("unencrypted_comment_regex", Kind::Text),
    ("encrypted_comment_regex", Kind::Text),
    ("mac_only_encrypted", Kind::Bool),
];

const GROUP: &[(&str, Kind)] = &[
    ("merge", Kind::Groups),
    ("age", Kind::Texts),
    ("pgp", Kind::Texts),
    ("kms", Kind::Blocks(&[("arn", Kind::Text), ("role", Kind::Text), ("context", Kind::Context), ("aws_profile", Kind::Text)])),
    ("gcp_kms", Kind::Blocks(&[("resource_id", Kind::Text)])),
    ("hckms", Kind::Blocks(&[("key_id", Kind::Text)])),
    ("azure_keyvault", Kind::Blocks(&[("vaultUrl", Kind::Text), ("key", Kind::Text), ("version", Kind::Text)])),
    ("hc_vault", Kind::Texts),
];

/// The fields of a rule, a group or a recipient, merge keys included.
pub(super) struct Fields<'a> {
    file: &'a CreationRules,
    node: &'a Node,
    entries: Vec<&'a Entry>,
    known: &'static [(&'static str, Kind)],
    /// What people call it.
    what: &'static str,
}

impl<'a> Fields<'a> {
    pub fn of_rule(file: &'a CreationRules, node: &'a Node) -> Result<Self, SopsError> {
        Self::of(file, node, RULE, "a creation rule")
    }

    fn of(file: &'a CreationRules, node: &'a Node, known: &'static [(&'static str, Kind)], what: &'static str) -> Result<Self, SopsError> {
        let mut entries = Vec::new();
        if !is_null(node) && !gather(node, &mut entries) {
            return Err(wrong_type(file, node, &format!("{what} is a block of fields")));
        }
        Ok(Self { file, node, entries, known, what })
    }

    /// Checks the names and types of all fields, down to the last recipient.
    pub fn check(&self) -> Result<(), SopsError> {
        for entry in &self.entries {
            let known = self.known.iter().map(|(name, _)| *name);
            let Some((name, kind)) = self.known.iter().find(|(name, _)| *name == entry.key) else {
                let all = || format!("the fields here are: {}", known.clone().collect::<Vec<_>>().join(", "));
                let help = nearest(&entry.key, known.clone()).map_or_else(all, |name| format!("did you mean `{name}`?"));
                let message = format!("unknown field `{}` in {}", entry.key, self.what);
                return Err(self.file.problem("kthw::sops::unknown_field", message, help).at(entry.key_span.clone(), "not a field").into());
            };
            match kind {
                Kind::Text => self.text(name).map(drop)?,
                Kind::Bool => self.bool(name).map(drop)?,
                Kind::Count => self.count(name).map(drop)?,
                Kind::Texts => self.texts(name).map(drop)?,
                Kind::Groups => self.groups(name)?.iter().try_for_each(Self::check)?,
                Kind::Blocks(fields) => self.blocks(name, fields)?.iter().try_for_each(Self::check)?,
                Kind::Context => self.context(name).map(drop)?,
            }
        }
        Ok(())
    }

    /// What a rule comes to.
    pub fn metadata(&self) -> Result<Metadata, SopsError> {
        let rules = self.rules()?;
        let mut groups = self.groups("key_groups")?.iter().map(Self::group).collect::<Result<Vec<_>, _>>()?;
        if groups.is_empty() {
            groups.push(self.own_group()?);
        }
        if let Some(at) = groups.iter().position(Vec::is_empty) {
            let empty = self.groups("key_groups")?.get(at).map_or(self.node, |group| group.node);
            let help = "name somebody, such as `age: age1…` with the public key that `age-keygen` prints";
            let problem = self.file.problem("kthw::sops::nobody", "nobody could open a file that this rule makes", help);
            return Err(problem.at(start_of(empty, self.file.source.inner()), "no recipient here").into());
        }
        let threshold = self.threshold(groups.len())?;
        Ok(Metadata::new(groups, threshold, rules, self.bool("mac_only_encrypted")?))
    }

    /// What a rule comes to for other recipients than its own.
    pub fn metadata_of(&self, group: &Group) -> Result<Metadata, SopsError> {
        Ok(Metadata::new(vec![group.clone()], None, self.rules()?, self.bool("mac_only_encrypted")?))
    }

    /// The one field that says which values are encrypted.
    fn rules(&self) -> Result<Rules, SopsError> {
        let mut found: Option<(&str, Cow<'_, str>, &Node)> = None;
        for field in Rules::FIELDS {
            let Some((text, node)) = self.text(field)? else { continue };
            if let Some((other, _, place)) = &found {
                let message = format!("`{other}` and `{field}` exclude each other");
                let problem = self.file.problem("kthw::sops::two_rules", message, "keep one of the two: sops takes only one per rule");
                let (first, second) = if place.span.start < node.span.start { (*place, node) } else { (node, *place) };
                return Err(problem.at(first.span.clone(), "the first").at(second.span.clone(), "the second").into());
            }
            found = Some((field, text, node));
        }
        let Some((field, text, node)) = found else { return Ok(Rules::default()) };
        if let Err(error) = Pattern::new(&text).map_err(|error| last_line(&error))
            && field.ends_with("_regex")
        {
            let message = format!("`{field}` is not a regular expression: {error}");
            let problem = self.file.problem("kthw::sops::bad_regex", message, "escape what is meant literally with `\\`");
            return Err(problem.at(node.span.clone(), "this one").into());
        }
        Rules::of_field(field, &text)
            .map_err(|why| self.file.problem("kthw::sops::bad_regex", why, "write it another way").at(node.span.clone(), "this one").into())
    }

    fn threshold(&self, groups: usize) -> Result<Option<usize>, SopsError> {
        let Some((threshold, node)) = self.count("shamir_threshold")?.filter(|(threshold, _)| *threshold > 0) else { return Ok(None) };
        if groups > 1 && !(2..=groups).contains(&threshold) {
            let message = format!("`shamir_threshold` is {threshold}, with {groups} key groups");
            let range = if groups == 2 { "2 here".into() } else { format!("from 2 to {groups}") };
            let help = format!("it is how many groups must come together: {range}");
            return Err(self.file.problem("kthw::sops::threshold", message, help).at(node.span.clone(), "this number").into());
        }
        Ok(Some(threshold).filter(|_| groups > 1))
    }

    /// The recipients that stand in the rule itself.
    fn own_group(&self) -> Result<Group, SopsError> {
        let profile = self.text("aws_profile")?.map(|(text, _)| text.into_owned());
        let mut found = Vec::new();
        self.each("age", recipient::age, &mut found)?;
        self.each("pgp", recipient::pgp, &mut found)?;
        self.each("kms", |arn| recipient::kms(arn, profile.as_deref()), &mut found)?;
        self.each("gcp_kms", recipient::gcp_kms, &mut found)?;
        self.each("hckms", recipient::huawei_kms, &mut found)?;
        self.each("azure_keyvault", recipient::azure_url, &mut found)?;
        self.each("hc_vault_transit_uri", recipient::vault, &mut found)?;
        Ok(distinct(found))
    }

    /// The recipients of a key group and of the groups merged into it.
    fn group(&self) -> Result<Group, SopsError> {
        let mut found = Vec::new();
        for merged in self.groups("merge")? {
            found.extend(merged.group()?.into_iter().map(|key| key.recipient));
        }
        self.each("age", recipient::age, &mut found)?;
        self.each("pgp", recipient::pgp, &mut found)?;
        for (name, known) in GROUP {
            let Kind::Blocks(fields) = known else { continue };
            for block in self.blocks(name, fields)? {
                let text = |field: &str| Ok::<_, SopsError>(block.text(field)?.map(|(text, _)| text.into_owned()).unwrap_or_default());
                let made = match *name {
                    "kms" => recipient::kms_block(&text("arn")?, &text("role")?, block.context("context")?, &text("aws_profile")?),
                    "gcp_kms" => recipient::gcp_kms(&text("resource_id")?),
                    "hckms" => recipient::huawei_kms(&text("key_id")?),
                    _ => recipient::azure(&text("vaultUrl")?, &text("key")?, &text("version")?),
                };
                found.push(made.map_err(|malformed| malformed.at(self.file, block.node))?);
            }
        }
        self.each("hc_vault", recipient::vault, &mut found)?;
        Ok(distinct(found))
    }

    fn each(
        &self,
        field: &str,
        make: impl Fn(&str) -> Result<Recipient, recipient::Malformed>,
        found: &mut Vec<Recipient>,
    ) -> Result<(), SopsError> {
        for (text, node) in self.texts(field)? {
            found.push(make(&text).map_err(|malformed| malformed.of(&text).at(self.file, node))?);
        }
        Ok(())
    }

    fn get(&self, field: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == field).map(|entry| &entry.node).filter(|node| !is_null(node))
    }

    /// A text that is not empty, and where it stands.
    pub fn text(&self, field: &str) -> Result<Option<(Cow<'a, str>, &'a Node)>, SopsError> {
        let Some(node) = self.get(field) else { return Ok(None) };
        let text = node.text().ok_or_else(|| wrong_type(self.file, node, &format!("`{field}` is a single text")))?;
        Ok(Some((Cow::Borrowed(text), node)).filter(|(text, _)| !text.is_empty()))
    }

    fn bool(&self, field: &str) -> Result<bool, SopsError> {
        let Some(node) = self.get(field) else { return Ok(false) };
        match node.text() {
            // go-yaml takes the words of YAML 1.1 where a boolean is wanted.
            Some("true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y") => Ok(true),
            Some("false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N") => Ok(false),
            _ => Err(wrong_type(self.file, node, &format!("`{field}` is `true` or `false`"))),
        }
    }

    fn count(&self, field: &str) -> Result<Option<(usize, &'a Node)>, SopsError> {
        let Some(node) = self.get(field) else { return Ok(None) };
        let number = node.text().and_then(|text| text.parse().ok());
        number.map(|number| Some((number, node))).ok_or_else(|| wrong_type(self.file, node, &format!("`{field}` is a whole number")))
    }

    /// Texts out of a list or between commas, without those that are empty.
    fn texts(&self, field: &str) -> Result<Vec<(String, &'a Node)>, SopsError> {
        let Some(node) = self.get(field) else { return Ok(Vec::new()) };
        let wrong = |node| wrong_type(self.file, node, &format!("`{field}` is a text, or a list of texts"));
        let mut found = Vec::new();
        let items = match &node.value {
            Value::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        for item in items {
            let text = item.text().ok_or_else(|| wrong(item))?;
            found.extend(text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(|text| (text.to_owned(), item)));
        }
        Ok(found)
    }

    fn groups(&self, field: &str) -> Result<Vec<Fields<'a>>, SopsError> {
        self.list_of(field, GROUP, "a key group")
    }

    fn blocks(&self, field: &str, known: &'static [(&'static str, Kind)]) -> Result<Vec<Fields<'a>>, SopsError> {
        self.list_of(field, known, "a key")
    }

    fn list_of(&self, field: &str, known: &'static [(&'static str, Kind)], what: &'static str) -> Result<Vec<Fields<'a>>, SopsError> {
        let Some(node) = self.get(field) else { return Ok(Vec::new()) };
        if !matches!(node.value, Value::List(_)) {
            return Err(wrong_type(self.file, node, &format!("`{field}` is a list, each item {what}")));
        }
        node.items().iter().map(|item| Fields::of(self.file, item, known, what)).collect()
    }

    fn context(&self, field: &str) -> Result<Vec<(String, String)>, SopsError> {
        let Some(node) = self.get(field) else { return Ok(Vec::new()) };
        let wrong = |node| wrong_type(self.file, node, &format!("`{field}` is a block of texts"));
        let Value::Map(entries) = &node.value else { return Err(wrong(node)) };
        let pair = |entry: &'a Entry| Ok((entry.key.clone(), entry.node.text().ok_or_else(|| wrong(&entry.node))?.to_owned()));
        entries.iter().map(pair).collect()
    }
}

/// Each recipient once; the first stays.
pub(super) fn distinct(found: Vec<Recipient>) -> Group {
    let mut group = Group::new();
    for recipient in found {
        if !group.iter().any(|key| key.recipient == recipient) {
            group.push(MasterKey::to(recipient));
        }
    }
    group
}

/// Whether nothing is written there.
pub(super) fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
}

/// Own fields first, then those of `<<`. Says whether it was a block of fields.
fn gather<'a>(node: &'a Node, found: &mut Vec<&'a Entry>) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    found.extend(entries.iter().filter(|entry| entry.key != "<<"));
    entries.iter().filter(|entry| entry.key == "<<").all(|entry| match &entry.node.value {
        Value::List(items) => items.iter().all(|item| gather(item, found)),
        _ => gather(&entry.node, found),
    })
}

fn wrong_type(file: &CreationRules, node: &Node, wanted: &str) -> SopsError {
    let found = match &node.value {
        Value::Scalar { .. } => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a block of fields",
    };
    let problem: Problem = file.problem(
        "kthw::sops::wrong_type",
        format!("{wanted}, and this is not"),
        "see docs/guides/secrets.md for how rules are written",
    );
    problem.at(start_of(node, file.source.inner()), found).into()
}
