//! What a declaration comes to: its texts, its plan, and what is refused.
use super::*;
use crate::distribution::Distribution;
use crate::{
    ssh::testing::{a_file, check, check_diff, node, node_of, workspace},
    workspace::Workspace,
};
use expect_test::expect;
use serde_json::{Value, json};

fn spec() -> Value {
    let check = |ip: &str| json!({ "url": format!("http://{ip}/ping") });
    let api = |ip: &str| json!({ "url": format!("https://{ip}:6443/readyz"), "ca_file": "/etc/nginx/kthw/alpha.pem" });
    json!({ "listeners": [
        { "name": "https", "listen": 443, "servers": [
            { "name": "alpha", "address": "10.10.10.200:443", "check": check("10.10.10.200") },
            { "name": "beta", "address": "10.10.20.200:443", "check": check("10.10.20.200") },
        ] },
        { "name": "api", "listen": "10.10.10.5:6443", "proxy_timeout_s": 3600, "so_keepalive": true, "proxy_protocol": true, "servers": [
            { "name": "cu1", "address": "10.10.10.116:6443", "check": api("10.10.10.116") },
        ] },
    ] })
}

fn balancer(spec: Value) -> std::result::Result<LoadBalancer, String> {
    let spec = serde_json::from_value(spec).map_err(|error| error.to_string())?;
    LoadBalancer::new(&node(), spec).map_err(|error| error.to_string())
}

fn settled(balancer: &LoadBalancer) -> Vec<Finding> {
    balancer.texts().map(|(_, content)| Finding::Path(Some(a_file(content, true)))).collect()
}

#[test]
fn nginx_is_told_what_was_declared() {
    let balancer = balancer(spec()).unwrap();
    expect![[r#"
        # Kept by kthw: changes here are undone by the next run.
        include /etc/nginx/modules-enabled/*.conf;
        user www-data;
        worker_processes auto;
        worker_rlimit_nofile 17408;
        worker_shutdown_timeout 3600s;

        events {
            worker_connections 16384;
        }

        stream {
            upstream https {
                zone https 64k;
                least_conn;
                include /etc/nginx/kthw/https.servers;
            }
            server {
                listen 443;
                proxy_connect_timeout 5s;
                proxy_timeout 30s;
                proxy_pass https;
            }

            upstream api {
                zone api 64k;
                least_conn;
                include /etc/nginx/kthw/api.servers;
            }
            server {
                listen 10.10.10.5:6443 so_keepalive=on;
                proxy_connect_timeout 5s;
                proxy_timeout 3600s;
                proxy_socket_keepalive on;
                proxy_protocol on;
                proxy_pass api;
            }
        }
    "#]]
    .assert_eq(&balancer.files[0].content);
    expect![[r#"
        # Kept by kthw-checker: changes here are undone. Servers that are `down` do not pass their checks.
        server 10.10.10.200:443 max_fails=3 fail_timeout=10s; # alpha
        server 10.10.20.200:443 max_fails=3 fail_timeout=10s; # beta
    "#]]
    .assert_eq(&balancer.servers[0].content);
}

#[test]
fn each_distribution_loads_the_module_in_its_own_way() {
    let head = |distribution: Distribution| {
        let node = node_of(Workspace { distribution, release: None, ..workspace() });
        let balancer = LoadBalancer::new(&node, serde_json::from_value(spec()).unwrap()).unwrap();
        balancer.files[0].content.lines().skip(1).take(2).collect::<Vec<_>>().join(" ")
    };
    expect![[r#"
        include /etc/nginx/modules-enabled/*.conf; user www-data;
        include /etc/nginx/modules-enabled/*.conf; user www-data;
        include /usr/share/nginx/modules/*.conf; user nginx;
        load_module /usr/lib64/nginx/modules/ngx_stream_module.so; user nginx;"#]]
    .assert_eq(&Distribution::ALL.iter().map(|one| head(*one)).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_settled_one_is_left_alone_whoever_is_down() {
    let balancer = balancer(spec()).unwrap();
    check(&balancer, &settled(&balancer), false, &expect!["= nginx.load_balancer/cu1\n"]);
    let mut findings = settled(&balancer);
    let down = balancer.servers[0].content.replacen("10s; # alpha", "10s down; # alpha", 1);
    assert_ne!(down, balancer.servers[0].content);
    findings[3] = Finding::Path(Some(a_file(&down, false)));
    check(&balancer, &findings, false, &expect!["= nginx.load_balancer/cu1\n"]);
}

#[test]
fn what_differs_is_shown_and_what_was_not_finished_is_done_again() {
    let balancer = balancer(spec()).unwrap();
    let nothing: Vec<Finding> = balancer.texts().map(|_| Finding::Path(None)).collect();
    check_diff(
        &balancer,
        balancer.live(&nothing).unwrap(),
        &expect![[r#"
        + nginx.load_balancer/cu1
            https: 443 to alpha (10.10.10.200:443), beta (10.10.20.200:443)
            api: 10.10.10.5:6443 to cu1 (10.10.10.116:6443)
    "#]],
    );

    let mut findings = settled(&balancer);
    findings[0] = Finding::Path(Some(a_file(&balancer.files[0].content.replace("443;", "444;"), false)));
    findings[3] = Finding::Path(Some(a_file(&balancer.servers[0].content.replace("10.10.20.200", "10.10.20.201"), false)));
    check_diff(
        &balancer,
        balancer.live(&findings).unwrap(),
        &expect![[r#"
        ~ nginx.load_balancer/cu1
            nginx.conf:
            -        listen 444;
            +        listen 443;
            https.servers:
            -server 10.10.20.201:443 max_fails=3 fail_timeout=10s; # beta
            +server 10.10.20.200:443 max_fails=3 fail_timeout=10s; # beta
    "#]],
    );

    let mut findings = settled(&balancer);
    *findings.last_mut().unwrap() = Finding::Path(None);
    let live = balancer.live(&findings).unwrap();
    check_diff(
        &balancer,
        live,
        &expect![[r#"
        ~ nginx.load_balancer/cu1
            configuration: written -> in force
    "#]],
    );
    let Work::Actions(actions) = balancer.work(None, false) else { panic!("it is done with others of the node") };
    expect![[r#"
        making directory /etc/nginx/kthw/new
        writing /etc/nginx/kthw/new/nginx.conf
        writing /etc/nginx/kthw/new/checker.json
        `/usr/local/bin/kthw-checker --prepare /etc/nginx/kthw/new/checker.json nginx -t -q -c /etc/nginx/kthw/new/nginx.conf`
        `mv -f -t /etc/nginx/kthw /etc/nginx/kthw/new/checker.json`
        `mv -f -t /etc/nginx /etc/nginx/kthw/new/nginx.conf`
        writing /etc/systemd/system/kthw-checker.service
        `systemctl daemon-reload`
        `systemctl reload-or-restart -- nginx`
        `systemctl restart -- kthw-checker`
        writing /etc/nginx/kthw/applied
    "#]]
    .assert_eq(&actions.iter().map(|action| format!("{action}\n")).collect::<String>());
}

#[test]
fn a_new_program_is_started_although_no_text_changed() {
    let mut workspace = workspace();
    let pin = crate::artifact::Pin::of(checker_file(), "1".repeat(64), 7, "2026-11-29".into());
    workspace.artifacts.pins.add(pin, false).unwrap();
    let pinned = LoadBalancer::new(&node_of(workspace), serde_json::from_value(spec()).unwrap()).unwrap();
    assert_ne!(balancer(spec()).unwrap().mark, pinned.mark);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut all = String::new();
    for (place, value) in [
        ("/listeners", json!([])),
        ("/listeners/1/listen", json!("0.0.0.0:443")),
        ("/listeners/1/listen", json!(443)),
        ("/listeners/1/listen", json!("443")),
        ("/listeners/0/listen", json!(0)),
        ("/listeners/1/name", json!("https")),
        ("/listeners/0/name", json!("a;b")),
        ("/listeners/0/proxy_timeout_s", json!(0)),
        ("/listeners/0/servers/0/address", json!("alpha.bevz.net:443")),
        ("/listeners/0/servers/0/check/url", json!("http://10.10.10.200/a b")),
        ("/listeners/0/servers/0/check/timeout_ms", json!(5000)),
        ("/listeners/0/servers/0/check/interval", json!(5)),
        ("/listeners/1/servers/0/check/ca_file", json!("ca.pem")),
        ("/worker_connections", json!(1)),
    ] {
        let mut spec = spec();
        let (parent, key) = place.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[key] = value;
        all += &format!("{}\n", balancer(spec).unwrap_err());
    }
    expect![[r#"
        `listeners` is empty
        listener `api` listens on 0.0.0.0:443 as `https` does on 443
        listener `api` listens on 443 as `https` does on 443
        `listen` is a port, such as 443, or an address with a port, such as "10.10.10.5:443"
        listener `https` has port 0
        upstream `https` is there twice
        upstream `a;b` is no name: it takes 1 to 100 letters, digits and `-_.`
        listener `https` has `proxy_timeout_s` 0; it is 1 to 86400
        `alpha.bevz.net:443` is not an IP address with a port, such as `10.10.10.200:443`
        `http://10.10.10.200/a b` is not the address of a check: its path holds a space, a `#`, a control character or a letter outside of ASCII; write `http://10.10.10.200/ping` or `https://10.10.10.200:6443/readyz`
        server `alpha` of upstream `https` has `timeout_ms` 5000; it is 50 to 500
        unknown field `interval`, expected one of `url`, `interval_ms`, `timeout_ms`, `rise`, `fall`, `expected_status`, `host`, `ca_file`, `server_name`
        server `cu1` of upstream `api` names ca.pem, which is no absolute path of a file
        `worker_shutdown_timeout_s` is 1 to 604800, and `worker_connections` 64 to 1000000
    "#]].assert_eq(&all);
}
