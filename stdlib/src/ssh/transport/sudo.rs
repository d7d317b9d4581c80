//! Why sudo did not become root, in its own words: each means another thing to do.
//!
//! The texts are those of sudo 1.8 to 1.9 in English (`plugins/sudoers`, `src`); in another language only that it was sudo is known.

/// What sudo, or the shell that did not find it, said, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SudoRefusal {
    pub said: String,
    pub help: String,
}

/// Texts that leave one cause, and the help for it; `USER` stands for the user.
const KNOWN: [(&[&str], &str); 6] = [
    (
        &[
            "a password is required",
            "is not in the sudoers file",
            "is not allowed to execute",
            "is not allowed to run sudo",
            "may not run sudo",
        ],
        "allow it without a password on the node: `echo 'USER ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/90-kthw`, or set `ssh.user: root`",
    ),
    (
        &["you must have a tty to run sudo", "a terminal is required", "no tty present"],
        "sudo wants a terminal of this user: write `Defaults:USER !requiretty` and `USER ALL=(ALL) NOPASSWD:ALL` into /etc/sudoers.d/90-kthw on the node",
    ),
    (
        &["account validation failure", "is expired", "has expired", "password expired"],
        "the account of USER has ended or wants a new password: `chage -l USER` on the node tells, `chage -M -1 -E -1 USER` lifts it",
    ),
    (
        &["syntax error", "parse error", "unable to open /etc/sudoers", "is owned by uid", "is world writable", "no valid sudoers sources"],
        "the rules of sudo on the node cannot be read: `visudo -c` as root shows where",
    ),
    (
        &["effective uid is not 0", "must be owned by uid 0", "no new privileges"],
        "sudo on the node has lost its setuid bit, or its file system forbids it: `ls -l $(command -v sudo)`, `findmnt -T $(command -v sudo)`",
    ),
    (&["not found", "unknown command", "no such file"], "install sudo on the node, or set `ssh.user: root`"),
];

/// What `stderr`, printed in place of what the script would have printed, says of sudo; `None` when it is not about sudo.
pub(crate) fn sudo_refusal(stderr: &str, user: &str) -> Option<SudoRefusal> {
    // A host name that does not resolve is a warning, and the lecture that some distributions print is none of the reasons.
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("unable to resolve host"));
    let about_sudo = |line: &&str| line.contains("sudo") || line.starts_with(&format!("{user} ")) || line.starts_with("Sorry, user");
    for (texts, help) in KNOWN {
        let said = lines().filter(about_sudo).find(|line| texts.iter().any(|text| line.to_lowercase().contains(text)));
        if let Some(said) = said {
            return Some(SudoRefusal { said: said.to_owned(), help: help.replace("USER", user) });
        }
    }
    let said = lines().rfind(|line| line.starts_with("sudo:"))?;
    let help = format!(
        "either {user} may not use sudo on the node without a password (`sudo -n true`, logged in as {user}, tells), or sudo there does not work (`visudo -c`)"
    );
    Some(SudoRefusal { said: said.to_owned(), help })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_of_sudo_has_its_own_help() {
        let cases = [
            ("sudo: a password is required", "NOPASSWD:ALL' >"),
            ("sudo: unable to resolve host cu1: Name or service not known\nsudo: a password is required", "NOPASSWD:ALL' >"),
            ("kthw is not in the sudoers file.  This incident will be reported.", "NOPASSWD:ALL' >"),
            ("Sorry, user kthw is not allowed to execute '/usr/bin/sh -c x' as root on cu1.", "NOPASSWD:ALL' >"),
            ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
            ("sudo: a terminal is required to read the password; either use the -S option", "!requiretty"),
            ("sudo: account validation failure, is your account locked?", "chage -l kthw"),
            ("/etc/sudoers:1:1: syntax error\nsudo: no valid sudoers sources found, quitting", "visudo -c"),
            ("sudo: /etc/sudoers is owned by uid 1000, should be 0\nsudo: no valid sudoers sources found, quitting", "visudo -c"),
            ("sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set", "setuid bit"),
            ("sh: 1: exec: sudo: not found", "install sudo"),
            ("bash: line 1: exec: sudo: not found", "install sudo"),
            ("exec: Unable to find sudo\nfish: Unknown command: sudo", "install sudo"),
            ("sudo: Command not found.", "install sudo"),
            ("sudo: Ein Passwort ist notwendig", "either kthw may not use sudo"),
        ];
        for (stderr, help) in cases {
            let refusal = sudo_refusal(stderr, "kthw").unwrap_or_else(|| panic!("{stderr}"));
            assert!(refusal.help.contains(help), "{stderr}: {refusal:?}");
        }
        assert_eq!(sudo_refusal("bash: /etc/profile: permission denied", "kthw"), None);
        assert_eq!(sudo_refusal("", "kthw"), None);
    }
}
