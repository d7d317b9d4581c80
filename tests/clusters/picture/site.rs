//! Two clusters of one node each and an edge in front of both: hosts, workspaces, runs of kthw, and an application with a certificate in each cluster.
use crate::{
    peers_support::World,
    support::{Said, balancer::checker_is_pinned, root},
};
use kthw_peers::cache;
use std::path::{Path, PathBuf};

/// The host name that the application is asked for by.
pub const NAME: &str = "web.example.net";
/// Where the edge is reached, which is host 3.
pub const EDGE: &str = "10.77.0.13";
const ADD_ONS: &str = "tests/peers/add-ons";

/// A cluster: its name, the number of its host, what `tests/peers/workspace.yaml` has for pods instead, MetalLB's pool, and Traefik's address.
pub struct Cluster {
    pub name: &'static str,
    pub host: u32,
    node: &'static str,
    pods: &'static str,
    pool: &'static str,
    pub address: &'static str,
}

pub const ALPHA: Cluster =
    Cluster { name: "alpha", host: 1, node: "a1", pods: "10.244.0.0/16", pool: "10.77.0.220-10.77.0.224", address: "10.77.0.220" };
pub const BETA: Cluster =
    Cluster { name: "beta", host: 2, node: "b1", pods: "10.245.0.0/16", pool: "10.77.0.230-10.77.0.234", address: "10.77.0.230" };

pub struct Site {
    pub world: World,
}

impl Site {
    /// Builds all of it by the recipes that ship.
    pub fn built() -> Self {
        let site = Self { world: World::up("picture") };
        site.workspaces();
        std::thread::scope(|scope| {
            for cluster in [ALPHA, BETA] {
                let site = &site;
                scope.spawn(move || {
                    site.world.host(cluster.host, cluster.node);
                    site.run("recipes/ubuntu/full.rhai", cluster.name).ended_with(0);
                    site.kubeconfig(&cluster);
                    site.brings_the_application(&cluster);
                });
            }
            site.world.host(3, "le1");
        });
        checker_is_pinned(&site.world, &site.workspace("edge"));
        site.run("recipes/load-balancer/full.rhai", "edge").ended_with(0);
        site
    }

    pub fn workspace(&self, name: &str) -> String {
        self.folder().join(name).to_string_lossy().into_owned()
    }

    fn folder(&self) -> PathBuf {
        self.world.sandbox.path().join("workspaces")
    }

    pub fn run(&self, recipe: &str, workspace: &str) -> Said {
        self.world.kthw(&["run", recipe, "-w", &self.workspace(workspace), "--yes"])
    }

    pub fn kubectl(&self, cluster: &Cluster, arguments: &[&str]) -> String {
        let (program, kubeconfig) = (cache().join("bin/kubectl-1.37"), self.place_of_kubeconfig(cluster));
        let whole = [&[program.to_str().unwrap(), "--kubeconfig", &kubeconfig, "--request-timeout=150s"], arguments].concat();
        self.world.outside(&whole).ended_with(0).stdout
    }

    fn place_of_kubeconfig(&self, cluster: &Cluster) -> String {
        self.world.sandbox.path().join(format!("{}.kubeconfig", cluster.name)).to_string_lossy().into_owned()
    }

    fn kubeconfig(&self, cluster: &Cluster) {
        let text = self.world.inside(cluster.host, &["cat", "/etc/kubernetes/admin.conf"]).ended_with(0).stdout;
        // There is nobody who knows names.
        let (name, address) = (format!("//{}.kthw.test:", cluster.node), format!("//10.77.0.{}:", 10 + cluster.host));
        let text = text.replace(&name, &address);
        std::fs::write(self.place_of_kubeconfig(cluster), text).unwrap();
    }

    /// The workspaces beside each other, as an edge wants them: it reads where its clusters are reached.
    fn workspaces(&self) {
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(self.folder().join(name)).unwrap();
            std::fs::write(self.folder().join(name).join("workspace.yaml"), text).unwrap();
        };
        for Cluster { name, host, node, pods, pool, address } in [ALPHA, BETA] {
            let made = self.world.workspace("1.37.2", "containerd.io", &[(node, "control_plane", host)], false);
            let text = std::fs::read_to_string(Path::new(&made).join("workspace.yaml")).unwrap();
            let text = text.replace("name: peers", &format!("name: {name}")).replace("pods: 10.244.0.0/16", &format!("pods: {pods}"));
            let text = text.replace("release_letter: p", &format!("release_letter: {}", &name[..1]));
            let traffic = format!(
                "metallb: {{ version: 0.15.2, pools: [{{ name: lan, addresses: [{pool}] }}] }}\n\
                 traefik: {{ version: 3.6.12, address: {address}, replicas: 1, proxy_protocol_from: [{EDGE}/32] }}\n"
            );
            write(name, &format!("{text}{traffic}"));
        }
        let (user, key, mirror) = (self.world.value("SSH_USER"), self.world.value("SSH_KEY"), self.world.sandbox.path().join("mirror"));
        let edge = format!(
            "name: edge\ndomain: kthw.test\nrelease_letter: e\ndistribution: debian\n\
             network: {{ nodes: 10.77.0.0/24, gateway: 10.77.0.1 }}\nssh: {{ user: {user}, key_file: {key} }}\n\
             artifacts: {{ mirror: {} }}\nnodes: [{{ name: le1, role: load_balancer, address: {EDGE} }}]\n\
             load_balancer: {{ clusters: [alpha, beta], proxy_protocol: true }}\n",
            mirror.display()
        );
        write("edge", &edge);
    }

    /// Cert-manager with its internal authority, and the application behind an Ingress with a certificate of it.
    fn brings_the_application(&self, cluster: &Cluster) {
        let apply = |file: &Path| self.kubectl(cluster, &["apply", "--server-side", "-f", file.to_str().unwrap()]);
        let text = |name: &str| std::fs::read_to_string(root().join(ADD_ONS).join(name)).unwrap();
        let write = |name: &str, text: String| {
            let place = self.world.sandbox.path().join(format!("{}-{name}", cluster.name));
            std::fs::write(&place, text).unwrap();
            place
        };
        let manifest = self.world.sandbox.path().join("mirror/cert-manager/v1.21.2/cert-manager.yaml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let definitions: Vec<&str> = manifest.split("\n---\n").filter(|part| part.contains("\nkind: CustomResourceDefinition\n")).collect();
        apply(&write("definitions.yaml", definitions.join("\n---\n")));
        self.kubectl(cluster, &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        // The controller alone: what the other two do is not asked for here.
        let all = text("cert-manager.yaml");
        let others = |part: &&str| !part.contains("cert-manager-webhook") && !part.contains("cert-manager-cainjector");
        apply(&write("cert-manager.yaml", all.split("\n---\n").filter(others).collect::<Vec<_>>().join("\n---\n")));
        apply(&write("echo.yaml", text("echo.yaml").replace("${CLUSTER}", cluster.name)));
        apply(&root().join(ADD_ONS).join("issuer.yaml"));
        self.kubectl(cluster, &["rollout", "status", "-n", "cert-manager", "deployment/cert-manager", "--timeout=120s"]);
        self.kubectl(cluster, &["wait", "-n", "web", "--for=condition=Ready", "certificate/web-tls", "--timeout=120s"]);
        self.kubectl(cluster, &["rollout", "status", "-n", "web", "deployment/echo", "--timeout=120s"]);
    }

    /// The certificate of a cluster's own authority.
    fn authority(&self, cluster: &Cluster) -> String {
        let certificate = "go-template={{index .data \"tls.crt\" | base64decode}}";
        self.kubectl(cluster, &["get", "secret", "root", "-n", "cert-manager", "-o", certificate])
    }

    /// A file with the authorities of both clusters.
    pub fn authorities(&self) -> String {
        let place = self.world.sandbox.path().join("authorities.pem");
        std::fs::write(&place, format!("{}{}", self.authority(&ALPHA), self.authority(&BETA))).unwrap();
        place.to_string_lossy().into_owned()
    }
}
