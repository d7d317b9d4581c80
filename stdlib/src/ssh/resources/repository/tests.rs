//! Repositories and their keys: what is planned, written, trusted and forgotten.
use super::*;
use crate::{
    distribution::Distribution,
    ssh::testing::{a_file, check, check_diff, node, node_of, printed, workspace},
    workspace::Workspace,
};
use expect_test::expect;

fn spec() -> Spec {
    Spec {
        url: "https://repo.example/deb/".into(),
        key: Some("KEY".into()),
        key_url: None,
        key_sha256: None,
        keys: vec![],
        signed_index: true,
        suite: None,
        components: vec![],
        fixed_by: None,
    }
}

fn there(repository: &Repository) -> [Finding; 3] {
    let file = |text: &str| Finding::Path(Some(a_file(text, true)));
    [file(&repository.sources()), file(&repository.note()), file("KEY\n")]
}

fn with_keys(keys: &[&str]) -> Repository {
    let keys = keys.iter().map(|text| SigningKey { key: Some((*text).into()), ..SigningKey::default() });
    Repository::new(&node(), "k8s", Spec { key: None, keys: keys.collect(), ..spec() }).unwrap()
}

#[test]
fn a_successor_comes_before_the_old_key_goes() {
    let (old, both, new) = (with_keys(&["KEY"]), with_keys(&["KEY", "NEXT"]), with_keys(&["NEXT"]));
    let file = |text: &str| Finding::Path(Some(a_file(text, false)));
    let known = |text: &str| Finding::Path(Some(a_file(text, true)));
    let as_was = |before: &Repository| [file(&before.sources()), file(&before.note())];
    let found = [&as_was(&old)[..], &[known("KEY\n"), Finding::Path(None)]].concat();
    check(
        &both,
        &found,
        false,
        &expect![[r#"
        ~ ssh.repository/cu1/k8s
            sources:
            -Signed-By: /etc/apt/keyrings/k8s-4a3ec3730504983f.asc
            +Signed-By: /etc/apt/keyrings/k8s-4a3ec3730504983f.asc /etc/apt/keyrings/k8s-c200464bd704a292.asc
            key: sha256 4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e -> sha256 4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e, sha256 c200464bd704a292bb367583c4802830422144111ae28922e464783d623d637f
            index: not fetched -> fetched
          > run (300 s) sh -c APT_CHECK_SOURCE kthw-source k8s.sources Types: deb
        URIs: https://repo.example/deb/
        Suites: ./
        Signed-By: /etc/apt/keyrings/k8s-4a3ec3730504983f.asc /etc/apt/keyrings/k8s-c200464bd704a292.asc

          > directory /etc/apt/keyrings 0755
          > write /etc/apt/keyrings/k8s-c200464bd704a292.asc 0644 "NEXT\n"
          > write /etc/apt/sources.list.d/k8s.sources 0644 "Types: deb\nURIs: https://repo.example/deb/\nSuites: ./\nSigned-By: /etc/apt/keyrings/k8s-4a3ec3730504983f.asc /etc/apt/keyrings/k8s-c200464bd704a292.asc\n"
          > run (900 s) sh -c APT_UPDATE kthw-update -o Dir::Etc::SourceList=/etc/apt/sources.list.d/k8s.sources -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any
          > directory /var/lib/kthw/repositories 0755
          > write /var/lib/kthw/repositories/k8s 0644 "7d76f62353b3072afc9c7231b4614c41fcdd0944088a52737839c285f540b0ee\n4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e\nc200464bd704a292bb367583c4802830422144111ae28922e464783d623d637f\n"
    "#]],
    );
    let found = [&as_was(&both)[..], &[known("NEXT\n")]].concat();
    check(
        &new,
        &found,
        false,
        &expect![[r#"
        ~ ssh.repository/cu1/k8s
            sources:
            -Signed-By: /etc/apt/keyrings/k8s-4a3ec3730504983f.asc /etc/apt/keyrings/k8s-c200464bd704a292.asc
            +Signed-By: /etc/apt/keyrings/k8s-c200464bd704a292.asc
            key: sha256 4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e, sha256 c200464bd704a292bb367583c4802830422144111ae28922e464783d623d637f -> sha256 c200464bd704a292bb367583c4802830422144111ae28922e464783d623d637f
            index: not fetched -> fetched
          > run (300 s) sh -c APT_CHECK_SOURCE kthw-source k8s.sources Types: deb
        URIs: https://repo.example/deb/
        Suites: ./
        Signed-By: /etc/apt/keyrings/k8s-c200464bd704a292.asc

          > write /etc/apt/sources.list.d/k8s.sources 0644 "Types: deb\nURIs: https://repo.example/deb/\nSuites: ./\nSigned-By: /etc/apt/keyrings/k8s-c200464bd704a292.asc\n"
          > run (900 s) sh -c APT_UPDATE kthw-update -o Dir::Etc::SourceList=/etc/apt/sources.list.d/k8s.sources -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any
          > remove /etc/apt/keyrings/k8s-4a3ec3730504983f.asc
          > directory /var/lib/kthw/repositories 0755
          > write /var/lib/kthw/repositories/k8s 0644 "17811898b12be871a1994f583a601eae452748b22f329ba43bb03b3016c0a2b3\nc200464bd704a292bb367583c4802830422144111ae28922e464783d623d637f\n"
    "#]],
    );
    // At once: the old one is there until the index was verified by the new one.
    let found = [&as_was(&old)[..], &[Finding::Path(None)]].concat();
    let Work::Actions(actions) = new.work(new.live(&found).unwrap().as_ref(), false) else { panic!("on the node") };
    let position = |wanted: &dyn Fn(&Action) -> bool| actions.iter().position(wanted).expect("it is done");
    let written = position(&|action| matches!(action, Action::Write { path, .. } if *path == new.key_file(&new.digests[0])));
    let verified = position(&|action| matches!(action, Action::Run { argv, .. } if argv[3] == "kthw-update"));
    let gone = position(&|action| matches!(action, Action::Remove { path } if *path == old.key_file(&old.digests[0])));
    let noted = position(&|action| matches!(action, Action::Write { path, .. } if *path == new.note_file()));
    assert!(written < verified && verified < gone && gone < noted);
}

#[test]
fn rpm_knows_a_key_while_the_repository_is_signed_by_it() {
    let words = |distribution, before: &[&str], keys: &[&str], signed_index| {
        let make = |keys: &[&str]| {
            let node = node_of(Workspace { distribution, release: None, ..workspace() });
            let keys = keys.iter().map(|text| SigningKey { key: Some((*text).into()), ..SigningKey::default() });
            Repository::new(&node, "k8s", Spec { key: None, keys: keys.collect(), signed_index, ..spec() }).unwrap()
        };
        let (before, now) = (make(before), make(keys));
        let file = |text: &str| Finding::Path(Some(a_file(text, false)));
        let found = [&[file(&before.sources()), file(&before.note())][..], &vec![Finding::Path(None); keys.len()]].concat();
        let Work::Actions(actions) = now.work(now.live(&found).unwrap().as_ref(), false) else { panic!("on the node") };
        let told = actions.iter().filter_map(|action| match action {
            Action::Run { argv, .. } => Some(argv[3..].join(" ")),
            _ => None,
        });
        (now.sources(), told.collect::<Vec<_>>().join("\n"))
    };
    let (sources, told) = words(Distribution::Rocky, &["OLD"], &["OLD", "NEXT"], true);
    expect![[r#"
        [k8s]
        name=k8s
        baseurl=https://repo.example/deb/
        enabled=1
        gpgcheck=1
        repo_gpgcheck=1
        gpgkey=file:///etc/pki/rpm-gpg/kthw-k8s-144b85c70a192b8c.asc
               file:///etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc
    "#]]
    .assert_eq(&sources);
    expect![[r#"
        kthw-trust /etc/pki/rpm-gpg/kthw-k8s-144b85c70a192b8c.asc
        kthw-trust /etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc
        kthw-refresh k8s /etc/pki/rpm-gpg/kthw-k8s-144b85c70a192b8c.asc /etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc"#]]
    .assert_eq(&told);
    let (sources, told) = words(Distribution::Suse, &["OLD"], &["NEXT"], false);
    expect![[r#"
        [k8s]
        name=k8s
        baseurl=https://repo.example/deb/
        enabled=1
        gpgcheck=1
        repo_gpgcheck=0
        gpgkey=file:///etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc
        pkg_gpgcheck=1
        autorefresh=1
        type=rpm-md
    "#]]
    .assert_eq(&sources);
    expect![[r#"
        kthw-trust /etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc
        kthw-refresh k8s /etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc
        kthw-forget /etc/pki/rpm-gpg/kthw-k8s-144b85c70a192b8c.asc k8s /etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc"#]]
    .assert_eq(&told);
    let (_, told) = words(Distribution::Rocky, &["OLD"], &["NEXT"], true);
    expect![[r#"
        kthw-trust /etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc
        kthw-refresh k8s /etc/pki/rpm-gpg/kthw-k8s-c200464bd704a292.asc
        kthw-forget /etc/pki/rpm-gpg/kthw-k8s-144b85c70a192b8c.asc"#]]
    .assert_eq(&told);
}

#[test]
fn a_new_repository_is_fetched_before_it_counts() {
    let repository = Repository::new(&node(), "k8s", spec()).unwrap();
    check(&repository, &there(&repository), false, &expect!["= ssh.repository/cu1/k8s\n"]);
    check(
        &repository,
        &[Finding::Path(None), Finding::Path(None), Finding::Path(None)],
        false,
        &expect![[r#"
            + ssh.repository/cu1/k8s
                url: https://repo.example/deb/
                key: sha256 4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e
              > run (300 s) sh -c APT_CHECK_SOURCE kthw-source k8s.sources Types: deb
            URIs: https://repo.example/deb/
            Suites: ./
            Signed-By: /etc/apt/keyrings/k8s-4a3ec3730504983f.asc

              > directory /etc/apt/keyrings 0755
              > write /etc/apt/keyrings/k8s-4a3ec3730504983f.asc 0644 "KEY\n"
              > write /etc/apt/sources.list.d/k8s.sources 0644 "Types: deb\nURIs: https://repo.example/deb/\nSuites: ./\nSigned-By: /etc/apt/keyrings/k8s-4a3ec3730504983f.asc\n"
              > run (900 s) sh -c APT_UPDATE kthw-update -o Dir::Etc::SourceList=/etc/apt/sources.list.d/k8s.sources -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any
              > directory /var/lib/kthw/repositories 0755
              > write /var/lib/kthw/repositories/k8s 0644 "916e393adf4a18efa953b189ba95894883d3c53a3471a7226ba6420edf566a44\n4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e\n"
        "#]],
    );
    let mut unfetched = there(&repository);
    unfetched[1] = Finding::Path(None);
    check_diff(
        &repository,
        repository.live(&unfetched).unwrap(),
        &expect!["~ ssh.repository/cu1/k8s\n    index: not fetched -> fetched\n"],
    );
}

#[test]
fn under_another_version_in_use_it_stays() {
    let fixed_by = InUse { package: "kubelet".into(), version: "1.32.3-1.1".into(), once: "/etc/kubernetes/kubelet.conf".into() };
    let repository = Repository::new(&node(), "k8s", Spec { fixed_by: Some(fixed_by), ..spec() }).unwrap();
    let change = |sources: &str, version: &str, used: bool| {
        let mut findings = there(&repository).to_vec();
        findings[0] = Finding::Path(Some(a_file(sources, sources == repository.sources())));
        findings.extend([printed(&format!("kubelet hi  {version}\n")), Finding::Path(used.then(|| a_file("", true)))]);
        repository.diff(repository.live(&findings).unwrap().as_ref())
    };
    let old = repository.sources().replace("deb/", "old/");
    let Change::Refused(refusal) = change(&old, "1.31.9-1.1", true) else { panic!("refused") };
    assert_eq!(refusal.why, "kubelet is in use on cu1 in version 1.31.9-1.1, and its repository is not changed under it");
    assert_eq!(refusal.next, "set the version back to 1.31.9-1.1; what uses it has to be upgraded by a recipe that knows how");
    // Of the version in use, or before anything uses it, it may move.
    assert_eq!(change(&old, "1.32.3-1.1", true).word(), "update");
    assert_eq!(change(&old, "1.31.9-1.1", false).word(), "update");
    assert_eq!(change(&repository.sources(), "1.31.9-1.1", true), Change::None);
}

#[test]
fn what_cannot_be_a_repository_is_refused() {
    type Spoil = fn(&mut Spec);
    let cases: [(&str, Spoil); 12] = [
        ("is not an http", |spec| spec.url = "repo.example/".into()),
        ("is not an http", |spec| spec.url = "http://a b/".into()),
        ("needs a `/` at its end", |spec| spec.url = "http://a/b".into()),
        ("go together", |spec| spec.suite = Some("stable".into())),
        ("give a signing key", |spec| spec.key = None),
        ("needs its SHA-256", |spec| (spec.key, spec.key_url) = (None, Some("http://k".into()))),
        ("http or https URL", |spec| (spec.key, spec.key_url) = (None, Some("ftp://k".into()))),
        ("either in `keys` or", |spec| spec.keys = vec![SigningKey { key: Some("A".into()), ..SigningKey::default() }]),
        ("is given twice", |spec| {
            spec.key = None;
            spec.keys = vec![SigningKey { key: Some("A".into()), ..SigningKey::default() }; 2];
        }),
        ("give a signing key either", |spec| (spec.key, spec.keys) = (None, vec![SigningKey::default()])),
        ("not signed", |spec| spec.signed_index = false),
        ("64 lower-case", |spec| (spec.key, spec.key_url, spec.key_sha256) = (None, Some("http://k".into()), Some("AB".into()))),
    ];
    for (told, change) in cases {
        let mut spec = spec();
        change(&mut spec);
        let error = Repository::new(&node(), "k8s", spec).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
