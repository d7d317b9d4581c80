//! Pi-hole 5: `admin/api.php`, one request for each record, and the hash of the password in every one
//! (<https://github.com/pi-hole/web/blob/v5.21/api.php>, `scripts/pi-hole/php/func.php`).
use super::{
    client::{Edit, Open},
    error::Failure,
};
use bytes::Bytes;
use http::Request;
use kthw_engine::{Effect, Error, Intent, Peers, Permit, Recovery, Result, Secret};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// All records, as lines.
pub(super) async fn hosts(open: &Open, peers: &Peers) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Records {
        data: Vec<(String, String)>,
    }
    let answer = open.ask(peers, &request(open, "get")?).await?;
    if !answer.status().is_success() {
        return Err(open.another(format!("status {}", answer.status().as_u16())));
    }
    // To whom it does not know it says nothing in JSON.
    if matches!(answer.body().trim_ascii(), b"[]" | b"Not authorized!") {
        return Err(Failure::Password { url: open.url() }.into());
    }
    let records: Records = serde_json::from_slice(answer.body()).map_err(|_| open.another("its answer is no list of records"))?;
    Ok(records.data.into_iter().map(|(name, address)| format!("{address} {name}")).collect())
}

/// Changes the records one by one; what goes goes first, because a name has one address.
pub(super) async fn change(open: &Open, peers: &Peers, permit: &Permit, edit: Edit<'_>) -> Result<()> {
    let before = hosts(open, peers).await?;
    let after = edit(&before)?;
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| ("delete", line));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| ("add", line));
    for (action, line) in gone.chain(new) {
        let intent = Intent::on("pihole", format!("{action} {line}"), Recovery::Look);
        permit.effect(intent, async |effect| write(open, action, line, effect).await).await?;
    }
    Ok(())
}

async fn write(open: &Open, action: &str, line: &str, _effect: &Effect) -> Result<()> {
    #[derive(Deserialize)]
    struct Told {
        success: bool,
        #[serde(default)]
        message: String,
    }
    let (address, name) = line.split_once(' ').unwrap_or_default();
    let request = request(open, &format!("{action}&ip={}&domain={}", encoded(address), encoded(name)))?;
    let answer = open.send(request).await.map_err(|away| Failure::NoAnswer { url: open.url(), reason: away.reason })?;
    match serde_json::from_slice::<Told>(answer.body()) {
        Ok(told) if told.success => Ok(()),
        Ok(told) => Err(Failure::Refused { url: open.url(), deed: format!("{action} {line}"), said: told.message }.into()),
        Err(_) => Err(open.another(format!("status {}", answer.status().as_u16()))),
    }
}

/// A request of the API; everything is in its address.
fn request(open: &Open, action: &str) -> Result<Request<Bytes>> {
    let token = token(&open.access.password);
    // Exposed: this is how a request says who sends it.
    let address = format!("{}/admin/api.php?customdns&action={action}&auth={}", open.access.url, token.expose());
    let request = Request::get(address).body(Bytes::new());
    request.map_err(|_| Error::from(Failure::NoAnswer { url: open.url(), reason: "this is no address of a Pi-hole".into() }))
}

/// What Pi-hole 5 keeps of a password and takes for it: its SHA-256 in hexadecimal digits, twice.
fn token(password: &Secret) -> Secret {
    // Only hashed here; the hash is a secret of its own.
    let once = hex::encode(Sha256::digest(password.disclose()));
    Secret::new(hex::encode(Sha256::digest(once)))
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_hash_of_the_hash() {
        // `printf hunter2 | sha256sum | cut -d' ' -f1 | tr -d '\n' | sha256sum`
        assert_eq!(token(&Secret::new("hunter2")).disclose(), EXPECTED);
    }

    const EXPECTED: &str = "b6ff43379b25b8ee6a4fcb150c0924842cf00965925494c59fe1655304592d22";
}
