//! Fifty secrets through everything that kthw does, and through everything that goes wrong: none of them comes out anywhere.
//!
//! The nodes' side (what a real sshd is asked to run) is `stdlib/tests/canary_ssh.rs`.
mod echo;
mod home;
mod lab;
mod scan;
mod values;

use echo::{ANSWERS, Echo};
use home::Home;
use scan::Scanner;
use values::{Canary, canaries};

/// Everything that a script may try with a secret `s` beside handing it to an option that takes one, on a node `n`.
const MISUSES: &[&str] = &[
    r#"ssh::file(n, "/a", #{ content: `token=${s}` });"#,
    r#"ssh::file(n, "/a", #{ content: [s] });"#,
    r#"ssh::file(n, "/a", #{ content: s, mode: s });"#,
    r#"ssh::file(n, "/a", #{ content: s, owner: s });"#,
    r#"ssh::file(n, "/a", #{ content: s, unknown: 1 });"#,
    r#"ssh::file(n, "/a", #{ content: s, unknown: s });"#,
    r#"ssh::file(n, "relative", #{ content: s });"#,
    r#"ssh::file(n, s, #{ content: "x" });"#,
    r#"ssh::file(n, "/a", #{ content: s, needs: s });"#,
    r#"ssh::file(n, "/a", #{ content: s, needs: ["ssh.node/none"] });"#,
    r#"ssh::file(n, "/a", #{ content: s }); ssh::file(n, "/a", #{ content: s });"#,
    r#"ssh::file("none", "/a", #{ content: s });"#,
    r#"ssh::line(n, "/etc/environment", s);"#,
    r#"ssh::line(n, "/etc/environment", `TOKEN=${s}`);"#,
    r#"ssh::command(n, "login", #{ run: ["login", "--password", s], creates: "/a" });"#,
    r#"ssh::command(n, "login", #{ run: ["login", "--password=" + s], creates: "/a" });"#,
    r#"ssh::command(n, "login", #{ run: ["login"], unless: ["test", s] });"#,
    r#"ssh::script(n, "login", #{ check: "false", apply: `login ${s}` });"#,
    r#"ssh::script(n, "login", #{ check: s, apply: s });"#,
    r#"ssh::package(n, s);"#,
    r#"ssh::package(n, "curl", #{ version: s });"#,
    r#"ssh::repository(n, "a", #{ uri: s, suites: ["x"], components: ["y"], key: s });"#,
    r#"ssh::service(n, "a", #{ enabled: s });"#,
    r#"ssh::sysctl(n, "net.ipv4.ip_forward", s);"#,
    r#"ssh::symlink(n, "/a", s.to_string());"#,
    r#"ssh::directory(n, "/a", #{ mode: s });"#,
    r#"proxmox::template(cluster, "t", #{ image: s });"#,
    r#"proxmox::vm(cluster, n, #{ template: s });"#,
    r#"kubeadm::control_plane(cluster, #{ version: s });"#,
    r#"kubeadm::worker(cluster, n, #{ token: s });"#,
    r#"kubernetes::manifest(cluster, "m", #{ objects: [#{ apiVersion: "v1", kind: "Secret", metadata: #{ name: "a" }, data: #{ a: s } }] });"#,
    r#"kubernetes::manifest(cluster, "m", #{ yaml: `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: ${s}}` });"#,
    r#"calico::installation(cluster, #{ encapsulation: s });"#,
    r#"if s == "x" { print(s); }"#,
    r#"if s == s { }"#,
    r#"switch s { "x" => 1, _ => throw s }"#,
    r#"throw s;"#,
    r#"throw `no ${s}`;"#,
    r#"throw #{ secret: s };"#,
    r#"print(s); debug(s); throw "after printing";"#,
    r#"print(`${s} ${[s]} ${#{ a: s }}`); s.nothing();"#,
    r#"let t = s.name;"#,
    r#"let t = s.value; print(t);"#,
    r#"let t = s[0];"#,
    r#"let t = s + 1;"#,
    r#"let t = #{ a: s }.to_json(); throw t;"#,
    r#"let t = parse_json(s);"#,
    r#"let t = [s, s]; t.sort(); throw t;"#,
    r#"let f = Fn("nothing"); f.call(s);"#,
    r#"let t = type_of(s); throw t;"#,
    r#"sops::secret(s);"#,
    r#"ssh::file(n, "/a", #{ content: sops::secret("canary.c99") });"#,
    r#"ssh::file(n, "/a", #{ content: sops::secret("canary") });"#,
    r#"while true { s }"#,
    r#"fn f() { let s = sops::secret("canary.c01"); s / 0 } f();"#,
];

#[test]
fn the_scanner_finds_a_canary_in_every_channel_and_spelling() {
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    let canaries = canaries();
    let scanner = Scanner::new(&canaries);
    let home = Home::new(&scanner, "tests/workspaces/bare", &canaries, &[]);
    let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    for canary in &canaries {
        let value = &canary.value;
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        for (spelled, how) in [
            (value.clone(), "plain"),
            (serde_json::to_string(value).unwrap(), "JSON"),
            (format!("{value:?}"), "Rust"),
            (format!("'{}'", value.replace('\'', r"'\''")), "shell"),
            (value.replace(' ', "+"), "form"),
            (value.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { percent(&c.to_string()) }).collect(), "URL"),
            (hex.to_uppercase(), "HEX"),
            (hex, "hex"),
            (value.chars().rev().collect(), "reversed"),
            (value.chars().skip(value.len() / 3).collect(), "its end"),
            (STANDARD.encode(value), "base64"),
            (STANDARD.encode(format!("a{value}")), "base64, moved by one"),
            (STANDARD.encode(format!("ab{value}")), "base64, moved by two"),
            (URL_SAFE_NO_PAD.encode(format!("user:{value}")), "base64url"),
        ] {
            let found = scanner.found(format!("so: {spelled}.").as_bytes());
            assert!(found.iter().any(|found| found.starts_with(&canary.name)), "{} as {how}: {spelled}", canary.name);
        }
    }
    home.clean();
    for file in ["store/bare/other.json", "recipes/recipes.lock", "workspace/plan.txt"] {
        let path = home.sandbox.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("a {} b", canaries[7].value)).unwrap();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| home.clean())).is_err(), "{file}");
        std::fs::remove_file(path).unwrap();
    }
    // What the real binary prints: a plan and events on standard output, an error on standard error. The canary stands in a plain path.
    let planted =
        format!("for n in cluster.nodes {{ ssh::node(n); ssh::file(n, \"/etc/{}\", #{{ content: \"x\" }}); }}", canaries[0].cores[0]);
    let recipe = home.recipe("planted", &planted);
    let workspace = home.workspace();
    let run = ["run", &recipe, "-w", &workspace, "--lab", "--dry-run"];
    for call in [&run[..], &[&run[..], &["--json"]].concat(), &["help", &canaries[9].cores[0]]] {
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| home.kthw(call)));
        assert!(seen.is_err(), "{call:?}: {}{}", seen.as_ref().unwrap().stdout, seen.as_ref().unwrap().stderr);
    }
}

#[test]
fn a_misused_secret_is_refused_and_not_shown() {
    let canaries = canaries();
    let scanner = Scanner::new(&canaries);
    let home = Home::new(&scanner, "tests/workspaces/bare", &canaries, &[]);
    let workspace = home.workspace();
    let mut taken = Vec::new();
    for (number, misuse) in MISUSES.iter().enumerate() {
        let name = &canaries[number % canaries.len()].name;
        let recipe = home.recipe(
            &format!("misuse{number}"),
            &format!("for n in cluster.nodes {{ ssh::node(n); }}\nlet n = cluster.nodes[0];\nlet s = sops::secret(\"{name}\");\n{misuse}"),
        );
        let calls: [&[&str]; 4] = [
            &["check", &recipe, "-w", &workspace],
            &["run", &recipe, "-w", &workspace, "--lab", "--yes"],
            &["run", &recipe, "-w", &workspace, "--lab", "--dry-run", "--json"],
            &["run", &recipe, "-w", &workspace, "--lab", "--yes", "--set", "machine.cores=4", "--plain"],
        ];
        let codes = calls.map(|call| home.kthw(call).code);
        if codes[1] == 0 {
            taken.push(*misuse);
        }
    }
    home.clean();
    assert_eq!(taken, Vec::<&str>::new(), "taken without an error");
}

#[test]
fn a_proxmox_that_says_everything_back_gives_nothing_away() {
    let canaries = canaries();
    let scanner = Scanner::new(&canaries);
    let folder = tempfile::tempdir().unwrap();
    let Some(echo) = Echo::start("127.0.0.81", folder.path()) else { return };
    let home = Home::new(&scanner, "workspaces/ubuntu", &[], &[]);
    let workspace = home.workspace();
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", "phases/template", "-w", &workspace, "--dry-run"];
        arguments.extend(more);
        home.kthw(&arguments)
    };
    let mut next = canaries.iter().cycle();
    let secrets = |canary: &Canary, more: &[(&str, &str)]| {
        home.encrypt(&[Canary { name: canary.name.clone(), value: canary.value.clone(), cores: vec![] }], more);
    };
    for (answer, (how, _)) in ANSWERS.iter().enumerate() {
        *echo.answer.lock().unwrap() = answer;
        for turn in 0..6 {
            let canary = next.next().unwrap();
            let token = format!("kthw@pve!ci={}", canary.value);
            let mut more = vec![("proxmox.endpoint", echo.endpoint.as_str()), ("proxmox.fingerprint", echo.fingerprint.as_str())];
            if turn % 2 == 0 {
                more.push(("proxmox.token", &token));
            } else {
                more.extend([("proxmox.username", "root@pam"), ("proxmox.password", canary.value.as_str())]);
            }
            secrets(canary, &more);
            let said = run(if turn > 3 { &["--json"] } else { &[] });
            assert_eq!(said.code, 3, "{}: {}\n{}{}", how, canary.name, said.stdout, said.stderr);
        }
    }
    let heard = echo.heard.lock().unwrap().clone();
    let told = scanner.found(&heard).len();
    assert!(told > 20, "the server heard only {told} of the canaries, so this test shows nothing");
    home.clean();
}

#[test]
fn a_secret_in_the_place_of_a_setting_is_not_quoted() {
    let canaries = canaries();
    let scanner = Scanner::new(&canaries);
    let folder = tempfile::tempdir().unwrap();
    let Some(echo) = Echo::start("127.0.0.82", folder.path()) else { return };
    let home = Home::new(&scanner, "workspaces/ubuntu", &[], &[]);
    let workspace = home.workspace();
    for (number, canary) in canaries.iter().enumerate() {
        let value = canary.value.as_str();
        let url = format!("https://root:{value}@127.0.0.82:1");
        let query = format!("{}/?token={value}", echo.endpoint);
        let wrong = match number % 7 {
            0 => vec![("proxmox.endpoint", value)],
            1 => vec![("proxmox.endpoint", url.as_str())],
            2 => vec![("proxmox.endpoint", query.as_str())],
            3 => vec![("proxmox.endpoint", echo.endpoint.as_str()), ("proxmox.token", value)],
            4 => vec![("proxmox.endpoint", echo.endpoint.as_str()), ("proxmox.username", value), ("proxmox.password", "x")],
            5 => vec![("proxmox.endpoint", echo.endpoint.as_str()), ("proxmox.token", "a@b!c=d"), ("proxmox.fingerprint", value)],
            _ => vec![("proxmox.endpoint", echo.endpoint.as_str()), ("proxmox.token", "a@b!c=d"), ("proxmox.ca_file", value)],
        };
        home.encrypt(&[], &wrong);
        let said = home.kthw(&["run", "phases/template", "-w", &workspace, "--dry-run"]);
        assert_ne!(said.code, 0, "{wrong:?}");
    }
    // A server that is not the one, one that is not believed, and none at all.
    let canary = &canaries[0];
    let token = format!("kthw@pve!ci={}", canary.value);
    let other = "00".repeat(32);
    for more in [
        vec![("proxmox.endpoint", echo.endpoint.as_str()), ("proxmox.fingerprint", &other), ("proxmox.token", &token)],
        vec![("proxmox.endpoint", echo.endpoint.as_str()), ("proxmox.token", &token)],
        vec![("proxmox.endpoint", "https://127.0.0.82:1"), ("proxmox.token", &token)],
    ] {
        home.encrypt(&[], &more);
        assert_eq!(home.kthw(&["run", "phases/template", "-w", &workspace, "--dry-run"]).code, 3);
    }
    home.clean();
}

#[test]
fn a_damaged_secrets_file_gives_nothing_away() {
    let canaries = canaries();
    let scanner = Scanner::new(&canaries);
    let home = Home::new(&scanner, "workspaces/ubuntu", &canaries, &[("proxmox.endpoint", "127.0.0.83"), ("proxmox.token", "a@b!c=d")]);
    let workspace = home.workspace();
    let whole = std::fs::read_to_string(home.secrets()).unwrap();
    let sealed: Vec<usize> = whole.match_indices("ENC[").map(|(at, _)| at).collect();
    for at in sealed.iter().step_by(11) {
        for damage in [
            |text: &mut String, at: usize| text.replace_range(at + 30..at + 31, "="),
            |text: &mut String, at: usize| text.insert(at, '"'),
            |text: &mut String, at: usize| text.truncate(at),
        ] {
            let mut text = whole.clone();
            damage(&mut text, *at);
            std::fs::write(home.secrets(), text).unwrap();
            assert_ne!(home.kthw(&["run", "phases/template", "-w", &workspace, "--dry-run"]).code, 0);
        }
    }
    home.clean();
}

#[test]
fn the_secrets_of_a_recipe_are_checked_by_their_names() {
    let canaries = canaries();
    let scanner = Scanner::new(&canaries);
    let home = Home::new(&scanner, "tests/workspaces/bare", &canaries[..3], &[("proxmox.token", "x"), ("app.old", "x")]);
    let script = "for n in cluster.nodes {\n    ssh::node(n);\n    ssh::file(n, \"/a\", #{ content: sops::secret(\"canary.c00\") });\n    ssh::file(n, \"/b\", #{ content: sops::secret(\"app.odl\") });\n}";
    let recipe = home.recipe("uses", script);
    let workspace = home.workspace();
    let check = |more: &[&str]| {
        // Without any key at hand: nothing is decrypted.
        let arguments = [&["secrets", "check", &recipe, "-w", &workspace], more].concat();
        home.sandbox.kthw(&arguments)
    };
    let said = check(&[]).ended_with(1);
    let expected = format!(
        "missing  app.odl  ({recipe}:6)\n         did you mean `app.old`?\nused     canary.c00  ({recipe}:5)\nused     proxmox.token  (the Proxmox settings)\nunused   canary.c01\nunused   canary.c02\nunused   app.old\n{workspace}/secrets.sops.yaml: 2 used, 1 missing, 3 unused.\n"
    );
    assert_eq!(said.stdout, expected);
    let json: serde_json::Value = serde_json::from_str(&check(&["--json"]).ended_with(1).stdout).unwrap();
    assert_eq!(
        json["used"][0],
        serde_json::json!({"name": "app.odl", "by": [format!("{recipe}:6")], "missing": true, "help": "did you mean `app.old`?"})
    );
    assert_eq!(json["unused"], serde_json::json!(["canary.c01", "canary.c02", "app.old"]));
    home.recipe("uses", &script.replace("app.odl", "app.old"));
    assert!(check(&[]).ended_with(0).stdout.contains("3 used, 0 missing, 2 unused"));
}
