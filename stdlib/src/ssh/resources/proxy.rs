//! What recipes are told of the nodes' proxy: files, as options of `ssh::file`.
use crate::{
    proxy::{self, File},
    workspace::Cluster,
};
use kthw_engine::{Rhai, note_secret};
use rhai::{Map, plugin::*};
use std::collections::BTreeMap;

#[export_module]
pub mod api {
    /// Returns the files that tell the nodes' package manager of the workspace's `proxy`, by their paths, each as options of `ssh::file`.
    ///
    /// None if the workspace has no `proxy`; with an empty one they are files to be removed.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     let proxy = ssh::package_proxy(cluster);
    ///     let proxied = [];
    ///     for path in proxy.keys() {
    ///         let file = ssh::file(node, path, proxy[path]);
    ///         if proxy[path].present {
    ///             proxied.push(file);
    ///         }
    ///     }
    ///     ssh::package(node, "tree", #{ needs: proxied });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn package_proxy(cx: NativeCallContext, cluster: Cluster) -> Rhai<Map> {
        options(&cx, proxy::of_packages(cluster.workspace()))
    }

    /// Returns the files that tell a service of systemd of the workspace's `proxy`, by their paths, each as options of `ssh::file`.
    ///
    /// A password is in the one that root alone reads. The service has to be restarted when one of them changes.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     let there = [ssh::directory(node, "/etc/systemd/system/kubelet.service.d")];
    ///     let proxy = ssh::service_proxy(cluster, "kubelet");
    ///     for path in proxy.keys() {
    ///         let options = proxy[path];
    ///         if options.present {
    ///             options.needs = there;
    ///         }
    ///         ssh::file(node, path, options);
    ///     }
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn service_proxy(cx: NativeCallContext, cluster: Cluster, service: &str) -> Rhai<Map> {
        let service = super::super::declare::checked_name("ssh::service_proxy", "service", service, "._-@");
        match service {
            Ok(service) => options(&cx, proxy::of_service(cluster.workspace(), &service)),
            Err(error) => kthw_engine::throw(&cx, error),
        }
    }
}

fn options(cx: &NativeCallContext, files: BTreeMap<String, File>) -> Rhai<Map> {
    let files = files.into_iter().map(|(path, File { content, mode })| {
        let mut options = Map::new();
        options.insert("present".into(), content.is_some().into());
        let content = content.unwrap_or_default();
        content.secrets().for_each(|secret| note_secret(cx, &secret));
        options.insert("content".into(), content.into_dynamic()?);
        options.insert("mode".into(), mode.into());
        Ok((path.into(), options.into()))
    });
    files.collect()
}
