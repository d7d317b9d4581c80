//! NGINX, as far as it tests a configuration, and the checker beside it, as far as it prepares one.
use super::{
    super::{
        files::Files,
        host::{Host, failed, printed},
    },
    option,
};
use kthw_checker::{
    config::{Config, Server, Upstream},
    status::{LastAnswer, ServerStatus, Status, UpstreamStatus},
    upstream::Watched,
};
use kthw_engine::node::Output;
use kthw_stdlib::nginx::{CHECKER_JSON, PROGRAM};

/// Runs `nginx -t`: every file that is included has to be there, and every block to be closed.
pub(crate) fn nginx(host: &mut Host, arguments: &[&str]) -> Output {
    if !arguments.contains(&"-t") {
        return host.does_not_play("nginx", arguments);
    }
    let path = option(arguments, "-c").unwrap_or("/etc/nginx/nginx.conf");
    match fault(host, path) {
        None => printed(""),
        Some(text) => failed(1, format!("nginx: [emerg] {text}\nnginx: configuration file {path} test failed")),
    }
}

fn fault(host: &Host, path: &str) -> Option<String> {
    let Some(content) = host.machine.files.content(path) else {
        return Some(format!("open() \"{path}\" failed (2: No such file or directory)"));
    };
    let text = String::from_utf8_lossy(content);
    let included = |line: &str| Some(line.trim().strip_prefix("include ")?.strip_suffix(';')?.to_owned());
    // A pattern may match nothing.
    let missing = text.lines().filter_map(included).find(|file| !file.contains('*') && !host.machine.files.exists(file));
    if let Some(missing) = missing {
        return Some(format!("open() \"{missing}\" failed (2: No such file or directory) in {path}"));
    }
    let count = |sign: char| text.matches(sign).count();
    (count('{') != count('}')).then(|| format!("unexpected end of file, expecting \"}}\" in {path}"))
}

/// What the checker writes when it starts: in the lab all servers answer it.
pub(crate) fn write_status(files: &mut Files, now_s: u64) {
    let Some(Ok(config)) = files.content(CHECKER_JSON).map(serde_json::from_slice::<Config>) else { return };
    // Its own times differ from run to run, and two worlds are compared.
    let moment = crate::state::rfc3339(crate::state::BEGIN_S);
    let last = LastAnswer { at: moment.clone(), good: true, said: "status 200 in 1 ms".into() };
    let server = |server: &Server| ServerStatus {
        name: server.name.clone(),
        address: server.address.to_string(),
        well: true,
        takes_part: true,
        since: moment.clone(),
        last: Some(last.clone()),
    };
    let upstream =
        |one: &Upstream| UpstreamStatus { name: one.name.clone(), panic: false, servers: one.servers.iter().map(server).collect() };
    let upstreams = config.upstreams.iter().map(upstream).collect();
    let status = Status { version: env!("CARGO_PKG_VERSION").into(), written: moment.clone(), nginx: None, upstreams };
    files.put(&config.status_file.display().to_string(), &serde_json::json!(status).to_string(), 0o644, now_s);
}

/// Runs `kthw-checker --prepare FILE COMMAND…`. In the lab nobody answers checks, so nothing else is played.
pub(crate) fn checker(host: &mut Host, arguments: &[&str]) -> Output {
    if !host.machine.files.exists(PROGRAM) {
        return failed(127, "kthw-checker: command not found");
    }
    let ["--prepare", file, command @ ..] = arguments else { return host.does_not_play("kthw-checker", arguments) };
    let config = host.machine.files.content(file).map(serde_json::from_slice::<Config>);
    let config = match config {
        Some(Ok(config)) => config,
        Some(Err(error)) => return failed(1, format!("{file} is not a configuration of kthw-checker: {error}")),
        None => return failed(1, format!("cannot read the configuration {file}")),
    };
    let now_s = host.now_s();
    let mut before = Vec::new();
    for upstream in config.upstreams {
        let path = upstream.servers_file.display().to_string();
        let old = host.machine.files.exists(&path).then(|| host.machine.files.text(&path));
        let text = Watched::take_over(upstream, old.as_deref().unwrap_or_default(), "").text();
        host.machine.files.put(&path, &text, 0o644, now_s);
        before.push((path, old));
    }
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let tested = host.run(&command, &[]);
    if tested.status != 0 {
        for (path, old) in before {
            match old {
                Some(text) => host.machine.files.put(&path, &text, 0o644, now_s),
                // It was made just now.
                None => drop(host.machine.files.remove(&path)),
            }
        }
    }
    tested
}
