//! Registries of container images, as far as images are fetched from them: <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>.
use super::ImageName;
use crate::{
    artifact::{Answer, FetchArtifact, ask},
    seams::Http,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kthw_engine::{Error, Result, Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

/// The forms of a manifest that are understood: OCI's, and Docker's before it.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// What something in a registry is, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its form.
    pub media_type: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// Which machine it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes of whoever wrote it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Which machine an image is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
}

impl Descriptor {
    /// The hexadecimal digits of its digest; nothing for a digest of another kind, which [`Registries::image`] and a bundle refuse.
    pub fn digits(&self) -> &str {
        self.digest.strip_prefix("sha256:").filter(|digits| crate::artifact::is_sha256(digits)).unwrap_or_default()
    }
}

/// A manifest as a registry serves it: of one image, or a list of those for several machines.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// What an image is made of.
#[derive(Debug)]
pub struct Image {
    /// The manifests: what its tag means today, and, where that is a list, the one for this kind of machine.
    pub manifests: Vec<(Descriptor, Bytes)>,
    /// Its configuration and layers.
    pub blobs: Vec<Descriptor>,
}

/// Registries that nobody has signed in to. Of each, what opens a repository is asked for once.
pub struct Registries<'a> {
    http: &'a dyn Http,
    /// Registry hosts that are served by another address.
    mirrors: BTreeMap<String, String>,
    tokens: Mutex<HashMap<String, Secret>>,
}

impl<'a> Registries<'a> {
    /// Registries that are asked over `http`; of `mirrors`, registry host to the URL that serves it instead.
    pub fn new(http: &'a dyn Http, mirrors: BTreeMap<String, String>) -> Self {
        Self { http, mirrors, tokens: Mutex::default() }
    }

    /// What an image is made of. Every manifest is checked by its digest.
    ///
    /// # Errors
    /// When the registry has it not, it is not for `linux/amd64`, or what came is not what its digest says.
    pub async fn image(&self, name: &ImageName) -> Result<Image> {
        let bad = |reason: String| Error::peer(BadImage { name: name.to_string(), reason });
        let is_sha256 = |one: &Descriptor| match one.digits() {
            "" => Err(bad(format!("`{}` is not a SHA-256", one.digest))),
            _ => Ok(()),
        };
        let (bytes, said) = self.manifest(name, &name.tag).await?;
        let parsed = parse(&bytes).map_err(&bad)?;
        let root = Descriptor {
            media_type: parsed.media_type.clone().unwrap_or(said),
            digest: format!("sha256:{}", hex::encode(Sha256::digest(&bytes))),
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let mut manifests = vec![(root, bytes)];
        let single = if parsed.manifests.is_empty() {
            parsed
        } else {
            let is_ours = |one: &Descriptor| one.platform.as_ref().is_some_and(|on| on.os == "linux" && on.architecture == "amd64");
            let ours = parsed.manifests.into_iter().find(is_ours).ok_or_else(|| bad("it is not for linux/amd64".into()))?;
            is_sha256(&ours)?;
            let (bytes, _) = self.manifest(name, &ours.digest).await?;
            if hex::encode(Sha256::digest(&bytes)) != ours.digits() {
                return Err(bad(format!("the manifest that came is not {}", ours.digest)));
            }
            let single = parse(&bytes).map_err(&bad)?;
            manifests.push((ours, bytes));
            single
        };
        let config = single.config.ok_or_else(|| bad("its manifest names no configuration".into()))?;
        let blobs: Vec<Descriptor> = std::iter::once(config).chain(single.layers).collect();
        blobs.iter().try_for_each(is_sha256)?;
        Ok(Image { manifests, blobs })
    }

    async fn manifest(&self, name: &ImageName, reference: &str) -> Result<(Bytes, String)> {
        let answer = self.ask(name, &format!("manifests/{reference}"), MANIFESTS).await?;
        let said = answer.header(header::CONTENT_TYPE).to_owned();
        Ok((answer.whole().await?, said))
    }

    /// A blob, as it begins to come.
    ///
    /// # Errors
    /// When the registry has it not.
    pub async fn blob(&self, name: &ImageName, blob: &Descriptor) -> Result<Answer> {
        self.ask(name, &format!("blobs/{}", blob.digest), "*/*").await
    }

    /// Asks for something below a repository; signs in as nobody where the registry wants that.
    async fn ask(&self, name: &ImageName, path: &str, accept: &'static str) -> Result<Answer> {
        let url = format!("{}/v2/{}/{path}", self.base(&name.registry), name.repository);
        let repository = format!("{}/{}", name.registry, name.repository);
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        let known = self.tokens.lock().ok().and_then(|tokens| tokens.get(&repository).cloned());
        if let Some(token) = known {
            headers.insert(header::AUTHORIZATION, bearer(&token)?);
        }
        let mut answer = ask(self.http, &url, &headers).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let token = self.token(&url, answer.header(header::WWW_AUTHENTICATE)).await?;
            headers.insert(header::AUTHORIZATION, bearer(&token)?);
            if let Ok(mut tokens) = self.tokens.lock() {
                tokens.insert(repository, token);
            }
            answer = ask(self.http, &url, &headers).await?;
        }
        match answer.status {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(Error::peer(FetchArtifact::absent(&url))),
            status => Err(Error::peer(FetchArtifact::new(&url, format!("the registry answered {status}")))),
        }
    }

    /// Where a registry is asked. Docker Hub's address is not the one in its images' names.
    fn base(&self, registry: &str) -> String {
        let own = || match registry {
            "docker.io" => "https://registry-1.docker.io".to_owned(),
            _ => format!("https://{registry}"),
        };
        self.mirrors.get(registry).map_or_else(own, |mirror| mirror.trim_end_matches('/').to_owned())
    }

    /// A token for somebody without a name: <https://distribution.github.io/distribution/spec/auth/token/>.
    async fn token(&self, url: &str, challenge: &str) -> Result<Secret> {
        #[derive(Deserialize)]
        struct Answered {
            token: Option<String>,
            access_token: Option<String>,
        }
        let failed = |reason: &str| Error::peer(FetchArtifact::new(url, reason.to_owned()));
        let fields = fields(challenge);
        let realm = fields.get("realm").ok_or_else(|| failed("the registry wants a name and a password, and kthw has none for it"))?;
        let mut at = url::Url::parse(realm).map_err(|_| failed("the registry says that tokens come from what is no address"))?;
        for name in ["service", "scope"] {
            if let Some(value) = fields.get(name) {
                at.query_pairs_mut().append_pair(name, value);
            }
        }
        let answer = ask(self.http, at.as_str(), &HeaderMap::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(failed(&format!(
                "{} gives no token to somebody without a name ({})",
                at.origin().ascii_serialization(),
                answer.status
            )));
        }
        let answered: Answered =
            serde_json::from_slice(&answer.whole().await?).map_err(|_| failed("the answer to the question for a token is not JSON"))?;
        answered.token.or(answered.access_token).map(Secret::new).ok_or_else(|| failed("the answer to the question for a token has none"))
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| Error::peer(FetchArtifact::new("a registry", "its token is not one".into())))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The fields of `Bearer realm="…",service="…",scope="…"`.
fn fields(challenge: &str) -> HashMap<String, String> {
    let Some(rest) = challenge.strip_prefix("Bearer ").or_else(|| challenge.strip_prefix("bearer ")) else { return HashMap::new() };
    let mut fields = HashMap::new();
    let mut rest = rest.trim();
    // A scope holds commas, so quotes are what ends a value.
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        fields.insert(name.trim_matches([',', ' ']).to_ascii_lowercase(), value.to_owned());
        rest = after;
    }
    fields
}

fn parse(bytes: &[u8]) -> std::result::Result<Manifest, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("its manifest cannot be read: {error}"))
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the image {name} cannot be used: {reason}")]
#[diagnostic(code(kthw::bundle::bad_image), help("look at what the registry serves; `containerd.mirrors` names another for a host"))]
struct BadImage {
    name: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::seams::Unreachable;
    use http::{Request, Response};
    use kthw_engine::BoxFuture;

    const LIST: &str = "application/vnd.oci.image.index.v1+json";
    const SINGLE: &str = "application/vnd.oci.image.manifest.v1+json";

    /// A registry that gives nothing to somebody without a token, and tokens to anybody. Of its one image, `manifest` is the one for this machine.
    struct Wary {
        manifest: String,
        /// What the list says its digest is.
        listed: String,
    }

    impl Wary {
        fn new() -> Self {
            let blob = |digit: &str| format!(r#"{{"mediaType":"x","digest":"sha256:{}","size":7}}"#, digit.repeat(64));
            let manifest = format!(r#"{{"mediaType":"{SINGLE}","config":{},"layers":[{}]}}"#, blob("1"), blob("2"));
            let listed = hex::encode(Sha256::digest(&manifest));
            Self { manifest, listed }
        }

        fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
            let opened = request.headers().get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer open");
            let challenge = r#"Bearer realm="https://auth.test/token",service="r.test",scope="repository:a/b:pull""#;
            let list = format!(
                r#"{{"mediaType":"{LIST}","manifests":[{{"mediaType":"{SINGLE}","digest":"sha256:{}","size":1,"platform":{{"os":"linux","architecture":"arm64"}}}},
                {{"mediaType":"{SINGLE}","digest":"sha256:{}","size":{},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
                "3".repeat(64),
                self.listed,
                self.manifest.len(),
            );
            let by_digest = format!("https://r.test/v2/a/b/manifests/sha256:{}", self.listed);
            let (status, body) = match request.uri().to_string().as_str() {
                "https://auth.test/token?service=r.test&scope=repository%3Aa%2Fb%3Apull" => (200, r#"{"token":"open"}"#.to_owned()),
                _ if !opened => (401, String::new()),
                "https://r.test/v2/a/b/manifests/1" => (200, list),
                at if at == by_digest => (200, self.manifest.clone()),
                _ => (404, String::new()),
            };
            let response = Response::builder().status(status).header(header::WWW_AUTHENTICATE, challenge);
            response.body(Bytes::from(body)).expect("a plain response")
        }
    }

    impl Http for Wary {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Bytes>, Unreachable>> {
            let answer = self.answer(&request);
            Box::pin(async move { Ok(answer) })
        }
    }

    async fn image(registry: &Wary, name: &str) -> std::result::Result<Image, String> {
        let registries = Registries::new(registry, BTreeMap::new());
        registries.image(&name.parse().expect("a name")).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn an_image_is_the_one_for_this_machine_and_a_token_is_asked_for() {
        let image = image(&Wary::new(), "r.test/a/b:1").await.expect("an image");
        let kinds: Vec<&str> = image.manifests.iter().map(|(descriptor, _)| descriptor.media_type.as_str()).collect();
        assert_eq!(kinds, [LIST, SINGLE]);
        for (descriptor, bytes) in &image.manifests {
            assert_eq!((hex::encode(Sha256::digest(bytes)).as_str(), bytes.len() as u64), (descriptor.digits(), descriptor.size));
        }
        let blobs: Vec<&str> = image.blobs.iter().map(|blob| &blob.digits()[..1]).collect();
        assert_eq!(blobs, ["1", "2"]);
    }

    #[tokio::test]
    async fn what_is_not_what_its_digest_says_is_refused() {
        let other = Wary { listed: "4".repeat(64), ..Wary::new() };
        let error = image(&other, "r.test/a/b:1").await.expect_err("another manifest");
        assert!(error.contains("the manifest that came is not sha256:4444"), "{error}");
        let short = Wary { manifest: "{}".into(), ..Wary::new() };
        let listed = hex::encode(Sha256::digest("{}"));
        let error = image(&Wary { listed, ..short }, "r.test/a/b:1").await.expect_err("nothing in it");
        assert!(error.contains("names no configuration"), "{error}");
        assert!(image(&Wary::new(), "r.test/a/b:2").await.expect_err("no such tag").contains("404"));
    }

    #[test]
    fn a_challenge_is_read_with_its_commas() {
        let fields = fields(r#"Bearer realm="https://a.test/token",service="registry", scope="repository:x:pull,push""#);
        assert_eq!(
            [&fields["realm"], &fields["service"], &fields["scope"]],
            ["https://a.test/token", "registry", "repository:x:pull,push"]
        );
        assert!(super::fields(r#"Basic realm="x""#).is_empty());
    }
}
