//! The decision by its table, and the client against a server on the loopback that starts slowly.
use super::*;
use kthw_engine::BoxFuture;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[test]
fn a_refusal_is_final_only_from_a_server_that_is_ready() {
    let not_yet = Readiness::NotYet("500".into());
    let (soon, late) = (Duration::from_secs(59), LIMIT);
    for (status, was_ready, readyz, waited, want) in [
        (200, false, &not_yet, soon, Next::Final),
        (404, false, &not_yet, late, Next::Final),
        (403, true, &not_yet, soon, Next::Final),
        (403, false, &Readiness::Ready, soon, Next::AskAgain),
        (401, false, &Readiness::Ready, late, Next::AskAgain),
        (
            403,
            false,
            &not_yet,
            soon,
            Next::Wait("the API server answers 403 while it starts: RBAC is not loaded yet (/readyz: 500)".into()),
        ),
        (
            401,
            false,
            &not_yet,
            soon,
            Next::Wait("the API server answers 401 while it starts: it does not know anybody yet (/readyz: 500)".into()),
        ),
        (
            403,
            false,
            &not_yet,
            late,
            Next::GiveUp(
                "the API server has answered 403 for 60 s and is not ready (/readyz: 500): its log says why it does not become ready"
                    .into(),
            ),
        ),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(next(status, true, was_ready, readyz, waited), want, "{status} {was_ready} {readyz:?} {waited:?}");
    }
    let busy = |reads, waited| next(StatusCode::TOO_MANY_REQUESTS, reads, false, &Readiness::Ready, waited);
    assert!(matches!(busy(true, soon), Next::Wait(why) if why.contains("429")));
    assert_eq!((busy(true, late), busy(false, soon)), (Next::Final, Next::Final), "a change is for its own wait to repeat");
}

/// A clock on which a sleep is over at once.
#[derive(Default)]
struct Jumping(Mutex<Duration>);

impl Clock for Jumping {
    fn now(&self) -> Duration {
        *self.0.lock().expect("no panic")
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        *self.0.lock().expect("no panic") += span;
        Box::pin(async {})
    }
}

/// What the server answers, one after the other; the last one stays.
struct Script {
    readyz: Vec<u16>,
    others: Vec<u16>,
}

/// A server on the loopback that answers as `script` says, and notes what it was asked.
/// What the client of a run is, with the raw client's verbs.
fn patient(client: kube::Client, clock: Arc<dyn Clock>) -> kube::Client {
    let send = move |request| {
        let client = client.clone();
        async move { client.send(request).await }
    };
    kube::Client::new(tower::service_fn(move |request| patiently(send.clone(), clock.clone(), request)), "default")
}

async fn server(script: Script) -> (kube::Client, Arc<Jumping>, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    tokio::spawn(async move {
        let (mut readyz, mut others) = (script.readyz.into_iter(), script.others.into_iter());
        let (mut last_readyz, mut last_other) = (200, 200);
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, &notes, |line| match line.contains("/readyz") {
                true => {
                    last_readyz = readyz.next().unwrap_or(last_readyz);
                    last_readyz
                }
                false => {
                    last_other = others.next().unwrap_or(last_other);
                    last_other
                }
            })
            .await;
        }
    });
    let config = kube::Config::new(format!("http://{address}").parse().expect("a URL"));
    let clock = Arc::new(Jumping::default());
    (patient(kube::Client::try_from(config).expect("a client"), clock.clone()), clock, asked)
}

/// Reads one request, notes its method, path and the length of its body, and answers with a status.
async fn answer(mut stream: TcpStream, notes: &Mutex<Vec<String>>, status: impl FnOnce(&str) -> u16) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    };
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").split('?').next().unwrap_or_default().to_owned();
    let code = status(&line);
    notes.lock().expect("no panic").push(format!("{line} {} -> {code}", body.len()));
    let object: Value = match code {
        200 => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
        _ => {
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "Forbidden", "message": "forbidden: User \"kubernetes-admin\" cannot get"})
        }
    };
    let text = object.to_string();
    let reply = format!(
        "HTTP/1.1 {code} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = stream.write_all(reply.as_bytes()).await;
}

fn config_maps(client: &kube::Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap")))
}

fn told(asked: &Mutex<Vec<String>>) -> String {
    asked.lock().expect("no panic").join("\n")
}

#[tokio::test]
async fn a_server_that_starts_is_waited_for_and_a_write_is_sent_whole_again() {
    let (client, clock, asked) = server(Script { readyz: vec![403, 500, 200], others: vec![403, 401, 403, 200] }).await;
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let object = config_maps(&client).patch("a", &PatchParams::apply("kthw"), &Patch::Apply(&body)).await.expect("taken in the end");
    assert_eq!(object.metadata.name.as_deref(), Some("a"));
    let length = body.to_string().len();
    expect_test::expect![[r#"
        PATCH /api/v1/namespaces/default/configmaps/a LENGTH -> 403
        GET /readyz 0 -> 403
        PATCH /api/v1/namespaces/default/configmaps/a LENGTH -> 401
        GET /readyz 0 -> 500
        PATCH /api/v1/namespaces/default/configmaps/a LENGTH -> 403
        GET /readyz 0 -> 200
        PATCH /api/v1/namespaces/default/configmaps/a LENGTH -> 200"#]]
    .assert_eq(&told(&asked).replace(&format!(" {length} "), " LENGTH "));
    assert_eq!(clock.now(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_refusal_of_a_server_that_is_ready_is_final() {
    let (client, _, asked) = server(Script { readyz: vec![200], others: vec![403] }).await;
    let error = config_maps(&client).get("a").await.expect_err("refused");
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 403), "{error:?}");
    assert!(!super::super::is_passing(&error));
    expect_test::expect![[r#"
        GET /api/v1/namespaces/default/configmaps/a 0 -> 403
        GET /readyz 0 -> 200
        GET /api/v1/namespaces/default/configmaps/a 0 -> 403"#]]
    .assert_eq(&told(&asked));
}

#[tokio::test]
async fn a_server_that_never_gets_ready_is_given_up_in_words() {
    let (client, clock, _) = server(Script { readyz: vec![500], others: vec![403] }).await;
    let error = config_maps(&client).get("a").await.expect_err("refused");
    assert_eq!(
        super::super::in_words(&error),
        "the API server has answered 403 for 60 s and is not ready (/readyz: 500): its log says why it does not become ready"
    );
    assert_eq!(clock.now(), LIMIT);
}

#[tokio::test]
async fn other_answers_are_passed_on_at_once() {
    let (client, _, asked) = server(Script { readyz: vec![500], others: vec![200] }).await;
    config_maps(&client).get("a").await.expect("an object");
    assert_eq!(told(&asked), "GET /api/v1/namespaces/default/configmaps/a 0 -> 200");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_and_may_be_asked_again() {
    let mute = kube::Client::new(
        tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, tower::BoxError>>()),
        "default",
    );
    let begun = tokio::time::Instant::now();
    let error = config_maps(&patient(mute, Arc::new(Jumping::default()))).get("a").await.expect_err("nobody answers");
    assert_eq!(super::super::in_words(&error), "no answer within 60 s");
    assert!(super::super::is_passing(&error));
    assert_eq!(begun.elapsed(), REQUEST_LIMIT);
}
