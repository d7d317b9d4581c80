//! One upstream while the checker runs: what its servers said, and the `server` lines that follow from it. Pure.
use crate::{
    config::{Server, Upstream},
    health::{Health, Rotation},
    log::Level,
    status::{LastAnswer, ServerStatus, UpstreamStatus},
};
use std::{collections::BTreeSet, net::SocketAddr};

/// The answer to one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it came (RFC 3339, UTC).
    pub at: String,
    /// Whether it was what was expected.
    pub good: bool,
    /// What it was.
    pub said: String,
}

/// An upstream and what is known of its servers.
#[derive(Debug)]
pub struct Watched {
    upstream: Upstream,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    health: Health,
    since: String,
    last: Option<Answer>,
}

impl Watched {
    /// Takes over what the servers' file says: a server that is `down` there counts as sick until its answers say otherwise, every other one
    /// as well. So a checker that starts again decides nothing anew.
    pub fn take_over(upstream: Upstream, text: &str, now: &str) -> Self {
        let down = down_in(text);
        let known = |server: &Server| Known { health: Health::new(!down.contains(&server.address)), since: now.into(), last: None };
        Self { known: upstream.servers.iter().map(known).collect(), upstream }
    }

    /// The configuration of this upstream.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Takes in the answer of the server at this position, and returns what is to be said of it.
    pub fn hear(&mut self, position: usize, answer: Answer) -> Vec<(Level, String)> {
        let before = self.rotation();
        let (name, server, known) = (&self.upstream.name, &self.upstream.servers[position], &mut self.known[position]);
        let turned = known.health.hear(answer.good, server.check.rise, server.check.fall);
        let mut lines = Vec::new();
        if turned {
            known.since.clone_from(&answer.at);
            let (who, said) = (format!("{name}: {} ({})", server.name, server.address), &answer.said);
            let (rise, fall) = (server.check.rise, server.check.fall);
            lines.push(match answer.good {
                true => (Level::Notice, format!("{who} is well again after {rise} good answers in a row: {said}")),
                false => (Level::Warning, format!("{who} is sick after {fall} bad answers in a row: {said}")),
            });
        }
        known.last = Some(answer);
        match (before.panic, self.rotation().panic) {
            (false, true) => {
                let all =
                    format!("{name}: panic mode: no server is well, so all of them get connections; look at the checks and at the servers");
                lines.push((Level::Error, all));
            }
            (true, false) => lines.push((Level::Notice, format!("{name}: panic mode is over: the sick servers get no new connections"))),
            _ => {}
        }
        lines
    }

    fn rotation(&self) -> Rotation {
        Rotation::of(&self.known.iter().map(|known| known.health.is_well()).collect::<Vec<_>>())
    }

    /// The servers' file, as NGINX includes it (<https://nginx.org/en/docs/stream/ngx_stream_upstream_module.html#server>).
    pub fn text(&self) -> String {
        let Upstream { max_fails, fail_timeout_s, servers, .. } = &self.upstream;
        let line = |(server, takes_part): (&Server, bool)| {
            let down = if takes_part { "" } else { " down" };
            format!("server {} max_fails={max_fails} fail_timeout={fail_timeout_s}s{down}; # {}\n", server.address, server.name)
        };
        let lines: String = servers.iter().zip(self.rotation().takes_part).map(line).collect();
        format!("# Kept by kthw-checker: changes here are undone. Servers that are `down` do not pass their checks.\n{lines}")
    }

    /// What is said of it in the status file.
    pub fn status(&self) -> UpstreamStatus {
        let rotation = self.rotation();
        let servers = self.upstream.servers.iter().zip(&self.known).zip(&rotation.takes_part);
        let server = |((server, known), takes_part): ((&Server, &Known), &bool)| ServerStatus {
            name: server.name.clone(),
            address: server.address.to_string(),
            well: known.health.is_well(),
            takes_part: *takes_part,
            since: known.since.clone(),
            last: known.last.clone().map(|Answer { at, good, said }| LastAnswer { at, good, said }),
        };
        UpstreamStatus { name: self.upstream.name.clone(), panic: rotation.panic, servers: servers.map(server).collect() }
    }
}

/// The addresses of the servers that are `down` in a servers' file.
pub fn down_in(text: &str) -> BTreeSet<SocketAddr> {
    let down = |line: &str| {
        let line = line.split('#').next()?.trim().strip_suffix(';')?;
        let mut words = line.split_whitespace();
        let address = (words.next()? == "server").then(|| words.next())??;
        words.any(|word| word == "down").then(|| address.parse().ok())?
    };
    text.lines().filter_map(down).collect()
}

/// The same file with every server taking part: what it comes to without the checks.
pub fn without_down(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.replacen(" down;", ";", 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn upstream() -> Upstream {
        let server = |name: &str, ip: &str| {
            let check = serde_json::from_value(serde_json::json!({ "url": format!("http://{ip}/ping") })).unwrap();
            Server { name: name.into(), address: format!("{ip}:443").parse().unwrap(), check }
        };
        Upstream {
            name: "https".into(),
            servers_file: "/etc/nginx/kthw/https.servers".into(),
            max_fails: 3,
            fail_timeout_s: 10,
            servers: vec![server("alpha", "10.10.10.200"), server("beta", "10.10.20.200")],
        }
    }

    /// Answers in turn: `a+` is a good one of the first server, `b-` a bad one of the second.
    fn played(watched: &mut Watched, answers: &str) -> String {
        let mut said = String::new();
        for (at, answer) in answers.split(' ').enumerate() {
            let good = answer.ends_with('+');
            let text = if good { "status 200 in 3 ms" } else { "status 503 instead of 200" };
            let heard = Answer { at: format!("second {at}"), good, said: text.into() };
            for (level, line) in watched.hear(usize::from(answer.starts_with('b')), heard) {
                said += &format!("{level:?} {line}\n");
            }
        }
        said
    }

    #[test]
    fn a_sick_server_is_down_and_said_once() {
        let mut watched = Watched::take_over(upstream(), "", "start");
        expect![[r#"
            Warning https: alpha (10.10.10.200:443) is sick after 2 bad answers in a row: status 503 instead of 200
        "#]]
        .assert_eq(&played(&mut watched, "a+ b+ a- b+ a- b+ a- b+"));
        expect![[r#"
            # Kept by kthw-checker: changes here are undone. Servers that are `down` do not pass their checks.
            server 10.10.10.200:443 max_fails=3 fail_timeout=10s down; # alpha
            server 10.10.20.200:443 max_fails=3 fail_timeout=10s; # beta
        "#]]
        .assert_eq(&watched.text());
        let status = watched.status();
        let shown: Vec<_> = status.servers.iter().map(|one| (one.name.as_str(), one.well, one.takes_part, one.since.as_str())).collect();
        assert_eq!(shown, [("alpha", false, false, "second 4"), ("beta", true, true, "start")]);
        assert_eq!(status.servers[0].last.as_ref().unwrap().said, "status 503 instead of 200");
    }

    #[test]
    fn the_last_one_is_never_taken_out() {
        let mut watched = Watched::take_over(upstream(), "", "start");
        let everybody = watched.text();
        expect![[r#"
            Warning https: alpha (10.10.10.200:443) is sick after 2 bad answers in a row: status 503 instead of 200
            Warning https: beta (10.10.20.200:443) is sick after 2 bad answers in a row: status 503 instead of 200
            Error https: panic mode: no server is well, so all of them get connections; look at the checks and at the servers
        "#]]
        .assert_eq(&played(&mut watched, "a- a- b- b-"));
        assert_eq!(watched.text(), everybody);
        assert!(watched.status().panic && watched.status().servers.iter().all(|one| one.takes_part && !one.well));
        expect![[r#"
            Notice https: beta (10.10.20.200:443) is well again after 3 good answers in a row: status 200 in 3 ms
            Notice https: panic mode is over: the sick servers get no new connections
        "#]]
        .assert_eq(&played(&mut watched, "b+ b+ b+"));
        assert_eq!(down_in(&watched.text()), BTreeSet::from(["10.10.10.200:443".parse().unwrap()]));
    }

    #[test]
    fn a_new_start_takes_over_what_the_file_says() {
        let mut watched = Watched::take_over(upstream(), "", "start");
        played(&mut watched, "b- b-");
        let text = watched.text();
        let mut again = Watched::take_over(upstream(), &text, "later");
        assert_eq!(again.text(), text);
        played(&mut again, "b+ b+ b+");
        assert_eq!(again.text(), without_down(&text));
        let strange = "server unix:/a down;\nserver 10.10.20.200:443 # down\nserver\n\nserver 10.10.10.200:443 down max_fails=1;";
        assert_eq!(down_in(strange), BTreeSet::from(["10.10.10.200:443".parse().unwrap()]));
    }
}
