//! What a command prints is heard as it comes, and a connection that breaks does not end it.
use super::server::{Sshd, peers};
use kthw_engine::{
    RunOptions, execute_heard,
    node::{Action, Heard},
};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

#[tokio::test]
async fn output_is_heard_as_it_comes() {
    let Some(sshd) = Sshd::start("127.0.0.77") else { return };
    let script = "echo first; sleep 2; printf '\\n\\nlast without end'; echo why >&2; exit 7";
    let (begun, told) = (Instant::now(), Mutex::new(Vec::new()));
    let heard = |piece: Heard<'_>| {
        let (stream, bytes) = match piece {
            Heard::Stdout(bytes) => ("out", bytes),
            Heard::Stderr(bytes) => ("err", bytes),
        };
        told.lock().unwrap().push((stream, String::from_utf8_lossy(bytes).into_owned(), begun.elapsed()));
    };
    let action = Action::run(["sh", "-c", script]);
    let output = execute_heard("cu1", &action, &peers(sshd.nodes()), &RunOptions::default(), &heard).await;
    let output = output.unwrap_or_else(|error| panic!("{}", super::told(&error)));
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (7, "", ""));
    let told = told.into_inner().unwrap();
    let all = |stream| told.iter().filter(|piece| piece.0 == stream).map(|piece| piece.1.as_str()).collect::<String>();
    assert_eq!((all("out").as_str(), all("err").as_str()), ("first\n\n\nlast without end\n", "why\n"));
    let last = told.last().unwrap().2;
    assert!(told[0].1 == "first\n" && told[0].2 + Duration::from_secs(1) < last, "{told:?}");
}

#[tokio::test]
async fn more_than_is_kept_of_an_answer_is_heard() {
    let Some(sshd) = Sshd::start("127.0.0.78") else { return };
    let bytes = Mutex::new(0_usize);
    let heard = |piece: Heard<'_>| {
        if let Heard::Stdout(piece) = piece {
            *bytes.lock().unwrap() += piece.len();
        }
    };
    let action = Action::run(["sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x | fold -w 999"]);
    execute_heard("cu1", &action, &peers(sshd.nodes()), &RunOptions::default(), &heard).await.unwrap();
    assert_eq!(bytes.into_inner().unwrap(), 100_000_000 + 100_000_000_usize.div_ceil(999));
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_command_to_its_end() {
    let Some(sshd) = Sshd::start("127.0.0.79") else { return };
    let done = sshd.at("done").display().to_string();
    let action = Action::run(["sh", "-c", "echo begun; sleep 2; echo more; sleep 1; echo end; : >\"$1\"", "sh", &done]);
    let peers = peers(sshd.nodes());
    let (told, mut listening) = tokio::sync::mpsc::unbounded_channel();
    let heard = move |_: Heard<'_>| {
        let _ = told.send(());
    };
    let options = RunOptions::default();
    let running = execute_heard("cu1", &action, &peers, &options, &heard);
    tokio::select! {
        _ = running => panic!("it takes three seconds"),
        _ = listening.recv() => {}
    }
    // Dropping the nodes closes the connection.
    drop(peers);
    let begun = Instant::now();
    while !sshd.at("done").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was ended with the connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
