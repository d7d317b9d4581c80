//! `kubeadm token`: minting, revoking and listing bootstrap tokens.
use crate::{
    kubernetes::{self, BootstrapToken},
    node::{
        host::{Host, failed, printed},
        programs::{has, option},
    },
};
use kthw_engine::node::Output;

/// Runs `kubeadm token create`.
pub(super) fn create(host: &mut Host, arguments: &[&str]) -> Output {
    host.took_ms += 500;
    let Some(number) = cluster(host) else { return no_answer(host) };
    let digits = host.state.made_up("join token");
    let ttl = option(arguments, "--ttl").unwrap_or("24h0m0s");
    let Some(seconds) = seconds(ttl) else { return failed(1, format!("invalid argument \"{ttl}\" for \"--ttl\" flag")) };
    let ends_ms = if seconds == 0 { u64::MAX } else { host.state.now_ms + seconds * 1000 };
    let description = option(arguments, "--description").unwrap_or_default().to_owned();
    let cluster = &mut host.state.clusters[number];
    let (id, secret) = (&digits[..6], &digits[6..22]);
    cluster.tokens.insert(id.to_owned(), BootstrapToken { secret: secret.to_owned(), description, ends_ms });
    if has(arguments, &["--print-join-command"]) {
        return printed(format!(
            "kubeadm join {} --token {id}.{secret} --discovery-token-ca-cert-hash sha256:{} \n",
            cluster.endpoint, cluster.ca_hash
        ));
    }
    printed(format!("{id}.{secret}\n"))
}

/// Runs `kubeadm token delete`.
pub(super) fn delete(host: &mut Host, ids: &[&str]) -> Output {
    host.took_ms += 300;
    let Some(number) = cluster(host) else { return no_answer(host) };
    let mut stdout = String::new();
    for id in ids {
        let id = id.split('.').next().unwrap_or_default();
        if host.state.clusters[number].tokens.remove(id).is_none() {
            return failed(1, format!("failed to delete bootstrap token \"{id}\": secrets \"bootstrap-token-{id}\" not found"));
        }
        stdout += &format!("bootstrap token \"{id}\" deleted\n");
    }
    printed(stdout)
}

/// Runs `kubeadm token list`: a line for each token, or with `-o json` a JSON text for each,
/// <https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-token/#cmd-token-list>.
pub(super) fn list(host: &mut Host, arguments: &[&str]) -> Output {
    let Some(number) = cluster(host) else { return no_answer(host) };
    let now_ms = host.state.now_ms;
    let live = host.state.clusters[number].tokens.iter().filter(|(_, token)| token.ends_ms > now_ms);
    let shown = live.map(|(id, token)| match option(arguments, "-o") {
        Some("json") => {
            let token = serde_json::json!({
                "kind": "BootstrapToken",
                "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
                "token": format!("{id}.{}", token.secret),
                "description": token.description,
                "usages": ["authentication", "signing"],
            });
            format!("{token:#}\n")
        }
        _ => format!("{id}.{}   authentication,signing   {}\n", token.secret, token.description),
    });
    printed(shown.collect::<String>())
}

/// The cluster whose API server answers this machine's administrator.
pub(super) fn cluster(host: &Host) -> Option<usize> {
    let number = host.machine.cluster.filter(|_| host.machine.files.exists("/etc/kubernetes/admin.conf"))?;
    kubernetes::answers_on(host.state, number, &host.key, &host.machine).then_some(number)
}

/// What kubeadm says when it does not.
pub(super) fn no_answer(host: &Host) -> Output {
    match host.machine.files.exists("/etc/kubernetes/admin.conf") {
        true => failed(1, "timed out waiting for the condition: connect: connection refused"),
        false => failed(1, "failed to load admin kubeconfig: open /etc/kubernetes/admin.conf: no such file or directory"),
    }
}

/// Seconds of a duration such as `1h30m0s`.
fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut number) = (0, 0);
    for character in text.chars() {
        match character {
            '0'..='9' => number = number * 10 + u64::from(character.to_digit(10)?),
            'h' => total += std::mem::take(&mut number) * 3600,
            'm' => total += std::mem::take(&mut number) * 60,
            's' => total += std::mem::take(&mut number),
            _ => return None,
        }
    }
    (number == 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(["15m0s", "24h0m0s", "0", "90s", "x"].map(seconds), [Some(900), Some(86_400), Some(0), Some(90), None]);
    }
}
