//! What a booted host reaches through something of the site's own: a registry with users and an authority, a proxy that demands a password.
use super::{NODES, recipe};
use crate::peers_support::World;
use kthw_peers::{HOSTS, ask};

/// A registry with users and a certificate of its own authority on the host itself, as `registry.test:5000`, and an image in it: `users PASSWORD` makes
/// them, `push PASSWORD` brings the image.
const OWN_REGISTRY: &str = r#"
    mkdir -p /srv/registry && cd /srv/registry
    users() { python3 -W ignore -c 'import crypt, sys; print("puller:" + crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH)))' "$1" >users; }
    certificates() {
        echo '127.0.0.1 registry.test' >>/etc/hosts
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj '/CN=own authority' -days 2
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.csr -subj /CN=registry.test
        echo subjectAltName=DNS:registry.test >names
        openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -days 2 -out tls.pem
    }
    serve() {
        printf '%s\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: /srv/registry/data}}' \
            'http: {addr: "127.0.0.1:5000", tls: {certificate: /srv/registry/tls.pem, key: /srv/registry/tls.key}}' \
            'auth: {htpasswd: {realm: test, path: /srv/registry/users}}' >config.yml
        systemd-run --quiet --unit own-registry docker-registry serve /srv/registry/config.yml
        for n in 1 2 3 4 5 6 7 8 9 10; do curl -s --cacert ca.pem https://registry.test:5000/v2/ >/dev/null && return; sleep 1; done; return 1
    }
    push() {
        curl() { command curl -sS --fail --cacert ca.pem -u "puller:$PASSWORD" "$@"; }
        PASSWORD=$1
        blob() {
            D=sha256:$(sha256sum <"$1" | cut -d' ' -f1)
            L=$(curl -X POST -D - -o /dev/null https://registry.test:5000/v2/test/image/blobs/uploads/ | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
            curl -X PUT -H 'Content-Type: application/octet-stream' --data-binary @"$1" "$L&digest=$D" && echo "\"digest\":\"$D\",\"size\":$(stat -c %s "$1")"
        }
        tar cf layer config.yml
        printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"config":{}}' "$(sha256sum <layer | cut -d' ' -f1)" >config
        T=application/vnd.oci.image
        printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json",%s},"layers":[{"mediaType":"%s.layer.v1.tar",%s}]}' \
            $T $T "$(blob config)" $T "$(blob layer)" >manifest
        curl -X PUT -H "Content-Type: $T.manifest.v1+json" --data-binary @manifest https://registry.test:5000/v2/test/image/manifests/1
    }
    fetch() { ctr content fetch --hosts-dir /etc/containerd/certs.d "$1" 2>&1; }
"#;

#[test]
fn a_registry_has_credentials_and_an_authority_of_its_own() {
    let Some(_) = ask([&HOSTS]) else { return };
    let mut world = World::up("registry");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let (file, secrets) = (format!("{workspace}/workspace.yaml"), format!("{workspace}/secrets.sops.yaml"));
    let identity = crate::secrets::desk::Identity::new();
    world.more.insert("SOPS_AGE_KEY".into(), identity.private.clone());
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("set -e; {OWN_REGISTRY}{script}")]);
    inside("apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-registry containerd >/dev/null && systemctl -q disable --now docker-registry").ended_with(0);
    inside("certificates 2>/dev/null; users 'p@ss:w/rd'; serve; push 'p@ss:w/rd'").ended_with(0);
    let ca = inside("cat ca.pem").ended_with(0).stdout.trim().replace('\n', "\n        ");
    let text = std::fs::read_to_string(&file).unwrap();
    let access = format!("username: puller\n      password_secret: registry.password\n      ca: |\n        {ca}\n");
    let registries = format!("  registries:\n    registry.test:5000:\n      {access}");
    let mirrored = "    mirrored.test:\n      upstream: false\n      endpoints: [{ url: 'https://127.0.0.2:1' }, { url: 'https://registry.test:5000', \
         username: puller, password_secret: registry.password, ca: CA }]\n";
    let mirrored = mirrored.replace("CA", &format!("{:?}", inside("cat ca.pem").stdout));
    std::fs::write(&file, text.replace("\nkubeadm:", &format!("\n{registries}{mirrored}\nkubeadm:"))).unwrap();
    let body = "for host in kubeadm::registries(cluster) { let folder = `/etc/containerd/certs.d/${host}`; \
         let there = [ssh::directory(node, folder)]; let files = kubeadm::registry_files(cluster, host); \
         for name in files.keys() { let options = files[name]; options.needs = there; ssh::file(node, `${folder}/${name}`, options); } }";
    let run = |password: &str| {
        std::fs::write(&secrets, format!("registry:\n  password: {password}\n")).unwrap();
        world.kthw(&["secrets", "encrypt", "--age", &identity.public, "-i", &secrets]).ended_with(0);
        let said = world.kthw(&["run", &recipe(&world, "registries", body), "-w", &workspace, "--yes"]).ended_with(0);
        assert!(!said.stdout.contains(password) && !said.stderr.contains(password), "{}", said.stdout);
        said
    };
    assert_ne!(inside("fetch registry.test:5000/test/image:1").code, 0, "nobody else gets it");
    run("p@ss:w/rd");
    inside("fetch registry.test:5000/test/image:1; fetch mirrored.test/test/image:1").ended_with(0);
    inside("stat -c %a /etc/containerd/certs.d/registry.test:5000/hosts.toml | grep -x 600").ended_with(0);
    assert!(run("p@ss:w/rd").stdout.contains("Nothing to change"));

    // The password is another one: the registry's first, then kthw's.
    inside("users another; systemctl restart own-registry || { systemctl reset-failed own-registry; serve; }; sleep 2").ended_with(0);
    assert_ne!(inside("fetch registry.test:5000/test/image:1").code, 0);
    assert!(run("another").stdout.contains("<secret> -> <secret>"));
    inside("fetch registry.test:5000/test/image:1; fetch mirrored.test/test/image:1").ended_with(0);
}

/// A proxy that demands a password, in front of the world's own. It tells whom it let through.
const PROXY: &str = r#"
import base64, http.client, http.server, sys
WANTED = "Basic " + base64.b64encode(b"nodes:p@ss:w/rd").decode()
class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        fine = self.headers.get("Proxy-Authorization") == WANTED
        print("let through" if fine else "refused", self.path, flush=True)
        if not fine:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        behind = http.client.HTTPConnection("10.77.0.1", 3142, timeout=60)
        kept = ("host", "range", "if-range", "if-modified-since")
        behind.request("GET", self.path, headers={k: v for k, v in self.headers.items() if k.lower() in kept})
        answer = behind.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 3128), Proxy).serve_forever()
"#;

#[test]
fn a_proxy_that_demands_a_password_is_gone_through() {
    let Some(_) = ask([&HOSTS]) else { return };
    let mut world = World::up("proxy");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let (file, secrets) = (format!("{workspace}/workspace.yaml"), format!("{workspace}/secrets.sops.yaml"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{text}\nproxy: {{ http: 'http://127.0.0.1:3128', username: nodes, password_secret: proxy.password }}\n"),
    )
    .unwrap();
    let identity = crate::secrets::desk::Identity::new();
    world.more.insert("SOPS_AGE_KEY".into(), identity.private.clone());
    std::fs::write(&secrets, "proxy:\n  password: p@ss:w/rd\n").unwrap();
    world.kthw(&["secrets", "encrypt", "--age", &identity.public, "-i", &secrets]).ended_with(0);
    let run = |name: &str, body: &str| world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--yes"]);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    inside(&format!("cat >/srv/proxy.py <<'END'\n{PROXY}\nEND\nsystemd-run --quiet sh -c 'exec python3 /srv/proxy.py >/srv/proxy.log'"))
        .ended_with(0);
    inside("printf '[Service]\\nExecStart=sh -c \"env >/run/probe; exec sleep infinity\"\\n' >/etc/systemd/system/probe.service")
        .ended_with(0);

    let packages = "let proxied = []; let proxy = ssh::package_proxy(cluster); for path in proxy.keys() { proxied.push(ssh::file(node, path, proxy[path])); }";
    let first = run("packages", &format!("{packages} ssh::package(node, \"tree\", #{{ needs: proxied }});")).ended_with(0);
    assert!(!first.stdout.contains("p@ss") && !first.stderr.contains("p@ss"), "{}", first.stderr);
    inside("dpkg -s tree >/dev/null && grep -q '^let through .*/tree_' /srv/proxy.log && ! grep -q refused /srv/proxy.log").ended_with(0);
    inside("stat -c %a /etc/apt/auth.conf.d/95kthw-proxy.conf | grep -x 600 && ! grep -r p@ss /etc/apt/apt.conf.d").ended_with(0);

    let service = "let there = [ssh::directory(node, \"/etc/systemd/system/probe.service.d\")]; let changes = []; \
        let proxy = ssh::service_proxy(cluster, \"probe\"); for path in proxy.keys() { let options = proxy[path]; options.needs = there; changes.push(ssh::file(node, path, options)); } \
        ssh::service(node, \"probe\", #{ enabled: (), restarted_by: changes });";
    run("service", service).ended_with(0);
    inside(
        "grep -x 'HTTPS_PROXY=http://nodes:p%40ss%3Aw%2Frd@127.0.0.1:3128' /run/probe && grep -q '^NO_PROXY=.*,10.77.0.0/24,' /run/probe",
    )
    .ended_with(0);
    inside("! systemctl show probe | grep p%40ss && stat -c %a /etc/systemd/system/probe.service.d/http-proxy.env | grep -x 600")
        .ended_with(0);
    let again = run("service", service).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    // Another password: the files follow, the service restarts, and nothing of either is shown.
    std::fs::write(&secrets, "proxy:\n  password: another\n").unwrap();
    world.kthw(&["secrets", "encrypt", "--age", &identity.public, "-i", &secrets]).ended_with(0);
    let changed = run("service", service).ended_with(0);
    assert!(changed.stdout.contains("<secret> -> <secret>") && !changed.stdout.contains("another"), "{}", changed.stdout);
    inside("grep -q 'nodes:another@' /run/probe").ended_with(0);
    let refused = run("refused", &format!("{packages} ssh::package(node, \"dos2unix\", #{{ needs: proxied }});")).ended_with(3);
    assert!(refused.stderr.contains("407") && !refused.stderr.contains("another"), "{}", refused.stderr);
}
