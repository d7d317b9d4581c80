//! NGINX as distributions package it: its `stream` module is a file of its own that has to be loaded.

/// How a release packages NGINX.
#[derive(Debug, PartialEq, Eq)]
pub struct Nginx {
    /// The packages of NGINX and its `stream` module.
    pub packages: &'static [&'static str],
    /// The line of `nginx.conf` that loads the module.
    pub module: &'static str,
    /// The user of its workers.
    pub user: &'static str,
}

/// Debian's and Ubuntu's: each package of a module puts a link into `modules-enabled`
/// (<https://packages.debian.org/bookworm/libnginx-mod-stream>, <https://packages.ubuntu.com/noble/libnginx-mod-stream>).
pub(super) const NGINX_OF_DEBIAN: Nginx =
    Nginx { packages: &["nginx", "libnginx-mod-stream"], module: "include /etc/nginx/modules-enabled/*.conf;", user: "www-data" };

/// Red Hat's: each package of a module puts a file into a folder that its own `nginx.conf` includes (<https://src.fedoraproject.org/rpms/nginx>).
pub(super) const NGINX_OF_RED_HAT: Nginx =
    Nginx { packages: &["nginx", "nginx-mod-stream"], module: "include /usr/share/nginx/modules/*.conf;", user: "nginx" };

/// openSUSE's: the module is in the package itself, and nothing loads it
/// (<https://build.opensuse.org/package/show/openSUSE:Backports:SLE-15-SP6/nginx>).
pub(super) const NGINX_OF_SUSE: Nginx =
    Nginx { packages: &["nginx"], module: "load_module /usr/lib64/nginx/modules/ngx_stream_module.so;", user: "nginx" };
