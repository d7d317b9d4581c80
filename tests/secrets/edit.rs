//! `kthw secrets edit`: what the editor gets and leaves, and what becomes of it.
use super::{
    desk::{Desk, fed},
    kill::holding,
};
use expect_test::expect;
use kthw_peers::{VIM, ask};
use std::path::{Path, PathBuf};

const PLAIN: &str = "a: one\nb: two\n";

/// The file that a message says is kept.
fn kept(text: &str) -> PathBuf {
    let place = text.split_once(" --from ").or_else(|| text.split_once("| diff - ")).expect(text).1;
    PathBuf::from(place.lines().next().expect(text))
}

#[test]
fn an_edit_is_sealed_and_what_did_not_change_stays() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let before = desk.read("secrets.sops.yaml");
    let said = desk.edit("sed -i 's/two/three/' \"$1\"; stat -c 'mode %a' \"$1\" \"${1%/*}\" >&2; echo \"$1 $TMPDIR\" > seen", &[]);
    expect![[r#"
        mode 600
        mode 700
        Saved secrets.sops.yaml.
    "#]]
    .assert_eq(&desk.tell(&said));
    let after = desk.read("secrets.sops.yaml");
    assert_eq!(before.lines().next(), after.lines().next());
    assert_ne!(before.lines().nth(1), after.lines().nth(1));
    assert_eq!(desk.kthw(&["decrypt"], "").stdout, "a: one\nb: three\n");
    let seen = desk.read("seen");
    let (file, folder) = seen.trim().split_once(' ').unwrap();
    assert_eq!(Path::new(file).parent(), Some(Path::new(folder)), "what the editor writes besides is in memory too");
    assert!(!Path::new(folder).exists(), "it is gone");

    expect![[r#"
        Nothing changed in secrets.sops.yaml.
    "#]]
    .assert_eq(&desk.tell(&desk.edit("true", &[])));
    assert_eq!(desk.read("secrets.sops.yaml"), after);
}

#[test]
fn a_new_file_is_made_by_the_rules() {
    let desk = Desk::new();
    let said = desk.edit("cat \"$1\" >&2; printf 'a: 1\\n' > \"$1\"", &["new.yaml"]);
    expect![[r#"
        # Every value below is encrypted; comments are too. For example:
        # proxmox:
        #   token: the token
        Saved new.yaml.
    "#]]
    .assert_eq(&desk.tell(&said));
    assert_eq!(desk.kthw(&["decrypt", "new.yaml"], "").stdout, "a: 1\n");
    expect![[r#"
        Nothing changed in other.json.
    "#]]
    .assert_eq(&desk.tell(&desk.edit("true", &["other.json"])));
    assert!(!desk.file("other.json").exists());
    std::fs::remove_file(desk.file(".sops.yaml")).unwrap();
    desk.write(".sops.yml", "");
    let said = desk.edit("exit 1", &["third.yaml"]);
    expect![[r#"
        kthw::sops::no_creation_rules

          × no creation rules say who can open third.yaml
          help: rename .sops.yml to `.sops.yaml`: under its present name nobody reads it

        (ended with 2)
    "#]]
    .assert_eq(&desk.tell(&said));
    std::fs::remove_file(desk.file(".sops.yml")).unwrap();
    let said = desk.edit("exit 1", &["third.yaml"]);
    expect![[r#"
        kthw::sops::no_creation_rules

          × no creation rules say who can open third.yaml
          help: make a file `.sops.yaml` beside it or in a folder above, such as:
                creation_rules:
                  - path_regex: secrets\.sops\.yaml$
                    age: age1…   # the public key that `age-keygen` prints
                or name who can open it with `--age` and so on: `kthw secrets encrypt` takes them as sops does

        (ended with 2)
    "#]]
    .assert_eq(&desk.tell(&said));
}

#[test]
fn an_invalid_text_is_kept_and_taken_up_again() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let before = desk.read("secrets.sops.yaml");
    let said = desk.edit("printf 'a: [\"mine\"\\n' > \"$1\"", &[]);
    let told = desk.tell(&said);
    let place = kept(&said.stderr);
    expect![[r#"
        kthw::secrets::not_valid

          × the text for secrets.sops.yaml cannot be encrypted: unclosed bracket '[' (line 1)
          help: mend the text there; `--input-type` names another format than the file's name

        Take the edit up again with:
          kthw secrets edit secrets.sops.yaml --from /dev/shm/kthw-kept-XXXXXX/secrets.sops.yaml

        kthw::secrets::not_saved

          × the edit of secrets.sops.yaml is not saved, and secrets.sops.yaml is as it was
          help: the edit is kept in memory until the next restart: go on as said above, or remove the folder named
                there

        (ended with 2)
    "#]]
    .assert_eq(&told);
    assert_eq!(desk.read("secrets.sops.yaml"), before);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "a: [\"mine\"\n");
    let said = desk.edit("sed -i 's/.$/&]/' \"$1\"", &["--from", place.to_str().unwrap()]).ended_with(0);
    expect![[r#"
        Saved secrets.sops.yaml.
    "#]]
    .assert_eq(&desk.tell(&said));
    assert_eq!(desk.kthw(&["decrypt"], "").stdout, "a: [\"mine\"]\n");
    assert!(!place.parent().unwrap().exists(), "it is not needed any longer");
}

#[test]
fn an_editor_that_fails_changes_nothing() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let before = desk.read("secrets.sops.yaml");
    let mut command = desk.command(&["edit"]);
    command.env("SOPS_EDITOR", "no-such-editor --wait");
    let said = desk.tell(&fed(command, ""));
    expect![[r#"
        sh: 1: no-such-editor: not found
        kthw::secrets::editor

          × the editor `no-such-editor --wait` failed: there is no such program
          help: name another one in SOPS_EDITOR, such as `nano` or `code --wait`

        (ended with 2)
    "#]]
    .assert_eq(&said);
    expect![[r#"
        kthw::secrets::editor

          × the editor `f() { exit 3; }; f` failed: it ended with exit status: 3
          help: name another one in EDITOR, such as `nano` or `code --wait`

        (ended with 2)
    "#]]
    .assert_eq(&desk.tell(&desk.edit("exit 3", &[])));
    let said = desk.edit("printf 'a: mine\\n' > \"$1\"; exit 3", &[]).ended_with(2);
    let place = kept(&said.stderr);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "a: mine\n", "what was written is not lost");
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
    assert_eq!(desk.read("secrets.sops.yaml"), before);
}

#[test]
fn a_change_by_somebody_else_stays() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let said = desk.edit("printf 'a: mine\\n' > \"$1\"; printf theirs > secrets.sops.yaml", &[]);
    let place = kept(&said.stderr);
    expect![[r#"
        kthw::sops::changed

          × secrets.sops.yaml was changed by somebody else meanwhile
          help: it is as they left it; look at their change, then do yours again

        Compare the two, then edit secrets.sops.yaml again:
          kthw secrets decrypt secrets.sops.yaml | diff - /dev/shm/kthw-kept-XXXXXX/secrets.sops.yaml

        kthw::secrets::not_saved

          × the edit of secrets.sops.yaml is not saved, and secrets.sops.yaml is as it was
          help: the edit is kept in memory until the next restart: go on as said above, or remove the folder named
                there

        (ended with 2)
    "#]]
    .assert_eq(&desk.tell(&said));
    assert_eq!(desk.read("secrets.sops.yaml"), "theirs");
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();

    let desk = Desk::new();
    let said = desk.edit("printf 'a: mine\\n' > \"$1\"; printf theirs > secrets.sops.yaml", &["secrets.sops.yaml"]).ended_with(2);
    assert!(said.stderr.contains("kthw::sops::changed"), "{}", said.stderr);
    std::fs::remove_dir_all(kept(&said.stderr).parent().unwrap()).unwrap();
    assert_eq!(desk.read("secrets.sops.yaml"), "theirs");
}

/// kthw is asked to end while the editor is open: it waits for the editor, and the edit is not lost.
#[test]
fn a_terminated_edit_is_kept() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let before = desk.read("secrets.sops.yaml");
    let said = desk.edit("printf 'a: mine\\n' > \"$1\"; kill -TERM $PPID; sleep 0.3", &[]).ended_with(2);
    let place = kept(&said.stderr);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "a: mine\n");
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
    assert_eq!(desk.read("secrets.sops.yaml"), before);
    // Ctrl-C is the editor's own affair.
    desk.edit("printf 'a: mine\\n' > \"$1\"; kill -INT $PPID; sleep 0.3", &[]).ended_with(0);
    assert_eq!(desk.kthw(&["decrypt"], "").stdout, "a: mine\n");
}

#[test]
fn a_person_is_asked_whether_to_edit_an_invalid_text_again() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    desk.write("editor", "if [ -e again ]; then printf 'a: mine\\n' > \"$1\"; else touch again; printf 'a: [' > \"$1\"; fi\n");
    let editor = [("EDITOR", "sh editor")];
    let Some(shown) = desk.on_terminal(&["edit"], &editor, &["\n"]) else { return };
    assert!(shown.contains("Press Enter to edit it again") && shown.contains("Saved secrets.sops.yaml."), "{shown}");
    assert_eq!(desk.kthw(&["decrypt"], "").stdout, "a: mine\n");
    std::fs::remove_file(desk.file("again")).unwrap();
    let before = desk.read("secrets.sops.yaml");
    let shown = desk.on_terminal(&["edit"], &editor, &["drop\n"]).unwrap();
    assert!(shown.contains("secrets.sops.yaml is as it was."), "{shown}");
    assert_eq!(desk.read("secrets.sops.yaml"), before);
}

/// Vim would keep what is deleted or copied in ~/.viminfo, and its swap and undo files where the user's settings say.
#[test]
fn vim_keeps_nothing_of_the_text() {
    let Some([vim]) = ask([&VIM]) else { return };
    let desk = Desk::with("secrets.sops.yaml", "a: canary-7d\nb: two\n");
    desk.write(".vimrc", "set directory=~/keep// backupdir=~/keep// undodir=~/keep// undofile backup swapfile viminfo='100,<50\n");
    desk.write("keep/.keep", "");
    let Some(shown) = desk.on_terminal(&["edit"], &[("EDITOR", vim.to_str().unwrap())], &["ggddp", ":wq\n"]) else { return };
    assert!(shown.contains("Saved secrets.sops.yaml."), "{shown}");
    assert_eq!(desk.kthw(&["decrypt"], "").stdout, "b: two\na: canary-7d\n");
    assert_eq!(holding(desk.path(), "canary-7d"), Vec::<PathBuf>::new());
}

#[test]
fn a_kept_edit_does_not_undo_what_came_later() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let said = desk.edit("printf 'a: [' > \"$1\"", &[]).ended_with(2);
    let place = kept(&said.stderr);
    std::fs::write(&place, "a: mine\n").unwrap();
    desk.kthw(&["set", "proxmox.token"], "theirs").ended_with(0);
    let said = desk.edit("true", &["--from", place.to_str().unwrap()]).ended_with(2);
    assert!(said.stderr.contains("was changed after the kept edit was begun"), "{}", said.stderr);
    assert_eq!(desk.kthw(&["get", "proxmox.token"], "").stdout, "theirs");
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
}

/// kthw ends while its editor does not: what the editor writes afterwards is in the kept text.
#[test]
fn an_editor_that_outlives_kthw_keeps_its_file() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let editor = "trap '' TERM; kill -TERM $PPID; i=0; while kill -0 $PPID 2>/dev/null && [ $i -lt 150 ]; do sleep 0.1; i=$((i+1)); done; \
                  printf 'a: late\\n' > \"$1\"";
    let said = desk.edit(editor, &[]).ended_with(2);
    let place = kept(&said.stderr);
    let written = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::read_to_string(&place).is_ok_and(|text| text == "a: late\n")
    });
    assert!(written, "{:?}", std::fs::read_to_string(&place));
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
    let link = place.parent().unwrap().to_string_lossy().replace("kthw-kept-", "kthw-edit-");
    std::fs::remove_file(link).unwrap();
}

/// At the question what to do with a text that is not valid, every signal ends kthw, and the text is kept.
#[test]
fn a_signal_at_the_question_keeps_the_edit() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let Some(seen) = desk.on_terminal(&["edit"], &[("EDITOR", "printf 'a: [' >")], &["\u{3}"]) else { return };
    let place = kept(&seen);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "a: [");
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
}
