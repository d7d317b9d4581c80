//! A booted host's clock and its updates: the time servers it asks, and what its own timers install under a policy.
use super::{NODES, recipe};
use crate::peers_support::{Ends, World};
use kthw_peers::{HOSTS, ask};
use std::process::Command;

/// A time server with this machine's own time, for five minutes: RFC 5905, section 7.3. It says whom it answered.
const TIME_SERVER: &str = r#"
import socket, struct, sys, time
def now():
    seconds = time.time() + 2208988800
    return struct.pack("!II", int(seconds), int(seconds % 1 * 2**32))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 123))
until = time.monotonic() + 300
while time.monotonic() < until:
    server.settimeout(until - time.monotonic())
    asked, client = server.recvfrom(512)
    came = now()
    # Leap 0, version 4, server; stratum 1; what the client sent is its origin.
    head = struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"TEST")
    server.sendto(head + came + asked[40:48] + came + now(), client)
    print(client[0], flush=True)
"#;

#[test]
fn a_node_asks_its_own_time_servers() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("time");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    let asked = world.sandbox.path().join("asked");
    let log = std::fs::File::create(&asked).unwrap();
    let server = Command::new("ip")
        .args(["netns", "exec", world.value("NETNS"), "python3", "-c", TIME_SERVER, world.value("GATEWAY")])
        .stdout(log)
        .spawn()
        .unwrap();
    let _server = Ends(server);

    // A host's clock is this machine's: it may be asked about, and not set. So the service starts in a container too, without that right.
    inside(
        r"rm -f /etc/systemd/system/systemd-timesyncd.service
        mkdir -p /etc/systemd/system/systemd-timesyncd.service.d /etc/systemd/timesyncd.conf.d
        printf '%s\n' '[Unit]' ConditionVirtualization= ConditionCapability= '[Service]' AmbientCapabilities= CapabilityBoundingSet=~CAP_SYS_TIME \
            >/etc/systemd/system/systemd-timesyncd.service.d/container.conf
        printf '%s\n' '[Time]' NTP=10.77.0.9 >/etc/systemd/timesyncd.conf.d/aaa-theirs.conf
        systemctl daemon-reload",
    )
    .ended_with(0);
    let run = |servers: &str, more: &str| {
        world.kthw(&["run", "tests/recipes/system.rhai", "-w", &workspace, "--set", &format!("network.ntp=[{servers}]"), more])
    };
    run("10.77.0.1", "--yes").ended_with(0);
    let contacted = || inside("journalctl -u systemd-timesyncd -o cat --no-pager").ended_with(0).stdout;
    world.until("the time server to be asked", 60, || contacted().contains("Contacted time server 10.77.0.1:123"));
    assert!(std::fs::read_to_string(&asked).unwrap().lines().all(|line| line == "10.77.0.11"), "and by nobody else");
    assert!(!contacted().contains("10.77.0.9"), "what another file names is taken back: {}", contacted());
    inside("systemctl is-enabled systemd-timesyncd").ended_with(0);
    let again = run("10.77.0.1", "--yes").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    // Another server: told, and asked, without a start.
    let planned = run("10.77.0.7, 10.77.0.1", "--dry-run").ended_with(0);
    assert!(planned.stdout.contains("timesyncd.conf.d/kthw.conf"), "{}", planned.stdout);
    inside("journalctl --rotate -q && journalctl --vacuum-time=1s -q").ended_with(0);
    let before = std::fs::read_to_string(&asked).unwrap().lines().count();
    run("10.77.0.7, 10.77.0.1", "--yes").ended_with(0);
    // The first one is silent: the second is asked after it.
    let times = || std::fs::read_to_string(&asked).unwrap().lines().count();
    world.until("the second server to be asked", 90, || times() > before);

    // What chrony of Ubuntu 26.04 is told, read by a chronyd that asks once and sets nothing; its service does not start in a container.
    inside("apt-get install -y -qq --no-install-recommends chrony >/dev/null 2>&1").ended_with(0);
    let told = "let servers = cluster.os.time_servers; ssh::file(node, servers.file, #{ content: servers.content });";
    let told = recipe(&world, "chrony", told);
    let system = ["--set", "distribution=ubuntu", "--set", "release=26.04", "--set", "network.ntp=[10.77.0.1]"];
    world.kthw(&[&["run", &told, "-w", &workspace, "--yes"], &system[..]].concat()).ended_with(0);
    let before = times();
    inside("sed -i '/^pool/d' /etc/chrony/chrony.conf; chronyd -x -Q -t 20 2>&1 | grep 'System clock wrong by'").ended_with(0);
    assert!(times() > before);
}

/// Makes a repository with an origin on a host: `archive FOLDER ORIGIN LABEL CODENAME`, and in it `make NAME VERSION`.
const ARCHIVES: &str = r#"
    archive() { mkdir -p "/srv/$1" && cd "/srv/$1" && : >Packages && O=$2 L=$3 C=$4; }
    make() {
        mkdir -p "/tmp/$1/DEBIAN"
        printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x\nDescription: x\n' "$1" "$2" >"/tmp/$1/DEBIAN/control"
        dpkg-deb -b "/tmp/$1" "$1.deb" >/dev/null
        { dpkg-deb -f "$1.deb"; printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$1" "$(stat -c %s "$1.deb")" "$(sha256sum <"$1.deb" | cut -d' ' -f1)"; } >>Packages
        printf 'Origin: %s\nLabel: %s\nSuite: %s\nCodename: %s\nDate: %s\nSHA256:\n %s %s Packages\n' "$O" "$L" "$C" "$C" "$(date -Ru)" \
            "$(sha256sum <Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release
    }
"#;
/// Timers fire as soon as they are started, and not at a time of the day.
const AT_ONCE: &str = r"
    for T in apt-daily apt-daily-upgrade; do
        mkdir -p /etc/systemd/system/$T.timer.d
        printf '%s\n' '[Timer]' OnCalendar= OnActiveSec=2s RandomizedDelaySec=0 AccuracySec=1s >/etc/systemd/system/$T.timer.d/at-once.conf
    done; systemctl daemon-reload
";

#[test]
fn a_node_installs_updates_by_its_own_timers_as_the_policy_says() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("timers");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("{ARCHIVES}{script}")]);
    let run = |updates: &str, more: &str| {
        world.kthw(&["run", "tests/recipes/system.rhai", "-w", &workspace, "--set", &format!("updates={updates}"), more])
    };
    let timers = "systemctl is-active apt-daily.timer apt-daily-upgrade.timer || :";
    let installed = || inside("dpkg-query -W -f='${Package} ${Version}, ' safe other stays").ended_with(0).stdout;
    inside(
        "archive security Debian Debian-Security bookworm-security; make safe 1; make stays 1; dpkg -i *.deb >/dev/null; apt-mark hold stays >/dev/null
        archive theirs Somebody Theirs stable; make other 1; dpkg -i *.deb >/dev/null
        for A in security theirs; do echo \"deb [trusted=yes] copy:/srv/$A ./\" >/etc/apt/sources.list.d/$A.list; done",
    )
    .ended_with(0);

    // Nothing moves by itself where no policy says so.
    run("{policy: none}", "--yes").ended_with(0);
    assert_eq!(inside(timers).stdout, "inactive\ninactive\n");

    let newer = "archive security Debian Debian-Security bookworm-security; make safe 2; make stays 2; archive theirs Somebody Theirs stable; make other 2";
    inside(&format!("{newer}\n{AT_ONCE}")).ended_with(0);
    run("{policy: security, unattended: true}", "--yes").ended_with(0);
    world.until("the timer to install what is for security", 180, || installed().contains("safe 2"));
    let ended = "! systemctl is-active --quiet apt-daily.service apt-daily-upgrade.service";
    world.until("the service to end", 60, || inside(ended).code == 0);
    assert_eq!(installed(), "other 1, safe 2, stays 1, ", "what is held stays, and so does what is for nobody's security");
    assert_eq!(inside(timers).stdout, "active\nactive\n");
    let again = run("{policy: security, unattended: true}", "--yes").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    // All of them; apt has to see that a day is over.
    inside("rm -f /var/lib/apt/periodic/*").ended_with(0);
    run("{policy: all, unattended: true}", "--yes").ended_with(0);
    world.until("the timer to install all", 180, || installed().contains("other 2"));
    assert_eq!(installed(), "other 2, safe 2, stays 1, ");

    run("{policy: none}", "--yes").ended_with(0);
    assert_eq!(inside(timers).stdout, "inactive\ninactive\n");
}
