//! The program as it runs: servers of our own on this machine, and words in a file in NGINX's place.
#![allow(clippy::unwrap_used)]

use kthw_checker::status::Status;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A server that answers `/ping` with 200 or 503, until the test ends.
struct Server {
    address: SocketAddr,
    well: Arc<AtomicBool>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, well) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(true)));
        let is_well = well.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let read = stream.read(&mut [0; 1000]).unwrap_or(0);
                let status = if is_well.load(Ordering::SeqCst) { "200 OK" } else { "503 Service Unavailable" };
                if read > 0 {
                    // The other side may have gone.
                    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
                }
            }
        });
        Self { address, well }
    }

    fn is_well(&self, well: bool) {
        self.well.store(well, Ordering::SeqCst);
    }
}

/// A folder with a configuration for some servers. NGINX refuses its files while `refuse` is there, and writes each reload into `reloads`.
struct Scene {
    folder: tempfile::TempDir,
    servers: Vec<Server>,
}

impl Scene {
    fn with(servers: usize) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap(), servers: (0..servers).map(|_| Server::start()).collect() };
        let server = |(at, server): (usize, &Server)| {
            let check = serde_json::json!({ "url": format!("http://{}/ping", server.address), "interval_ms": 100, "timeout_ms": 100 });
            serde_json::json!({ "name": format!("s{at}"), "address": server.address, "check": check })
        };
        let servers: Vec<_> = scene.servers.iter().enumerate().map(server).collect();
        let script = |script: String| ["sh".into(), "-c".into(), script];
        let (refuse, reloads) = (scene.path("refuse"), scene.path("reloads"));
        let config = serde_json::json!({
            "status_file": scene.path("status.json"),
            "nginx": {
                "test": script(format!("test ! -e {} || {{ echo '[emerg] refused' >&2; exit 1; }}", refuse.display())),
                "reload": script(format!("echo reload >>{}", reloads.display())),
            },
            "upstreams": [{ "name": "https", "servers_file": scene.path("https.servers"), "servers": servers }],
        });
        fs::write(scene.path("config.json"), config.to_string()).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Running {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        Running(Command::new(PROGRAM).arg(self.path("config.json")).stderr(log).spawn().unwrap())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn status(&self) -> Status {
        serde_json::from_str(&self.text("status.json")).unwrap()
    }

    /// The servers that are `down` in the file, by their positions.
    fn down(&self) -> Vec<usize> {
        let lines = self.text("https.servers");
        let is_down = |server: &Server| lines.contains(&format!("{} max_fails=3 fail_timeout=10s down;", server.address));
        (0..self.servers.len()).filter(|at| is_down(&self.servers[*at])).collect()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < until, "{what}\n{}\n{}", self.text("log"), self.text("https.servers"));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_kthw-checker");

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn called(arguments: &[&Path]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_sick_server_leaves_and_comes_back_and_the_last_one_stays() {
    let scene = Scene::with(2);
    let running = scene.start();
    scene.until("everybody takes part", || scene.text("https.servers").matches("server ").count() == 2 && scene.down().is_empty());
    scene.servers[0].is_well(false);
    scene.until("the sick one is out", || scene.down() == [0]);
    scene.until("NGINX knows", || scene.text("reloads").lines().count() == 2);
    scene.until("it is said", || scene.status().upstreams[0].servers[0].last.as_ref().is_some_and(|last| last.said.contains("503")));

    scene.servers[1].is_well(false);
    scene.until("panic mode", || scene.status().upstreams[0].panic);
    scene.until("all take part", || scene.down().is_empty());
    scene.servers[1].is_well(true);
    scene.until("the well one alone", || scene.down() == [0]);

    // What was decided last stays without the checker, and a new one goes on from there.
    drop(running);
    let (servers, reloads) = (scene.text("https.servers"), scene.text("reloads").lines().count());
    let _running = scene.start();
    scene.until("NGINX knows for sure", || scene.text("reloads").lines().count() == reloads + 1);
    scene.until("a new status", || scene.status().upstreams[0].servers[0].last.is_some());
    assert_eq!(
        (scene.text("https.servers"), scene.text("reloads").lines().count()),
        (servers, reloads + 1),
        "a start decides nothing anew"
    );
    scene.servers[0].is_well(true);
    scene.until("all are well", || scene.down().is_empty());
    let log = scene.text("log");
    for line in
        ["s0 (", "is sick after 2 bad answers in a row: status 503", "panic mode: no server is well", "panic mode is over", "well again"]
    {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn files_that_nginx_refuses_are_put_back_and_tried_again() {
    let scene = Scene::with(2);
    let _running = scene.start();
    scene.until("a first reload", || scene.text("reloads").lines().count() == 1);
    let before = scene.text("https.servers");
    fs::write(scene.path("refuse"), "").unwrap();
    scene.servers[0].is_well(false);
    scene.until("the refusal is told", || scene.status().nginx.is_some_and(|said| said.contains("[emerg] refused")));
    assert_eq!((scene.text("https.servers"), scene.text("reloads").lines().count()), (before, 1));
    fs::remove_file(scene.path("refuse")).unwrap();
    scene.until("it is tried again", || scene.down() == [0] && scene.text("reloads").lines().count() == 2);
    scene.until("nothing is refused any more", || scene.status().nginx.is_none());
    assert_eq!(scene.text("log").matches("does not use what the checks say").count(), 1, "said once");
}

#[test]
fn a_server_that_hangs_delays_no_other_check() {
    let scene = Scene::with(2);
    // Nobody accepts its connections, so a check takes all of its time.
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&scene.text("config.json")).unwrap();
    let url = format!("http://{}/ping", hangs.local_addr().unwrap());
    config["upstreams"][0]["servers"][0]["check"] = serde_json::json!({ "url": url, "interval_ms": 5000, "timeout_ms": 5000 });
    fs::write(scene.path("config.json"), config.to_string()).unwrap();
    let _running = scene.start();
    scene.until("a status", || scene.path("status.json").exists());
    let began = Instant::now();
    scene.servers[1].is_well(false);
    scene.until("the other one is out", || scene.down() == [1]);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_configuration_is_checked_and_the_files_are_prepared() {
    let scene = Scene::with(2);
    let config = scene.path("config.json");
    assert!(called(&[Path::new("--check"), &config]).status.success());
    assert_eq!(scene.text("https.servers"), "", "a check writes nothing");
    fs::write(scene.path("https.servers"), format!("server {} down;\n", scene.servers[1].address)).unwrap();
    let before = scene.text("https.servers");
    assert!(!called(&[Path::new("--prepare"), &config, Path::new("false")]).status.success());
    assert_eq!(scene.text("https.servers"), before, "what is refused is put back");
    assert!(called(&[Path::new("--prepare"), &config, Path::new("true")]).status.success());
    assert_eq!((scene.down(), scene.text("reloads").as_str()), (vec![1], ""), "what is down stays so, and NGINX is not told");

    fs::write(&config, scene.text("config.json").replace("\"interval_ms\":100", "\"interval_ms\":1")).unwrap();
    for word in ["--check", "--prepare"] {
        let command = if word == "--check" { &[][..] } else { &[Path::new("true")] };
        let said = called(&[&[Path::new(word), &config], command].concat());
        assert_eq!(said.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&said.stderr).contains("server `s0` of upstream `https` has `interval_ms` 1"), "{said:?}");
    }
    let version = called(&[Path::new("--version")]);
    assert_eq!(String::from_utf8_lossy(&version.stdout), concat!("kthw-checker ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(called(&[]).status.code(), Some(2));
}
