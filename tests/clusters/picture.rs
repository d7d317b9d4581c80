//! The whole picture on real parts: two clusters, an edge in front of both, TLS passed through to pods, under load. A cluster that dies, ends or comes back.
mod site;

use crate::{
    peers_support::Ends,
    support::balancer::{Heard, LOAD, Table},
};
use kthw_peers::{HOSTS, KUBERNETES, MANIFESTS, TEST_DATA, ask};
use site::{ALPHA, BETA, Cluster, EDGE, NAME, Site};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

const OPENED: &str = include_str!("../peers/load-balancer/opened.py");
/// New connections a second, streams that stay, and the longest time that the load may last, in seconds.
const LOAD_IS: [&str; 3] = ["105", "104", "900"];
/// Where the clients are: beside the world's hosts.
const CLIENT: &str = "10.77.0.1";
/// How long after a fault the edge may open its last connection to a sick cluster, in seconds.
const LAST_WITHIN_S: f64 = 3.0;
/// How long NGINX tries to connect to a cluster (`proxy_connect_timeout_s`), in seconds.
const CONNECT_S: f64 = 5.0;
/// So long does each part last at least, in seconds: 2,000 requests.
const PART_S: u64 = 20;

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits, and returns when that was over.
fn wait(seconds: u64) -> f64 {
    std::thread::sleep(Duration::from_secs(seconds));
    now()
}

struct Scene {
    site: Site,
    folder: PathBuf,
    authorities: String,
    table: Table,
    _running: [Ends; 2],
}

impl Scene {
    /// Has the clients begin, and beside them what notes the connections that the edge opens.
    fn under_load(site: Site) -> Self {
        let folder = site.world.sandbox.path().to_path_buf();
        let place = |name: &str| folder.join(name).to_string_lossy().into_owned();
        std::fs::write(place("load.py"), LOAD).unwrap();
        std::fs::write(place("opened.py"), OPENED).unwrap();
        let authorities = site.authorities();
        let opened = site.world.beside(&["python3", &place("opened.py"), "h3", "443", &place("opened.log")]);
        let [rate, streams, seconds] = LOAD_IS;
        let (edge, log) = (format!("{EDGE}:443"), place("load.log"));
        let load = site.world.beside(&["python3", &place("load.py"), &edge, rate, streams, seconds, &log, NAME, &authorities, CLIENT]);
        Self { site, folder, authorities, table: Table::default(), _running: [opened, load] }
    }

    fn heard(&self) -> Heard {
        Heard::of(&std::fs::read_to_string(self.folder.join("load.log")).unwrap())
    }

    /// How long after a fault the edge opened its last connection to a cluster, answered or not.
    fn last_opened(&self, cluster: &Cluster, fault: f64, to: f64) -> f64 {
        let text = std::fs::read_to_string(self.folder.join("opened.log")).unwrap();
        let lines = text.lines().take(text.matches('\n').count()).filter_map(|line| line.split_once(' '));
        let to_it = lines.filter(|(_, address)| *address == cluster.address).map(|(when, _)| when.parse::<f64>().unwrap());
        to_it.filter(|when| (fault..to).contains(when)).map(|when| when - fault).fold(0.0, f64::max)
    }

    fn edge(&self, script: &str) {
        self.site.world.inside(3, &["sh", "-c", script]).ended_with(0);
    }

    fn nothing_lost(&mut self, what: &str, from: f64, to: f64, more: &str) {
        let heard = self.heard();
        let more = format!("{more}slowest answer {:.1} s", heard.slowest(from, to));
        self.table.nothing_lost(&heard, what, from, to, &more);
    }

    /// Notes what came of a cluster that was sick from `fault` on. What is promised is not kept where the edge went on with it for too long, or
    /// where a connection that began at `lost_from` or later was lost.
    fn sick(&mut self, what: &str, cluster: &Cluster, [fault, lost_from, to]: [f64; 3]) -> Result<(), String> {
        let (heard, last) = (self.heard(), self.last_opened(cluster, fault, to));
        let more = format!("last connection to it {last:.2} s after the fault; slowest answer {:.1} s", heard.slowest(fault, to));
        self.table.note(&heard, what, fault, to, &more);
        let lost = heard.lost(lost_from, to);
        let why: Vec<_> = heard.between(lost_from, to).filter(|(_, server, _)| server.is_none()).take(3).collect();
        let others = heard.streams_ended(fault, to).into_iter().filter(|server| *server != cluster.name).count();
        match () {
            () if last > LAST_WITHIN_S => Err(format!("{what}: the last connection to it was opened {last:.2} s after the fault")),
            () if lost > 0 => Err(format!("{what}: {lost} were lost: {why:?}")),
            () if others > 0 => Err(format!("{what}: {others} streams to the other cluster ended")),
            () => Ok(()),
        }
    }

    fn ping(&self, cluster: &Cluster) -> String {
        let url = format!("http://{}/ping", cluster.address);
        self.site.world.outside(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2", &url]).stdout
    }

    /// Has Kubernetes end the cluster's only Traefik. Returns the last moment at which it had not yet been told to.
    fn ends_traefik(&self, cluster: &Cluster) -> f64 {
        self.site.kubectl(cluster, &["scale", "-n", "traefik", "deployment/traefik", "--replicas=0"]);
        let begun = now();
        let mut fault = begun;
        loop {
            let asked = now();
            assert!(asked - begun < 20.0, "Traefik did not end");
            match self.ping(cluster).as_str() {
                "200" => fault = asked,
                "503" => return fault,
                other => panic!("a Traefik that ends answers {other}"),
            }
        }
    }

    /// Takes the plug out of a cluster's machine: everything in it is killed, and from the first moment on nothing of it is heard, not even that a
    /// connection is refused. Returns when.
    fn dies(&self, cluster: &Cluster) -> f64 {
        let number = cluster.host.to_string();
        let fault = now();
        self.site.world.outside(&["ip", "link", "set", &format!("h{number}"), "down"]).ended_with(0);
        self.site.world.command(&["host", "stop", &number, "--force"]).ended_with(0);
        fault
    }

    /// A request that passes the edge by is answered.
    fn takes_connections(&self, cluster: &Cluster) {
        let (to, url) = (format!("{NAME}:443:{}", cluster.address), format!("https://{NAME}/"));
        let said =
            self.site.world.outside(&["curl", "-sS", "--fail", "--max-time", "5", "--cacert", &self.authorities, "--resolve", &to, &url]);
        let said = said.ended_with(0).stdout;
        assert!(said.starts_with(cluster.name), "{said}");
    }

    /// Waits until a cluster gets connections again, and returns when that was.
    fn until_taken_in(&self, cluster: &Cluster, from: f64, seconds: u64) -> f64 {
        self.site.world.until(&format!("{} to get connections again", cluster.name), seconds, || {
            self.heard().first(cluster.name, from, now()).is_some()
        });
        from + self.heard().first(cluster.name, from, now()).unwrap()
    }

    fn starts_traefik(&mut self, cluster: &Cluster) {
        let from = now();
        self.site.kubectl(cluster, &["scale", "-n", "traefik", "deployment/traefik", "--replicas=1"]);
        let first = self.until_taken_in(cluster, from, 60);
        let to = wait(PART_S);
        self.nothing_lost("its Traefik is there again", from, to, &format!("its first connection {:.1} s later; ", first - from));
    }
}

#[test]
fn two_clusters_and_an_edge_lose_nothing() {
    let Some(_) = ask([&HOSTS, &KUBERNETES, &TEST_DATA, &MANIFESTS]) else { return };
    let mut scene = Scene::under_load(Site::built());

    // Each answer was checked: its certificate, and that the pod sees the client's address.
    scene.site.world.until("the clients to begin", 30, || scene.heard().count(ALPHA.name, 0.0, now()) > 0);
    let from = now();
    let to = wait(PART_S);
    scene.nothing_lost("both are well", from, to, "");
    let heard = scene.heard();
    assert!([ALPHA, BETA].iter().all(|cluster| heard.count(cluster.name, from, to) > 0), "each gets some");
    assert!(heard.streams_of(BETA.name, to) >= 50, "{} long streams to {}", heard.streams_of(BETA.name, to), BETA.name);

    // What the checker is for.
    scene.edge("systemctl stop kthw-checker");
    let fault = scene.ends_traefik(&ALPHA);
    let to = wait(PART_S);
    let said = scene.sick("its Traefik ends, no checker", &ALPHA, [fault, fault, to]);
    assert!(said.is_err(), "NGINX by itself keeps what is promised, so the checker is not needed\n{}", scene.table);
    scene.edge("systemctl start kthw-checker");
    wait(3);
    scene.starts_traefik(&ALPHA);

    let fault = scene.ends_traefik(&ALPHA);
    scene.takes_connections(&ALPHA);
    let to = wait(PART_S);
    scene.sick("its Traefik ends", &ALPHA, [fault, fault, to]).unwrap_or_else(|why| panic!("{why}\n{}", scene.table));
    assert!(scene.heard().slowest(fault, to) < CONNECT_S, "nobody waits for a Traefik that was left out too early\n{}", scene.table);
    scene.starts_traefik(&ALPHA);

    let from = now();
    scene.site.kubectl(&ALPHA, &["rollout", "restart", "-n", "traefik", "deployment/traefik"]);
    scene.site.kubectl(&ALPHA, &["rollout", "status", "-n", "traefik", "deployment/traefik", "--timeout=120s"]);
    let to = wait(12);
    scene.nothing_lost("another Traefik takes its place", from, to, "");

    let from = now();
    scene.edge("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do systemctl reload nginx; sleep 1; done");
    let to = now();
    scene.nothing_lost("20 reloads", from, to, "");
    assert_eq!(scene.heard().streams_ended(from, to), Vec::<&str>::new());

    let fault = scene.dies(&ALPHA);
    let to = wait(PART_S);
    // What it had begun to answer is lost with it.
    let under_way = scene.heard().lost(fault - 10.0, fault);
    let sick = scene.sick(&format!("its machine dies ({under_way} more under way lost)"), &ALPHA, [fault, fault + LAST_WITHIN_S, to]);
    sick.unwrap_or_else(|why| panic!("{why}\n{}", scene.table));

    let from = now();
    scene.site.world.host(ALPHA.host, "a1");
    let first = scene.until_taken_in(&ALPHA, from, 240);
    let to = wait(PART_S);
    scene.nothing_lost("its machine is there again", from, to, &format!("its first connection {:.1} s later; ", first - from));
    assert!(scene.heard().streams_ended(0.0, to).iter().all(|server| *server == ALPHA.name), "the other cluster's streams live on");

    for (recipe, workspace) in [("recipes/load-balancer/full.rhai", "edge"), ("recipes/ubuntu/full.rhai", ALPHA.name)] {
        let again = scene.site.run(recipe, workspace).ended_with(0).stdout;
        assert!(again.contains("Nothing to change"), "{again}");
    }
    println!("{}", scene.table);
}
