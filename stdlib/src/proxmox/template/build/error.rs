//! What ends the build of a template.
use crate::proxmox::names::TemplateName;
use miette::Diagnostic;
use std::net::Ipv4Addr;

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot {what} on {machine}: {said}")]
#[diagnostic(
    code(kthw::proxmox::not_built),
    help(
        "the machine is left as it is until another build takes its address: look into it over SSH at `template.build_address`, put right what hinders, and run again: it goes on from there"
    )
)]
pub(super) struct NotBuilt {
    pub machine: String,
    pub what: String,
    pub said: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{machine} went off {starts} times while it was waited for")]
#[diagnostic(
    code(kthw::proxmox::build_goes_off),
    help(
        "look at its console in Proxmox while it starts: the image may not boot on this CPU type, or something in it shuts the machine down"
    )
)]
pub(super) struct GoesOff {
    pub machine: String,
    pub starts: usize,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the guest agent of {machine} does not tell its host keys after a start: {why}")]
#[diagnostic(
    code(kthw::proxmox::build_without_agent),
    help(
        "no template is made of it. See `systemctl status qemu-guest-agent` on the machine; the token of kthw needs VM.GuestAgent.Audit and \
         VM.GuestAgent.FileRead (VM.Monitor before Proxmox VE 9). Then run again"
    )
)]
pub(super) struct NoAgent {
    pub machine: String,
    pub why: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("what answered at {address} is not {machine}: the guest agent of that machine knows none of the host keys that were shown")]
#[diagnostic(
    code(kthw::proxmox::another_machine),
    help(
        "no template is made of it, and what was shown is forgotten. Find out who has {address}; name another `template.build_address` if it is in use"
    )
)]
pub(super) struct AnotherMachine {
    pub machine: String,
    pub address: Ipv4Addr,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{machine} is gone")]
#[diagnostic(code(kthw::proxmox::build_vanished), help("did somebody remove it meanwhile? Run again"))]
pub(super) struct Vanished {
    pub machine: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`{template}` would be built with no public key: nobody could log in")]
#[diagnostic(
    code(kthw::proxmox::build_without_key),
    help("set `ssh.key_file` in the workspace, or list keys under `ssh.authorized_keys` when you use an agent")
)]
pub(super) struct NoPublicKey {
    pub template: TemplateName,
}
