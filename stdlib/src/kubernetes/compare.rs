//! What differs between a declared object and the live one: declared fields only, field path by field path.
use super::document::Document;
use kthw_engine::{Field, secret_field};
use serde_json::Value;
use std::borrow::Cow;

/// The annotation that holds the digest of what kthw last applied.
pub const APPLIED: &str = "kthw.dev/applied";

/// The fields that have to change; empty when the live object is as declared. Pure.
///
/// A declared field that the server does not keep (pruned, or dropped as a default) is no difference as long as the annotation says
/// that this very declaration was applied.
pub fn compare(document: &Document, live: &Value) -> Vec<Field> {
    let digest = document.digest();
    let applied = live.pointer("/metadata/annotations").and_then(|annotations| annotations.get(APPLIED)).and_then(Value::as_str);
    let mut comparison =
        Comparison { title: document.to_string(), secret: document.is_secret(), kept: applied == Some(&*digest), fields: vec![] };
    for (key, declared) in document.body.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "status") {
            comparison.value(key, declared, live.get(key));
        }
    }
    if comparison.fields.is_empty() && applied != Some(&*digest) {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        comparison.fields.push(Field {
            live: Some(applied.map_or_else(|| "not kept by kthw".into(), short)),
            ..Field::new(format!("{} declaration", comparison.title), short(&digest))
        });
    }
    comparison.fields
}

struct Comparison {
    title: String,
    secret: bool,
    kept: bool,
    fields: Vec<Field>,
}

impl Comparison {
    fn value(&mut self, path: &str, declared: &Value, live: Option<&Value>) {
        match (declared, live) {
            (Value::Null, _) => {}
            (_, None | Some(Value::Null)) => {
                if !self.kept {
                    self.differs(path, None, declared);
                }
            }
            (Value::Object(declared), Some(Value::Object(live))) => {
                for (key, value) in declared {
                    self.value(&join(path, key), value, live.get(key));
                }
            }
            (Value::Array(wanted), Some(Value::Array(found))) => self.list(path, declared, wanted, found),
            (_, Some(live)) if same(path, declared, live) => {}
            (_, Some(live)) => self.differs(path, Some(live), declared),
        }
    }

    fn list(&mut self, path: &str, whole: &Value, wanted: &[Value], found: &[Value]) {
        if let (Some(wanted), Some(found)) = (by_name(wanted), by_name(found)) {
            // Lists of named things (containers, volumes, variables) are merged by name; others may add theirs.
            for (name, value) in wanted {
                let live = found.iter().find(|(other, _)| *other == name).map(|(_, live)| *live);
                self.value(&format!("{path}[{name}]"), value, live);
            }
        } else if path == "metadata.finalizers" {
            if !wanted.iter().all(|one| found.contains(one)) {
                self.differs(path, Some(&Value::Array(found.to_vec())), whole);
            }
        } else if wanted.len() == found.len() {
            for (index, (value, live)) in wanted.iter().zip(found).enumerate() {
                self.value(&format!("{path}[{index}]"), value, Some(live));
            }
        } else {
            self.differs(path, Some(&Value::Array(found.to_vec())), whole);
        }
    }

    fn differs(&mut self, path: &str, live: Option<&Value>, declared: &Value) {
        let name: Cow<'static, str> = format!("{} {path}", self.title).into();
        if self.secret && (path.starts_with("data") || path.starts_with("stringData")) {
            self.fields.extend(secret_field(name, true));
        } else {
            self.fields.push(Field { live: Some(live.map_or_else(|| "absent".into(), shown)), ..Field::new(name, shown(declared)) });
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) { format!("{path}[{key}]") } else { format!("{path}.{key}") }
}

fn by_name(items: &[Value]) -> Option<Vec<(&str, &Value)>> {
    items.iter().map(|item| Some((item.get("name")?.as_str()?, item))).collect::<Option<Vec<_>>>().filter(|items| !items.is_empty())
}

/// Texts as they are, everything else as JSON, cut where it would fill the screen.
fn shown(value: &Value) -> String {
    const AT_MOST: usize = 120;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.contains('\n') || text.chars().count() <= AT_MOST {
        text
    } else {
        format!("{}…", text.chars().take(AT_MOST).collect::<String>())
    }
}

fn same(path: &str, declared: &Value, live: &Value) -> bool {
    if declared == live {
        return true;
    }
    if let (Some(declared), Some(live)) = (declared.as_f64(), live.as_f64()) {
        return declared.total_cmp(&live).is_eq();
    }
    // Only here does the server rewrite a value's spelling: `1000m` comes back as `1`.
    let is_quantity = ["limits", "requests", "capacity", "hard", "sizeLimit"].iter().any(|part| path.split('.').any(|one| one == *part));
    is_quantity && quantity(declared).zip(quantity(live)).is_some_and(|(declared, live)| (declared - live).abs() <= declared.abs() * 1e-9)
}

/// The value of a quantity such as `1500m` or `2Gi`.
fn quantity(value: &Value) -> Option<f64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const DEPLOYMENT: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: op, namespace: ns, labels: {app.kubernetes.io/name: op}},
        spec: {replicas: 2, template: {spec: {containers: [{name: op, image: 'x:1', env: [{name: A, value: ''}], resources: {limits: {cpu: 1000m}}}]}}}}";

    fn check(yaml: &str, live: &str, kept: bool, want: &Expect) {
        let document = Document::parse(yaml).expect("parsed").remove(0);
        let mut live: Value = serde_saphyr::from_str(live).expect("parsed");
        if kept {
            live["metadata"]["annotations"][APPLIED] = document.digest().into();
        }
        let fields: Vec<String> = compare(&document, &live).iter().map(ToString::to_string).collect();
        want.assert_eq(&fields.join("\n"));
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        check(
            DEPLOYMENT,
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: op, namespace: ns, uid: u, labels: {app.kubernetes.io/name: op, x: y}},
            spec: {replicas: 2, paused: false, template: {spec: {dnsPolicy: ClusterFirst, containers: [{name: op, image: 'x:1',
            env: [{name: A}], resources: {limits: {cpu: '1'}}}, {name: sidecar}]}}}, status: {replicas: 0}}",
            true,
            &expect![""],
        );
    }

    #[test]
    fn differing_fields_are_shown_by_their_paths() {
        check(
            DEPLOYMENT,
            "{metadata: {name: op, namespace: ns, labels: {app.kubernetes.io/name: other}},
            spec: {replicas: 1, template: {spec: {containers: [{name: op, image: 'x:0', env: [{name: A, value: z}], resources: {limits: {cpu: '2'}}}]}}}}",
            true,
            &expect![[r#"
                Deployment ns/op metadata.labels[app.kubernetes.io/name]: other -> op
                Deployment ns/op spec.replicas: 1 -> 2
                Deployment ns/op spec.template.spec.containers[op].image: x:0 -> x:1
                Deployment ns/op spec.template.spec.containers[op].env[A].value: z -> ""
                Deployment ns/op spec.template.spec.containers[op].resources.limits.cpu: 2 -> 1000m"#]],
        );
    }

    #[test]
    fn a_missing_field_counts_unless_this_declaration_was_applied() {
        let yaml = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '1', gone: null}}";
        check(yaml, "{metadata: {name: a}}", false, &expect![[r#"ConfigMap a data: absent -> {"x":"1","gone":null}"#]]);
        check(yaml, "{metadata: {name: a}}", true, &expect![""]);
    }

    #[test]
    fn a_removed_field_shows_as_another_declaration() {
        let yaml = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '1'}}";
        let live = "{metadata: {name: a, annotations: {kthw.dev/applied: 0123456789abcdef}}, data: {x: '1', y: '2'}}";
        check(yaml, live, false, &expect!["ConfigMap a declaration: 0123456789ab -> f5d1b4ba62c9"]);
        check(yaml, "{metadata: {name: a}, data: {x: '1'}}", false, &expect!["ConfigMap a declaration: not kept by kthw -> f5d1b4ba62c9"]);
    }

    #[test]
    fn lists_are_compared_element_by_element() {
        let yaml = "{apiVersion: v1, kind: A, metadata: {name: a, finalizers: [f]}, spec: {a: [1, 2], b: [{x: 1}], c: [1]}}";
        check(
            yaml,
            "{metadata: {name: a, finalizers: [g, f]}, spec: {a: [1, 3], b: [{x: 1, y: 2}], c: [1, 2]}}",
            true,
            &expect![[r"
                A a spec.a[1]: 3 -> 2
                A a spec.c: [1,2] -> [1]"]],
        );
    }

    #[test]
    fn a_secret_is_not_shown() {
        let yaml = "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {password: hunter2}, type: Opaque}";
        check(yaml, "{metadata: {name: a}, type: Opaque}", true, &expect![""]);
        check(yaml, "{metadata: {name: a}, type: Opaque}", false, &expect!["Secret a stringData: <secret> -> <secret>"]);
    }

    #[test]
    fn quantities_are_compared_by_value_and_versions_are_not() {
        assert_eq!(quantity(&"1500m".into()), Some(1.5));
        assert_eq!(quantity(&"1Gi".into()), quantity(&"1024Mi".into()));
        assert!(!same("spec.tag", &"1.0".into(), &"1.00".into()));
        assert!(same("spec.hard.pods", &serde_json::json!(10), &"10".into()));
    }
}
