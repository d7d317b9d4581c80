//! What an OpenPGP public key says of itself: its fingerprint, and its last day. Nothing is verified: whoever pins a key vouches for it.
//!
//! RFC 4880 and 9580: a text in armor, of packets, of which public keys (tags 6 and 14) and the signatures over them (tag 2) are looked at.
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

const SIGNATURE: u8 = 2;
const PUBLIC_KEY: u8 = 6;
const PUBLIC_SUBKEY: u8 = 14;

const CREATED: u8 = 2;
const KEY_EXPIRES: u8 = 9;
const ISSUER: u8 = 16;
const KEY_FLAGS: u8 = 27;
/// The bit of the key flags that says that a key may sign data.
const MAY_SIGN: u8 = 2;

/// A key with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The fingerprint of the primary key, in upper-case hex.
    pub fingerprint: String,
    /// The last day on which what it signs is good, in UTC; `None` if it has none.
    pub ends: Option<Date>,
}

/// The keys in a text; none if there is nothing in it that can be read as one.
pub fn keys(text: &str) -> Vec<Key> {
    blocks(text).iter().flat_map(|block| read(block).unwrap_or_default()).collect()
}

/// What stands in each armored block (RFC 9580 section 6.2), without checksums.
fn blocks(text: &str) -> Vec<Vec<u8>> {
    let armored = text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1).filter_map(|rest| {
        let lines = rest.split("-----END").next()?.lines().map(str::trim).skip(1);
        // Headers end with an empty line; a checksum begins with `=`.
        let body = lines.skip_while(|line| line.contains(": ")).filter(|line| !line.starts_with('='));
        STANDARD.decode(body.collect::<String>()).ok()
    });
    armored.collect()
}

/// A primary key or subkey while its signatures are read.
struct Part {
    fingerprint: String,
    created_s: u64,
    /// The newest of the signatures that say how long it lives and what it is for: when it was made, and both.
    said: Option<(u64, Option<u64>, Option<u8>)>,
}

impl Part {
    fn new(body: &[u8]) -> Option<Self> {
        let created_s = number(body.get(1..5)?);
        let length = u32::try_from(body.len()).ok()?.to_be_bytes();
        let digest = match body.first()? {
            4 => hash(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &[&[0x99], &length[2..], body]),
            6 => hash(&ring::digest::SHA256, &[&[0x9b], &length, body]),
            _ => return None,
        };
        Some(Self { fingerprint: hex::encode_upper(digest), created_s, said: None })
    }

    fn may_sign(&self) -> bool {
        self.said.is_none_or(|(_, _, flags)| flags.is_none_or(|flags| flags & MAY_SIGN != 0))
    }

    /// The second after which it is no good; never is the largest.
    fn ends_s(&self) -> u64 {
        match self.said {
            Some((_, Some(lives_s), _)) if lives_s > 0 => self.created_s.saturating_add(lives_s),
            _ => u64::MAX,
        }
    }
}

fn read(mut packets: &[u8]) -> Option<Vec<Key>> {
    let mut keys: Vec<Vec<Part>> = Vec::new();
    while !packets.is_empty() {
        let (tag, body, rest) = packet(packets)?;
        packets = rest;
        match tag {
            PUBLIC_KEY => keys.push(vec![Part::new(body)?]),
            PUBLIC_SUBKEY => keys.last_mut()?.push(Part::new(body)?),
            SIGNATURE => {
                let parts = keys.last_mut()?;
                let primary = parts[0].fingerprint.clone();
                if let (Some(said), Some(part)) = (Signature::new(body), parts.last_mut()) {
                    said.tell(part, &primary);
                }
            }
            _ => {}
        }
    }
    Some(keys.iter().map(|parts| whole(parts)).collect())
}

/// A key is good as long as one of its parts can sign, and no part longer than the primary one.
fn whole(parts: &[Part]) -> Key {
    let signs = parts.iter().filter(|part| part.may_sign()).map(Part::ends_s).max().unwrap_or(u64::MAX);
    let ends_s = signs.min(parts[0].ends_s());
    let ends = (ends_s != u64::MAX).then(|| i64::try_from(ends_s).ok().and_then(|s| Timestamp::from_second(s).ok())).flatten();
    Key { fingerprint: parts[0].fingerprint.clone(), ends: ends.map(|ends| ends.to_zoned(TimeZone::UTC).date()) }
}

/// What a signature says of the key that it is over.
struct Signature<'a> {
    kind: u8,
    hashed: Subpackets<'a>,
    issuer: Option<&'a [u8]>,
}

impl<'a> Signature<'a> {
    fn new(body: &'a [u8]) -> Option<Self> {
        // Lengths of subpackets take two bytes in version 4, and four in version 6.
        let width = match body.first()? {
            4 => 2,
            6 => 4,
            _ => return None,
        };
        let (hashed, rest) = area(body.get(4..)?, width)?;
        let (unhashed, _) = area(rest, width)?;
        let issuer = hashed.iter().chain(&unhashed).find(|(kind, _)| *kind == ISSUER).map(|(_, body)| *body);
        Some(Self { kind: *body.get(1)?, hashed, issuer })
    }

    fn field(&self, kind: u8) -> Option<&'a [u8]> {
        self.hashed.iter().find(|(found, _)| *found == kind).map(|(_, body)| *body)
    }

    /// Certifications of the primary key by itself, and what binds a subkey. What others certify says nothing of its end.
    fn tell(&self, part: &mut Part, primary: &str) {
        let is_own = self.issuer.is_none_or(|issuer| primary.ends_with(&hex::encode_upper(issuer)));
        if !is_own || !matches!(self.kind, 0x10..=0x13 | 0x18 | 0x1f) {
            return;
        }
        let made_s = self.field(CREATED).map_or(0, number);
        if part.said.is_none_or(|(newest, ..)| made_s >= newest) {
            let flags = self.field(KEY_FLAGS).and_then(|flags| flags.first().copied());
            part.said = Some((made_s, self.field(KEY_EXPIRES).map(number), flags));
        }
    }
}

/// What a signature says, each with the kind of thing that it is.
type Subpackets<'a> = Vec<(u8, &'a [u8])>;

/// The subpackets of an area, and what follows it.
fn area(bytes: &[u8], width: usize) -> Option<(Subpackets<'_>, &[u8])> {
    let length = usize::try_from(number(bytes.get(..width)?)).ok()?;
    let (mut inside, rest) = bytes.get(width..)?.split_at_checked(length)?;
    let mut found = Vec::new();
    while !inside.is_empty() {
        let (length, after) = long_or_short(inside)?;
        let (one, rest) = after.split_at_checked(length)?;
        let (kind, body) = one.split_first()?;
        // The highest bit says that it is critical.
        found.push((kind & 0x7f, body));
        inside = rest;
    }
    Some((found, rest))
}

/// The first packet: its tag, its body and what follows (RFC 9580 section 4.2).
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first()?;
    let (tag, (length, rest)) = match head {
        0xc0.. => (head & 0x3f, long_or_short(rest)?),
        0x80.. => {
            let found = match head & 3 {
                // As long as what is there.
                3 => (rest.len(), rest),
                size => {
                    let (length, rest) = rest.split_at_checked(1 << size)?;
                    (usize::try_from(number(length)).ok()?, rest)
                }
            };
            ((head >> 2) & 0xf, found)
        }
        _ => return None,
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

/// A length of one, two or five bytes, and what follows it. Bodies in pieces are for data, not for keys.
fn long_or_short(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes {
        [first @ 0..=191, ..] => Some((usize::from(first), &bytes[1..])),
        [first @ 192..=223, second, ..] => Some(((usize::from(first) - 192) * 256 + usize::from(second) + 192, &bytes[2..])),
        [255, ref rest @ ..] => {
            let (length, rest) = rest.split_at_checked(4)?;
            Some((usize::try_from(number(length)).ok()?, rest))
        }
        _ => None,
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn hash(algorithm: &'static ring::digest::Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = ring::digest::Context::new(algorithm);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
#[path = "openpgp/tests.rs"]
pub(crate) mod tests;
