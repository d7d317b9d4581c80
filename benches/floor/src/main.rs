//! The floor: one process, one cold SSH connection per host, one `sh` that does everything, all hosts at once.
//!
//! `floor INVENTORY SCRIPTS KEY KNOWN_HOSTS`: INVENTORY holds `name address port` lines; SCRIPTS/<name>.sh goes to that host's `sh`
//! over standard input. Every line that a script prints counts as a change.
use anyhow::{Context, Result, bail};
use russh::{
    ChannelMsg, Disconnect, client,
    keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate, check_known_hosts_path, load_secret_key},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

mod quick;

/// A host: its name, address and port.
struct Host {
    name: String,
    address: String,
    port: u16,
}

struct Client {
    address: String,
    port: u16,
    known_hosts: PathBuf,
}

impl client::Handler for Client {
    type Error = anyhow::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(check_known_hosts_path(&self.address, self.port, key, &self.known_hosts)?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [inventory, scripts, key, known_hosts] = &arguments[..] else { bail!("usage: floor INVENTORY SCRIPTS KEY KNOWN_HOSTS") };
    let key = Arc::new(load_secret_key(key, None).context("private key")?);
    let config = Arc::new(client::Config { nodelay: true, ..Default::default() });
    let mut working = JoinSet::new();
    for host in hosts(inventory)? {
        let script = std::fs::read(format!("{scripts}/{}.sh", host.name)).context("script")?;
        let (key, config, known_hosts) = (key.clone(), config.clone(), PathBuf::from(known_hosts));
        working.spawn(async move { timeout(Duration::from_secs(120), on_host(host, script, config, key, known_hosts)).await? });
    }
    let mut changed = 0;
    while let Some(done) = working.join_next().await {
        changed += done??;
    }
    println!("changed {changed}");
    Ok(())
}

fn hosts(inventory: &str) -> Result<Vec<Host>> {
    let text = std::fs::read_to_string(inventory).context("inventory")?;
    text.lines()
        .map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [name, address, port] => Ok(Host { name: name.into(), address: address.into(), port: port.parse()? }),
            _ => bail!("inventory: `{line}` is not `name address port`"),
        })
        .collect()
}

/// Connects, runs the script and returns how many lines it printed.
async fn on_host(host: Host, script: Vec<u8>, config: Arc<client::Config>, key: Arc<PrivateKey>, known_hosts: PathBuf) -> Result<usize> {
    let stream = TcpStream::connect((host.address.as_str(), host.port)).await.context("connect")?;
    stream.set_nodelay(true)?;
    let handler = Client { address: host.address, port: host.port, known_hosts };
    let mut session = client::connect_stream(config, quick::QuickAck(stream), handler).await.context("handshake")?;
    if !session.authenticate_publickey("root", PrivateKeyWithHashAlg::new(key, None)).await?.success() {
        bail!("{}: the key is refused", host.name);
    }
    let mut channel = session.channel_open_session().await?;
    channel.exec(false, "sh -s").await?;
    channel.data(&script[..]).await?;
    channel.eof().await?;
    let (mut status, mut printed) = (None, Vec::new());
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => printed.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => eprint!("{}", String::from_utf8_lossy(&data)),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    session.disconnect(Disconnect::ByApplication, "", "").await.ok();
    match status {
        Some(0) => Ok(printed.iter().filter(|byte| **byte == b'\n').count()),
        status => bail!("{}: exit status {status:?}", host.name),
    }
}
