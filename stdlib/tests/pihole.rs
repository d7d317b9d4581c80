//! Records in a Pi-hole over HTTP: both versions, sessions that are always closed, restarts, and everything that a Pi-hole refuses.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "support/nodes.rs"]
mod nodes;
#[path = "pihole/server.rs"]
mod server;

use kthw_engine::{BoxFuture, Clock, Events, Kind, Peers, Plan, Recipe, Report, RunOptions, Secret, Source, evaluate, plan, run};
use kthw_stdlib::{
    Dynamic,
    dns::{Access, Client},
    script_engine,
    sops::Secrets,
    workspace::{Cluster, Workspace},
};
use nodes::FakeNodes;
use server::{PASSWORD, Server};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A clock that lets waits take a part of their time.
struct Hasty {
    begun: Instant,
    times: u32,
}

impl Clock for Hasty {
    fn now(&self) -> Duration {
        self.begun.elapsed() * self.times
    }

    fn unix_ms(&self) -> u64 {
        1_790_000_000_000
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration / self.times))
    }
}

struct World {
    server: Server,
    version: u8,
    password: &'static str,
    times: u32,
    heard: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn of(version: u8, hosts: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { server: Server::start(hosts).await, version, password: PASSWORD, times: 1, heard: Arc::default() }
    }

    fn workspace(&self) -> Workspace {
        let text = include_str!("../../workspaces/ubuntu/workspace.yaml");
        let url = &self.server.url;
        let dns = format!("dns: {{ pihole: {{ url: '{url}', version: {}, password_secret: pihole.web_password }} }}\n", self.version);
        Workspace::parse("w.yaml", &format!("{text}{dns}")).unwrap()
    }

    fn peers(&self) -> Peers {
        let (workspace, password) = (self.workspace(), self.password);
        let secrets = move || Secrets::from_values("secrets.sops.yaml", [("pihole.web_password", Secret::new(password))]);
        let client = Client::new(move || Access::of(&workspace, &secrets()));
        let clock = Hasty { begun: Instant::now(), times: self.times };
        Peers::new(Arc::new(FakeNodes::unasked()), Arc::new(clock)).with(client)
    }

    fn events(&self) -> Events {
        let heard = self.heard.clone();
        Arc::new(move |event| heard.lock().unwrap().push(format!("{event:?}")))
    }

    async fn plan(&self, options: &str) -> Plan {
        let engine = script_engine();
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{ dns::records(cluster, #{{ {options} }}); }}\n");
        let recipe = Recipe::parse(&engine, Source { name: "test".into(), path: "test".into(), text }).unwrap();
        let cluster = Dynamic::from(Cluster::new(Arc::new(self.workspace())).unwrap());
        let evaluated = evaluate(&engine, &recipe, cluster).unwrap();
        plan(&[evaluated], &self.peers(), &self.events()).await.unwrap()
    }

    async fn apply(&self, options: &str) -> Report {
        let plan = self.plan(options).await;
        run(plan, &self.peers(), &self.events(), &RunOptions::default()).await
    }

    /// Plans and applies without a failure, leaves no session open, and has nothing to do the second time.
    async fn settles(&self, options: &str) {
        let report = self.apply(options).await;
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert!(self.server.hole().sessions.is_empty(), "a session was left open");
        let again = self.plan(options).await;
        assert_eq!(again.changes(), 0, "{}", shown(&again));
        assert!(self.server.hole().sessions.is_empty(), "a look left its session open");
    }

    fn hosts(&self) -> Vec<String> {
        self.server.hole().hosts.clone()
    }

    /// The reason why nothing can be said of the records, with its kind.
    async fn unknown(&self, options: &str) -> String {
        let plan = self.plan(options).await;
        assert!(self.server.hole().sessions.is_empty(), "a session was left open");
        let (_, error) = &plan.failures()[0];
        format!("{error}; {}", error.diagnostic().help().map(|help| help.to_string()).unwrap_or_default())
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().join("\n")
    }
}

fn shown(plan: &Plan) -> String {
    let one = |one: &kthw_engine::Planned| {
        let fields: Vec<String> = one.change.fields().iter().map(|field| format!("\n  {field}")).collect();
        format!("{} {}{}", one.change.mark(), one.id, fields.concat())
    };
    plan.planned().iter().map(one).collect()
}

const RECORDS: &str = r#"records: #{ "cu1.bevz.net": "10.10.10.116", "api.bevz.net": "10.10.10.116" }"#;

/// Made, looked at again, put back, kept apart from what others have, and removed.
async fn lives(world: &World, writes_of_two: usize) {
    let writes = || {
        world.server.took("PATCH")
            + world.server.took("GET /admin/api.php customdns&action=add")
            + world.server.took("GET /admin/api.php customdns&action=delete")
    };
    let first = world.plan(RECORDS).await;
    assert_eq!(shown(&first), "+ dns.records/ubuntu\n  api.bevz.net: 10.10.10.116\n  cu1.bevz.net: 10.10.10.116");
    assert_eq!(writes(), 0, "planning writes nothing");
    world.settles(RECORDS).await;
    assert_eq!(writes(), writes_of_two);
    assert_eq!(
        world.hosts(),
        ["10.10.10.9 nas.bevz.net", "fd00::1 cu1.bevz.net", "10.10.10.116 api.bevz.net", "10.10.10.116 cu1.bevz.net"]
    );

    // Somebody changes one, takes one out, and adds one of their own.
    world.server.hole().hosts =
        ["10.10.10.99 cu1.bevz.net", "10.10.10.8 tv.bevz.net", "10.10.10.9 nas.bevz.net"].map(str::to_owned).to_vec();
    let drift = world.plan(RECORDS).await;
    assert_eq!(shown(&drift), "~ dns.records/ubuntu\n  api.bevz.net: absent -> 10.10.10.116\n  cu1.bevz.net: 10.10.10.99 -> 10.10.10.116");
    world.settles(RECORDS).await;
    assert_eq!(
        world.hosts(),
        ["10.10.10.8 tv.bevz.net", "10.10.10.9 nas.bevz.net", "10.10.10.116 api.bevz.net", "10.10.10.116 cu1.bevz.net"]
    );

    // What is not as declared is somebody else's when the records go.
    world.server.hole().hosts[2] = "10.10.10.7 api.bevz.net".into();
    let gone = format!("{RECORDS}, present: false");
    assert_eq!(shown(&world.plan(&gone).await), "- dns.records/ubuntu");
    world.settles(&gone).await;
    assert_eq!(world.hosts(), ["10.10.10.8 tv.bevz.net", "10.10.10.9 nas.bevz.net", "10.10.10.7 api.bevz.net"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_version_6_are_kept_in_one_request_each_time() {
    let world = World::of(6, &["10.10.10.9 nas.bevz.net", "fd00::1 cu1.bevz.net"]).await;
    lives(&world, 1).await;
    assert!(!world.heard().contains("horse"), "a password was said aloud");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_version_5_are_kept_one_by_one() {
    let world = World::of(5, &["10.10.10.9 nas.bevz.net", "fd00::1 cu1.bevz.net"]).await;
    // Version 5 tells families apart; the peer of this test does not.
    world.server.hole().hosts.pop();
    world.settles(r#"records: #{ "cu1.bevz.net": "10.10.10.116" }"#).await;
    world.server.hole().hosts = vec!["10.10.10.9 nas.bevz.net".into()];
    world.settles(RECORDS).await;
    assert_eq!(world.hosts(), ["10.10.10.9 nas.bevz.net", "10.10.10.116 api.bevz.net", "10.10.10.116 cu1.bevz.net"]);
    world.server.hole().hosts =
        vec!["10.10.10.99 cu1.bevz.net".into(), "10.10.10.116 api.bevz.net".into(), "10.10.10.8 tv.bevz.net".into()];
    world.server.took("GET");
    world.settles(RECORDS).await;
    assert_eq!(world.server.took("GET /admin/api.php customdns&action=delete&ip=10.10.10.99&domain=cu1.bevz.net"), 1);
    assert_eq!(world.server.took("GET /admin/api.php customdns&action=add"), 1);
    assert_eq!(world.hosts(), ["10.10.10.116 api.bevz.net", "10.10.10.8 tv.bevz.net", "10.10.10.116 cu1.bevz.net"]);
    world.settles(&format!("{RECORDS}, present: false")).await;
    assert_eq!(world.hosts(), ["10.10.10.8 tv.bevz.net"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_cuts_the_answer_or_ends_all_sessions_is_survived() {
    for (cuts_answers, forgets_sessions) in [(true, false), (false, true), (true, true)] {
        let world = World::of(6, &["10.10.10.9 nas.bevz.net"]).await;
        world.server.hole().cuts_answers = cuts_answers;
        world.server.hole().forgets_sessions = forgets_sessions;
        world.settles(RECORDS).await;
        assert_eq!(world.server.took("PATCH"), 1);
        assert_eq!(world.hosts().len(), 3);
        assert!(!cuts_answers || world.heard().contains("to hold the records"), "{}", world.heard());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_before_it_was_used_is_opened_again_once() {
    let world = World::of(6, &["10.10.10.9 nas.bevz.net"]).await;
    world.server.hole().ends_sessions = 1;
    assert_eq!(world.plan(RECORDS).await.changes(), 1);
    assert_eq!(world.server.took("POST /api/auth"), 2);
    world.server.hole().ends_sessions = 2;
    let unknown = world.unknown(RECORDS).await;
    assert!(unknown.contains("refuses to show its records: Unauthorized"), "{unknown}");
    assert!(world.server.hole().sessions.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_closed_after_a_restart_in_the_middle_of_that() {
    let world = World::of(6, &[]).await;
    world.server.hole().cuts_logout = true;
    assert_eq!(world.plan(RECORDS).await.changes(), 1);
    assert!(!world.server.hole().cuts_logout && world.server.hole().sessions.is_empty(), "a session was left open");
    assert_eq!(world.server.took("POST /api/auth"), 1);
    assert!(world.heard().contains("to close the session"), "{}", world.heard());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_is_waited_for_and_not_for_ever() {
    let mut world = World::of(6, &[]).await;
    world.server.hole().sessions.insert("somebody else's".into());
    let (planned, ()) = tokio::join!(world.plan(RECORDS), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.server.hole().sessions.clear();
    });
    assert_eq!(planned.changes(), 1, "{}", shown(&planned));
    assert!(world.heard().contains("all of them are taken: API seats exceeded"), "{}", world.heard());

    world.server.hole().sessions.insert("somebody else's".into());
    world.times = 200;
    let plan = world.plan(RECORDS).await;
    let (_, error) = &plan.failures()[0];
    assert!(error.to_string().starts_with("waited 60 s for a session at Pi-hole"), "{error}");
    assert!(error.diagnostic().help().unwrap().to_string().contains("webserver.api.max_sessions"));
    assert_eq!(world.server.hole().sessions.len(), 1, "the other one's is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pihole_refuses_is_explained() {
    let mut world = World::of(6, &[]).await;
    world.password = "wrong";
    assert!(world.unknown(RECORDS).await.contains("does not take the password; the secret that `dns.pihole.password_secret` names"));
    assert_eq!(world.server.took("POST /api/auth"), 1, "a wrong password is not tried again");
    world.version = 5;
    assert!(world.unknown(RECORDS).await.contains("does not take the password"));
    world.version = 6;
    world.password = PASSWORD;
    world.server.hole().second_factor = true;
    assert!(world.unknown(RECORDS).await.contains("asks for a second factor"));
    world.server.hole().second_factor = false;
    world.server.hole().reads_only = true;
    let report = world.apply(RECORDS).await;
    let (_, error) = &report.failures[0];
    assert!(error.to_string().contains("lets this password read only") && error.to_string().contains("app_sudo"), "{error}");
    assert_eq!(error.kind(), Kind::Peer);
    assert!(world.server.hole().sessions.is_empty(), "a session was left open");
    assert!(world.hosts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_two_addresses_is_refused_and_left_as_it_is() {
    let world = World::of(6, &["10.10.10.116 cu1.bevz.net", "10.10.10.117 other.bevz.net cu1.bevz.net"]).await;
    let plan = world.plan(RECORDS).await;
    assert_eq!(shown(&plan), "! dns.records/ubuntu\n  cu1.bevz.net: 10.10.10.116 and 10.10.10.117 -> 10.10.10.116");
    assert_eq!(world.server.took("PATCH"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pihole_that_is_not_there_is_given_up() {
    let mut world = World::of(6, &[]).await;
    world.server.url = "http://127.0.0.3:1".into();
    world.times = 100;
    assert!(world.unknown(RECORDS).await.contains("waited 20 s for Pi-hole at http://127.0.0.3:1 to answer"));
}
