//! Questions over a tunnel, with a real API server at its end.
use super::{ToPeer, kubeconfig_for};
use kthw_peers::ApiServer;
use kthw_stdlib::{
    seams::Reach,
    validation::{Answer, Destination, OverSsh, Question},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::sync::Arc;

/// The authority in the peer's kubeconfig.
fn authority(server: &ApiServer) -> Vec<CertificateDer<'static>> {
    let text = std::fs::read_to_string(kubeconfig_for(server, &server.address).path()).expect("a kubeconfig");
    let after = text.split("certificate-authority-data").nth(1).expect("an authority");
    let base64: String =
        after.chars().skip_while(|c| "\":' ".contains(*c)).take_while(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).collect();
    let pem = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64).expect("base64");
    CertificateDer::pem_slice_iter(&pem).map(|one| one.expect("a certificate")).collect()
}

#[tokio::test]
async fn a_certificate_is_verified_and_its_end_is_told() {
    let Some(server) = ApiServer::ask() else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let reach = OverSsh::new(Arc::new(ToPeer(server.address.clone())));
    let to = Destination::new("127.0.0.1", 6443);
    let ask = async |name: &str, authorities: Vec<CertificateDer<'static>>| {
        let question = Question::Certificate { name: name.into(), authorities };
        reach.ask("cu1", &to, &question).await.map_err(|error| error.to_string())
    };
    let Ok(Answer::Ends(ends)) = ask("127.0.0.1", authority(&server)).await else { panic!("a certificate") };
    assert!(ends > jiff::Timestamp::now(), "{ends}");
    let other = ask("api.bevz.net", authority(&server)).await.expect_err("another name");
    assert!(other.contains("not valid for name") && other.contains("api.bevz.net"), "{other}");
    let strangers = ask("127.0.0.1", Vec::new()).await.expect_err("nobody vouches");
    assert!(strangers.contains("invalid peer certificate: UnknownIssuer"), "{strangers}");
}

#[tokio::test]
async fn who_takes_a_connection_and_does_not_speak_http_is_told_as_that() {
    let Some(server) = ApiServer::ask() else { return };
    let reach = OverSsh::new(Arc::new(ToPeer(server.address.clone())));
    let to = Destination::new("10.10.10.200", 80);
    assert_eq!(reach.ask("cu1", &to, &Question::Connect).await.expect("a connection"), Answer::Connected);
    // Plain HTTP to a port of HTTPS: Go's server says so with a status.
    assert_eq!(reach.ask("cu1", &to, &Question::Get("/ping".into())).await.expect("a status"), Answer::Status(400));
    let error = reach.ask("cu1", &to, &Question::Name("kubernetes.default.svc.cluster.local".into())).await.expect_err("no DNS");
    assert!(error.to_string().starts_with("10.10.10.200:80: "), "{error}");
}
