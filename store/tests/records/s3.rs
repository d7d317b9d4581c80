//! S3: a real service's part is played by moto, its misbehaviour by the front.
use crate::{
    front::{Act, Front, Seen},
    suite::{check, many_appends, name, race, told},
};
use kthw_peers::{MOTO, MotoServer, OPENSSL, ask};
use kthw_store::{Condition, Limits, Records, S3Address, S3Records, Version};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "canary/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// With it, moto takes a request for one of S3.
const SIGNED: (&str, &str) = (
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
);
/// Short, for what never works.
const SHORT: Limits = Limits { request: Duration::from_secs(1), together: Duration::from_secs(3) };

fn open_within(limits: Limits, endpoint: SocketAddr, address: &str, more: &[(&str, &str)]) -> kthw_engine::Result<S3Records> {
    let endpoint = format!("http://{endpoint}");
    let usual = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let find = |name: &str| more.iter().chain(&usual).find(|known| known.0 == name).map(|known| known.1.to_owned());
    let address: S3Address = address.parse().unwrap();
    S3Records::open(address.below("ubuntu")?, &find, limits)
}

fn open(endpoint: SocketAddr, address: &str, more: &[(&str, &str)]) -> kthw_engine::Result<S3Records> {
    open_within(Limits::default(), endpoint, address, more)
}

/// A storage with a bucket, the front before it, and a workspace in it.
struct Storage {
    moto: MotoServer,
    front: Front,
    records: S3Records,
}

/// `None`, said aloud, where there is no moto.
async fn storage(play: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Option<Storage> {
    let [moto] = ask([&MOTO])?;
    let moto = MotoServer::start(&moto);
    moto.ask("PUT", "/team", &[SIGNED], b"");
    let front = Front::start(moto.address(), play).await;
    let records = open(front.address, "s3://team/clusters", &[]).unwrap();
    Some(Storage { moto, front, records })
}

impl Storage {
    async fn put(&self, text: &str, condition: Condition) -> kthw_engine::Result<Option<Version>> {
        self.records.put(&name("lease"), text.as_bytes(), condition).await
    }

    async fn lease(&self) -> String {
        String::from_utf8(self.records.get(&name("lease")).await.unwrap().unwrap().bytes).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3() {
    let Some(storage) = storage(|_| Act::Pass).await else { return };
    check(&storage.records).await;
    let at = |address: &str| -> Arc<dyn Records> { Arc::new(open(storage.front.address, address, &[]).unwrap()) };
    race([at("s3://team/race"), at("s3://team/race/")]).await;
    many_appends(&*at("s3://team"), 60).await;
    assert_eq!(at("s3://team").place(), "s3://team/ubuntu");
}

/// What a service says when it refuses.
macro_rules! refusal {
    ($code:literal, $message:literal) => {
        concat!("<?xml version=\"1.0\"?>\n<Error><Code>", $code, "</Code><Message>", $message, "</Message></Error>")
    };
}

const SLOW_DOWN: Act = Act::Answer(503, "", refusal!("SlowDown", "Please reduce your request rate."));
const UNMET: Act = Act::Answer(412, "", refusal!("PreconditionFailed", "At least one of the pre-conditions did not hold"));
const ANOTHER_WRITES: Act = Act::Answer(409, "", refusal!("ConditionalRequestConflict", "The conditional request cannot succeed"));
const DENIED: Act = Act::Answer(403, "", refusal!("AccessDenied", "Access Denied"));

/// `act` for the first requests of this kind, as many as `times`.
fn first(times: usize, method: &'static str, object: &'static str, act: Act) -> impl Fn(&Seen) -> Act {
    move |seen| if seen.is(method, object) && seen.before < times { act.clone() } else { Act::Pass }
}

#[tokio::test]
async fn a_service_that_is_busy_for_a_while_is_asked_again() {
    for (method, act) in [("PUT", SLOW_DOWN), ("GET", SLOW_DOWN), ("GET", Act::Cut), ("PUT", ANOTHER_WRITES)] {
        let Some(storage) = storage(first(2, method, "/lease", act)).await else { return };
        assert!(storage.put("mine", Condition::Absent).await.unwrap().is_some());
        assert_eq!(storage.lease().await, "mine");
        assert!(storage.front.count(method, "/lease") >= 3);
    }
}

#[tokio::test]
async fn what_never_works_is_given_up_in_time_and_told() {
    let gone = "cannot write `lease` in s3://team/clusters/ubuntu at http://127.0.0.1:";
    let always = |act: Act| first(usize::MAX, "PUT", "/lease", act);
    for (act, words) in [
        (SLOW_DOWN, &["it answers 503 SlowDown: Please reduce your request rate. (tried for ", "try again later"][..]),
        (Act::Silence, &["it does not answer in time (tried for ", "look whether the service runs"]),
        (UNMET, &["it refuses a write although nothing is in its way", "share-a-store.md"]),
        (ANOTHER_WRITES, &["it refuses a write although nothing is in its way"]),
        (Act::Answer(500, "", "<html>oh"), &["it answers 500 (tried"]),
    ] {
        let Some(storage) = storage(always(act)).await else { return };
        let records = open_within(SHORT, storage.front.address, "s3://team/clusters", &[]).unwrap();
        assert!(records.put(&name("another"), b"x", Condition::Absent).await.unwrap().is_some());
        let begun = Instant::now();
        let error = records.put(&name("lease"), b"mine", Condition::Absent).await.unwrap_err();
        told(&error, &[&[gone], words].concat());
        assert!(begun.elapsed() < SHORT.together + Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(error.exit_code(), 3);
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_told_at_once_with_what_to_do() {
    for (act, words) in [
        (DENIED, &["it answers 403 AccessDenied: Access Denied", "s3:PutObject"][..]),
        (Act::Answer(403, "", refusal!("RequestTimeTooSkewed", "too far")), &["403 RequestTimeTooSkewed", "set the clock"]),
        (Act::Answer(400, "", refusal!("ExpiredToken", "expired")), &["400 ExpiredToken", "get new credentials"]),
        (
            Act::Answer(301, "x-amz-bucket-region: eu-west-2\r\n", ""),
            &["the bucket is in the region eu-west-2", "set AWS_REGION=eu-west-2"],
        ),
        (
            Act::Answer(400, "", "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
            &["the bucket is in the region eu-west-1"],
        ),
        (Act::Answer(301, "", refusal!("PermanentRedirect", "elsewhere")), &["301 PermanentRedirect", "set AWS_REGION to the region"]),
        (Act::Answer(501, "", refusal!("NotImplemented", "a header")), &["501 NotImplemented", "conditional writes", "share-a-store.md"]),
        (Act::Answer(404, "", "<html>nothing here</html>"), &["it answers 404", "whether AWS_ENDPOINT_URL is the address of an S3"]),
        (Act::Answer(405, "", ""), &["it answers 405"]),
    ] {
        let shown = format!("{act:?}");
        let Some(storage) = storage(first(usize::MAX, "PUT", "/lease", act)).await else { return };
        let error = storage.put("mine", Condition::Absent).await.unwrap_err();
        told(&error, words);
        assert_eq!(storage.front.count("PUT", "/lease"), 1, "{shown}");
    }
    // The same for whoever reads, lists and removes.
    let Some(storage) = storage(|seen| if seen.method == "PUT" { Act::Pass } else { DENIED }).await else { return };
    let at = "in s3://team/clusters/ubuntu at http://127.0.0.1:";
    told(&storage.records.get(&name("lease")).await.unwrap_err(), &["cannot read `lease`", at, "403 AccessDenied", "s3:GetObject"]);
    told(&storage.records.read_log(&name("journal/1")).await.unwrap_err(), &["cannot read `journal/1`", at]);
    told(&storage.records.list("").await.unwrap_err(), &["cannot list records", at, "s3:ListBucket"]);
    told(&storage.records.list("journal").await.unwrap_err(), &["cannot list `journal`", at]);
    told(&storage.records.remove(&name("lease")).await.unwrap_err(), &["cannot remove `lease`", at, "s3:DeleteObject"]);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told() {
    let Some(storage) = storage(|_| Act::Pass).await else { return };
    let records = open(storage.front.address, "s3://another", &[]).unwrap();
    let words = ["in s3://another/ubuntu", "404 NoSuchBucket", "make the bucket"];
    told(&records.get(&name("lease")).await.unwrap_err(), &words);
    told(&records.put(&name("lease"), b"x", Condition::Absent).await.unwrap_err(), &words);
    told(&records.list("").await.unwrap_err(), &words);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_found_again() {
    let Some(storage) = storage(first(1, "PUT", "/lease", Act::DoThenClose)).await else { return };
    let version = storage.put("mine", Condition::Absent).await.unwrap().expect("it was done");
    assert_eq!(storage.front.count("PUT", "/lease"), 2, "the second one was refused");
    assert_eq!(storage.records.get(&name("lease")).await.unwrap().unwrap().version, version);
    // Somebody else's write of the same bytes is none of ours when no answer was lost.
    assert_eq!(storage.put("mine", Condition::Absent).await.unwrap(), None);
    assert!(storage.put("mine, 2", Condition::Is(version)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_replacement_and_a_piece_whose_answers_were_lost_are_found_again() {
    let lost = |seen: &Seen| match seen.before {
        1 if seen.is("PUT", "/lease") => Act::DoThenClose,
        0 if seen.is("PUT", "/journal/1/00000000000000000004") => Act::DoThenClose,
        _ => Act::Pass,
    };
    let Some(storage) = storage(lost).await else { return };
    let version = storage.put("mine", Condition::Absent).await.unwrap().unwrap();
    assert!(storage.put("mine, 2", Condition::Is(version)).await.unwrap().is_some());
    assert_eq!(storage.lease().await, "mine, 2");
    let log = name("journal/1");
    assert!(storage.records.append(&log, 0, b"one\n").await.unwrap().is_some());
    assert!(storage.records.append(&log, 4, b"two\n").await.unwrap().is_some());
    assert_eq!(storage.records.append(&log, 4, b"two\n").await.unwrap(), None, "nothing was lost this time");
    assert_eq!(storage.records.read_log(&log).await.unwrap().unwrap(), b"one\ntwo\n");
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_and_that_another_replaced_is_a_conflict() {
    let play = |seen: &Seen| match seen.before {
        0 if seen.is("PUT", "/lease") => Act::DoThenClose,
        1 if seen.is("PUT", "/lease") => Act::AfterAnother("theirs"),
        _ => Act::Pass,
    };
    let Some(storage) = storage(play).await else { return };
    assert_eq!(storage.put("mine", Condition::Absent).await.unwrap(), None);
    assert_eq!(storage.lease().await, "theirs");
}

#[tokio::test]
async fn a_service_that_ignores_conditions_is_not_used() {
    for header in ["If-None-Match", "If-Match"] {
        let Some(storage) = storage(move |_| Act::PassWithout(header)).await else { return };
        let words = [&format!("the service ignores {header}: two could write"), "share-a-store.md"];
        told(&storage.put("mine", Condition::Absent).await.unwrap_err(), &words);
        told(&storage.records.append(&name("journal/1"), 0, b"x").await.unwrap_err(), &words);
        assert_eq!(storage.front.count("PUT", "/lease"), 0, "nothing is written there");
        assert_eq!(storage.records.list("").await.unwrap(), []);
    }
}

#[tokio::test]
async fn conditions_are_proven_once() {
    let Some(storage) = storage(|_| Act::Pass).await else { return };
    for number in 0..3 {
        assert!(storage.records.put(&name(&format!("record/{number}")), b"x", Condition::Absent).await.unwrap().is_some());
    }
    assert_eq!(storage.front.count("PUT", "/.conditional-writes"), 3);
    let next = open(storage.front.address, "s3://team/clusters", &[]).unwrap();
    assert!(next.put(&name("record/3"), b"x", Condition::Absent).await.unwrap().is_some());
    assert_eq!(storage.front.count("PUT", "/.conditional-writes"), 5, "it is there by now");
}

#[tokio::test]
async fn a_log_with_a_gap_is_told_by_its_object() {
    let Some(storage) = storage(|_| Act::Pass).await else { return };
    let log = name("journal/1");
    for (at, line) in [(0, "one\n"), (4, "two\n"), (8, "three\n")] {
        assert!(storage.records.append(&log, at, line.as_bytes()).await.unwrap().is_some());
    }
    let key = "clusters/ubuntu/journal/1/00000000000000000004";
    storage.moto.ask("DELETE", &format!("/team/{key}"), &[SIGNED], b"");
    let error = storage.records.read_log(&log).await.unwrap_err();
    told(&error, &["cannot read `journal/1`", &format!("the object {key} is missing"), "00000000000000000008 comes after it", "restore"]);
    // It can be removed all the same.
    storage.records.remove(&log).await.unwrap();
    assert_eq!(storage.records.read_log(&log).await.unwrap(), None);
}

#[tokio::test]
async fn a_removal_that_dies_leaves_a_whole_log() {
    let Some(storage) = storage(|seen| if seen.is("DELETE", "/1/00000000000000000004") { DENIED } else { Act::Pass }).await else { return };
    let log = name("journal/1");
    for (at, line) in [(0, "one\n"), (4, "two\n"), (8, "three\n")] {
        assert!(storage.records.append(&log, at, line.as_bytes()).await.unwrap().is_some());
    }
    assert!(storage.records.remove(&log).await.is_err());
    assert_eq!(storage.records.read_log(&log).await.unwrap().unwrap(), b"one\ntwo\n");
}

#[tokio::test]
async fn what_is_somebody_elses_is_left_alone() {
    let Some(storage) = storage(|_| Act::Pass).await else { return };
    for key in ["README", "clusters/ubuntu2/lease", "clusters/ubuntu/Upper", "clusters/ubuntu/lease-old/x", "clusters/ubuntu/lease/x y"] {
        storage.moto.ask("PUT", &format!("/team/{}", key.replace(' ', "%20")), &[SIGNED], b"theirs");
    }
    storage.put("mine", Condition::Absent).await.unwrap();
    assert_eq!(storage.records.list("").await.unwrap(), [name("lease"), name("lease-old/x")]);
    storage.records.remove(&name("lease")).await.unwrap();
    assert_eq!(storage.records.list("").await.unwrap(), [name("lease-old/x")]);
    let listed = storage.moto.ask("GET", "/team?list-type=2", &[SIGNED], b"");
    let listed = String::from_utf8(listed).unwrap();
    assert!(["ubuntu2/lease", "Upper", "lease/x y", "README"].iter().all(|key| listed.contains(key)), "{listed}");
}

#[tokio::test]
async fn signatures_are_right_and_wrong_ones_are_told_without_the_secret() {
    let Some(storage) = storage(|_| Act::Pass).await else { return };
    let iam = ("Authorization", SIGNED.1.replace("/s3/", "/iam/"));
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let ask = |body: &str| {
        let answer = storage.moto.ask("POST", "/", &[(iam.0, &iam.1), form], body.as_bytes());
        String::from_utf8(answer).unwrap()
    };
    ask("Action=CreateUser&Version=2010-05-08&UserName=us");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    ask(&format!("Action=PutUserPolicy&Version=2010-05-08&UserName=us&PolicyName=p&PolicyDocument={policy}"));
    let answer = ask("Action=CreateAccessKey&Version=2010-05-08&UserName=us");
    let field = |name: &str| answer.split_once(&format!("<{name}>")).unwrap().1.split('<').next().unwrap();
    let (id, secret) = (field("AccessKeyId"), field("SecretAccessKey"));
    storage.moto.be_strict();

    let records = open(storage.front.address, "s3://team", &[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)]).unwrap();
    check(&records).await;
    let liar = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", "canary-of-a-liar")];
    let error = open(storage.front.address, "s3://team", &liar).unwrap().get(&name("lease")).await.unwrap_err();
    told(&error, &["403 SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!format!("{error:?}{records:?}").contains("canary"));
    let error = storage.records.put(&name("lease"), b"x", Condition::Absent).await.unwrap_err();
    told(&error, &["403 InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]);
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn nobody_there_and_no_tls_are_told() {
    // Nothing listens on port 1 of this address of the loopback network.
    let records = open_within(SHORT, "127.0.0.5:1".parse().unwrap(), "s3://team", &[]).unwrap();
    let error = records.get(&name("lease")).await.unwrap_err();
    told(&error, &["in s3://team/ubuntu at http://127.0.0.5:1", "Connection refused", "look whether the service runs"]);
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || plain.accept().unwrap().0.write_all(b"HTTP/1.1 400 X\r\n\r\n"));
    let records = open(address, "s3://team", &[("AWS_ENDPOINT_URL", &format!("https://{address}"))]).unwrap();
    told(&records.get(&name("lease")).await.unwrap_err(), &["TLS: ", "AWS_CA_BUNDLE"]);
}

/// A service whose certificate an authority of our own signed is believed by whoever names that authority, and by nobody else.
#[tokio::test]
async fn an_authority_of_ones_own() {
    let Some([openssl]) = ask([&OPENSSL]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let request = |more: &str| {
        let curve = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        let mut command = Command::new(&openssl);
        command.args(format!("{curve} {more}").split(' ')).current_dir(folder.path());
        assert!(command.stderr(Stdio::null()).status().unwrap().success(), "{more}");
    };
    request("-keyout ca.key -out ca.pem -subj /CN=authority");
    let names = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    request(&format!("-CA ca.pem -CAkey ca.key -keyout s3.key -out s3.pem -subj /CN=s3 {names}"));
    let (certificate, key) = (folder.path().join("s3.pem"), folder.path().join("s3.key"));
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let tls = Arc::new(tls.with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(key).unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(tls.clone()).unwrap(), connection.unwrap());
            // A client that does not believe it says so, and goes away.
            let Ok(1..) = stream.read(&mut [0; 4096]) else { continue };
            let missing = refusal!("NoSuchKey", "none");
            let answer = format!("HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{missing}", missing.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let (https, bundle) = (format!("https://{address}"), folder.path().join("ca.pem"));
    let trusting = [("AWS_ENDPOINT_URL", https.as_str()), ("AWS_CA_BUNDLE", bundle.to_str().unwrap())];
    assert_eq!(open(address, "s3://team", &trusting).unwrap().get(&name("lease")).await.unwrap(), None);
    let error = open(address, "s3://team", &trusting[..1]).unwrap().get(&name("lease")).await.unwrap_err();
    told(&error, &["TLS: invalid peer certificate", "AWS_CA_BUNDLE"]);
}
