//! What the lab is asked for and does not play: remembered, and never done.
use super::tests::{a_world, run};

#[test]
fn an_unknown_program_is_remembered() {
    let mut state = a_world();
    assert_eq!(run(&mut state, "frobnicate --now").status, 127);
    assert_eq!(state.unknown, ["cu1 $ frobnicate --now"]);
}

#[test]
fn what_a_known_program_is_asked_for_in_vain_is_remembered_and_fails() {
    let mut state = a_world();
    for command in ["apt-get update", "apt-get install -y containerd conntrack"] {
        assert_eq!(run(&mut state, command).status, 0);
    }
    for command in [
        "apt-cache stats",
        "apt-get moo",
        "apt-mark showauto",
        "containerd publish",
        "ctr images pull docker.io/library/nginx:1",
        "dpkg --get-selections",
        "getent services ssh",
        "hostname -d",
        "hostnamectl set-chassis vm",
        "id -G",
        "systemctl isolate rescue.target",
        "uname -o",
    ] {
        let before = state.unknown.len();
        assert_ne!(run(&mut state, command).status, 0, "{command}");
        assert_eq!(state.unknown[before..], [format!("cu1 $ {command}")], "{command}");
    }
}
