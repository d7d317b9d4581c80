//! openssl: looking into the lab's certificates.
use super::super::host::{Host, failed, printed};
use super::{has, kubeadm::names_in_certificate, option};
use crate::state::rfc3339;
use kthw_engine::node::Output;

/// Runs `openssl x509`.
pub(crate) fn openssl(host: &mut Host, arguments: &[&str]) -> Output {
    let (Some(&"x509"), Some(path)) = (arguments.first(), option(arguments, "-in")) else {
        host.state.cannot_play(format!("{} $ openssl {}", host.name, arguments.join(" ")));
        return failed(1, "openssl: the lab does not play this");
    };
    let Some(content) = host.machine.files.content(path) else {
        return failed(1, format!("Could not open file or uri for loading certificate from {path}: No such file or directory"));
    };
    let text = String::from_utf8_lossy(content).into_owned();
    let Some(names) = names_in_certificate(&text) else { return failed(1, format!("Could not read certificate from {path}")) };
    let mut stdout = String::new();
    if option(arguments, "-ext") == Some("subjectAltName") {
        stdout += &format!("X509v3 Subject Alternative Name: \n    {}\n", names.join(", "));
    }
    if has(arguments, &["-enddate"]) {
        stdout += &format!("notAfter={}\n", rfc3339(host.state.unix_s() + 365 * 86_400));
    }
    printed(stdout)
}
