//! What can go wrong on the way to a node: which node, at which address, what was tried, and what to do next.
use super::{known_hosts::KnownHostsError, shell::Malformed};
use miette::Diagnostic;
use russh::ChannelOpenFailure;
use std::{io, time::Duration};

/// The way to a node failed.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[allow(missing_docs)]
pub enum SshError {
    #[error("the workspace has no node `{node}`")]
    #[diagnostic(code(kthw::ssh::no_such_node), help("see `nodes` in workspace.yaml"))]
    NoSuchNode { node: String },

    #[error("cannot reach {node} at {address}")]
    #[diagnostic(
        code(kthw::ssh::unreachable),
        help("check that the machine is on, that `{address}` is its address, and that this machine may reach its SSH port")
    )]
    Unreachable { node: String, address: String, source: io::Error },

    #[error("{node} at {address} did not answer within {seconds} s")]
    #[diagnostic(
        code(kthw::ssh::no_answer),
        help("the machine may still be booting; otherwise check its address, its network and its firewall")
    )]
    NoAnswer { node: String, address: String, seconds: u64 },

    #[error("the SSH handshake with {node} at {address} failed")]
    #[diagnostic(
        code(kthw::ssh::handshake),
        help(
            "`ssh -v -p PORT USER@HOST` with those of {node} shows where it ends; its sshd may be stopping, or offer only what kthw does not know"
        )
    )]
    Handshake { node: String, address: String, source: russh::Error },

    #[error("what answers at {address} for {node} is not SSH: {said}")]
    #[diagnostic(code(kthw::ssh::not_ssh), help("check the address and the port of {node} (`ssh.port`, or `port` of the node)"))]
    NotSsh { node: String, address: String, said: String },

    #[error("{node} at {address} closed each connection at once{said}, for {seconds} s")]
    #[diagnostic(
        code(kthw::ssh::turned_away),
        help(
            "its sshd has too many logins under way (`MaxStartups`, `PerSourceMaxStartups`), or something turns this address away (`PerSourcePenalties`, fail2ban, a firewall): `journalctl -u ssh` on {node} says which; then run it again"
        )
    )]
    TurnedAway { node: String, address: String, seconds: u64, said: String },

    #[error("{node} at {address} shows a text before the login that is not UTF-8, and takes no cipher with which that can be passed over")]
    #[diagnostic(
        code(kthw::ssh::banner),
        help(
            "the file that `Banner` in /etc/ssh/sshd_config on {node} names has to be UTF-8 (`iconv -f LATIN1 -t UTF-8 FILE`), as RFC 4252 asks for; or allow `chacha20-poly1305@openssh.com` and `curve25519-sha256` there"
        )
    )]
    UnreadableBanner { node: String, address: String },

    #[error("the host key of {node} at {address} is not known: {fingerprint}{why}")]
    #[diagnostic(
        code(kthw::ssh::unknown_host_key),
        help(
            "compare the fingerprint on the machine's console (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`); if it is the same, add this line to {file}:\n{line}"
        )
    )]
    UnknownHostKey { node: String, address: String, fingerprint: String, why: String, line: String, file: String },

    #[error("the host key of {node} at {address} has changed: known is {known}, but it presented {presented}")]
    #[diagnostic(
        code(kthw::ssh::host_key_changed),
        help(
            "somebody may be in between, or the machine was made anew without kthw; if you know that it was, remove the lines of {address} from {file}"
        )
    )]
    HostKeyChanged { node: String, address: String, known: String, presented: String, file: String },

    #[error("the host key of {node} at {address} is revoked: {fingerprint}")]
    #[diagnostic(code(kthw::ssh::host_key_revoked), help("give the machine new host keys; the key is marked `@revoked` in {file}"))]
    HostKeyRevoked { node: String, address: String, fingerprint: String, file: String },

    #[error("the host certificate `{id}` of {node} at {address} does not count: {why}")]
    #[diagnostic(
        code(kthw::ssh::host_certificate),
        help(
            "have the key of {node} signed anew for this address (`ssh-keygen -h -s CA -I ID -n ADDRESS KEY.pub`), or correct `@cert-authority` in {file}"
        )
    )]
    HostCertificate { node: String, address: String, id: String, why: String, file: String },

    #[error("{node} at {address} refuses user `{user}`; tried {tried}")]
    #[diagnostic(
        code(kthw::ssh::refused),
        help(
            "either the key is not in ~{user}/.ssh/authorized_keys on the node (or `ssh.user` or `ssh.key_file` is another), or sshd does not use it: the file's or folder's permissions, `AllowUsers`, `PubkeyAcceptedAlgorithms`; `journalctl -u ssh` on the node says which"
        )
    )]
    Refused { node: String, address: String, user: String, tried: String },

    #[error("{node} at {address} took a key of user `{user}`, but wants {wanted} too")]
    #[diagnostic(
        code(kthw::ssh::second_factor),
        help(
            "kthw logs in by keys alone; let that suffice for this user in /etc/ssh/sshd_config on the node: `Match User {user}` and, below it, `AuthenticationMethods publickey`"
        )
    )]
    SecondFactor { node: String, address: String, user: String, wanted: String },

    #[error("{node} at {address} takes no key from user `{user}`, only {methods}")]
    #[diagnostic(
        code(kthw::ssh::no_keys_taken),
        help("kthw logs in by keys alone; see `PubkeyAuthentication` and `AuthenticationMethods` in /etc/ssh/sshd_config on the node")
    )]
    NoKeysTaken { node: String, address: String, user: String, methods: String },

    #[error("{node} at {address} ended the login of user `{user}`: {said}; tried {tried}")]
    #[diagnostic(
        code(kthw::ssh::hung_up),
        help(
            "name the right key with `ssh.key_file` in workspace.yaml, so that it is the first (`MaxAuthTries` of the server counts); `journalctl -u ssh` on the node says more"
        )
    )]
    HungUp { node: String, address: String, user: String, tried: String, said: String },

    #[error("cannot use the SSH certificate {path}")]
    #[diagnostic(code(kthw::ssh::certificate), help("it stands beside the key; have it made anew (`ssh-keygen -s`), or remove it"))]
    Certificate { path: String, source: russh::keys::ssh_key::Error },

    #[error("no SSH key to log in to {node} with: {reason}")]
    #[diagnostic(
        code(kthw::ssh::no_key),
        help("set `ssh.key_file` in workspace.yaml, or start an agent and add a key (`eval $(ssh-agent); ssh-add`)")
    )]
    NoKey { node: String, reason: String },

    #[error("cannot use the SSH key {path}")]
    #[diagnostic(
        code(kthw::ssh::key_file),
        help("check `ssh.key_file` in workspace.yaml, or `IdentityFile` in ~/.ssh/config, and who may read the file")
    )]
    KeyFile { path: String, source: russh::keys::Error },

    #[error("the SSH key {path} is encrypted, or only its public half, and no agent holds it")]
    #[diagnostic(
        code(kthw::ssh::key_encrypted),
        help("add it to an agent (`eval $(ssh-agent)`, `ssh-add {path}`); the agent is then asked for this key")
    )]
    KeyEncrypted { path: String },

    #[error("cannot use the secret `{name}` as an SSH key: {reason}")]
    #[diagnostic(
        code(kthw::ssh::key_secret),
        help(
            "`ssh.key_secret` in workspace.yaml names it; put a private key into it, such as that of `ssh-keygen -t ed25519 -N \"\" -f KEY`, and its public half onto the nodes"
        )
    )]
    KeySecret { name: String, reason: String },

    #[error("the SSH agent failed")]
    #[diagnostic(code(kthw::ssh::agent), help("`ssh-add -l` must list a key; see `SSH_AUTH_SOCK`"))]
    Agent { source: russh::keys::Error },

    #[error("`{text}` is not a jump host")]
    #[diagnostic(
        code(kthw::ssh::jump_host),
        help("write `ssh.jump_host` in workspace.yaml, or `ProxyJump` in ~/.ssh/config, as `user@host:port`")
    )]
    JumpHost { text: String },

    #[error("cannot go through {jump} to {node} at {address}")]
    #[diagnostic(code(kthw::ssh::through_jump_host), help("{}", forwarding_help(source, jump, address)))]
    ThroughJumpHost { node: String, address: String, jump: String, source: russh::Error },

    #[error("the connection to {node} broke {during}")]
    #[diagnostic(code(kthw::ssh::broken), help("run it again: kthw reads the node first and goes on from what it finds"))]
    Broken { node: String, during: &'static str, source: russh::Error },

    #[error("{node} did not finish {during} within {seconds} s")]
    #[diagnostic(code(kthw::ssh::timeout), help("look at the machine's load and its logs (`journalctl -b`), then run it again"))]
    Timeout { node: String, during: &'static str, seconds: u64 },

    #[error("{node} answered with more than {mib} MiB")]
    #[diagnostic(code(kthw::ssh::too_much), help("a command of the recipe prints too much"))]
    TooMuch { node: String, mib: usize },

    #[error("user `{user}` may not become root on {node}: {said}")]
    #[diagnostic(code(kthw::ssh::sudo), help("{help}"))]
    Sudo { node: String, user: String, said: String, help: String },

    #[error("{node} answered something that kthw does not understand ({said})")]
    #[diagnostic(
        code(kthw::ssh::answer),
        help(
            "log in as the same user and run `sh -c 'echo ok'`: either its login shell (or `ForceCommand`, `command=` of the key) runs no commands, or it ended early"
        )
    )]
    Answer { node: String, said: String, source: Malformed },

    #[error("the connection to {node} broke before everything had been sent; nothing was changed")]
    #[diagnostic(code(kthw::ssh::input_cut_short), help("run it again"))]
    InputCutShort { node: String },

    #[error("another script of kthw still runs on {node}; waited {seconds} s for it, and nothing was changed")]
    #[diagnostic(
        code(kthw::ssh::held),
        help("a run that died may have left it behind: `fuser -v /run/kthw/*` on {node} shows it; let it end, then run again")
    )]
    Held { node: String, seconds: u64 },

    #[error("a later run (number {by}) has changed {node} meanwhile; this one changes nothing more there")]
    #[diagnostic(code(kthw::ssh::overtaken), help("somebody started another run; look at its end, then run again to see what is left"))]
    Overtaken { node: String, by: u64 },

    #[error("cannot open {host}:{port} through {node}")]
    #[diagnostic(code(kthw::ssh::tunnel), help("{}", forwarding_help(source, node, &format!("{host}:{port}"))))]
    Tunnel { node: String, host: String, port: u16, source: russh::Error },

    #[error("cannot make random numbers: {0}")]
    #[diagnostic(code(kthw::ssh::random))]
    Random(getrandom::Error),

    #[error(transparent)]
    #[diagnostic(transparent)]
    KnownHosts(#[from] KnownHostsError),
}

/// What to do about a host that does not connect any further, by the reason that its sshd gave (RFC 4254, 5.1).
fn forwarding_help(source: &russh::Error, through: &str, to: &str) -> String {
    match source {
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
            format!("the sshd of {through} forbids it: see `AllowTcpForwarding` and `PermitOpen` in its /etc/ssh/sshd_config")
        }
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
            format!(
                "{through} itself gets no connection to {to}: check that the machine is on, that something listens there (`ss -ltn`), and the firewall"
            )
        }
        _ => format!("either {through} does not get a connection to {to}, or its sshd forbids it (`AllowTcpForwarding`)"),
    }
}

impl SshError {
    /// The same, with how long it was tried where that is said.
    pub(crate) fn after(self, time: Duration) -> Self {
        match self {
            Self::TurnedAway { node, address, said, .. } => Self::TurnedAway { node, address, said, seconds: time.as_secs() },
            other => other,
        }
    }
}
