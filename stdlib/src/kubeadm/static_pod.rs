//! What a static pod's manifest says of how a part of the control plane runs. Pure.
use std::collections::BTreeMap;

/// The flag `--name=value` that its program is started with.
pub fn flag<'a>(manifest: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.trim().strip_prefix("- --")?.strip_prefix(name)?.strip_prefix('=');
    manifest.lines().find_map(value).map(|value| value.trim_matches(['"', '\'']))
}

/// All flags that its program is started with.
pub fn flags(manifest: &str) -> BTreeMap<String, String> {
    arguments(manifest.lines().filter_map(|line| line.trim().strip_prefix("- ")))
}

/// The flags `--name=value` among words; one without a value has an empty one.
pub fn arguments<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let flag = |word: &'a str| {
        let flag = word.trim_matches(['"', '\'']).strip_prefix("--")?;
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        Some((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
    };
    words.filter_map(flag).collect()
}

/// The image of `component`: its registry and its version without `v`.
pub fn image<'a>(manifest: &'a str, component: &str) -> Option<(&'a str, String)> {
    let line = manifest.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image:"))?;
    let (name, tag) = line.trim().trim_matches(['"', '\'']).rsplit_once(":v")?;
    let registry = name.strip_suffix(component)?.strip_suffix('/')?;
    Some((registry, tag.parse::<semver::Version>().ok()?.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --advertise-address=10.10.10.116\n    \
                            - --service-cluster-ip-range=10.96.0.0/12\n    image: r.lab:5000/k8s/kube-apiserver:v1.31.9\n    \
                            imagePullPolicy: IfNotPresent\n";

    #[test]
    fn flags_are_found_by_their_whole_name() {
        assert_eq!(flag(MANIFEST, "service-cluster-ip-range"), Some("10.96.0.0/12"));
        assert_eq!(flag(MANIFEST, "advertise"), None);
        assert_eq!(flag("    - \"--cluster-name=ubuntu\"\n", "cluster-name"), None);
        assert_eq!(flag("    - --cluster-name=\"ubuntu\"\n", "cluster-name"), Some("ubuntu"));
    }

    #[test]
    fn all_flags_are_found() {
        let found = flags("  - command:\n    - kube-apiserver\n    - --a=b=c\n    - \"--d=e\"\n    - --f\n    image: --g=h\n");
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "b=c"), ("d", "e"), ("f", "")]);
        assert_eq!(arguments("812 kube-apiserver --a=b".split_whitespace()).len(), 1);
    }

    #[test]
    fn an_image_is_a_registry_and_a_version() {
        assert_eq!(image(MANIFEST, "kube-apiserver"), Some(("r.lab:5000/k8s", "1.31.9".into())));
        assert_eq!(image(MANIFEST, "etcd"), None);
        assert_eq!(image("image: registry.k8s.io/kube-apiserver@sha256:00\n", "kube-apiserver"), None);
    }
}
