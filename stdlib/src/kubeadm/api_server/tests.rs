//! What the API server is told, before and after.
use super::*;
use crate::kubeadm::config_tests::workspace;
use expect_test::{Expect, expect};

const BOTH: &str = "audit: {}\npod_security: {exempt: [games]}\nadd_ons: {local-path-provisioner: 0.0.30}\n";

fn settings(more: &str) -> Settings {
    Settings::of(&workspace("1.31.9", more))
}

/// A manifest with these arguments beside some of kubeadm's.
fn manifest(arguments: &BTreeMap<String, String>) -> String {
    let lines: String = arguments.iter().map(|(name, value)| format!("    - --{name}={value}\n")).collect();
    format!("spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --secure-port=6443\n{lines}    image: x\n")
}

fn check(wanted: &Settings, arguments: &BTreeMap<String, String>, wrong: &[(&str, &'static str)], want: &Expect) {
    let mut live = wanted.live(Some(&manifest(arguments)), &[]);
    live.wrong = wrong.iter().map(|(path, found)| ((*path).to_owned(), *found)).collect();
    let mut lines: Vec<String> = wanted.fields(&live).iter().map(ToString::to_string).collect();
    if let Some(refusal) = wanted.refusal("cu1", &live) {
        lines.extend([refusal.why, refusal.next]);
    }
    lines.extend(wanted.clean(&live).iter().map(ToString::to_string));
    want.assert_eq(&lines.join("\n"));
}

fn with(mut arguments: BTreeMap<String, String>, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    arguments.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    arguments
}

#[test]
fn without_a_word_nothing_is_written() {
    let none = settings("");
    assert_eq!(none, Settings::default());
    assert!(none.write().is_empty() && none.volumes().is_empty() && none.created().is_empty());
    check(&none, &BTreeMap::new(), &[], &expect![""]);
    // Somebody else's own log and policy stay.
    let foreign =
        [("audit-policy-file", "/etc/kubernetes/audit.yaml"), ("audit-log-path", "/var/log/audit.log"), ("audit-log-maxage", "5")];
    check(&none, &with(BTreeMap::new(), &foreign), &[], &expect![""]);
}

#[test]
fn files_are_roots_alone_and_named_after_what_is_in_them() {
    let both = settings(BOTH);
    let lines: Vec<String> = both
        .write()
        .iter()
        .map(|action| match action {
            Action::Write { path, mode, owner, .. } => format!("{path} {mode:o} {owner:?}"),
            Action::Directory { path, mode, .. } => format!("{path}/ {mode:o}"),
            other => format!("{other}"),
        })
        .collect();
    expect![[r#"
        /etc/kubernetes/kthw/ 700
        /etc/kubernetes/kthw/api-server/ 700
        /etc/kubernetes/kthw/api-server/admission-20cf3b495779.yaml 600 None
        /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml 600 None
        /var/log/kubernetes/audit/ 700"#]]
    .assert_eq(&lines.join("\n"));
    let policy = |more: &str| settings(more).arguments[POLICY].clone();
    assert_ne!(policy("audit: {level: request}\n"), policy("audit: {}\n"));
    assert_eq!(policy("audit: {keep_days: 3}\n"), policy("audit: {}\n"), "rotation is no part of the policy");
}

#[test]
fn a_running_one_gets_them_once() {
    let both = settings(BOTH);
    check(
        &both,
        &BTreeMap::new(),
        &[],
        &expect![[r#"
            --admission-control-config-file: absent -> /etc/kubernetes/kthw/api-server/admission-20cf3b495779.yaml
            --audit-log-maxage: absent -> 30
            --audit-log-maxbackup: absent -> 9
            --audit-log-maxsize: absent -> 100
            --audit-log-path: absent -> /var/log/kubernetes/audit/audit.log
            --audit-policy-file: absent -> /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml"#]],
    );
    check(&both, &both.arguments, &[], &expect![""]);
    let line =
        format!("812 kube-apiserver {}", both.arguments.iter().map(|(name, value)| format!("--{name}={value} ")).collect::<String>());
    assert!(both.runs(&line) && !settings("").runs(&line) && !both.runs("812 kube-apiserver --secure-port=6443"));
    let path = both.arguments[POLICY].clone();
    check(
        &both,
        &both.arguments,
        &[(&path, "changed")],
        &expect!["/etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml: changed -> as declared"],
    );
}

#[test]
fn what_is_named_no_more_goes_with_its_file() {
    let both = settings(BOTH);
    check(
        &settings("audit: {}\n"),
        &both.arguments,
        &[],
        &expect![[r#"
            --admission-control-config-file: /etc/kubernetes/kthw/api-server/admission-20cf3b495779.yaml -> absent
            removing /etc/kubernetes/kthw/api-server/admission-20cf3b495779.yaml"#]],
    );
    check(
        &settings(""),
        &both.arguments,
        &[],
        &expect![[r#"
            --admission-control-config-file: /etc/kubernetes/kthw/api-server/admission-20cf3b495779.yaml -> absent
            --audit-log-maxage: 30 -> absent
            --audit-log-maxbackup: 9 -> absent
            --audit-log-maxsize: 100 -> absent
            --audit-log-path: /var/log/kubernetes/audit/audit.log -> absent
            --audit-policy-file: /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml -> absent
            removing /etc/kubernetes/kthw/api-server/admission-20cf3b495779.yaml
            removing /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml"#]],
    );
}

#[test]
fn what_others_gave_it_is_not_lost() {
    let both = settings(BOTH);
    let foreign = [("audit-policy-file", "/etc/kubernetes/audit.yaml"), ("oidc-issuer-url", "https://id.example.com")];
    check(
        &both,
        &with(both.arguments.clone(), &foreign),
        &[],
        &expect![[r#"
            --audit-policy-file: /etc/kubernetes/audit.yaml -> /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml
            the API server on cu1 is started with --audit-log-maxage, --audit-log-maxbackup, --audit-log-maxsize, --audit-log-path, --audit-policy-file, --oidc-issuer-url, which is not of kthw and would be lost: kubeadm writes the whole of its manifest
            take --audit-log-maxage, --audit-log-maxbackup, --audit-log-maxsize, --audit-log-path, --audit-policy-file, --oidc-issuer-url out of /etc/kubernetes/manifests/kube-apiserver.yaml on cu1; or take `audit` and `pod_security` out of the workspace, and set them beside it yourself"#]],
    );
    // As long as nothing is to be changed, that is nobody's business.
    check(&both, &with(both.arguments.clone(), &foreign[1..]), &[], &expect![""]);
}

#[test]
fn namespaces_without_a_label_are_exempt_where_they_need_it() {
    let exempt = |more: &str| {
        let workspace = workspace("1.31.9", more);
        pod_security::exempt(workspace.pod_security.as_ref().expect("named"), &workspace)
    };
    assert_eq!(exempt("pod_security: {}\n"), ["kube-system"]);
    assert_eq!(exempt(BOTH), ["games", "kube-system", "local-path-storage"]);
}

#[test]
fn the_admission_configuration() {
    let both = settings(BOTH);
    expect![[r#"
        apiVersion: apiserver.config.k8s.io/v1
        kind: AdmissionConfiguration
        plugins:
        - name: PodSecurity
          configuration:
            apiVersion: pod-security.admission.config.k8s.io/v1
            kind: PodSecurityConfiguration
            defaults:
              enforce: baseline
              enforce-version: latest
              audit: restricted
              audit-version: latest
              warn: restricted
              warn-version: latest
            exemptions:
              usernames: []
              runtimeClasses: []
              namespaces:
              - games
              - kube-system
              - local-path-storage
    "#]]
    .assert_eq(&both.files[&both.arguments[ADMISSION]]);
}
