//! A small HTTP server in front of a storage, or instead of it, that misbehaves as it is told.
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex as Turn,
    task::AbortHandle,
};

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// It is passed on, and so is its answer.
    Pass,
    /// It is passed on without the header of this name.
    PassWithout(&'static str),
    /// It is answered at once: status, more of the head, body.
    Answer(u16, &'static str, &'static str),
    /// Nothing is ever said.
    Silence,
    /// It is passed on, and the connection closed before the answer.
    DoThenClose,
    /// Somebody else writes these bytes there first; then it is passed on.
    AfterAnother(&'static str),
    /// Half of the answer's body is sent.
    Cut,
}

/// A request as the front sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    /// How many of this method and path came before it.
    pub before: usize,
}

impl Seen {
    pub fn is(&self, method: &str, name: &str) -> bool {
        self.method == method && self.path.split('?').next().is_some_and(|path| path.ends_with(name))
    }
}

type Play = dyn Fn(&Seen) -> Act + Send + Sync;

/// Ends with the value.
pub struct Front {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: AbortHandle,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Stage {
    storage: SocketAddr,
    play: Box<Play>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// S3 judges a condition and writes as one. moto does not, so it gets one request at a time.
    turn: Turn<()>,
}

impl Front {
    pub async fn start(storage: SocketAddr, play: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::default());
        let stage = Arc::new(Stage { storage, play: Box::new(play), seen: Arc::clone(&seen), turn: Turn::default() });
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let stage = stage.clone();
                // A client that goes away is no failure of the front.
                tokio::spawn(async move { drop(stage.serve(connection).await) });
            }
        });
        Self { address, seen, accepting: accepting.abort_handle() }
    }

    /// How many requests of this kind came.
    pub fn count(&self, method: &str, name: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.is(method, name)).count()
    }
}

impl Stage {
    /// Serves one request; then the connection ends.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (head, body) = read_request(&mut client).await?;
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let act = {
            let mut all = self.seen.lock().unwrap();
            let before = all.iter().filter(|seen| seen.method == method && seen.path == path).count();
            let seen = Seen { method, path: path.clone(), before };
            all.push(seen.clone());
            (self.play)(&seen)
        };
        match act {
            Act::Pass => client.write_all(&self.pass(&head, &body, "").await?).await,
            Act::PassWithout(header) => client.write_all(&self.pass(&head, &body, header).await?).await,
            Act::Answer(status, more, text) => {
                let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n", text.len());
                client.write_all(format!("{head}{text}").as_bytes()).await
            }
            Act::Silence => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(())
            }
            Act::DoThenClose => self.pass(&head, &body, "").await.map(drop),
            Act::AfterAnother(text) => {
                let signed = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:")).unwrap();
                let theirs = format!("PUT {path} HTTP/1.1\r\nHost: x\r\n{signed}\r\nContent-Length: {}\r\n\r\n", text.len());
                self.pass(&theirs, text.as_bytes(), "").await?;
                client.write_all(&self.pass(&head, &body, "").await?).await
            }
            Act::Cut => {
                let answer = self.pass(&head, &body, "").await?;
                let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                client.write_all(&answer[..body + (answer.len() - body) / 2]).await
            }
        }
    }

    /// Asks the storage and gives its whole answer.
    async fn pass(&self, head: &str, body: &[u8], without: &str) -> std::io::Result<Vec<u8>> {
        let _turn = self.turn.lock().await;
        let dropped = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            name.eq_ignore_ascii_case("connection") || !without.is_empty() && name.eq_ignore_ascii_case(without)
        };
        let mut lines: Vec<&str> = head.trim_end().split("\r\n").filter(|line| !dropped(line)).collect();
        lines.push("Connection: close");
        let mut storage = TcpStream::connect(self.storage).await?;
        // In one piece: a second one would wait for the first one's acknowledgement.
        storage.write_all(&[format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes(), body].concat()).await?;
        let mut answer = Vec::new();
        storage.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// The head with its empty line, and the body.
async fn read_request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|text| text.trim().parse()));
    let length: usize = length.map_or(0, Result::unwrap);
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}
