//! Verdicts, refusals, and a file that others write too.
use super::*;
use expect_test::expect;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
const RSA_LIKE: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

/// What a run does behind the door.
fn pin(known: &KnownHosts, name: &str, address: IpAddr, port: u16, line: &str) -> Result<String, KnownHostsError> {
    known.write_pin(name, host(address, port), understand(line)?)
}

fn forget(known: &KnownHosts, address: IpAddr, port: u16) -> Result<(), KnownHostsError> {
    known.strike_out(&host(address, port))
}

fn with(text: &str) -> (tempfile::TempDir, Result<KnownHosts, KnownHostsError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    std::fs::write(&path, text).unwrap();
    (folder, KnownHosts::open(path))
}

#[test]
fn the_file_decides() {
    let text = format!(
        "# ours\n\n10.0.0.1 {A}\n10.0.0.1 {RSA_LIKE} comment here\n[10.0.0.2]:2222,cu1\t{B}\n@revoked 10.0.0.3 {A}\n10.0.0.3 {A}\n10.0.0.3 {B}\n"
    );
    let (_folder, known) = with(&text);
    let known = known.unwrap();
    let fingerprint_of_b = fingerprint(&key(B));
    let cases = [
        ("10.0.0.1", 22, A, Verdict::Known),
        ("10.0.0.1", 22, RSA_LIKE, Verdict::Known),
        ("10.0.0.1", 2222, A, Verdict::Unknown),
        ("10.0.0.2", 2222, B, Verdict::Known),
        ("10.0.0.2", 2222, A, Verdict::Changed(vec![fingerprint_of_b])),
        ("CU1", 22, B, Verdict::Known),
        ("10.0.0.3", 22, A, Verdict::Revoked),
        ("10.0.0.3", 22, B, Verdict::Known),
        ("10.0.0.4", 22, A, Verdict::Unknown),
    ];
    for (address, port, presented, verdict) in cases {
        assert_eq!(known.judge(address, port, &key(presented)), verdict, "{address} {port}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_line() {
    let cases = [
        format!("10.0.0.1 {A}\n|1|salt=|hash= {A}\n"),
        format!("*.example {A}"),
        format!("@cert-authority |1|salt=|hash= {A}"),
        format!("@trusted * {A}"),
        "10.0.0.1 ssh-ed25519\n".into(),
        "10.0.0.1 ssh-ed25519 AAAA\n".into(),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|text| {
            let (folder, known) = with(text);
            known.unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "")
        })
        .collect();
    expect![[r#"
        /known_hosts:2: `|1|salt=|hash=` is not a plain host; patterns and hashed hosts are not supported
        /known_hosts:1: `*.example` is not a plain host; patterns and hashed hosts are not supported
        /known_hosts:1: `|1|salt=|hash=` is no pattern; hashed hosts are not supported
        /known_hosts:1: the marker `@trusted` is not supported
        /known_hosts:1: a field is missing
        /known_hosts:1: not a public key: length invalid"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn pinning_is_kept_and_forgetting_keeps_revocations() {
    let (folder, known) = with(&format!("@revoked 10.0.0.1 {B}\n# a comment\n"));
    let known = known.unwrap();
    let address = "10.0.0.1".parse().unwrap();
    let fingerprint = pin(&known, "cu1", address, 22, &format!("{A} root@cu1\n")).unwrap();
    pin(&known, "cu1", address, 22, A).unwrap();
    pin(&known, "cu1", address, 2200, A).unwrap();
    assert!(fingerprint.starts_with("SHA256:"));
    let text = || std::fs::read_to_string(folder.path().join("known_hosts")).unwrap();
    assert_eq!(text(), format!("@revoked 10.0.0.1 {B}\n# a comment\n10.0.0.1 {A} cu1\n[10.0.0.1]:2200 {A} cu1\n"));
    assert_eq!(KnownHosts::open(known.path()).unwrap().judge("10.0.0.1", 22, &key(A)), Verdict::Known);
    forget(&known, address, 22).unwrap();
    assert_eq!(text(), format!("@revoked 10.0.0.1 {B}\n# a comment\n[10.0.0.1]:2200 {A} cu1\n"));
    assert!(!known.is_pinned(address, 22) && known.is_pinned(address, 2200));
    assert!(matches!(pin(&known, "cu1", address, 22, "no key"), Err(KnownHostsError::Key { .. })));
}

#[test]
fn what_others_wrote_meanwhile_stays() {
    let (folder, ours) = with(&format!("# theirs\n10.0.0.9 {B}"));
    let ours = ours.unwrap();
    let path = folder.path().join("known_hosts");
    let theirs = KnownHosts::open(&path).unwrap();
    let [one, two, nine] = ["10.0.0.1", "10.0.0.2", "10.0.0.9"].map(|text| text.parse().unwrap());
    pin(&theirs, "cu1", one, 22, A).unwrap();
    pin(&ours, "cu2", two, 22, A).unwrap();
    let mut text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("# theirs\n10.0.0.9 {B}\n10.0.0.1 {A} cu1\n10.0.0.2 {A} cu2\n"));
    // An operator revokes a key while both runs go on.
    text.insert_str(0, &format!("@revoked 10.0.0.1 {A}\n"));
    std::fs::write(&path, text).unwrap();
    forget(&ours, nine, 22).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("@revoked 10.0.0.1 {A}\n# theirs\n10.0.0.1 {A} cu1\n10.0.0.2 {A} cu2\n"));
    assert_eq!(ours.judge("10.0.0.1", 22, &key(A)), Verdict::Revoked);
    assert!(!theirs.is_pinned(two, 22), "not read again yet");
    assert_eq!(theirs.judge("10.0.0.1", 22, &key(A)), Verdict::Revoked, "a key is judged by the file as it is now");
    pin(&theirs, "cu2", two, 22, A).unwrap();
    assert!(theirs.is_pinned(two, 22));
    assert_eq!(std::fs::read_to_string(&path).unwrap().matches("10.0.0.2").count(), 1);
}

#[test]
fn many_runs_at_once_lose_no_pin() {
    let (folder, _) = with("");
    let path = folder.path().join("known_hosts");
    std::thread::scope(|scope| {
        for run in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let known = KnownHosts::open(path).unwrap();
                for host in 0..25 {
                    let address = format!("10.0.{run}.{host}").parse().unwrap();
                    pin(&known, "n", address, 22, A).unwrap();
                    // To forget one is to write the file anew.
                    if host % 2 == 1 {
                        forget(&known, address, 22).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4 * 13);
    KnownHosts::open(&path).unwrap();
}

#[test]
fn forgetting_a_host_keeps_its_neighbours() {
    let (folder, known) = with(&format!("gate,10.0.0.1 {A} note\n10.0.0.1 {B}\n"));
    forget(&known.unwrap(), "10.0.0.1".parse().unwrap(), 22).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("known_hosts")).unwrap(), format!("gate {A} note\n"));
}

#[test]
fn a_file_that_is_gone_for_a_moment_takes_no_pin_away() {
    let (folder, known) = with(&format!("10.0.0.1 {A}\n"));
    let known = known.unwrap();
    for text in [None, Some("")] {
        match text {
            None => std::fs::remove_file(folder.path().join("known_hosts")).unwrap(),
            Some(text) => std::fs::write(folder.path().join("known_hosts"), text).unwrap(),
        }
        assert!(matches!(known.judge("10.0.0.1", 22, &key(B)), Verdict::Changed(_)));
    }
}

#[test]
fn what_is_learnt_is_believed_and_not_written() {
    let (folder, known) = with(&format!("@revoked 10.0.0.2 {A}\n"));
    let known = known.unwrap();
    let (one, two): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let before = std::fs::read_to_string(known.path()).unwrap();
    known.learn_vouched(one, 22, A).unwrap();
    known.learn_line("10.0.0.2", 22, A).unwrap();
    assert_eq!(known.judge("10.0.0.1", 22, &key(A)), Verdict::Known);
    assert_eq!(known.judge("10.0.0.1", 22, &key(B)), Verdict::Changed(vec![fingerprint(&key(A))]));
    assert_eq!(known.judge("10.0.0.2", 22, &key(A)), Verdict::Revoked);
    assert_eq!(known.trust("10.0.0.1", 22, &key(A)), Some(KeyTrust::Vouched));
    assert_eq!(known.trust("10.0.0.1", 22, &key(B)), None);
    assert!(known.is_known(one, 22) && !known.is_pinned(one, 22) && known.is_known(two, 22));
    assert_eq!(std::fs::read_to_string(known.path()).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no lock either");
    assert_eq!(KnownHosts::open(known.path()).unwrap().judge("10.0.0.1", 22, &key(A)), Verdict::Unknown, "another run knows nothing of it");
}

#[test]
fn a_key_is_taken_at_first_sight_only_where_nobody_vouches_for_it() {
    let (_folder, known) = with("");
    let known = known.unwrap();
    let address: IpAddr = "10.0.0.9".parse().unwrap();
    let may = |unasked| known.takes_first("10.0.0.9", 22, unasked);
    assert!(!may(false) && may(true), "nobody was asked");
    known.cannot_vouch(address, 22, "Permission check failed");
    assert!(!may(false) && !may(true), "somebody knows it, and could not say");
    assert_eq!(known.why_not_first("10.0.0.9", 22), " (Permission check failed)");
    known.allow_first("cu9", address, 22, "no agent");
    assert!(may(false));
    let said = "the SSH host key at 10.0.0.9 will be taken on first use: nobody vouches for that of cu9 (no agent)";
    assert_eq!((known.take_warnings(), known.take_warnings()), (vec![said.to_owned()], vec![]));

    known.set_first_use(FirstUse::Never);
    known.allow_first("cu9", address, 22, "still no agent");
    assert!(!may(false) && !may(true), "a dry run");
    assert_eq!(known.take_warnings(), Vec::<String>::new());
}

#[test]
fn what_becomes_of_a_key_that_was_taken_at_first_sight_is_said() {
    let (_folder, known) = with("");
    let known = known.unwrap();
    let address: IpAddr = "10.0.0.9".parse().unwrap();
    for port in [22, 2222] {
        let said = |known: &KnownHosts| known.took_first("cu9", "10.0.0.9", port, "SHA256:x");
        let begin = format!("first connection to cu9 at 10.0.0.9:{port}: its host key SHA256:x is taken as it came, ");
        assert!(said(&known).starts_with(&format!("{begin}and kept in ")), "{}", said(&known));
        known.allow_until_confirmed(address, port);
        assert_eq!(said(&known), format!("{begin}its guest agent has to know it before anything is made of it"));
    }
}

#[test]
fn patterns_of_authorities_are_those_of_ssh() {
    use super::line::is_like;
    let cases = [
        ("*", "anything", true),
        ("10.0.?.*", "10.0.1.20", true),
        ("10.0.?.*", "10.0.10.20", false),
        ("*.example", "a.b.example", true),
        ("*.example", "a.example.org", false),
        ("a*b*c", "aXbXbXc", true),
        ("a*b*c", "aXbXbX", false),
        ("", "", true),
        ("?", "", false),
    ];
    for (pattern, text, like) in cases {
        assert_eq!(is_like(pattern.as_bytes(), text.as_bytes()), like, "{pattern} {text}");
    }
    let (folder, known) = with(&format!("@cert-authority *.example,!bad.example {A}\n"));
    let known = known.unwrap();
    let covered = [("a.example", 22), ("a.example", 2222), ("bad.example", 22), ("bad.example", 2222), ("b.org", 22)];
    assert_eq!(covered.map(|(host, port)| known.has_authority(host, port)), [true, true, false, false, false]);
    // It is no key of a host itself, and forgetting hosts leaves it.
    assert_eq!(known.judge("a.example", 22, &understand(A).unwrap()), Verdict::Unknown);
    known.strike_out("a.example").unwrap();
    assert!(std::fs::read_to_string(folder.path().join("known_hosts")).unwrap().contains("@cert-authority"));
}
