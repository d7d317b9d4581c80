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
