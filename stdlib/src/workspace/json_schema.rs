//! The schema of `workspace.yaml` as JSON Schema, for editors: derived from the types, with the rules of their texts.
//!
//! It says what the shape of a workspace is. What its values have to do with each other is checked by kthw alone.
use super::{
    Workspace,
    kind::{OF_CLUSTERS, OF_CLUSTERS_INSIDE},
    names::{
        AddressRangeRule, ApiEndpointRule, CertSanRule, DnsNameRule, ImageRepositoryRule, NetworkNameRule, NodeNameRule, ObjectNameRule,
        RESERVED, RegistryHostRule, TimeServerRule, UrlPathRule,
    },
};
use crate::{
    add_ons::Facts,
    checked::{Checked, Rule},
    proxmox::names::{BridgeRule, CpuRule, ImageFileRule, PoolRule, PveNodeRule, StorageRule, TemplateNameRule},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The schema, of draft 2020-12.
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Workspace>();
    // What the file is comes first, for people who open it.
    let draft = schema.remove("$schema").unwrap_or_default();
    let mut whole = Map::from_iter([("$schema".to_owned(), draft), ("title".to_owned(), "workspace.yaml of kthw".into())]);
    schema.remove("title");
    whole.extend(schema.ensure_object().clone());
    whole.extend(kinds());
    Value::Object(whole)
}

/// A cluster has what Kubernetes needs, and an edge none of it.
fn kinds() -> Map<String, Value> {
    let inside = OF_CLUSTERS_INSIDE.iter().map(|(block, fields)| ((*block).to_owned(), none_of(fields).into()));
    let mut edge = none_of(OF_CLUSTERS);
    edge.insert("properties".into(), Map::from_iter(inside).into());
    let is_edge = json_schema!({ "required": ["load_balancer"], "properties": { "load_balancer": { "type": "object" } } });
    let cluster = json_schema!({ "required": ["versions"], "properties": { "network": { "required": ["pods", "services"] } } });
    Map::from_iter([("if".to_owned(), is_edge.into()), ("then".to_owned(), edge.into()), ("else".to_owned(), cluster.into())])
}

fn none_of(fields: &[&str]) -> Schema {
    let each: Vec<Value> = fields.iter().map(|field| serde_json::json!({ "required": [field] })).collect();
    json_schema!({ "not": { "anyOf": each } })
}

/// A rule that JSON Schema can say too. That both say the same is tested below.
pub(crate) trait InSchema: Rule {
    /// A schema that allows what the rule allows.
    fn schema() -> Schema;
}

impl<R: InSchema> JsonSchema for Checked<R> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        R::WHAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = R::schema();
        schema.insert("examples".into(), vec![R::EXAMPLE].into());
        schema
    }
}

impl InSchema for StorageRule {
    fn schema() -> Schema {
        pattern("[A-Za-z]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9])")
    }
}

impl InSchema for PveNodeRule {
    fn schema() -> Schema {
        pattern(&bounded("A-Za-z0-9", "-", 63))
    }
}

impl InSchema for BridgeRule {
    fn schema() -> Schema {
        except(pattern("[A-Za-z0-9_.-]{1,15}"), &[".", ".."])
    }
}

impl InSchema for PoolRule {
    fn schema() -> Schema {
        except(pattern("[A-Za-z0-9_.-]{1,200}"), &[".", ".."])
    }
}

impl InSchema for CpuRule {
    fn schema() -> Schema {
        pattern(&bounded("A-Za-z0-9", "_.-", 60))
    }
}

impl InSchema for ImageFileRule {
    fn schema() -> Schema {
        at_most(180, pattern(r"[A-Za-z0-9+=_.-]*[A-Za-z0-9+=_-][A-Za-z0-9+=_.-]*\.(qcow2|raw|vmdk)"))
    }
}

impl InSchema for TemplateNameRule {
    fn schema() -> Schema {
        pattern(&bounded("A-Za-z0-9", "-", 50))
    }
}

impl InSchema for NodeNameRule {
    fn schema() -> Schema {
        except(pattern(&label()), &RESERVED)
    }
}

impl InSchema for CertSanRule {
    fn schema() -> Schema {
        let name = at_most(255, pattern(&format!(r"(\*\.)?{}", dotted(&label()))));
        json_schema!({ "type": "string", "anyOf": [name, { "format": "ipv4" }, { "format": "ipv6" }] })
    }
}

impl InSchema for ImageRepositoryRule {
    fn schema() -> Schema {
        at_most(255, pattern(&format!("{}(/{})*", host_and_port(), bounded("a-z0-9", "._-", 128))))
    }
}

impl InSchema for RegistryHostRule {
    fn schema() -> Schema {
        pattern(&format!("(_default|{})", host_and_port()))
    }
}

impl InSchema for DnsNameRule {
    fn schema() -> Schema {
        at_most(253, pattern(&dotted(&label())))
    }
}

impl InSchema for TimeServerRule {
    fn schema() -> Schema {
        json_schema!({ "type": "string", "anyOf": [DnsNameRule::schema(), { "format": "ipv4" }, { "format": "ipv6" }] })
    }
}

impl InSchema for NetworkNameRule {
    fn schema() -> Schema {
        pattern(&label())
    }
}

impl InSchema for UrlPathRule {
    fn schema() -> Schema {
        at_most(200, pattern("/[A-Za-z0-9/._~=?&-]*"))
    }
}

impl InSchema for ObjectNameRule {
    fn schema() -> Schema {
        pattern(&label())
    }
}

impl InSchema for AddressRangeRule {
    fn schema() -> Schema {
        pattern(&format!("({}|{}-{})", ipv4_cidr(), ipv4(), ipv4()))
    }
}

impl InSchema for ApiEndpointRule {
    fn schema() -> Schema {
        pattern(&format!("{}:{PORT}", dotted(&label())))
    }
}

/// A port from 1 to 65535, as Rust reads a number.
const PORT: &str = "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// A digest in lower-case hex.
pub(super) const SHA256: &str = "^[0-9a-f]{64}$";

/// An address of the web.
pub(super) const WEB: &str = "^https?://[^/]";

/// A single label of a DNS name.
pub(super) fn dns_label(_: &mut SchemaGenerator) -> Schema {
    pattern(&label())
}

/// A DNS name.
pub(super) fn dns_name(_: &mut SchemaGenerator) -> Schema {
    at_most(253, pattern(&dotted(&label())))
}

/// One letter of host names.
pub(super) fn letter(_: &mut SchemaGenerator) -> Schema {
    titled("letter", pattern("[a-z]"))
}

/// A full version, with or without a leading `v`.
pub(super) fn version(_: &mut SchemaGenerator) -> Schema {
    let number = "(0|[1-9][0-9]*)";
    let rest = r"(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?";
    titled("version", pattern(&format!(r"v?{number}\.{number}\.{number}{rest}")))
}

/// Full versions of add-ons, by the names of those that have no block of their own.
pub(super) fn versions_of_add_ons(generator: &mut SchemaGenerator) -> Schema {
    let mut property = |facts: &Facts| {
        let mut schema = version(generator);
        schema.insert("description".into(), format!("The version of {}, such as `{}`.", facts.title, facts.newest).into());
        (facts.project.to_owned(), schema.into())
    };
    let properties: serde_json::Map<String, serde_json::Value> = Facts::without_settings().map(&mut property).collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// An IPv4 range in CIDR notation.
pub(super) fn ipv4_range(_: &mut SchemaGenerator) -> Schema {
    titled("IPv4 range", pattern(&ipv4_cidr()))
}

/// IPv4 ranges in CIDR notation.
pub(super) fn ipv4_ranges(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": ipv4_range(generator) })
}

/// An IPv4 range, or nothing.
pub(super) fn optional_ipv4_range(_: &mut SchemaGenerator) -> Schema {
    let mut schema = titled("IPv4 range", pattern(&ipv4_cidr()));
    schema.insert("type".into(), vec!["string", "null"].into());
    schema
}

fn ipv4() -> String {
    let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    format!(r"{byte}(\.{byte}){{3}}")
}

fn ipv4_cidr() -> String {
    format!("{}/(3[0-2]|[12]?[0-9])", ipv4())
}

/// A text that people write without quotes although YAML reads it as a number, such as `1.1`.
pub(super) fn text_or_number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "number", "null"] })
}

/// Texts by their names, any of which people write without quotes although YAML reads it as something else.
pub(super) fn map_of_texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

fn pattern(whole: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^{whole}$") })
}

fn at_most(characters: usize, mut schema: Schema) -> Schema {
    schema.insert("maxLength".into(), characters.into());
    schema
}

fn except(mut schema: Schema, texts: &[&str]) -> Schema {
    schema.insert("not".into(), json_schema!({ "enum": texts }).into());
    schema
}

fn titled(title: &str, mut schema: Schema) -> Schema {
    schema.insert("title".into(), title.into());
    schema
}

/// At most `most` of `letters` and `signs`, with one of `letters` at both ends.
fn bounded(letters: &str, signs: &str, most: usize) -> String {
    format!("[{letters}]([{letters}{signs}]{{0,{}}}[{letters}])?", most - 2)
}

fn label() -> String {
    bounded("a-z0-9", "-", 63)
}

fn dotted(label: &str) -> String {
    format!(r"{label}(\.{label})*")
}

fn host_and_port() -> String {
    format!("{}(:{PORT})?", dotted(&bounded("A-Za-z0-9", "_-", 63)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use boon::{Compiler, Schemas};

    /// Whether a schema allows a text.
    fn judge(schema: Schema) -> impl Fn(&str) -> bool {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.enable_format_assertions();
        compiler.add_resource("file:///rule.json", schema.into()).unwrap();
        let index = compiler.compile("file:///rule.json", &mut schemas).unwrap();
        move |text| schemas.validate(&text.into(), index).is_ok()
    }

    /// The rule and its schema say the same of the rule's example, of `texts`, and of each of these with one character less or more.
    fn check<R: InSchema>(texts: &[&str]) {
        let allows = judge(R::schema());
        let (mut allowed, mut refused) = (0, 0);
        for text in [R::EXAMPLE].iter().chain(texts) {
            let less = (0..text.len()).map(|at| format!("{}{}", &text[..at], &text[at + 1..]));
            let more =
                (0..=text.len()).flat_map(|at| "aZ09-_.+=:/,* \n".chars().map(move |c| format!("{}{c}{}", &text[..at], &text[at..])));
            for text in less.chain(more).chain([(*text).to_owned()]) {
                assert_eq!(allows(&text), R::allows(&text), "{text:?} as {}", R::WHAT);
                *(if R::allows(&text) { &mut allowed } else { &mut refused }) += 1;
            }
        }
        assert!(allowed > 0 && refused > 0, "{}: {allowed} allowed, {refused} refused", R::WHAT);
    }

    #[test]
    fn rules_and_their_schemas_say_the_same() {
        let long = |length: usize| "a".repeat(length);
        check::<StorageRule>(&["a", "ab", "", "1a", &long(100)]);
        check::<PveNodeRule>(&["a", "", &long(63)]);
        check::<BridgeRule>(&[".", "..", "", "vmbr0.100", &long(15)]);
        check::<PoolRule>(&[".", "..", "", "a/b", &long(200)]);
        check::<CpuRule>(&["host", "", "host,flags=+aes", &long(60)]);
        check::<ImageFileRule>(&[".qcow2", "..qcow2", "a.raw", "a.qcow2.vmdk", "noble.img", &format!("{}.raw", long(176))]);
        check::<TemplateNameRule>(&["", "T1", &long(50)]);
        check::<NodeNameRule>(&["all", "localhost", "workers", "control-planes", "", "A", &long(63)]);
        check::<CertSanRule>(&["10.10.10.1", "fd00::1", "::", "*.bevz.net", "*", "a.*.b", "DNS:a", "256.1.1.1"]);
        check::<ImageRepositoryRule>(&["10.77.0.1:5000", "r.lab:5000/k8s/a_b-c.d", "https://a", "a//b", "a:65535", "a:65536", "a:0"]);
        check::<RegistryHostRule>(&["_default", "docker.io", "10.77.0.1:5000", "a:65530", "a:0"]);
        check::<DnsNameRule>(&["a", "a.b", "", "A", &long(63)]);
        check::<TimeServerRule>(&["10.10.10.1", "fd00::1", "::", "0.pool.ntp.org", "256.1.1.1", ""]);
        check::<NetworkNameRule>(&["a", "storage", "", "A", &long(63)]);
        check::<UrlPathRule>(&["/", "", "ping", "/ping?a=b&c", "/a b", "/a;b", &format!("/{}", long(199))]);
        check::<ObjectNameRule>(&["lan", "", "A", &long(63)]);
        check::<AddressRangeRule>(&["10.10.10.0/28", "0.0.0.0-255.255.255.255", "10.0.0.1", "10.0.0.1-2", "256.0.0.0/8"]);
        check::<ApiEndpointRule>(&["10.0.0.1:6443", "a", "a:0", "a:65535", "https://a:6443"]);
    }

    #[test]
    fn versions_and_ranges_are_taken_as_they_are_read() {
        let generator = || SchemaSettings::draft2020_12().into_generator();
        let is_version = judge(version(&mut generator()));
        for text in ["1.31.9", "v1.31.9", "1.36.0-rc.1", "1.31", "1", "", "01.2.3", "vv1.2.3", "1.2.3.4", "1.2.3+a-b.1"] {
            assert_eq!(is_version(text), semver::Version::parse(text.strip_prefix('v').unwrap_or(text)).is_ok(), "{text}");
        }
        let is_range = judge(ipv4_range(&mut generator()));
        for text in ["10.96.0.0/12", "0.0.0.0/0", "10.0.0.0/32", "10.0.0.0/33", "10.0.0.0", "10.0.0/8", "256.0.0.0/8", "10.0.0.0/"] {
            assert_eq!(is_range(text), text.parse::<ipnet::Ipv4Net>().is_ok(), "{text}");
        }
    }
}
