//! The service: a thread for each check, and one that decides, writes, and tells NGINX.
use crate::{
    ask::{ask, authorities},
    config::{Check, Config, Nginx, Upstream},
    log::{Level, log},
    nginx::CommandFailed,
    replace::replace,
    status::Status,
    systemd::Systemd,
    upstream::{Answer, Watched},
};
use jiff::Timestamp;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, SyncSender},
    thread,
    time::{Duration, Instant},
};

/// How often the state is written and systemd hears of it, at least.
const TICK: Duration = Duration::from_secs(1);
/// How long nothing is tried again after NGINX refused something.
const PAUSE: Duration = Duration::from_secs(5);
/// How many answers may wait while NGINX is asked or told something.
const WAITING: usize = 1024;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A file cannot be read or written.
    #[error("cannot {deed} {}: {source}", path.display())]
    File {
        /// What was tried.
        deed: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The authorities for a check cannot be used.
    #[error("the check of {server}: {source}")]
    Authorities {
        /// Whose check it is.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// What was written was refused, and is as before.
    #[error(transparent)]
    NotUsed(#[from] NotUsed),
    /// A thread, or the way to systemd, cannot be had.
    #[error("cannot {deed}: {source}")]
    System {
        /// What was tried.
        deed: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Writes the servers' files for NGINX to be set up or changed: what is `down` stays so. If `test` then fails, the files are as before.
///
/// # Errors
/// When the authorities of a check cannot be used, a file cannot be read or written, or `test` fails.
pub fn prepare(config: &Config, test: Vec<String>) -> Result<(), Failed> {
    verify(config)?;
    let nginx = Nginx { test, ..config.nginx.clone() };
    Ok(Service::new(config, nginx)?.write()?)
}

/// Looks at what a configuration names on this machine.
///
/// # Errors
/// When the authorities of a check cannot be used.
pub fn verify(config: &Config) -> Result<(), Failed> {
    let servers = config.upstreams.iter().flat_map(|upstream| &upstream.servers);
    for server in servers {
        let file = server.check.ca_file.as_deref();
        authorities(file).map_err(|source| Failed::Authorities { server: server.name.clone(), source })?;
    }
    Ok(())
}

/// Checks until the process ends. What it decided last stays when it does.
///
/// # Errors
/// When it cannot start.
pub fn run(config: &Config) -> Result<(), Failed> {
    let systemd = Systemd::from_environment().map_err(|source| Failed::System { deed: "reach systemd", source })?;
    let mut service = Service::new(config, config.nginx.clone())?;
    // An earlier one may have been killed between a new file and the reload.
    service.reload_is_due = true;
    service.settle();
    service.write_status()?;
    let (sender, answers) = mpsc::sync_channel(WAITING);
    for (pool, upstream) in config.upstreams.iter().enumerate() {
        for (position, server) in upstream.servers.iter().enumerate() {
            let (check, sender) = (server.check.clone(), sender.clone());
            let named = thread::Builder::new().name(format!("{} {}", upstream.name, server.name));
            let started = named.spawn(move || watch((pool, position), &check, &sender));
            started.map_err(|source| Failed::System { deed: "start a thread", source })?;
        }
    }
    systemd.ready();
    let (mut next_tick, mut status_is_written) = (Instant::now(), true);
    loop {
        let wait = next_tick.saturating_duration_since(Instant::now());
        // Only a time-out is an error here: this function holds a sender itself.
        let first = answers.recv_timeout(wait).ok();
        // Several servers that turn at once are one reload.
        let mut turned = false;
        for heard in first.into_iter().chain(answers.try_iter()) {
            turned |= service.hear(heard);
        }
        service.settle();
        if turned || Instant::now() >= next_tick {
            next_tick = Instant::now() + TICK;
            match service.write_status() {
                Ok(()) => status_is_written = true,
                Err(error) if std::mem::take(&mut status_is_written) => log(Level::Error, &error.to_string()),
                Err(_) => {}
            }
            systemd.alive(&service.status().line());
        }
    }
}

/// The answer of a server, which is at this position in the pool at that position.
type Heard = ((usize, usize), Answer);

/// Asks one server again and again. A server that keeps its check waiting keeps nobody else's.
fn watch(place: (usize, usize), check: &Check, answers: &SyncSender<Heard>) {
    let interval = Duration::from_millis(check.interval_ms);
    let mut next = Instant::now();
    loop {
        let (good, said) = ask(check);
        if answers.send((place, Answer { at: now(), good, said })).is_err() {
            return;
        }
        // A machine that stood still does not catch up on what it missed.
        next = (next + interval).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// An upstream and the file that NGINX has of it.
struct Pool {
    watched: Watched,
    /// What the file holds; none while there is no file.
    written: Option<String>,
}

fn pools(config: &Config) -> Result<Vec<Pool>, Failed> {
    let pool = |upstream: &Upstream| {
        let written = read(&upstream.servers_file)?;
        Ok(Pool { watched: Watched::take_over(upstream.clone(), written.as_deref().unwrap_or_default(), &now()), written })
    };
    config.upstreams.iter().map(pool).collect()
}

fn read(path: &Path) -> Result<Option<String>, Failed> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failed::File { deed: "read", path: path.into(), source }),
    }
}

struct Service<'a> {
    status_file: &'a Path,
    nginx: Nginx,
    pools: Vec<Pool>,
    /// The files were changed and NGINX does not know yet.
    reload_is_due: bool,
    /// Until when nothing is tried, after a refusal.
    pause_until: Option<Instant>,
    /// What was refused last, until it is accepted.
    refusal: Option<String>,
}

impl<'a> Service<'a> {
    fn new(config: &'a Config, nginx: Nginx) -> Result<Self, Failed> {
        let (status_file, pools) = (config.status_file.as_path(), pools(config)?);
        Ok(Self { status_file, nginx, pools, reload_is_due: false, pause_until: None, refusal: None })
    }

    /// Takes an answer in, says what is to be said of it, and whether that was anything.
    fn hear(&mut self, ((pool, position), answer): Heard) -> bool {
        let lines = self.pools[pool].watched.hear(position, answer);
        lines.iter().for_each(|(level, line)| log(*level, line));
        !lines.is_empty()
    }

    /// Makes the files say what was decided, and NGINX read them.
    fn settle(&mut self) {
        let differs = |pool: &Pool| pool.written.as_ref() != Some(&pool.watched.text());
        if !self.reload_is_due && !self.pools.iter().any(differs) {
            return;
        }
        if self.pause_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        match self.write().and_then(|()| Ok(self.nginx.reload()?)) {
            Ok(()) => {
                self.reload_is_due = false;
                self.pause_until = None;
                if self.refusal.take().is_some() {
                    log(Level::Notice, "NGINX uses what the checks say again");
                }
            }
            Err(error) => {
                self.pause_until = Some(Instant::now() + PAUSE);
                self.refused(error.to_string());
            }
        }
    }

    /// Replaces the files that differ. If NGINX then refuses its configuration, they are as before.
    fn write(&mut self) -> Result<(), NotUsed> {
        let mut replaced: Vec<(usize, Option<String>)> = Vec::new();
        let done = self.replace_each(&mut replaced).and_then(|()| Ok(self.nginx.test()?));
        self.reload_is_due |= done.is_ok() && !replaced.is_empty();
        if done.is_err() {
            for (at, old) in replaced {
                let pool = &mut self.pools[at];
                let path = &pool.watched.upstream().servers_file;
                match old.as_ref().map_or_else(|| fs::remove_file(path), |text| replace(path, text, true)) {
                    Ok(()) => pool.written = old,
                    Err(error) => log(Level::Error, &format!("cannot put {} back: {error}", path.display())),
                }
            }
        }
        done
    }

    fn replace_each(&mut self, replaced: &mut Vec<(usize, Option<String>)>) -> Result<(), NotUsed> {
        for (at, pool) in self.pools.iter_mut().enumerate() {
            let (path, text) = (&pool.watched.upstream().servers_file, pool.watched.text());
            if pool.written.as_ref() != Some(&text) {
                replace(path, &text, true).map_err(|source| NotUsed::Write { path: path.clone(), source })?;
                replaced.push((at, pool.written.replace(text)));
            }
        }
        Ok(())
    }

    /// Says what was refused, once.
    fn refused(&mut self, why: String) {
        if self.refusal.as_ref() != Some(&why) {
            log(Level::Error, &format!("NGINX does not use what the checks say: {why}; tried again in {} s", PAUSE.as_secs()));
            self.refusal = Some(why);
        }
    }

    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            written: now(),
            nginx: self.refusal.clone(),
            upstreams: self.pools.iter().map(|pool| pool.watched.status()).collect(),
        }
    }

    fn write_status(&self) -> Result<(), Failed> {
        let (path, status) = (self.status_file, self.status());
        let text = serde_json::to_string_pretty(&status).map_err(io::Error::from);
        let written = text.and_then(|text| replace(path, &format!("{text}\n"), false));
        written.map_err(|source| Failed::File { deed: "write", path: path.into(), source })
    }
}

/// Why NGINX does not use what was decided.
#[derive(Debug, thiserror::Error)]
pub enum NotUsed {
    /// A servers' file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// NGINX refuses its configuration, or does not reload.
    #[error(transparent)]
    Command(#[from] CommandFailed),
}
