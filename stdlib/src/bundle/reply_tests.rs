//! What a bundle answers, by the bytes, and what is told of one that was changed or cut.
use super::{Bundle, Cache, Descriptor, FORMAT, FileRow, ImageRow, Index, PackageFile, RepositoryRow, pack, reply::Body};
use http::{HeaderMap, Method, StatusCode, header};
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
        (&format!("/packages/own/dists/s/main/binary-amd64/by-hash/SHA256/{index_of}"), "200 application/octet-stream the index".into()),
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
