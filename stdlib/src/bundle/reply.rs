//! What a bundle answers: files of upstream's by their paths, and images as a registry that one can only read from
//! (<https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pull>). Pure.
use super::{Bundle, Descriptor, ImageRow, read::Part};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde_json::json;

/// An answer, before its body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// What it is, for the header `Content-Type`.
    pub(super) content_type: String,
    /// The digest of a manifest or blob.
    pub(super) digest: Option<String>,
    pub(super) body: Body,
    /// Which bytes of the whole it has, for the header `Content-Range`.
    pub(super) range: Option<String>,
}

/// A body: a text, or a piece of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Text(String),
    Part(Part),
}

const BYTES: &str = "application/octet-stream";

impl Reply {
    fn text(status: StatusCode, content_type: &str, text: impl Into<String>) -> Self {
        Self { status, content_type: content_type.into(), digest: None, body: Body::Text(text.into()), range: None }
    }

    fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self::text(status, "application/json", value.to_string())
    }

    /// An error as the specification wants it.
    fn refused(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "errors": [{ "code": code, "message": message }] }))
    }

    fn part(part: Part, content_type: &str, digest: Option<&str>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: content_type.into(),
            digest: digest.map(str::to_owned),
            body: Body::Part(part),
            range: None,
        }
    }

    /// The rest of a file, for who has its beginning: `Range: bytes=1000-` (RFC 9110 section 14). Any other range gets the whole, as does who asks for the
    /// rest of a file by its date, because nothing here has one.
    pub(super) fn ranged(mut self, headers: &HeaderMap) -> Self {
        let asked = headers.get(header::RANGE).filter(|_| !headers.contains_key(header::IF_RANGE));
        let from = asked.and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok());
        if let (StatusCode::OK, Body::Part(part), Some(from)) = (self.status, &mut self.body, from) {
            if from < part.size {
                self.range = Some(format!("bytes {from}-{}/{}", part.size - 1, part.size));
                *part = Part { at: part.at + from, size: part.size - from };
                self.status = StatusCode::PARTIAL_CONTENT;
            } else {
                self.range = Some(format!("bytes */{}", part.size));
                self = Self { range: self.range, ..Self::text(StatusCode::RANGE_NOT_SATISFIABLE, "text/plain", "It is not that long.\n") };
            }
        }
        self
    }

    /// How long its body is, in bytes.
    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::Text(text) => text.len() as u64,
            Body::Part(part) => part.size,
        }
    }
}

impl Bundle {
    /// The answer to a request.
    pub(super) fn reply(&self, method: &Method, uri: &Uri) -> Reply {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Reply::refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "a bundle can only be read");
        }
        let path = uri.path();
        if let Some(rest) = path.strip_prefix("/v2/").or_else(|| (path == "/v2").then_some("")) {
            let namespace = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("ns="));
            return self.of_registry(rest, namespace);
        }
        // apt writes `+` and `~` of a path as escapes, and asks a flat repository for `./InRelease`.
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().replace("/./", "/");
        match path.trim_start_matches('/') {
            "" => Reply::text(StatusCode::OK, "text/plain", format!("A bundle of kthw for workspace {}.\n", self.index().workspace)),
            path => match self.of_path(path) {
                Some(part) => Reply::part(part, BYTES, None),
                None => Reply::text(StatusCode::NOT_FOUND, "text/plain", "The bundle has no such file.\n"),
            },
        }
    }

    fn of_path(&self, path: &str) -> Option<Part> {
        match path.strip_prefix("packages/").and_then(|rest| rest.split_once('/')) {
            Some((repository, path)) => self.package(repository, path),
            None => self.file(path),
        }
    }

    fn of_registry(&self, path: &str, namespace: Option<&str>) -> Reply {
        if path.is_empty() {
            return Reply::json(StatusCode::OK, &json!({}));
        }
        if let Some(repository) = path.strip_suffix("/tags/list") {
            let tags: Vec<&str> = self.images(repository, namespace).filter_map(|image| Some(image.name.rsplit_once(':')?.1)).collect();
            return match tags.is_empty() {
                true => Reply::refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "the bundle has no such image"),
                false => Reply::json(StatusCode::OK, &json!({ "name": repository, "tags": tags })),
            };
        }
        if let Some((repository, reference)) = path.rsplit_once("/manifests/") {
            let found = self.images(repository, namespace).find_map(|image| match reference.contains(':') {
                true => image.manifests.iter().find(|manifest| manifest.digest == reference),
                false => image.manifests.first().filter(|_| image.name.rsplit_once(':').is_some_and(|(_, tag)| tag == reference)),
            });
            return self.of_blob(found, |manifest| manifest.media_type.clone(), "MANIFEST_UNKNOWN");
        }
        if let Some((repository, digest)) = path.rsplit_once("/blobs/") {
            let mut all = self.images(repository, namespace).flat_map(|image| image.blobs.iter().chain(&image.manifests));
            return self.of_blob(all.find(|blob| blob.digest == digest), |_| BYTES.into(), "BLOB_UNKNOWN");
        }
        Reply::refused(StatusCode::NOT_FOUND, "UNSUPPORTED", "a bundle answers for manifests, blobs and lists of tags")
    }

    fn of_blob(&self, found: Option<&Descriptor>, content_type: impl Fn(&Descriptor) -> String, unknown: &str) -> Reply {
        match found.and_then(|blob| Some((blob, self.blob(blob)?))) {
            Some((blob, part)) => Reply::part(part, &content_type(blob), Some(&blob.digest)),
            None => Reply::refused(StatusCode::NOT_FOUND, unknown, "it is not in the bundle"),
        }
    }

    /// The images of a repository. containerd says in `ns` which registry it means; who says nothing means any.
    fn images(&self, repository: &str, namespace: Option<&str>) -> impl Iterator<Item = &ImageRow> {
        self.index().images.iter().filter(move |image| {
            let named = image.name.rsplit_once(':').and_then(|(name, _)| name.split_once('/'));
            named.is_some_and(|(registry, path)| path == repository && namespace.is_none_or(|namespace| namespace == registry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cache, FORMAT, FileRow, Index, PackageFile, RepositoryRow, pack};
    use super::*;
    use sha2::{Digest, Sha256};

    fn descriptor(cache: &Cache, media_type: &str, text: &str) -> Descriptor {
        let digits = hex::encode(Sha256::digest(text));
        cache.keep(&digits, text.as_bytes()).expect("kept");
        let (digest, size) = (format!("sha256:{digits}"), text.len() as u64);
        Descriptor { media_type: media_type.into(), digest, size, platform: None, annotations: Default::default() }
    }

    /// A bundle with one file and one image, in `folder`.
    fn bundle(folder: &std::path::Path) -> (Bundle, Index, Cache) {
        let cache = Cache::new(folder.join("cache"));
        let [list, single, layer] =
            [("list", "the list"), ("single", "the manifest"), ("layer", "the layer")].map(|(kind, text)| descriptor(&cache, kind, text));
        let file = descriptor(&cache, "", "the file");
        let packed = |path: &str, text| {
            let one = descriptor(&cache, "", text);
            PackageFile { package: path.ends_with(".deb").then(|| "a 1".into()), ..PackageFile::plain(path.into(), one.digits(), one.size) }
        };
        let index = Index {
            format: FORMAT,
            workspace: "w".into(),
            kubernetes: "1.36.3".into(),
            calico: "3.32.1".into(),
            files: vec![FileRow {
                path: "calico/v1/a.yaml".into(),
                sha256: file.digits().into(),
                size: file.size,
                url: "https://a.test/a.yaml".into(),
            }],
            images: vec![ImageRow { name: "r.test/a/b:1".into(), manifests: vec![list, single], blobs: vec![layer] }],
            repositories: vec![RepositoryRow {
                name: "own".into(),
                suite: Some("s".into()),
                components: vec!["main".into()],
                keys: vec![],
                until: None,
                files: vec![packed("dists/s/main/binary-amd64/Packages.gz", "the index"), packed("pool/a+b_1~2.deb", "the package")],
            }],
            own_packages: vec![],
        };
        pack(&index, &cache, &folder.join("b.tar")).expect("packed");
        (Bundle::open(&folder.join("b.tar")).expect("a bundle"), index, cache)
    }

    fn told(bundle: &Bundle, path: &str) -> String {
        let reply = bundle.reply(&Method::GET, &path.parse().expect("a path"));
        let body = match reply.body {
            Body::Text(text) => text,
            Body::Part(part) => {
                let bytes = std::fs::read(bundle.path()).expect("the file");
                let at = usize::try_from(part.at).expect("small");
                String::from_utf8_lossy(&bytes[at..at + usize::try_from(part.size).expect("small")]).into_owned()
            }
        };
        format!("{} {} {body}", reply.status.as_u16(), reply.content_type)
    }

    #[test]
    fn files_and_images_are_found_by_path_tag_and_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let (bundle, index, _) = bundle(folder.path());
        let image = &index.images[0];
        let [list, single] = [0, 1].map(|at| image.manifests[at].digest.as_str());
        let index_of = index.repositories[0].files[0].sha256.as_str();
        for (path, expected) in [
            ("/calico/v1/a.yaml", "200 application/octet-stream the file".to_owned()),
            ("/packages/own/pool/a+b_1~2.deb", "200 application/octet-stream the package".into()),
            ("/packages/own/./pool/a+b_1~2.deb", "200 application/octet-stream the package".into()),
            ("/packages/own/pool/a%2bb_1%7e2.deb", "200 application/octet-stream the package".into()),
            ("/packages/own/dists/s/main/binary-amd64/Packages.gz", "200 application/octet-stream the index".into()),
            (
                &format!("/packages/own/dists/s/main/binary-amd64/by-hash/SHA256/{index_of}"),
                "200 application/octet-stream the index".into(),
            ),
            ("/v2/", "200 application/json {}".into()),
            ("/v2/a/b/manifests/1", "200 list the list".into()),
            ("/v2/a/b/manifests/1?ns=r.test", "200 list the list".into()),
            (&format!("/v2/a/b/manifests/{single}"), "200 single the manifest".into()),
            (&format!("/v2/a/b/blobs/{}", image.blobs[0].digest), "200 application/octet-stream the layer".into()),
            (&format!("/v2/a/b/blobs/{list}"), "200 application/octet-stream the list".into()),
            ("/v2/a/b/tags/list", r#"200 application/json {"name":"a/b","tags":["1"]}"#.into()),
        ] {
            assert_eq!(told(&bundle, path), expected, "{path}");
        }
        for path in [
            "/v2/a/b/manifests/2",
            "/v2/a/b/manifests/1?ns=other.test",
            "/v2/a/manifests/1",
            "/calico/v1/../a.yaml",
            "/kthw-bundle.json",
            "/packages/own/pool/other.deb",
            "/packages/other/pool/a+b_1~2.deb",
            "/packages/own",
            "/packages/own/pool/by-hash/SHA256/00",
            "/packages/own/../own/pool/a+b_1~2.deb",
            "/v2/a/b/blobs/sha256:00",
        ] {
            assert!(told(&bundle, path).starts_with("404 "), "{path}");
        }
        let written = bundle.reply(&Method::PUT, &"/v2/a/b/manifests/1".parse().expect("a path"));
        assert_eq!(written.status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn who_has_the_beginning_of_a_file_gets_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let (bundle, ..) = bundle(folder.path());
        let told = |range: &str, more: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().expect("a header"));
            if let Some(more) = more {
                headers.insert(header::IF_RANGE, more.parse().expect("a header"));
            }
            let reply = bundle.reply(&Method::GET, &"/packages/own/pool/a+b_1~2.deb".parse().expect("a path")).ranged(&headers);
            format!("{} {} {}", reply.status.as_u16(), reply.size(), reply.range.unwrap_or_default())
        };
        for (range, expected) in [
            ("bytes=4-", "206 7 bytes 4-10/11"),
            ("bytes=10-", "206 1 bytes 10-10/11"),
            ("bytes=11-", "416 21 bytes */11"),
            ("bytes=1-3", "200 11 "),
            ("bytes=-3", "200 11 "),
            ("bytes=x-", "200 11 "),
        ] {
            assert_eq!(told(range, None), expected, "{range}");
        }
        assert_eq!(told("bytes=4-", Some("Sun, 29 Nov 2026 10:00:00 GMT")), "200 11 ");
    }

    #[test]
    fn a_bundle_that_was_changed_or_cut_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (bundle, index, cache) = bundle(folder.path());
        bundle.verify().expect("right");
        let whole = std::fs::read(bundle.path()).expect("the file");
        let open = |bytes: &[u8]| {
            let path = folder.path().join("other.tar");
            std::fs::write(&path, bytes).expect("written");
            Bundle::open(&path)
        };
        let at = whole.windows(9).position(|window| window == b"the layer").expect("it is in there");
        let mut changed = whole.clone();
        changed[at] = b'T';
        let error = open(&changed).expect("its index is right").verify().expect_err("changed").to_string();
        assert!(error.contains("was changed") && error.contains(index.images[0].blobs[0].digits()), "{error}");
        assert!(open(&whole[..at + 3]).is_err() && open(b"no tar at all").is_err());
        let newer = String::from_utf8_lossy(&whole).replacen("\"format\": 2", "\"format\": 1", 1);
        assert!(open(newer.as_bytes()).expect_err("another format").to_string().contains("its format is 1"));
        std::fs::write(cache.path(index.images[0].blobs[0].digits()), "THE LAYER").expect("damaged");
        let error = pack(&index, &cache, &folder.path().join("never.tar")).expect_err("damaged").to_string();
        assert!(error.contains("is not what its name says") && !folder.path().join("never.tar").exists(), "{error}");
    }

    #[test]
    fn the_same_inputs_make_the_same_bytes() {
        let [first, second] = [0, 1].map(|_| {
            let folder = tempfile::tempdir().expect("a folder");
            bundle(folder.path());
            std::fs::read(folder.path().join("b.tar")).expect("the file")
        });
        assert_eq!(first, second);
    }
}
