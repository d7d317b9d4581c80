//! openssl: looking into the lab's certificates and keys.
use super::super::host::{Host, failed, printed};
use super::{
    has,
    kubeadm::{Certificate, public_key},
    option, plain,
};
use crate::state::{fingerprint, rfc3339};
use kthw_engine::node::Output;

/// Runs openssl.
pub(crate) fn openssl(host: &mut Host, arguments: &[&str]) -> Output {
    match (arguments.first(), option(arguments, "-in"), option(arguments, "-CAfile")) {
        (Some(&"x509"), Some(path), _) => show(host, path, arguments),
        (Some(&"pkey"), Some(path), _) if has(arguments, &["-pubout"]) => match host.machine.files.content(path) {
            Some(content) => printed(public_key(&String::from_utf8_lossy(content))),
            None => failed(1, format!("Could not open file or uri for loading key from {path}: No such file or directory")),
        },
        (Some(&"verify"), _, Some(authority)) => verify(host, authority, plain(arguments).last().copied().unwrap_or_default()),
        _ => {
            host.state.cannot_play(format!("{} $ openssl {}", host.name, arguments.join(" ")));
            failed(1, "openssl: the lab does not play this")
        }
    }
}

fn load(host: &Host, path: &str) -> Result<Certificate, Output> {
    let Some(content) = host.machine.files.content(path) else {
        return Err(failed(1, format!("Could not open file or uri for loading certificate from {path}: No such file or directory")));
    };
    Certificate::parse(&String::from_utf8_lossy(content)).ok_or_else(|| failed(1, format!("Could not read certificate from {path}")))
}

fn show(host: &Host, path: &str, arguments: &[&str]) -> Output {
    let certificate = match load(host, path) {
        Ok(certificate) => certificate,
        Err(output) => return output,
    };
    let mut output = Output::default();
    if option(arguments, "-ext") == Some("subjectAltName") {
        output.stdout += &format!("X509v3 Subject Alternative Name: \n    {}\n", certificate.names().join(", "));
    }
    if has(arguments, &["-pubkey"]) {
        output.stdout += &certificate.public_key();
    }
    if has(arguments, &["-enddate"]) {
        output.stdout += &format!("notAfter={}\n", in_words(certificate.ends_s));
    }
    if let Some(seconds) = option(arguments, "-checkend").and_then(|seconds| seconds.parse::<u64>().ok()) {
        let ends = certificate.ends_s < host.now_s() + seconds;
        output.status = i32::from(ends);
        output.stdout += if ends { "Certificate will expire\n" } else { "Certificate will not expire\n" };
    }
    output
}

fn verify(host: &Host, authority: &str, path: &str) -> Output {
    match load(host, path) {
        Ok(certificate) if certificate.authority == fingerprint(host.machine.files.text(authority)) => printed(format!("{path}: OK\n")),
        Ok(_) => failed(2, format!("error {path}: verification failed")),
        Err(output) => output,
    }
}

/// A moment as openssl writes it: `Aug 15 08:00:00 2026 GMT`.
fn in_words(unix_s: u64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let stamp = rfc3339(unix_s);
    let number = |range: std::ops::Range<usize>| stamp[range].parse::<usize>().unwrap_or_default();
    format!("{} {:>2} {} {} GMT", MONTHS[(number(5..7) + 11) % 12], number(8..10), &stamp[11..19], &stamp[..4])
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn a_moment_is_written_as_openssl_writes_it() {
        assert_eq!(in_words(1_786_780_800), "Aug 15 08:00:00 2026 GMT");
        assert_eq!(in_words(951_782_400), "Feb 29 00:00:00 2000 GMT");
    }
}
