//! Peers that never answer: on each seam a limit of ours ends the wait, and says which.
use super::{FULL, Lab, changes, failures};
use kthw_lab::{Fault, Outcome, Trigger};

const MUTE: Outcome = Outcome::Hangs { carried_out: false };

#[tokio::test(start_paused = true)]
async fn a_silent_proxmox_is_given_up_after_a_minute() {
    let lab = Lab::new("mute-proxmox");
    lab.world.add_fault(Fault::once(Trigger::http("POST", "/clone"), MUTE));
    let failed = failures(&lab.apply("phases/machines").await);
    println!("{failed}");
    assert!(failed.contains("no answer within 60 s"), "{failed}");
}
