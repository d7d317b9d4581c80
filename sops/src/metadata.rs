//! The `sops` block of a file: who can open it, which values are encrypted, and the MAC over all of them.
//!
//! The fields are those of <https://github.com/getsops/sops/blob/v3.11.0/stores/stores.go>. Every format keeps the same block; dotenv
//! and INI flatten it. All scalars arrive here as strings.
use super::{
    error::SopsError,
    keys::{Group, MasterKey, OtherKind, Recipient},
    rules::{self, Rules},
};
use serde_json::{Map, Value, json};

/// The release whose format kthw writes. sops refuses a file without one.
const VERSION: &str = "3.11.0";

/// What the `sops` block says.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Who can open the file: one group, or several that hold one part of the data key each.
    pub groups: Vec<Group>,
    /// How many groups are needed, when there are several; all when it is not said.
    pub shamir_threshold: Option<usize>,
    /// Which values are encrypted.
    pub rules: Rules,
    /// Whether the MAC leaves out values that are not encrypted.
    pub mac_only_encrypted: bool,
    /// When the file was encrypted, RFC 3339, exactly as written: the MAC depends on its spelling.
    pub last_modified: String,
    /// The encrypted MAC.
    pub mac: String,
    /// The release of sops that the file is written for.
    pub version: String,
}

impl Metadata {
    /// The block of a file that is still to be encrypted.
    pub fn new(groups: Vec<Group>, shamir_threshold: Option<usize>, rules: Rules, mac_only_encrypted: bool) -> Self {
        let [last_modified, mac] = [const { String::new() }; 2];
        Self { groups, shamir_threshold, rules, mac_only_encrypted, last_modified, mac, version: VERSION.into() }
    }

    /// All recipients, group by group.
    pub fn recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.groups.iter().flatten().map(|key| &key.recipient)
    }

    /// Reads the block of `file`.
    pub(super) fn of_block(file: &str, block: &Value) -> Result<Self, SopsError> {
        let malformed = |reason: String| SopsError::Malformed { file: file.into(), reason };
        let text = |key: &str| block.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let needed = |key: &str| text(key).map(str::to_owned).ok_or_else(|| malformed(format!("`sops.{key}` is missing")));
        let fields = Rules::FIELDS.into_iter().filter_map(|field| Some((field, text(field)?)));
        let rules = rules::only_one(fields).map_err(|reason| malformed(format!("in `sops`: {reason}")))?.unwrap_or_default();
        let groups = match block.get("key_groups").and_then(Value::as_array) {
            Some(groups) if !groups.is_empty() => groups.iter().map(group).collect(),
            _ => vec![group(block)],
        };
        let shamir_threshold = match text("shamir_threshold").map(str::parse) {
            None | Some(Ok(0)) => None,
            Some(Ok(threshold)) => Some(threshold),
            Some(Err(_)) => return Err(malformed("`sops.shamir_threshold` is not a number".into())),
        };
        Ok(Self {
            groups,
            shamir_threshold,
            rules,
            mac_only_encrypted: text("mac_only_encrypted") == Some("true"),
            last_modified: needed("lastmodified")?,
            mac: needed("mac")?,
            version: text("version").unwrap_or(VERSION).into(),
        })
    }

    /// The block as it is written.
    pub(super) fn to_block(&self) -> Value {
        let mut block = Map::new();
        if let [only] = &self.groups[..] {
            block.extend(lists(only));
        } else {
            block.insert("key_groups".into(), self.groups.iter().map(|group| Value::Object(lists(group))).collect());
            // sops takes a missing threshold for none, and says nothing when a group does not open.
            block.insert("shamir_threshold".into(), json!(self.shamir_threshold.unwrap_or(self.groups.len())));
        }
        block.insert("lastmodified".into(), json!(self.last_modified));
        block.insert("mac".into(), json!(self.mac));
        let (field, text) = self.rules.field();
        block.insert(field.into(), json!(text));
        if self.mac_only_encrypted {
            block.insert("mac_only_encrypted".into(), json!(true));
        }
        block.insert("version".into(), json!(self.version));
        Value::Object(block)
    }
}

/// The keys in the lists of `holder`: the block itself, or one of its groups.
fn group(holder: &Value) -> Group {
    let list = |name: &str| holder.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let some = |item: &Value, key: &str| Some(text(item, key)).filter(|text| !text.is_empty());
    let key = |item: &Value, recipient| MasterKey { recipient, encrypted: text(item, "enc"), created_at: some(item, "created_at") };
    let mut group = Group::new();
    group.extend(list("kms").iter().map(|item| {
        let context = item.get("context").and_then(Value::as_object).into_iter().flatten();
        let context = context.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
        key(item, Recipient::AwsKms { arn: text(item, "arn"), role: some(item, "role"), context, profile: some(item, "aws_profile") })
    }));
    for (kind, name, ..) in OtherKind::ALL {
        group.extend(list(name).iter().map(|item| {
            let fields = item.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "enc" | "created_at"));
            let fields = fields.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
            key(item, Recipient::Other { kind, fields })
        }));
    }
    group.extend(list("age").iter().map(|item| key(item, Recipient::Age(text(item, "recipient")))));
    group.extend(list("pgp").iter().map(|item| key(item, Recipient::Pgp(text(item, "fp")))));
    group
}

/// The lists of a group as they are written.
fn lists(group: &Group) -> Map<String, Value> {
    let mut lists = Map::new();
    for key in group {
        let (name, mut item) = match &key.recipient {
            Recipient::Age(recipient) => ("age", json!({ "recipient": recipient })),
            Recipient::Pgp(fingerprint) => ("pgp", json!({ "fp": fingerprint })),
            Recipient::AwsKms { arn, role, context, profile } => {
                let mut item = json!({ "arn": arn });
                if let Some(role) = role {
                    item["role"] = json!(role);
                }
                if !context.is_empty() {
                    item["context"] = json!(context);
                }
                item["aws_profile"] = json!(profile.as_deref().unwrap_or_default());
                ("kms", item)
            }
            Recipient::Other { kind, fields } => {
                (kind.list(), Value::Object(fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect()))
            }
        };
        item["enc"] = json!(key.encrypted);
        if let Some(created_at) = &key.created_at {
            item["created_at"] = json!(created_at);
        }
        let list = lists.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(items) = list {
            items.push(item);
        }
    }
    lists
}
