//! Package managers on booted hosts: apt as people have it, dnf and zypper as Debian builds them, their keys, and updates under a policy.
use super::{NODES, recipe};
use crate::peers_support::World;
use kthw_peers::{HOSTS, KUBERNETES, ask};

#[test]
fn packages_are_installed_on_machines_as_people_have_them() {
    let Some(_) = ask([&HOSTS, &KUBERNETES]) else { return };
    let world = World::up("as-they-are");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let run = |name: &str, body: &str| world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--yes"]);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    run("open", "").ended_with(0);

    // Another source names another key for the same address: apt would read no source at all any more.
    let (url, key) = (world.value("REPOSITORY_URL"), std::fs::read_to_string(world.value("REPOSITORY_KEY_FILE")).unwrap());
    let repository = format!("ssh::repository(node, \"ours\", #{{ url: \"{url}\", key: `{}` }});", key.trim());
    inside(&format!("echo 'deb [signed-by=/etc/apt/keyrings/theirs.gpg] {url} ./' >/etc/apt/sources.list.d/theirs.list")).ended_with(0);
    let refused = run("two-keys", &repository).ended_with(3);
    assert!(refused.stderr.contains("another source has the same address with another key"), "{}", refused.stderr);
    assert!(refused.stderr.contains("theirs.list"), "{}", refused.stderr);
    inside("test ! -e /etc/apt/sources.list.d/ours.sources && apt-get indextargets >/dev/null && rm /etc/apt/sources.list.d/theirs.list")
        .ended_with(0);

    // The lock of the lists, which apt itself does not wait for.
    let lock =
        "use Fcntl; open(F, q(>>/var/lib/apt/lists/lock)); fcntl(F, F_SETLK, pack(q(s s l! l! i), F_WRLCK, 0, 0, 0, 0)) or die; sleep 12";
    inside(&format!("systemd-run --quiet perl -e '{lock}' && sleep 1")).ended_with(0);
    run("lists", &repository).ended_with(0);

    // Somebody's source that apt cannot read.
    inside("echo deb >/etc/apt/sources.list.d/broken.list; ! apt-get indextargets >/dev/null 2>&1").ended_with(0);
    let shown = run("broken-source", "ssh::package(node, \"tree\");").ended_with(0);
    assert!(shown.stderr.contains("left out, because apt cannot read it: /etc/apt/sources.list.d/broken.list"), "{}", shown.stderr);
    inside("dpkg -s tree >/dev/null && rm /etc/apt/sources.list.d/broken.list").ended_with(0);

    // Docker's packages, which Debian's containerd would push out.
    let docker = r#"
        make() {
            mkdir -p "/tmp/$1/DEBIAN"
            printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: x\n%bDescription: x\n' "$1" "$2" >"/tmp/$1/DEBIAN/control"
            dpkg-deb -b "/tmp/$1" "/tmp/$1.deb" >/dev/null
        }
        make containerd.io 'Conflicts: containerd, runc\nReplaces: containerd, runc\nProvides: containerd, runc\n'
        make docker-ce 'Depends: containerd.io\n'
        dpkg -i /tmp/containerd.io.deb /tmp/docker-ce.deb"#;
    inside(docker).ended_with(0);
    let refused = run("docker", "ssh::package(node, \"containerd\");").ended_with(1);
    assert!(refused.stdout.contains("would remove or lower ") && refused.stdout.contains("docker-ce"), "{}", refused.stdout);
    // Lists that are not there yet say nothing of it to a plan: the installation asks again.
    inside("rm -rf /var/lib/apt/lists/*").ended_with(0);
    let refused = run("docker", "ssh::package(node, \"containerd\");").ended_with(3);
    assert!(refused.stderr.contains("would remove") && refused.stderr.contains("docker-ce"), "{}", refused.stderr);
    inside("dpkg -s docker-ce containerd.io >/dev/null").ended_with(0);
}

/// apt, against a repository in a folder of the host.
#[test]
fn updates_are_installed_as_the_policy_says_with_apt() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("updates-apt");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    let updates = |policy: &str, more: &str| {
        let body = recipe(&world, "updates", "kubernetes::node_updated(cluster, node, #{});");
        world.kthw(&["run", &body, "-w", &workspace, "--set", &format!("updates={{policy: {policy}}}"), more])
    };
    let archive = r#"
        mkdir -p /srv/deb && cd /srv/deb
        make() {
            mkdir -p "/tmp/$1/DEBIAN"
            printf 'Package: %s
Version: %s
Architecture: all
Maintainer: x
Description: x
' "$1" "$2" >"/tmp/$1/DEBIAN/control"
            dpkg-deb -b "/tmp/$1" "$1.deb" >/dev/null
            dpkg-deb -f "$1.deb"; printf 'Filename: ./%s.deb
Size: %s
SHA256: %s

' "$1" "$(stat -c %s "$1.deb")" "$(sha256sum "$1.deb" | cut -d' ' -f1)"
        }
        { make thing 1; make stays 1; } >Packages
        dpkg -i thing.deb stays.deb >/dev/null && apt-mark hold stays >/dev/null
        { make thing 2; make stays 2; } >Packages
        rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
        echo 'deb [trusted=yes] file:/srv/deb ./' >/etc/apt/sources.list.d/updates.list"#;
    inside(archive).ended_with(0);
    let installed = || inside("dpkg-query -W -f='${Package} ${Version} ' thing stays").stdout;
    world.kthw(&["run", &recipe(&world, "open", ""), "-w", &workspace, "--yes"]).ended_with(0);

    let planned = updates("all", "--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package lists: older than a day -> fetched"), "{}", planned.stdout);
    updates("security", "--yes").ended_with(0);
    assert_eq!(installed(), "stays 1 thing 1 ", "the archive has nothing for security");
    let planned = updates("all", "--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package thing: 1 -> 2") && !planned.stdout.contains("stays"), "{}", planned.stdout);
    updates("all", "--yes").ended_with(0);
    assert_eq!(installed(), "stays 1 thing 2 ", "what is held stays");
    let again = updates("all", "--dry-run").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
}

/// `key NAME [OPTION…]` makes the key that signs from then on and prints it.
const SIGNING_KEY: &str = r#"
    key() {
        NAME=$1; shift
        GNUPGHOME=$(mktemp -d /srv/gnupg.XXXXXX); export GNUPGHOME; ln -sfn "$GNUPGHOME" /srv/gnupg
        gpg --batch --quiet "$@" --quick-gen-key --passphrase '' "$NAME" rsa2048 sign 1y 2>/dev/null; gpg --armor --export 2>/dev/null
    }
"#;
/// A time in which the key of such a day had not expired yet.
const LONG_AGO: &str = "--faked-system-time 20240101T000000";

/// Makes packages and a signed repository of them on a host, with rpm's own programs: `make NAME VERSION MORE` a package, `sign [OPTION…]` signs what
/// is there.
const RPM_REPOSITORY: &str = r#"
    mkdir -p /srv/repo /etc/zypp/repos.d /etc/yum.repos.d && cd /srv
    make() {
        printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%b\n%%description\nx\n%%files\n' "$1" "$2" "$3" >"$1.spec"
        rpmbuild -bb --quiet --define '_topdir /srv/b' --define '_rpmdir /srv/repo' "$1.spec" >/dev/null 2>&1
    }
    sign() {
        export GNUPGHOME=/srv/gnupg
        name=$(gpg --list-keys --with-colons | sed -n 's/^uid:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p')
        for f in repo/noarch/*.rpm; do rpmsign --define "_gpg_name $name" --define '__gpg /usr/bin/gpg' --resign "$f" >/dev/null 2>&1; done
        createrepo_c -q repo && gpg --batch --yes "$@" --armor --detach-sign repo/repodata/repomd.xml
    }
"#;

/// The program and the units that the package `dnf-automatic` of Rocky Linux has, around Debian's `dnf.automatic`.
const DNF_AUTOMATIC: &str = r"
    printf '%s\n' '#!/usr/bin/python3' 'import sys' 'import dnf.automatic.main' 'sys.exit(dnf.automatic.main.main(sys.argv[1:]))' >/usr/bin/dnf-automatic
    chmod 755 /usr/bin/dnf-automatic; mkdir -p /etc/dnf/vars; echo 9 >/etc/dnf/vars/releasever
    printf '%s\n' '[Service]' Type=oneshot 'ExecStart=/usr/bin/dnf-automatic /etc/dnf/automatic.conf --timer' >/etc/systemd/system/dnf-automatic.service
    printf '%s\n' '[Timer]' OnCalendar=06:00 Persistent=true '[Install]' WantedBy=timers.target >/etc/systemd/system/dnf-automatic.timer
";

/// Options of `ssh::repository` with these keys.
fn with_keys(url: &str, keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("#{{ key: `{}` }}", key.trim())).collect();
    format!("let ours = ssh::repository(node, \"ours\", #{{ url: \"{url}\", keys: [{}] }});", keys.join(", "))
}

/// Debian's builds of dnf, zypper and rpm, against a repository that the test makes. What each of them did is read back by itself.
fn packages_of_rpm(distribution: &str, upgrade: &str, held: &str, theirs: &str, takes_expired: bool) {
    let Some(_) = ask([&HOSTS]) else { return };
    let clean = "dnf -q clean all; zypper --quiet clean --all";
    let (program, with_1_2) = match distribution {
        "suse" => ("zypper", "zypper --non-interactive install thing=1.2"),
        _ => ("dnf", "dnf -y install thing-1.2"),
    };
    let world = World::up(&format!("packages-{distribution}"));
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let run = |name: &str, body: &str| {
        let set = format!("distribution={distribution}");
        world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--set", &set, "--yes"])
    };
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("{SIGNING_KEY}{RPM_REPOSITORY}{script}")]);
    let installed = || inside("rpm -q --qf '%{VERSION}\\n' thing").stdout.trim().to_owned();
    let key = inside("key 'Test packages'; make thing 1.0; make thing 1.1; make thing 2.0; make runc 1.0; make other 1; sign")
        .ended_with(0)
        .stdout;
    // What is apt's is not there, as on such a machine.
    inside("chmod 0 /usr/bin/apt-get /usr/bin/apt-mark /usr/bin/dpkg-query").ended_with(0);
    let repository = format!("let ours = ssh::repository(node, \"ours\", #{{ url: \"file:///srv/repo/\", key: `{}` }});", key.trim());
    let package = |name: &str, options: &str| format!("{repository} ssh::package(node, \"{name}\", #{{ {options} needs: [ours] }});");

    let first = package("thing", "version: \"1.0\", hold: true,");
    run("first", &first).ended_with(0);
    assert_eq!(installed(), "1.0", "exactly, not the newest");
    assert!(inside(held).ended_with(0).stdout.contains("thing"), "held");
    let again = run("first", &first).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    inside(&format!("{upgrade} >/dev/null 2>&1; rpm -q thing-1.0")).ended_with(0);

    run("raised", &package("thing", "version: \"1.1-1\", hold: true,")).ended_with(0);
    assert_eq!(installed(), "1.1", "a lock of ours does not stop us");
    assert!(inside(held).ended_with(0).stdout.contains("thing"), "still held");
    let lowered = run("lowered", &package("thing", "version: \"1.0\", hold: true,")).ended_with(1);
    assert!(lowered.stdout.contains("would remove or lower thing"), "{}", lowered.stdout);
    assert_eq!(installed(), "1.1", "nothing is lowered");
    let absent = run("absent", &package("thing", "version: \"9\",")).ended_with(3);
    assert!(absent.stderr.contains("thing"), "{}", absent.stderr);
    run("let-go", &package("thing", "hold: false,")).ended_with(0);
    assert!(!inside(held).stdout.contains("thing"), "not held any more");

    // An installation that was killed while a script of the new package ran: rpm has both then, and the script has not ended.
    let scripted = "%%post\\n[ ! -e /srv/slow ] || sleep 300\\ntouch /srv/configured";
    inside(&format!("make sh 1 'Provides: /bin/sh'; make thing 1.2 '{scripted}'; sign; touch /srv/slow; {clean}")).ended_with(0);
    let killed = format!(
        "({with_1_2}) >/tmp/interrupted 2>&1 & for i in $(seq 600); do pgrep -x sleep >/dev/null && break; perl -e 'select undef, undef, undef, .1'; done
         pgrep -x sleep >/dev/null || cat /tmp/interrupted; pkill -KILL -x {program}; pkill -KILL -x rpm; pkill -KILL -x sleep; wait; rm /srv/slow; rpm -q thing"
    );
    assert_eq!(inside(&killed).stdout, "thing-1.1-1.noarch\nthing-1.2-1.noarch\n", "both are there");
    let finished = run("interrupted", &package("thing", "version: \"1.2\",")).ended_with(0);
    assert!(finished.stderr.contains("thing-1.1-1.noarch is still there beside its successor, and goes"), "{}", finished.stderr);
    assert_eq!(inside("rpm -q thing && ls /srv/configured").ended_with(0).stdout, "thing-1.2-1.noarch\n/srv/configured\n");
    let again = run("interrupted", &package("thing", "version: \"1.2\",")).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    run("runc", &package("runc", "")).ended_with(0);
    inside("make rival 1 'Conflicts: runc\\nObsoletes: runc < 5'; sign").ended_with(0);
    // The lists of before do not know it: the plan has nothing against it, and the installation has.
    let rival = run("rival", &package("rival", "")).ended_with(3);
    assert!(rival.stderr.contains("would remove or lower runc"), "{}", rival.stderr);
    inside("dnf -q makecache --refresh; zypper --non-interactive --quiet refresh; :").ended_with(0);
    let rival = run("rival", &package("rival", "")).ended_with(1);
    assert!(rival.stdout.contains("installing rival on cp1 would remove or lower runc"), "{}", rival.stdout);
    inside("rpm -q runc && ! rpm -q rival").ended_with(0);

    // Somebody's repository that cannot be reached is named and hinders nobody.
    inside(theirs).ended_with(0);
    let shown = run("other", &package("other", "")).ended_with(0);
    assert!(shown.stderr.contains("left out") && shown.stderr.contains("theirs"), "{}", shown.stderr);

    // Under a policy of updates what there is is raised, after the lists were fetched, and what is held stays.
    inside("make stays 1.0; sign").ended_with(0);
    run("stays", &package("stays", "hold: true,")).ended_with(0);
    inside("make stays 1.1; sign").ended_with(0);
    let updates = |more: &str| {
        let body = recipe(&world, "updates", "kubernetes::node_updated(cluster, node, #{});");
        let set = format!("distribution={distribution}");
        world.kthw(&["run", &body, "-w", &workspace, "--set", &set, "--set", "updates={policy: all}", more])
    };
    let planned = updates("--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package lists: older than a day -> fetched"), "{}", planned.stdout);
    updates("--yes").ended_with(0);
    assert_eq!((installed().as_str(), inside("rpm -q --qf '%{VERSION}' stays").stdout.as_str()), ("2.0", "1.0"));
    let again = updates("--dry-run").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    inside("make thing 2.1; sign; dnf -q makecache --refresh; zypper --non-interactive --quiet refresh; :").ended_with(0);
    let planned = updates("--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package thing: 2.0-1 -> 2.1-1") && !planned.stdout.contains("stays"), "{}", planned.stdout);

    // The same by a timer of its own, which fires at once here. Debian has what dnf-automatic is made of, and not its package.
    let timer = if distribution == "suse" { "kthw-updates.timer" } else { "dnf-automatic.timer" };
    let at_once = format!(
        "mkdir -p /etc/systemd/system/{timer}.d; printf '%s\\n' '[Timer]' OnCalendar= OnActiveSec=1s RandomizedDelaySec=0 >/etc/systemd/system/{timer}.d/at-once.conf"
    );
    inside(&format!("{DNF_AUTOMATIC}{at_once}")).ended_with(0);
    let by_itself = "let updates = cluster.os.updates; let files = []; \
        for file in updates.files { files.push(ssh::file(node, file.path, #{ content: file.content })); } \
        for timer in updates.on { ssh::service(node, timer, #{ restarted_by: files, needs: files }); }";
    let by_itself = recipe(&world, "by-itself", by_itself);
    let set = format!("distribution={distribution}");
    let by_itself = ["run", &by_itself, "-w", &workspace, "--set", &set, "--set", "updates={policy: all, unattended: true}", "--yes"];
    world.kthw(&by_itself).ended_with(0);
    world.until("the timer to install what there is", 90, || installed() == "2.1");
    inside("rpm -q stays-1.0").ended_with(0);
    assert!(world.kthw(&by_itself).ended_with(0).stdout.contains("Nothing to change"));
    inside(&format!("systemctl disable -q --now {timer}")).ended_with(0);

    // What another key has signed is not installed.
    inside(&format!("rpm -e thing; key 'Somebody else'; sign; {clean}")).ended_with(0);
    let forged = run("forged", &package("thing", "version: \"1.1\",")).ended_with(3);
    assert!(forged.stderr.contains("GPG") || forged.stderr.to_lowercase().contains("signature"), "{}", forged.stderr);
    inside("! rpm -q thing").ended_with(0);

    // A key and its successor: first it, then both, then the successor alone. The administrator's own key is none of kthw's business.
    let known = || inside("rpm -q gpg-pubkey --qf '%{SUMMARY}\\n'").stdout;
    let keys = |name: &str, keys: &[&str], package: &str| {
        run(name, &format!("{} ssh::package(node, \"{package}\", #{{ needs: [ours] }});", with_keys("file:///srv/repo/", keys)))
    };
    inside("key 'Administrator' >/srv/admin.asc && rpm --import /srv/admin.asc").ended_with(0);
    let old = inside("key 'Old'; make first 1; sign").ended_with(0).stdout;
    keys("old", &[&old], "first").ended_with(0);
    assert!(known().contains("Old") && !known().contains("Test packages"), "what signs no more is not known any more: {}", known());
    let old_signs = inside("readlink /srv/gnupg").stdout;
    let new = inside("key 'New'").ended_with(0).stdout;
    let new_signs = inside("readlink /srv/gnupg").stdout;
    inside(&format!("ln -sfn {} /srv/gnupg; make second 1; sign", old_signs.trim())).ended_with(0);
    keys("both", &[&old, &new], "second").ended_with(0);
    assert!(known().contains("Old") && known().contains("New"), "{}", known());
    let signs = |home: &str, script: &str| inside(&format!("ln -sfn {} /srv/gnupg; {script}", home.trim())).ended_with(0);
    let early = keys("early", &[&new], "second").ended_with(3);
    assert!(early.stderr.contains("none of the keys that are pinned"), "{}", early.stderr);
    keys("both", &[&old, &new], "second").ended_with(0);
    signs(&new_signs, "make third 1; sign");
    keys("both-new", &[&old, &new], "third").ended_with(0);
    inside("make fourth 1; sign").ended_with(0);
    keys("new", &[&new], "fourth").ended_with(0);
    let again = keys("new", &[&new], "fourth").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    assert!(!known().contains("Old") && known().contains("New") && known().contains("Administrator"), "{}", known());
    inside("ls /etc/pki/rpm-gpg | wc -l | grep -x 1").ended_with(0);

    // What the old key signs now is not taken, and a key that has expired is called that.
    inside(&format!("ln -sfn {} /srv/gnupg; make fifth 1; sign; dnf -q clean all; zypper --quiet clean --all", old_signs.trim()))
        .ended_with(0);
    keys("fifth", &[&new], "fifth").ended_with(3);
    inside("! rpm -q fifth").ended_with(0);
    let dead = inside(&format!("key 'Dead' {LONG_AGO}; sign {LONG_AGO}")).ended_with(0).stdout;
    let expired = run("dead", &with_keys("file:///srv/repo/", &[&new, &dead])).ended_with(if takes_expired { 0 } else { 3 });
    assert!(expired.stderr.contains("has expired") && expired.stderr.contains("`keys`"), "{}", expired.stderr);
}

/// Makes a package and a signed repository of it on a host: `make NAME` and `sign [OPTION…]`.
const APT_REPOSITORY: &str = r#"
    mkdir -p /srv/apt && cd /srv/apt
    make() {
        mkdir -p "/tmp/$1/DEBIAN"
        printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n' "$1" >"/tmp/$1/DEBIAN/control"
        dpkg-deb -b "/tmp/$1" "$1.deb" >/dev/null
    }
    sign() {
        export GNUPGHOME=/srv/gnupg
        for f in *.deb; do
            dpkg-deb -f "$f"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$f" "$(stat -c %s "$f")" "$(sha256sum <"$f" | cut -d' ' -f1)"
        done >Packages
        printf 'Suite: x\nDate: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" "$(sha256sum <Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release
        gpg --batch --yes "$@" --clearsign -o InRelease Release && chmod -R a+rX /srv/apt
    }
"#;

#[test]
fn a_repository_changes_its_key() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("keys");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let run = |name: &str, body: &str| world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--yes"]);
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("{SIGNING_KEY}{APT_REPOSITORY}{script}")]);
    let keys = |name: &str, keys: &[&str], package: &str| {
        run(name, &format!("{} ssh::package(node, \"{package}\", #{{ needs: [ours] }});", with_keys("http://127.0.0.1:8099/", keys)))
    };
    inside("echo 'Acquire::http::Proxy::127.0.0.1 \"DIRECT\";' >/etc/apt/apt.conf.d/91test").ended_with(0);
    inside("systemd-run --quiet python3 -m http.server 8099 --bind 127.0.0.1 --directory /srv/apt").ended_with(0);
    let old = inside("key 'Old'; make first; sign").ended_with(0).stdout;
    keys("old", &[&old], "first").ended_with(0);
    let old_signs = inside("readlink /srv/gnupg").stdout;
    let new = inside("key 'New'").ended_with(0).stdout;
    let new_signs = inside("readlink /srv/gnupg").stdout;
    let signs = |home: &str, script: &str| inside(&format!("ln -sfn {} /srv/gnupg; {script}", home.trim())).ended_with(0);
    signs(&old_signs, "make second; sign");
    keys("both", &[&old, &new], "second").ended_with(0);
    let early = keys("early", &[&new], "second").ended_with(3);
    assert!(early.stderr.contains("none of the keys that are pinned"), "{}", early.stderr);
    keys("both", &[&old, &new], "second").ended_with(0);
    signs(&new_signs, "make third; sign");
    keys("both-new", &[&old, &new], "third").ended_with(0);
    keys("new", &[&new], "third").ended_with(0);
    let again = keys("new", &[&new], "third").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    inside("ls /etc/apt/keyrings/ours-* | wc -l | grep -x 1").ended_with(0);

    // What the old key signs now is not taken, and a key that has expired is called that.
    signs(&old_signs, "make fourth; sign");
    let refused = keys("fourth", &[&new], "fourth").ended_with(3);
    assert!(refused.stderr.contains("none of the keys that are pinned"), "{}", refused.stderr);
    let dead = inside(&format!("key 'Dead' {LONG_AGO}; sign {LONG_AGO}")).ended_with(0).stdout;
    let expired = run("dead", &with_keys("http://127.0.0.1:8099/", &[&new, &dead])).ended_with(3);
    assert!(expired.stderr.contains("has expired") && expired.stderr.contains("`keys`"), "{}", expired.stderr);
    inside("test $(ls /etc/apt/keyrings/ours-* | wc -l) = 2 && dpkg -s first second third >/dev/null").ended_with(0);
}

#[test]
fn packages_are_kept_with_dnf() {
    let theirs = "printf '[theirs]\\nname=theirs\\nbaseurl=file:///nowhere/\\ngpgcheck=0\\n' >/etc/yum.repos.d/theirs.repo";
    packages_of_rpm("rocky", "dnf -y upgrade", "cat /etc/dnf/dnf.conf", theirs, false);
}

#[test]
fn packages_are_kept_with_zypper() {
    let theirs = "printf '[theirs]\\nname=theirs\\nbaseurl=file:///nowhere/\\nenabled=1\\nautorefresh=1\\ngpgcheck=0\\n' >/etc/zypp/repos.d/theirs.repo";
    packages_of_rpm("suse", "zypper --non-interactive update", "zypper locks", theirs, true);
}
