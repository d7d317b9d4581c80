//! A load balancer on a booted host: real NGINX and the checker in front of three servers, under load. Whatever is done to one, no connection is lost.
use super::{NODES, recipe};
use crate::{
    peers_support::World,
    support::balancer::{Heard, LOAD, Table, checker_is_pinned},
};
use kthw_peers::{HOSTS, ask};

const SERVER: &str = include_str!("load-balancer/server.py");
/// New connections a second, streams that stay, and the longest time that the load may last, in seconds.
const LOAD_IS: [&str; 3] = ["100", "51", "240"];
/// How long after a fault a server may get its last new connection, in seconds. What is documented is two.
const LAST_WITHIN_S: f64 = 3.0;

/// Three servers on addresses of the host's own, as the guide writes it.
const DECLARED: &str = r#"
    let servers = [];
    for n in ["2", "3", "4"] {
        servers.push(#{ name: `s${n}`, address: `127.0.0.${n}:9443`, check: #{ url: `http://127.0.0.${n}:9080/ping` } });
    }
    nginx::load_balancer(node, #{ listeners: [#{ name: "tcp", listen: LISTEN, servers: servers, OPTIONS }] });
"#;

fn declared(listen: &str, options: &str) -> String {
    DECLARED.replace("LISTEN", listen).replace("OPTIONS", options)
}

struct Scene {
    world: World,
    workspace: String,
    table: Table,
}

impl Scene {
    fn inside(&self, script: &str) -> String {
        self.world.inside(1, &["sh", "-c", script]).ended_with(0).stdout
    }

    /// Runs a script and returns when it had ended, in seconds since 1970.
    fn at(&self, script: &str) -> f64 {
        self.inside(&format!("{script}\ndate +%s.%N")).trim().lines().last().unwrap().parse().unwrap()
    }

    fn wait(&self, seconds: u64) -> f64 {
        self.at(&format!("sleep {seconds}"))
    }

    fn heard(&self) -> Heard {
        Heard::of(&self.inside("cat /srv/load.log"))
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.inside("cat /run/kthw-checker/status.json")).unwrap()
    }

    fn until_panic_is(&self, panic: bool) {
        self.world.until("panic mode to change", 15, || self.status()["upstreams"][0]["panic"] == panic);
    }

    fn run(&self, body: &str, more: &[&str]) -> crate::support::Said {
        let recipe = recipe(&self.world, "load-balancer", body);
        self.world.kthw(&[&["run", &recipe, "-w", &self.workspace], more].concat())
    }

    /// Notes what happened between two moments, and that nothing was lost.
    fn nothing_lost(&mut self, what: &str, from: f64, to: f64, more: &str) {
        let heard = self.heard();
        self.table.nothing_lost(&heard, what, from, to, more);
    }
}

#[test]
fn a_sick_server_is_taken_out_and_no_connection_is_lost() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("balancer");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let mut scene = Scene { world, workspace, table: Table::default() };

    // The host's key is taken as it comes, by a run alone.
    scene.run("", &["--yes"]).ended_with(0);
    // Without a digest the program is refused, in the plan.
    let wanted = declared("443", "");
    let refused = scene.run(&wanted, &["--dry-run"]).ended_with(1);
    assert!(refused.stdout.contains("kthw artifacts pin kthw-checker-x86_64-linux"), "{}", refused.stdout);
    checker_is_pinned(&scene.world, &scene.workspace);

    for n in [2, 3, 4] {
        scene.inside(&format!("cat >/srv/server.py <<'END'\n{SERVER}END\nsystemd-run -q --unit server-{n} python3 /srv/server.py {n}"));
    }
    scene.run(&wanted, &["--yes"]).ended_with(0);
    scene.inside("nginx -t -q && ! file -b /usr/local/bin/kthw-checker 2>/dev/null | grep -q dynamically");
    let again = scene.run(&wanted, &["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    let [rate, streams, seconds] = LOAD_IS;
    scene.inside(&format!("cat >/srv/load.py <<'END'\n{LOAD}END"));
    let load = format!("systemd-run -q --unit load python3 /srv/load.py 127.0.0.1:443 {rate} {streams} {seconds} /srv/load.log");
    let from = scene.at(&load) + 0.5;
    let to = scene.wait(3);
    scene.nothing_lost("all are well", from, to, "");
    let heard = scene.heard();
    assert!(["2", "3", "4"].iter().all(|n| heard.count(n, from, to) > 0), "each gets some");

    // What this is for: without the checker a server that says 503 stays.
    let fault = scene.at("systemctl stop kthw-checker; touch /run/sick-3");
    let to = scene.wait(4);
    let got = scene.heard().count("3", to - 1.0, to);
    assert!(got > 0, "NGINX by itself takes the sick one out, so the checker is not needed");
    scene.nothing_lost("one says 503, no checker", fault, to, &format!("the sick one still gets {got} connections a second"));
    scene.at("rm /run/sick-3; systemctl start kthw-checker");
    scene.wait(2);

    let fault = scene.at("touch /run/sick-3");
    let to = scene.wait(5);
    let last = scene.heard().last("3", fault, to);
    scene.nothing_lost("one says 503", fault, to, &format!("its last new connection {last:.2} s after the fault"));
    assert!(last < LAST_WITHIN_S, "{last}");
    assert!(
        scene.inside("journalctl -o cat -u kthw-checker").contains("s3 (127.0.0.3:9443) is sick after 2 bad answers in a row: status 503")
    );
    let settled = scene.run(&wanted, &["--yes"]).ended_with(0);
    assert!(settled.stdout.contains("Nothing to change"), "who is down is the checker's to say: {}", settled.stdout);

    let well = scene.at("rm /run/sick-3");
    let to = scene.wait(5);
    let first = scene.heard().first("3", well, to).expect("it is not back after 5 s");
    scene.nothing_lost("it is well again", well, to, &format!("its first new connection {first:.2} s later"));

    let from = scene.at("true");
    let to = scene.at("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do systemctl reload nginx; sleep 0.5; done");
    scene.nothing_lost("20 reloads", from, to, "");
    let ended = scene.heard().streams_ended(0.0, to).len();
    assert_eq!(ended, 0, "streams live on through all of that");

    let fault = scene.at("systemctl kill -s KILL server-4");
    let to = scene.wait(5);
    let last = scene.heard().last("4", fault, to);
    scene.nothing_lost("one is killed", fault, to, "its own streams end");
    assert!(last < 0.5, "{last}");
    let heard = scene.heard();
    assert!(heard.streams_ended(fault, to).iter().all(|server| *server == "4"), "nobody else's streams end");
    assert_eq!(scene.status()["upstreams"][0]["servers"][2]["takes_part"], false);
    scene.at("systemctl reset-failed server-4; systemd-run -q --unit server-4 python3 /srv/server.py 4");
    scene.wait(4);

    // All of them: nobody is taken out, and it is said aloud.
    let fault = scene.at("touch /run/sick-2 /run/sick-3 /run/sick-4");
    scene.until_panic_is(true);
    let from = scene.wait(1);
    let to = scene.wait(2);
    let heard = scene.heard();
    assert!(["2", "3", "4"].iter().all(|n| heard.count(n, from, to) > 0), "all take part");
    scene.nothing_lost("all say 503", fault, to, "panic mode: all take part");
    assert!(scene.inside("journalctl -o cat -u kthw-checker").contains("panic mode: no server is well"));
    let from = scene.at("rm /run/sick-*");
    scene.until_panic_is(false);
    let to = scene.wait(4);
    scene.nothing_lost("all are well again", from, to, "");

    // Another configuration under load: what NGINX refuses changes nothing, and what it takes drops nothing.
    let before = scene.inside("cat /etc/nginx/nginx.conf /etc/nginx/kthw/*.*");
    let from = scene.at("true");
    let refused = scene.run(&declared("\"10.99.0.1:443\"", ""), &["--yes"]).ended_with(3);
    assert!(refused.stderr.contains("bind() to 10.99.0.1:443 failed"), "{}", refused.stderr);
    assert_eq!(scene.inside("cat /etc/nginx/nginx.conf /etc/nginx/kthw/*.*"), before);
    let options = "proxy_timeout_s: 3600, so_keepalive: true";
    scene.run(&declared("443", options), &["--yes"]).ended_with(0);
    let to = scene.wait(1);
    scene.nothing_lost("another configuration", from, to, "");
    scene.inside("grep -q 'so_keepalive=on' /etc/nginx/nginx.conf && nginx -t -q");
    scene.inside("systemctl stop load");
    scene.run(&declared("443", "proxy_protocol: true"), &["--yes"]).ended_with(0);
    scene.inside("grep -q 'proxy_protocol on' /etc/nginx/nginx.conf && nginx -t -q");

    // What a person sees is left after a start, and the service is watched.
    let shown = scene.inside("systemctl show -p ActiveState,NotifyAccess,StatusText kthw-checker");
    assert!(shown.contains("ActiveState=active") && shown.contains("StatusText=3 of 3 servers are well"), "{shown}");
    println!("{}", scene.table);
}
