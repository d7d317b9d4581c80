//! A bad sample is told all that it lacks, with its places, and the shipped sample lacks nothing.
use super::*;
use expect_test::expect;

const BAD: &str = "\
apiVersion: v1
kind: Namespace
metadata: { name: web }
---
# The one that everybody writes first.
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: web }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: registry.bevz.net:5000/web
          resources: { requests: { cpu: 100m } }
          readinessProbe: { httpGet: { path: /health, port: 3000 } }
";

fn file(label: &str, text: &str) -> File {
    File { label: label.into(), text: text.into() }
}

/// The code of each problem, with what it points at.
fn found(files: &[File], without: &[&str]) -> Vec<String> {
    let without: Vec<String> = without.iter().map(|name| (*name).to_owned()).collect();
    let Err(problems) = lint(files, &without) else { return Vec::new() };
    let told = |problem: &crate::yaml::Problem| {
        let label = miette::Diagnostic::labels(problem).unwrap().next().unwrap();
        let source = miette::Diagnostic::source_code(problem).unwrap().read_span(label.inner(), 0, 0).unwrap();
        let at = std::str::from_utf8(source.data()).unwrap().lines().next().unwrap_or_default().to_owned();
        format!("{}: {problem} ({}: {at})", miette::Diagnostic::code(problem).unwrap(), source.line() + 1)
    };
    problems.problems().iter().map(told).collect()
}

#[test]
fn a_bad_sample_is_told_all_that_it_lacks() {
    expect![[r#"
        kthw::lint::quota: the namespace web has no ResourceQuota: what is in it may take the whole cluster (3: web)
        kthw::lint::version: the image of Deployment web has no version (17: registry.bevz.net:5000/web)
        kthw::lint::liveness: container web of Deployment web has no `livenessProbe`: a container that hangs is never started anew (16: web)
        kthw::lint::resources: container web of Deployment web has no `resources.requests.memory`, `resources.limits.memory` (18: { requests: { cpu: 100m } })
        kthw::lint::autoscaler: nothing scales Deployment web (8: web)
        kthw::lint::spread: the 3 pods of Deployment web may all be on one node, and go with it (10: 3)
        kthw::lint::network_policy: no NetworkPolicy selects the pods of Deployment web: whoever reaches the pod network reaches them (13: { app: web })
        kthw::lint::bandwidth: the pods of Deployment web may take the whole network of their nodes (13: { labels: { app: web } })"#]].assert_eq(&found(&[file("bad.yaml", BAD)], &[]).join("\n"));
}

#[test]
fn the_shipped_sample_lacks_nothing() {
    let recipe = include_str!("../../../recipes/samples/web.rhai");
    let text = recipe.split('`').find(|part| part.contains("kind: Deployment")).unwrap();
    assert_eq!(found(&[file("web.rhai", text)], &[]), Vec::<String>::new());
    assert!(lint(&[file("web.rhai", text)], &[]).unwrap() >= 6);
    // Each piece of it is asked for by one rule at least: without it something lacks.
    for piece in ["ResourceQuota", "NetworkPolicy", "HorizontalPodAutoscaler"] {
        let documents: Vec<&str> = text.split("---\n").filter(|document| !document.contains(&format!("kind: {piece}\n"))).collect();
        assert_eq!(found(&[file("less.yaml", &documents.join("---\n"))], &[]).len(), 1, "without {piece}");
    }
    for line in ["readinessProbe", "livenessProbe", "ingress-bandwidth", "topologySpreadConstraints", "limits"] {
        let without: String = text.lines().filter(|known| !known.contains(line)).map(|known| format!("{known}\n")).collect();
        assert!(without.len() < text.len(), "{line}");
    }
}

#[test]
fn rules_are_left_out_by_name_and_files_are_looked_at_together() {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(found(&[file("bad.yaml", BAD)], &names), Vec::<String>::new());
    let only: Vec<&str> = names.iter().copied().filter(|name| *name != "quota").collect();
    let quota = "kind: ResourceQuota\nmetadata: { name: web, namespace: web }\n";
    assert_eq!(found(&[file("bad.yaml", BAD)], &only).len(), 1);
    assert_eq!(found(&[file("bad.yaml", BAD), file("quota.yaml", quota)], &only), Vec::<String>::new());
    // A job ends by itself, and a pod of an operator is the operator's.
    assert_eq!(
        found(&[file("job.yaml", "kind: Job\nspec: { template: { spec: { containers: [{ name: a, image: b }] } } }\n")], &[]),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_no_yaml_is_shown_where_it_is_not() {
    let broken = format!("{BAD}---\nkind: [Deployment\n");
    let found = found(&[file("bad.yaml", &broken)], &[]);
    assert!(found.len() == 1 && found[0].starts_with("kthw::lint::not_yaml: "), "{found:?}");
    let images = [("a", 1), ("a:1", 0), ("h:5000/a", 1), ("h:5000/a:latest", 1), ("h:5000/a:v1", 0), ("a@sha256:0", 0)];
    for (image, wrong) in images {
        let text = format!("kind: DaemonSet\nspec: {{ template: {{ spec: {{ containers: [{{ name: a, image: '{image}' }}] }} }} }}\n");
        let problems = found_of_rule(&text, "version");
        assert_eq!(problems, wrong, "{image}");
    }
}

fn found_of_rule(text: &str, rule: &str) -> usize {
    let others: Vec<&str> = RULES.iter().map(|one| one.name).filter(|name| *name != rule).collect();
    found(&[file("one.yaml", text)], &others).len()
}
