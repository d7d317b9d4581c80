//! The upstream files that kthw knows, with their digests. A version is added by adding its rows.
use super::{Artifact, Upstream};
use crate::versions::{Component, Minor, known_lines};
use semver::Version;

/// A file whose bytes somebody of this project has held, and where they came from.
struct Row {
    project: &'static str,
    version: &'static str,
    file: &'static str,
    sha256: &'static str,
    from: &'static str,
}

/// Where the rows of Calico come from: upstream's files among the tests' data (`KTHW_TEST_DATA`), with which a test compares them. None of Calico's Go
/// modules carries these files, so newer versions have no row.
const CALICO_COPY: &str = "from a copy of upstream's file in the project's test data";

const fn calico(version: &'static str, sha256: &'static str) -> Row {
    Row { project: "calico", version, file: OPERATOR, sha256, from: CALICO_COPY }
}

/// What is known. A digest stands here only if it was made of bytes in hand; whatever has no row is refused until it is pinned.
const KNOWN: &[Row] = &[
    calico("v3.26.4", "2dd020e7822ce55ed1ce111064f473efaacc421a5c1c884e7143256eaaa6b767"),
    calico("v3.27.0", "e302e73474429a3dfd0f6d88edcb12b67ec48b54b4496f8d48682500aac1752f"),
    calico("v3.28.0", "3171a5730e78aa90c5472d2df395056343cc9b05ae47ed5935cf3dd684b6ad17"),
];

/// The manifest of Calico's operator.
const OPERATOR: &str = "tigera-operator.yaml";
/// The custom resource definitions of Calico and its operator.
const DEFINITIONS: &str = "operator-crds.yaml";

/// From this minor on the operator's manifest holds no custom resource definitions; they are a file beside it
/// (<https://github.com/projectcalico/calico/blob/v3.30.0/release-notes/v3.30.0-release-notes.md>).
const DEFINITIONS_APART: Minor = Minor(3, 30);

/// The files that install Calico's operator in `version` (with or without a leading `v`), in the order of their use: what GitHub serves under
/// `projectcalico/calico/<version>/manifests`. `None` for a version of which kthw does not know what files it has.
pub fn calico_files(version: &str) -> Option<Vec<Upstream>> {
    let number = Version::parse(version.trim_start_matches('v')).ok()?;
    let line = Minor::of(&number);
    let files: &[&str] = match () {
        () if !known_lines(Component::Calico).contains(&line) => return None,
        () if line >= DEFINITIONS_APART => &[DEFINITIONS, OPERATOR],
        () => &[OPERATOR],
    };
    let upstream = |file: &&str| Upstream {
        project: "calico".into(),
        version: format!("v{number}"),
        file: (*file).into(),
        url: format!("https://raw.githubusercontent.com/projectcalico/calico/v{number}/manifests/{file}"),
    };
    Some(files.iter().map(upstream).collect())
}

/// The checker of a load balancer (`kthw-checker`, docs/adr/0016-an-active-check-beside-nginx.md) in the version of this kthw. It has no address: whoever
/// builds kthw builds it too, and puts it into the artifacts' mirror.
pub fn checker_file() -> Upstream {
    Upstream {
        project: "kthw".into(),
        version: concat!("v", env!("CARGO_PKG_VERSION")).into(),
        file: "kthw-checker-x86_64-linux".into(),
        url: String::new(),
    }
}

/// The file with its digest, and where that comes from, if kthw knows it.
pub fn known(upstream: &Upstream) -> Option<(Artifact, &'static str)> {
    let is_it = |row: &&Row| (row.project, row.version, row.file) == (&upstream.project, &upstream.version, &upstream.file);
    KNOWN.iter().find(is_it).map(|row| (upstream.clone().with_digest(row.sha256), row.from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn paths(version: &str) -> Option<Vec<String>> {
        Some(calico_files(version)?.iter().map(Upstream::path).collect())
    }

    #[test]
    fn which_files_there_are_depends_on_the_version() {
        assert_eq!(paths("3.28.0"), paths("v3.28.0"));
        assert_eq!(paths("3.29.7").unwrap(), ["calico/v3.29.7/tigera-operator.yaml"]);
        assert_eq!(paths("3.30.0").unwrap(), ["calico/v3.30.0/operator-crds.yaml", "calico/v3.30.0/tigera-operator.yaml"]);
        assert_eq!([paths("3.99.0"), paths("3.28"), paths("latest")], [None, None, None]);
    }

    #[test]
    fn a_row_is_of_a_file_that_is_asked_for_and_says_where_it_comes_from() {
        for row in KNOWN {
            let files = calico_files(row.version).expect(row.version);
            let (artifact, from) = files.iter().find_map(known).expect(row.version);
            assert_eq!((artifact.path(), from), (format!("{}/{}/{}", row.project, row.version, row.file), row.from));
            assert!(super::super::is_sha256(row.sha256) && !row.from.is_empty(), "{}", row.version);
        }
        assert!(calico_files("3.32.1").unwrap().iter().all(|file| known(file).is_none()));
    }

    /// The bytes themselves, where they are at hand.
    #[test]
    fn the_digests_are_those_of_the_files() {
        let Some([data]) = kthw_peers::ask([&kthw_peers::TEST_DATA]) else { return };
        for row in KNOWN {
            let bytes = std::fs::read(data.join("manifests").join(row.project).join(row.version).join(row.file)).expect(row.file);
            assert_eq!(hex::encode(Sha256::digest(bytes)), row.sha256, "{} {}", row.file, row.version);
        }
    }
}
