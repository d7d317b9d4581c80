//! What happens on which node when a worker joins: the token is made last, never shown, and always taken back.
mod support;

use kthw_engine::{
    BoxFuture, Peers, Report, Result, SystemClock,
    node::{Action, Finding, Output, Probe},
};
use kthw_stdlib::{kubernetes::Client, seams::KubernetesAccess};
use std::sync::{Arc, Mutex};
use support::{a_file, nodes::FakeNodes, ran, running_control_plane};

const INVITATION: &str = "kubeadm join cu1.bevz.net:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash \
                          sha256:f734aa3933faf19798ff520ddf47c47971e9c82095476fd445e2da83e0956bef";

/// A running control plane and one fresh machine, which write down what is done to them.
#[derive(Default)]
struct Machines {
    done: Mutex<Vec<String>>,
    joined: Mutex<bool>,
    join_fails: bool,
}

impl Machines {
    fn answer(&self, node: &str, probe: &Probe) -> Finding {
        let there = *self.joined.lock().expect("no panic");
        match probe {
            // A worker never has the administrator's credentials, and the file with its token is gone in the end.
            Probe::Path { path, .. } if node != "cu1" => {
                Finding::Path((there && !path.ends_with("/admin.conf") && !path.ends_with("/join.yaml")).then(a_file))
            }
            other => running_control_plane(other, ""),
        }
    }

    fn record(&self, node: &str, action: &Action) -> Output {
        let shown = match action {
            Action::Run { argv, .. } => argv.join(" "),
            other => format!("{other:?}"),
        };
        self.done.lock().expect("no panic").push(format!("{node}: {shown}"));
        if shown.starts_with("kubeadm token create") {
            return Output { stdout: INVITATION.into(), ..Output::default() };
        }
        if shown.starts_with("kubeadm join") {
            if self.join_fails {
                return Output { status: 1, stderr: "[ERROR Swap]: running with swap on is not supported".into(), ..Output::default() };
            }
            *self.joined.lock().expect("no panic") = true;
        }
        Output::default()
    }
}

/// An API that has no nodes.
struct EmptyApi;

impl KubernetesAccess for EmptyApi {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Client>> {
        let nothing = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
            assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/api/v1/nodes/wu1"));
            let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":404,"reason":"NotFound","message":"not found"}"#;
            let response = http::Response::builder().status(404).body(http_body_util::Full::new(bytes::Bytes::from(body)));
            Ok::<_, std::convert::Infallible>(response.expect("a plain response"))
        });
        Box::pin(async move { Ok(Client::new(nothing, "default")) })
    }
}

async fn join(machines: &Arc<Machines>) -> Report {
    let access: Arc<dyn KubernetesAccess> = Arc::new(EmptyApi);
    let (asked, acting) = (machines.clone(), machines.clone());
    let nodes = FakeNodes::answering(move |node, probe| asked.answer(node, probe)).acting(move |node, action| acting.record(node, action));
    let peers = Peers::new(Arc::new(nodes), Arc::new(SystemClock::default())).with(access);
    ran("kubeadm::worker(cluster, cluster.workers[0]);", &peers).await
}

#[tokio::test]
async fn a_worker_joins_with_a_token_of_its_own() {
    let machines = Arc::new(Machines::default());
    let report = join(&machines).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let done = machines.done.lock().expect("no panic").join("\n");
    // The run's number is the time at which it began.
    let (before, after) = done.split_once(" in run ").expect("the token says whose it is");
    let done = format!("{before} in run N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()));
    expect_test::expect![[r#"
        wu1: getent ahosts cu1.bevz.net
        cu1: kubeadm token create --ttl 15m0s --description kthw: join of wu1 in run N --print-join-command
        wu1: Directory { path: "/etc/kubernetes/kthw", mode: 448, owner: None }
        wu1: Write { path: "/etc/kubernetes/kthw/join.yaml", content: <secret>, mode: 384, owner: None }
        wu1: kubeadm join --config /etc/kubernetes/kthw/join.yaml
        wu1: Remove { path: "/etc/kubernetes/kthw/join.yaml" }
        cu1: kubeadm token delete abcdef"#]]
    .assert_eq(&done);
}

#[tokio::test]
async fn a_failed_join_leaves_neither_file_nor_token() {
    let machines = Arc::new(Machines { join_fails: true, ..Machines::default() });
    let report = join(&machines).await;
    let done = machines.done.lock().expect("no panic").clone();
    expect_test::expect![[r#"
        wu1: kubeadm join --config /etc/kubernetes/kthw/join.yaml
        wu1: Remove { path: "/etc/kubernetes/kthw/join.yaml" }
        cu1: kubeadm token delete abcdef"#]]
    .assert_eq(&done[done.len() - 3..].join("\n"));
    expect_test::expect!["cannot join wu1 to the cluster: exit status 1: [ERROR Swap]: running with swap on is not supported"]
        .assert_eq(&report.failures[0].1.to_string());
}
