//! The client and its tasks against answers on a script, in virtual time: hosts that are down, lost polls, locks, tickets.
use super::{
    Access, Client, Credentials, Endpoint,
    call::Call,
    task::{Task, retry_locked},
};
use crate::{
    fake_nodes::FakeNodes,
    http::Trust,
    seams::{Http, Unreachable},
};
use bytes::Bytes;
use expect_test::expect;
use http::{Request, Response};
use kthw_engine::{BoxFuture, Clock, Error, Limit, Peers, Result, Secret};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// An answer: a status and a body, or a connection that was refused or broke.
#[derive(Clone, Copy)]
enum Answer {
    Ok(&'static str),
    Status(u16, &'static str),
    Refused,
    Broke,
}
use Answer::{Broke, Ok as Data, Refused, Status};

/// Gives the answers one after the other, the last for ever, and notes what was asked.
struct Script {
    answers: Mutex<Vec<Answer>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Http for Script {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Bytes>, Unreachable>> {
        let uri = request.uri();
        let cookie = request.headers().get("cookie").map(|cookie| format!(" {}", cookie.to_str().expect("text"))).unwrap_or_default();
        let path = uri.path().trim_start_matches("/api2/json");
        self.asked.lock().expect("a list").push(format!("{} {}{path}{cookie}", request.method(), uri.host().unwrap_or_default()));
        let mut answers = self.answers.lock().expect("a list");
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        let response = |status: u16, body: String| Response::builder().status(status).body(body.into()).expect("a response");
        let unreachable = |reason: &str, sent| Err(Unreachable { reason: reason.into(), sent });
        let answer = match answer {
            Data(data) => Ok(response(200, format!(r#"{{"data":{data}}}"#))),
            Status(status, message) => Ok(response(status, serde_json::json!({"data": null, "message": message}).to_string())),
            Refused => unreachable("connection refused", false),
            Broke => unreachable("connection reset", true),
        };
        Box::pin(async { answer })
    }
}

/// Time passes only by sleeping.
#[derive(Default)]
struct Virtual(Mutex<Duration>);

impl Clock for Virtual {
    fn now(&self) -> Duration {
        *self.0.lock().expect("a time")
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        *self.0.lock().expect("a time") += span;
        Box::pin(async {})
    }
}

struct World {
    peers: Peers,
    client: Client,
    asked: Arc<Mutex<Vec<String>>>,
    clock: Arc<Virtual>,
}

fn world(hosts: &[&str], credentials: Credentials, answers: &[Answer]) -> World {
    let asked = Arc::default();
    let script = Script { answers: Mutex::new(answers.to_vec()), asked: Arc::clone(&asked) };
    let endpoints = hosts.iter().map(|host| Endpoint::parse(host).expect("a host")).collect();
    let clock = Arc::new(Virtual::default());
    let access = Access { endpoints, credentials, trust: Trust::System };
    let client = Client::over(Arc::new(script), access, clock.clone());
    World { peers: Peers::new(Arc::new(FakeNodes::unasked()), clock.clone()), client, asked, clock }
}

fn token() -> Credentials {
    Credentials::token(&Secret::new("kthw@pve!ci=0000")).expect("a token")
}

impl World {
    fn asked(&self) -> String {
        self.asked.lock().expect("a list").join("\n")
    }

    async fn version(&self) -> std::result::Result<String, String> {
        self.client.get::<String>(&Call::get(["version"])).await.map_err(|failure| failure.to_string())
    }

    async fn task(&self) -> Result<()> {
        let task = Task::parse("UPID:pve1:1:2:3:qmclone:9000:kthw@pve:").expect("a UPID");
        task.wait(&self.client, &self.peers, Limit::minutes(5), "the clone").await
    }
}

#[tokio::test]
async fn the_next_host_is_asked_and_remembered() {
    let world = world(&["a", "b"], token(), &[Refused, Data("\"9\"")]);
    assert_eq!(world.version().await, Ok("9".into()));
    assert_eq!(world.version().await, Ok("9".into()));
    expect![[r#"
        GET a/version
        GET b/version
        GET b/version"#]]
    .assert_eq(&world.asked());
}

#[tokio::test]
async fn a_read_is_tried_three_times_and_every_host_is_named() {
    let world = world(&["a", "b"], token(), &[Broke]);
    expect!["cannot reach Proxmox for `GET /version`: a:8006: connection reset; b:8006: connection reset"]
        .assert_eq(&world.version().await.expect_err("nobody answers"));
    assert_eq!(world.asked.lock().expect("a list").len(), 6);
    assert_eq!(world.clock.now(), Duration::from_millis(1500));
}

#[tokio::test]
async fn a_host_that_cannot_reach_the_other_is_passed_over() {
    let world = world(&["a", "b"], token(), &[Status(595, "No route to host"), Data("\"9\"")]);
    assert_eq!(world.version().await, Ok("9".into()));
}

#[tokio::test]
async fn a_gateway_that_had_no_answer_is_asked_again() {
    for status in [502, 503, 504] {
        let world = world(&["a"], token(), &[Status(status, "Bad Gateway"), Status(status, "Bad Gateway"), Data("\"9\"")]);
        assert_eq!(world.version().await, Ok("9".into()), "{status}");
    }
}

#[tokio::test]
async fn the_version_is_asked_once_and_read_in_numbers() {
    for (said, numbers) in [("8.4.1", Some((8, 4))), ("9.1-rc2", Some((9, 1))), ("unknown", None)] {
        let answer = Data(format!(r#"{{"version":"{said}"}}"#).leak());
        let world = world(&["a"], token(), &[answer]);
        for _ in 0..2 {
            assert_eq!(world.client.version().await.map_err(|failure| failure.to_string()), Ok(numbers));
        }
        assert_eq!(world.asked(), "GET a/version");
    }
}

#[tokio::test]
async fn a_line_of_the_list_that_cannot_be_read_hides_no_other() {
    let odd = r#"[{"type":"qemu","vmid":"x"},{"id":"storage/a"},null,{"vmid":7,"node":"pve1","type":"qemu","name":"n7","template":true}]"#;
    let world = world(&["a"], token(), &[Data(odd)]);
    assert_eq!(super::inventory::called(&world.client, "n7").await.map_err(|failure| failure.to_string()), Ok(vec![7]));
}

#[tokio::test]
async fn a_refusal_is_final() {
    let world = world(&["a", "b"], token(), &[Status(403, "Permission check failed (/, Sys.Audit)")]);
    assert!(world.version().await.expect_err("no right").contains("Sys.Audit"));
    assert_eq!(world.asked(), "GET a/version");
}

const RUNNING: Answer = Data(r#"{"status":"running"}"#);
const LOG: Answer = Data(r#"[{"n":1,"t":"create full clone of drive scsi0"},{"n":2,"t":"transferred 1.0 GiB"}]"#);
const OK: Answer = Data(r#"{"status":"stopped","exitstatus":"OK"}"#);

#[tokio::test]
async fn a_poll_that_fails_is_not_a_task_that_failed() {
    let unseen = Status(400, "no such task");
    let lost = [Broke, Broke, Broke, Status(596, "timeout"), Status(596, "timeout"), Status(596, "timeout")];
    let answers: Vec<Answer> = [unseen, RUNNING, LOG].into_iter().chain(lost).chain([OK]).collect();
    world(&["a"], token(), &answers).task().await.expect("a task that ended well");
}

#[tokio::test]
async fn a_task_that_stays_unknown_is_an_error() {
    let error = world(&["a"], token(), &[Status(400, "no such task")]).task().await.expect_err("unknown");
    assert!(error.to_string().contains("no such task"), "{error}");
}

#[tokio::test]
async fn warnings_are_success_and_errors_explain_themselves() {
    let warned = Data(r#"{"status":"stopped","exitstatus":"WARNINGS: 1"}"#);
    world(&["a"], token(), &[warned, LOG]).task().await.expect("a success with warnings");
    let failed = Data(r#"{"status":"stopped","exitstatus":"clone failed: no space left"}"#);
    let error = world(&["a"], token(), &[failed, LOG]).task().await.expect_err("a failure");
    expect!["the clone failed on pve1: clone failed: no space left (transferred 1.0 GiB)"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_task_that_ends_without_a_status_is_no_success() {
    let gone = Data(r#"{"status":"stopped"}"#);
    let error = world(&["a"], token(), &[gone, LOG]).task().await.expect_err("nobody knows how it ended");
    expect!["the clone failed on pve1: it ended without an exit status (transferred 1.0 GiB)"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_task_that_never_ends_is_left_alone() {
    let error = world(&["a"], token(), &[RUNNING, LOG, RUNNING, Data("[]"), RUNNING]).task().await.expect_err("too long");
    assert!(error.to_string().starts_with("waited 300 s for the clone; last seen: "), "{error}");
}

#[tokio::test]
async fn locks_are_tried_again_with_growing_pauses() {
    let world = world(&["a"], token(), &[OK]);
    let tries = Mutex::new(0);
    let locked = || Error::peer(super::BadAnswer { call: "x".into(), reason: "can't lock file '/x' - got timeout".into() });
    let attempt = async || {
        *tries.lock().expect("a number") += 1;
        Err::<(), _>(locked())
    };
    retry_locked(&world.peers, "the clone", attempt).await.expect_err("locked for ever");
    assert_eq!(*tries.lock().expect("a number"), 8);
    assert_eq!(world.clock.now(), Duration::from_secs(1 + 2 + 4 + 8 + 16 + 30 + 30));
}

#[tokio::test]
async fn what_a_backup_holds_is_waited_for_a_quarter_of_an_hour() {
    let world = world(&["a"], token(), &[OK]);
    let held = async || Err::<(), _>(Error::peer(super::BadAnswer { call: "x".into(), reason: "VM is locked (backup)".into() }));
    retry_locked(&world.peers, "the configuration", held).await.expect_err("held for ever");
    assert!((900..931).contains(&world.clock.now().as_secs()), "{:?}", world.clock.now());
    let begun = world.clock.now();
    for class in ["VM is locked (suspended)", "VM is locked (clone)", "no quorum"] {
        let other = async || Err::<(), _>(Error::peer(super::BadAnswer { call: "x".into(), reason: class.into() }));
        retry_locked(&world.peers, "the configuration", other).await.expect_err("final");
    }
    assert_eq!(world.clock.now(), begun);
}

#[tokio::test]
async fn a_ticket_is_bought_once_and_renewed_when_it_is_refused() {
    let bought = |ticket| {
        Data(if ticket == 1 {
            r#"{"ticket":"PVE:one","CSRFPreventionToken":"c"}"#
        } else {
            r#"{"ticket":"PVE:two","CSRFPreventionToken":"c"}"#
        })
    };
    let password = Credentials::password("root@pam".into(), Secret::new("secret")).expect("a user");
    let answers = [bought(1), Data("\"9\""), Status(401, "invalid ticket"), bought(2), Data("\"9\"")];
    let world = world(&["a"], password, &answers);
    assert_eq!(world.version().await, Ok("9".into()));
    world.clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(world.version().await, Ok("9".into()));
    expect![[r#"
        POST a/access/ticket
        GET a/version PVEAuthCookie=PVE:one
        GET a/version PVEAuthCookie=PVE:one
        POST a/access/ticket
        GET a/version PVEAuthCookie=PVE:two"#]]
    .assert_eq(&world.asked());
}

#[tokio::test]
async fn a_second_factor_is_named() {
    let password = Credentials::password("root@pam".into(), Secret::new("secret")).expect("a user");
    let world = world(&["a"], password, &[Data(r#"{"ticket":"PVE:!tfa!x","CSRFPreventionToken":"c","NeedTFA":1}"#)]);
    assert_eq!(world.version().await, Err("the Proxmox user `root@pam` needs a second factor to sign in".into()));
}

#[tokio::test]
async fn missing_settings_are_said_at_the_first_call() {
    let clock = Arc::new(Virtual::default());
    let client = Client::new(|| super::access_from(|_| Ok(None), |_| None), clock);
    let failure = client.get::<String>(&Call::get(["version"])).await.expect_err("no endpoint");
    let error = Error::from(failure);
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("no Proxmox endpoint is set", 2));
    assert!(error.diagnostic().help().is_some_and(|help| help.to_string().contains("--lab")));
}

/// A list of so many machines.
fn inventory(many: u32) -> Answer {
    let one = |vmid: u32| format!(r#"{{"vmid":{vmid},"node":"pve1","type":"qemu","name":"n{vmid}"}}"#);
    Data(format!("[{}]", (1000..1000 + many).map(one).collect::<Vec<_>>().join(",")).leak())
}

#[tokio::test]
async fn a_name_costs_the_same_however_many_guests_there_are() {
    for (many, lists) in [(4, 40), (400, 1), (40_000, 1)] {
        let world = world(&["pve1"], token(), &[inventory(many)]);
        for _ in 0..40 {
            assert_eq!(super::inventory::called(&world.client, "n1003").await.map_err(|failure| failure.to_string()), Ok(vec![1003]));
            world.clock.sleep(Duration::from_secs(61)).await;
        }
        assert_eq!(world.asked().lines().count(), lists, "{many} guests");
    }
}

#[tokio::test]
async fn what_was_made_here_is_in_the_list() {
    let world = world(&["pve1"], token(), &[inventory(3)]);
    let alike =
        async || super::inventory::alike(&world.client, "n100", |name| name.len() == 5).await.map_err(|failure| failure.to_string());
    assert_eq!(alike().await, Ok(vec![1000, 1001, 1002]));
    super::inventory::remember(&world.client, 77, "pve1", "n1009").await;
    super::inventory::remember(&world.client, 78, "pve1", "n2009").await;
    assert_eq!(alike().await, Ok(vec![1000, 1001, 1002, 77]));
}
