//! A control plane that was left half made, and its certificate.
use crate::{FULL, Lab, changes, failures};
use kthw_engine::Kind;
use kthw_lab::Fault;

const PHASE: &str = "phases/control-plane";
const CONTROL_PLANE: &str = "kubeadm.control_plane/ubuntu";
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
const KEY: &str = "/etc/kubernetes/pki/apiserver.key";

fn file(lab: &Lab, path: &str) -> String {
    lab.world.with_state(|state| state.machines["vm/401"].files.text(path))
}

/// The phases of `kubeadm init` that were run alone.
fn phases(lab: &Lab) -> Vec<String> {
    lab.world.with_state(|state| {
        let lines = state.journal.lines().filter_map(|line| line.split_once("kubeadm init phase ").map(|(_, rest)| rest));
        lines.map(|rest| rest.split(" --").next().unwrap_or_default().to_owned()).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_in_any_late_phase_is_finished_by_the_next_run() {
    for phase in ["upload-config/kubeadm", "mark-control-plane", "bootstrap-token", "kubelet-finalize", "addon/coredns", "addon/kube-proxy"]
    {
        let lab = Lab::new(&format!("dies-{}", phase.replace('/', "-")));
        lab.world.add_fault(Fault::dies("cu1", &["kubeadm", "init", "--config"], phase));
        assert!(failures(&lab.apply(FULL).await).starts_with(CONTROL_PLANE), "{phase}");
        assert_eq!(changes(&lab.plan(PHASE).await)[0], format!("update {CONTROL_PLANE} kubeadm init: begun -> ended"), "{phase}");

        assert_eq!(failures(&lab.apply(FULL).await), "", "{phase}");
        let run = [
            "upload-config kubeadm",
            "upload-config kubelet",
            "mark-control-plane",
            "bootstrap-token",
            "kubelet-finalize all",
            "addon coredns",
            "addon kube-proxy",
        ];
        assert_eq!(phases(&lab), run, "{phase}");
        assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new(), "{phase}");
        assert_eq!(lab.world.unknown(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_again_while_it_is_finished_stays_unfinished() {
    let lab = Lab::new("dies-twice");
    lab.world.add_fault(Fault::dies("cu1", &["kubeadm", "init", "--config"], "upload-config/kubeadm"));
    lab.world.add_fault(Fault::dies("cu1", &["kubeadm", "init", "phase", "addon"], "addon/kube-proxy").after(1));
    assert!(failures(&lab.apply(PHASE).await).starts_with(CONTROL_PLANE));
    let report = lab.apply(PHASE).await;
    assert!(failures(&report).contains("cannot run kubeadm's phase addon/kube-proxy on cu1"), "{}", failures(&report));
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    assert_eq!(changes(&lab.plan(PHASE).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_comes_back_and_nothing_else_is_touched() {
    let lab = Lab::new("lost");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.world.with_state(|state| {
        let objects = &mut state.clusters[0].objects;
        objects.remove("|configmaps|kube-public|cluster-info").expect("kubeadm made it");
        objects.remove("apps|daemonsets|kube-system|kube-proxy").expect("kubeadm made it");
    });
    let planned = changes(&lab.plan(FULL).await);
    let missing = "configmap/cluster-info: absent -> present; daemonset.apps/kube-proxy: absent -> present";
    assert_eq!(planned, [format!("update {CONTROL_PLANE} {missing}")]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(phases(&lab), ["bootstrap-token", "addon kube-proxy"]);
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_certificate_in_use_stays_until_the_new_one_is_good() {
    let lab = Lab::new("renewal");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    let before = [CERTIFICATE, KEY].map(|path| file(&lab, path));
    let more = Lab::changed("renewal-more", lab.world.clone(), &["kubeadm.cert_sans=[api.example.com]"]);
    for fault in [
        Fault::dies("cu1", &["kubeadm", "init", "phase", "certs"], "certs/apiserver"),
        Fault::command("cu1", &["kubeadm", "init", "phase", "certs"], 1, "couldn't load CA certificate"),
        Fault::command("cu1", &["openssl", "verify"], 2, "unable to get local issuer certificate"),
        Fault::command("cu1", &["openssl", "pkey"], 1, "Could not read key"),
    ] {
        let command = format!("{fault:?}");
        lab.world.add_fault(fault);
        assert!(failures(&more.apply(PHASE).await).starts_with(CONTROL_PLANE), "{command}");
        assert_eq!([CERTIFICATE, KEY].map(|path| file(&lab, path)), before, "{command}");
    }
    assert_eq!(failures(&more.apply(PHASE).await), "");
    assert_eq!(changes(&more.plan(PHASE).await), Vec::<String>::new());
    assert_ne!(file(&lab, CERTIFICATE), before[0]);
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_stops_between_key_and_certificate_is_finished() {
    let lab = Lab::new("half-renewed");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    let more = Lab::changed("half-renewed-more", lab.world.clone(), &["kubeadm.cert_sans=[api.example.com]"]);
    lab.world.add_fault(Fault::dies("cu1", &["mv"], "apiserver.key"));
    assert!(failures(&more.apply(PHASE).await).starts_with(CONTROL_PLANE));
    let planned = changes(&more.plan(PHASE).await);
    assert!(planned[0].contains("certificate: renewed by half -> renewed"), "{planned:?}");
    assert_eq!(failures(&more.apply(PHASE).await), "");
    assert_eq!(changes(&more.plan(PHASE).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_comes_while_a_renewal_is_half_done_is_in_the_end_result() {
    let lab = Lab::new("half-and-more");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    let more = Lab::changed("half-and-more-1", lab.world.clone(), &["kubeadm.cert_sans=[api.example.com]"]);
    lab.world.add_fault(Fault::dies("cu1", &["mv"], "apiserver.key"));
    assert!(failures(&more.apply(PHASE).await).starts_with(CONTROL_PLANE));
    let another = Lab::changed("half-and-more-2", lab.world.clone(), &["kubeadm.cert_sans=[api.example.com, api.example.org]"]);
    assert_eq!(failures(&another.apply(PHASE).await), "");
    assert_eq!(changes(&another.plan(PHASE).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_ends_soon_is_shown_with_its_date_and_renewed() {
    let lab = Lab::new("expiry");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    lab.world.with_state(|state| state.now_ms += 340 * 86_400_000);
    let planned = changes(&lab.plan(PHASE).await);
    let [only] = planned.as_slice() else { panic!("{planned:?}") };
    assert!(only.starts_with(&format!("update {CONTROL_PLANE} certificate: valid until Aug 15 08:")), "{only}");
    assert!(only.ends_with(" 2027 GMT -> renewed"), "{only}");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    assert_eq!(changes(&lab.plan(PHASE).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_openssl_that_fails_makes_the_control_plane_unknown_and_renews_nothing() {
    let lab = Lab::new("openssl");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    lab.world.add_fault(Fault::command("cu1", &["openssl", "x509"], 1, "memory allocation failed").times(2));
    let planned = changes(&lab.plan(PHASE).await);
    assert!(planned[0].starts_with(&format!("unknown {CONTROL_PLANE}")), "{planned:?}");
    let report = lab.apply(PHASE).await;
    let kinds: Vec<Kind> = report.failures.iter().map(|(_, error)| error.kind()).collect();
    assert!(kinds.iter().all(|kind| *kind == Kind::Peer), "{}", failures(&report));
    assert_eq!(phases(&lab), Vec::<String>::new());
}
