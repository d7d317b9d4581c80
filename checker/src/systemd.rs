//! Tells systemd that the service is ready and alive: one datagram each, without libsystemd
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>).
use std::{
    env,
    io::Result,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// The way to systemd; none where the checker runs by hand.
pub struct Systemd(Option<(UnixDatagram, SocketAddr)>);

impl Systemd {
    /// The socket that systemd named, if it did.
    ///
    /// # Errors
    /// When it named one that cannot be.
    pub fn from_environment() -> Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(Self(None)) };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A full socket is no reason to stop checking.
        socket.set_nonblocking(true)?;
        Ok(Self(Some((socket, address))))
    }

    /// Says that the service has started.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that it is alive, and what it sees, for `systemctl status`.
    pub fn alive(&self, status: &str) {
        self.tell(&format!("WATCHDOG=1\nSTATUS={status}"));
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.0 {
            // What is lost here is told again a second later; if all of it is lost, systemd starts the service anew.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listens = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        let systemd = Systemd(Some((UnixDatagram::unbound().unwrap(), address)));
        systemd.ready();
        systemd.alive("2 of 2 servers are well");
        let heard = || {
            let mut bytes = [0; 100];
            let length = listens.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        assert_eq!([heard(), heard()], ["READY=1", "WATCHDOG=1\nSTATUS=2 of 2 servers are well"]);
        Systemd(None).ready();
    }
}
