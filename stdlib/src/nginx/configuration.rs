//! The texts of a load balancer: `nginx.conf`, the checker's configuration, and its unit. Pure.
use super::{PROGRAM, listener::Listener};
use crate::distribution::Nginx;
use kthw_checker::config::{Config, Nginx as Commands};

/// NGINX's own file.
pub const NGINX_CONF: &str = "/etc/nginx/nginx.conf";
/// The folder of what kthw and the checker write.
pub const FOLDER: &str = "/etc/nginx/kthw";
/// The folder in which a new configuration is tested.
pub const NEW: &str = "/etc/nginx/kthw/new";
/// The checker's configuration.
pub const CHECKER_JSON: &str = "/etc/nginx/kthw/checker.json";
/// The checker's unit.
pub const UNIT_FILE: &str = "/etc/systemd/system/kthw-checker.service";
/// Where the checker says what it sees.
pub const STATUS_FILE: &str = "/run/kthw-checker/status.json";

/// The checker's unit. It may write its own files and what NGINX itself writes when it tests a configuration, and nothing else of the system's.
pub fn unit() -> String {
    format!(
        "# Kept by kthw: changes here are undone by the next run.
[Unit]
Description=Takes sick servers out of NGINX's upstreams
After=network-online.target nginx.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={PROGRAM} {CHECKER_JSON}
Restart=always
RestartSec=1
WatchdogSec=30
RuntimeDirectory=kthw-checker
NoNewPrivileges=yes
ProtectHome=yes
ProtectSystem=full
ReadWritePaths={FOLDER}

[Install]
WantedBy=multi-user.target
"
    )
}

/// The checker's configuration of these listeners.
pub fn checker(listeners: &[Listener]) -> Config {
    Config {
        status_file: STATUS_FILE.into(),
        nginx: Commands::default(),
        upstreams: listeners.iter().map(|listener| listener.upstream(FOLDER)).collect(),
    }
}

/// What concerns all listeners.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// How many connections each worker may have, both of a client's to a server counted.
    pub connections: u32,
    /// How long a worker lives on after a reload, for the sake of its connections, in seconds.
    pub shutdown_timeout_s: u32,
}

/// The whole of `nginx.conf` (<https://nginx.org/en/docs/stream/ngx_stream_core_module.html>). There is no `http`: the distribution's listens on port 80.
pub fn nginx_conf(nginx: &Nginx, workers: Workers, listeners: &[Listener]) -> String {
    let Nginx { module, user, .. } = nginx;
    let Workers { connections, shutdown_timeout_s } = workers;
    let blocks: String = listeners.iter().map(block).collect();
    format!(
        "# Kept by kthw: changes here are undone by the next run.
{module}
user {user};
worker_processes auto;
worker_rlimit_nofile {files};
worker_shutdown_timeout {shutdown_timeout_s}s;

events {{
    worker_connections {connections};
}}

stream {{{blocks}}}
",
        // Each connection is a file, and so are the listeners, the logs and what workers tell each other by.
        files = connections + 1024,
    )
}

/// One upstream and its server. `zone` makes the workers count connections together, which `least_conn` needs to mean something.
fn block(listener: &Listener) -> String {
    let Listener { name, listen, proxy_connect_timeout_s, proxy_timeout_s, so_keepalive, proxy_protocol, .. } = listener;
    let client_keepalive = if *so_keepalive { " so_keepalive=on" } else { "" };
    let server_keepalive = if *so_keepalive { "        proxy_socket_keepalive on;\n" } else { "" };
    let proxy_protocol = if *proxy_protocol { "        proxy_protocol on;\n" } else { "" };
    format!(
        "
    upstream {name} {{
        zone {name} 64k;
        least_conn;
        include {FOLDER}/{name}.servers;
    }}
    server {{
        listen {listen}{client_keepalive};
        proxy_connect_timeout {proxy_connect_timeout_s}s;
        proxy_timeout {proxy_timeout_s}s;
{server_keepalive}{proxy_protocol}        proxy_pass {name};
    }}
"
    )
}
