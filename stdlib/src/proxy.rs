//! Proxies: what services and package managers of nodes are told, from the workspace's `proxy`. Pure.
//!
//! A password is a named secret, and on a node it is in files that root alone reads: services get theirs by `EnvironmentFile=`, because everybody may ask
//! systemd for `Environment=`. kubeadm gets none: it would write it into the manifests of the control plane's pods
//! (<https://github.com/kubernetes/kubernetes/blob/v1.31.0/cmd/kubeadm/app/phases/controlplane/manifests.go>, `GetProxyEnvVars`), and it fetches nothing,
//! since every version is named.
use crate::{
    secret_text::{Form, SecretText, in_url},
    workspace::{Proxy, Workspace},
};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// A file that a node is to have; `None` is one that is to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub content: Option<SecretText>,
    /// Permission bits, in octal.
    pub mode: &'static str,
}

impl File {
    /// A file that root alone reads if there is a secret in it.
    pub fn new(content: SecretText) -> Self {
        let mode = if content.plain().is_some() { "0644" } else { "0600" };
        Self { content: Some(content), mode }
    }
}

/// The proxies of a cluster's nodes.
#[derive(Clone, Debug)]
pub struct Proxies<'a> {
    /// For `http://`, in its plain form.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// Who logs in there, and the name of the password.
    pub login: Option<(&'a str, &'a str)>,
    /// What is reached without them: names, `.domain`s, addresses and ranges.
    pub direct: Vec<String>,
}

impl<'a> Proxies<'a> {
    /// Those that a workspace names. A block that names none takes away what an earlier one brought.
    pub fn of(workspace: &'a Workspace) -> Option<Self> {
        let proxy = workspace.proxy.as_ref()?;
        let plain = |url: &String| Url::parse(url).map_or_else(|_| url.clone(), |url| String::from(url).trim_end_matches('/').to_owned());
        let http = proxy.http.as_ref().map(plain);
        let https = proxy.https.as_ref().map(plain).or_else(|| http.clone());
        let login = proxy.username.as_deref().zip(proxy.password_secret.as_deref());
        Some(Self { http, https, login, direct: direct(workspace, proxy) })
    }

    /// Each that there is, with the scheme that it is for.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("http", &self.http), ("https", &self.https)].into_iter().filter_map(|(scheme, url)| Some((scheme, url.as_deref()?)))
    }

    /// Variables, as `sh` and systemd both read them. Some programs know them in upper case, some in lower.
    pub fn environment(&self) -> SecretText {
        let mut text = SecretText::new("# Kept by kthw: changes here are undone by the next run.\n");
        for (scheme, url) in self.each() {
            for name in [format!("{scheme}_proxy"), format!("{scheme}_proxy").to_uppercase()] {
                text = text.text(format!("{name}=")).with(&self.with_login(url)).text("\n");
            }
        }
        let direct = self.direct.join(",");
        text.text(format!("no_proxy={direct}\nNO_PROXY={direct}\n"))
    }

    fn with_login(&self, url: &str) -> SecretText {
        match (self.login, url.split_once("://")) {
            (Some((user, password)), Some((scheme, rest))) => {
                SecretText::new(format!("{scheme}://{}:", in_url(user))).secret(password, Form::InUrl).text(format!("@{rest}"))
            }
            _ => SecretText::new(url),
        }
    }
}

/// What tells a service of systemd: a drop-in, and the variables that it names.
pub fn of_service(workspace: &Workspace, service: &str) -> BTreeMap<String, File> {
    let Some(proxies) = Proxies::of(workspace) else { return BTreeMap::new() };
    let folder = format!("/etc/systemd/system/{service}.service.d");
    let (drop_in, variables) = (format!("{folder}/http-proxy.conf"), format!("{folder}/http-proxy.env"));
    let text = format!("# Kept by kthw: changes here are undone by the next run.\n[Service]\nEnvironmentFile={variables}\n");
    files(&proxies, [(drop_in, File::new(SecretText::new(text))), (variables, File::new(proxies.environment()))])
}

/// What tells the package manager.
pub fn of_packages(workspace: &Workspace) -> BTreeMap<String, File> {
    let Some(proxies) = Proxies::of(workspace) else { return BTreeMap::new() };
    files(&proxies, workspace.distribution.family().proxy_files(&proxies))
}

fn files(proxies: &Proxies<'_>, files: impl IntoIterator<Item = (String, File)>) -> BTreeMap<String, File> {
    let is_gone = proxies.each().next().is_none();
    let kept = |(path, file): (String, File)| (path, if is_gone { File { content: None, ..file } } else { file });
    files.into_iter().map(kept).collect()
}

/// What is never asked of a proxy: the cluster itself, its machines and mirrors, and what the workspace adds.
fn direct(workspace: &Workspace, proxy: &Proxy) -> Vec<String> {
    let network = &workspace.network;
    let host_of = |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let mut direct: Vec<String> = ["localhost", "127.0.0.0/8", "127.0.0.1", "::1", ".svc", ".cluster.local"].map(str::to_owned).into();
    direct.extend(network.ranges().map(|(_, range)| range.to_string()));
    direct.extend(workspace.endpoint().rsplit_once(':').map(|(host, _)| host.to_owned()));
    let containerd = &workspace.containerd;
    let endpoints = containerd.registries.values().flat_map(|registry| &registry.endpoints).map(|endpoint| &endpoint.url);
    direct.extend(containerd.mirrors.values().chain(endpoints).filter_map(|url| host_of(url)));
    direct.extend(proxy.no_proxy.iter().cloned());
    let mut seen = BTreeSet::new();
    direct.retain(|one| seen.insert(one.clone()));
    direct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Distribution;
    use expect_test::{Expect, expect};

    fn workspace(proxy: &str) -> Workspace {
        let shipped = include_str!("../../workspaces/ubuntu/workspace.yaml");
        serde_saphyr::from_str(&format!("{shipped}\n{proxy}")).unwrap()
    }

    fn check(files: &BTreeMap<String, File>, want: &Expect) {
        let told = files.iter().map(|(path, File { content, mode })| match content {
            Some(content) => format!("{path} {mode}\n{content}"),
            None => format!("{path} gone\n"),
        });
        want.assert_eq(&told.collect::<String>());
    }

    const WITH_PASSWORD: &str = "proxy: {http: 'http://proxy.bevz.net:3128/', no_proxy: [.bevz.net], username: 'a@b', password_secret: proxy.password}\n\
         containerd: {mirrors: {docker.io: 'https://mirror.bevz.net'}}\n";

    #[test]
    fn a_service_reads_its_variables_from_a_file_of_roots() {
        check(
            &of_service(&workspace(WITH_PASSWORD), "containerd"),
            &expect![[r#"
                /etc/systemd/system/containerd.service.d/http-proxy.conf 0644
                # Kept by kthw: changes here are undone by the next run.
                [Service]
                EnvironmentFile=/etc/systemd/system/containerd.service.d/http-proxy.env
                /etc/systemd/system/containerd.service.d/http-proxy.env 0600
                # Kept by kthw: changes here are undone by the next run.
                http_proxy=http://a%40b:<secret proxy.password>@proxy.bevz.net:3128
                HTTP_PROXY=http://a%40b:<secret proxy.password>@proxy.bevz.net:3128
                https_proxy=http://a%40b:<secret proxy.password>@proxy.bevz.net:3128
                HTTPS_PROXY=http://a%40b:<secret proxy.password>@proxy.bevz.net:3128
                no_proxy=localhost,127.0.0.0/8,127.0.0.1,::1,.svc,.cluster.local,10.10.10.0/24,192.168.0.0/16,10.96.0.0/12,cu1.bevz.net,mirror.bevz.net,.bevz.net
                NO_PROXY=localhost,127.0.0.0/8,127.0.0.1,::1,.svc,.cluster.local,10.10.10.0/24,192.168.0.0/16,10.96.0.0/12,cu1.bevz.net,mirror.bevz.net,.bevz.net
            "#]],
        );
    }

    #[test]
    fn without_a_password_nothing_is_secret() {
        let workspace = workspace("proxy: {http: 'http://a:1', https: 'http://b:2'}\n");
        let files = of_service(&workspace, "kubelet");
        assert!(files.values().all(|file| file.mode == "0644"));
        let text = files["/etc/systemd/system/kubelet.service.d/http-proxy.env"].content.as_ref().unwrap().to_string();
        assert!(text.contains("http_proxy=http://a:1\nHTTP_PROXY=http://a:1\nhttps_proxy=http://b:2\n"), "{text}");
    }

    #[test]
    fn each_package_manager_is_told_in_its_way() {
        check(
            &of_packages(&workspace(WITH_PASSWORD)),
            &expect![[r#"
                /etc/apt/apt.conf.d/95kthw-proxy 0644
                // Kept by kthw: changes here are undone by the next run.
                Acquire::http::Proxy "http://proxy.bevz.net:3128";
                Acquire::http::Proxy::localhost "DIRECT";
                Acquire::http::Proxy::127.0.0.1 "DIRECT";
                Acquire::http::Proxy::cu1.bevz.net "DIRECT";
                Acquire::http::Proxy::mirror.bevz.net "DIRECT";
                Acquire::https::Proxy "http://proxy.bevz.net:3128";
                Acquire::https::Proxy::localhost "DIRECT";
                Acquire::https::Proxy::127.0.0.1 "DIRECT";
                Acquire::https::Proxy::cu1.bevz.net "DIRECT";
                Acquire::https::Proxy::mirror.bevz.net "DIRECT";
                /etc/apt/auth.conf.d/95kthw-proxy.conf 0600
                machine http://proxy.bevz.net:3128 login a@b password <secret proxy.password>
            "#]],
        );
        let rpm = Workspace { distribution: Distribution::Rocky, release: None, ..workspace(WITH_PASSWORD) };
        let paths: Vec<String> = of_packages(&rpm).into_keys().collect();
        assert_eq!(paths, ["/etc/sysconfig/kthw-proxy"]);
    }

    #[test]
    fn an_empty_block_takes_away_what_was_there() {
        check(
            &of_service(&workspace("proxy: {}\n"), "containerd"),
            &expect![[r#"
            /etc/systemd/system/containerd.service.d/http-proxy.conf gone
            /etc/systemd/system/containerd.service.d/http-proxy.env gone
        "#]],
        );
        assert!(of_packages(&workspace("proxy: {}\n")).values().all(|file| file.content.is_none()));
        assert_eq!(of_packages(&workspace("")), BTreeMap::new(), "without one, nothing is said of it");
    }
}
