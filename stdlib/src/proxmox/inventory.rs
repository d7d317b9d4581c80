//! The cluster's list of guests: read once for a plan, and afterwards only where it would say something that is not known.
use super::{call::Call, client::Client, error::Failure, property::is_set, texts::Class};
use kthw_engine::Clock;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;

/// For so long a list tells who has which name.
const LASTING: Duration = Duration::from_secs(60);
/// A long list lasts longer: until names were asked for as often as this part of its length. So a name costs the same however many guests
/// there are. What kthw makes meanwhile is in it; only what somebody else makes under a name of ours is seen that much later.
const PART: usize = 4;
/// For so long a list in which we changed nothing also tells what is not there.
const FRESH: Duration = Duration::from_secs(10);

/// One line of the cluster's list of guests.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Unique in the cluster.
    #[serde(deserialize_with = "number")]
    pub vmid: u32,
    /// The Proxmox node that it is on.
    pub node: String,
    /// `qemu` or `lxc`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name; missing for a few seconds after it was made.
    #[serde(default)]
    pub name: Option<String>,
    /// The resource pool that it is in.
    #[serde(default)]
    pub pool: Option<String>,
    /// Whether it is a template.
    #[serde(default, deserialize_with = "flag")]
    pub template: bool,
    /// Its tags, with `;` between them.
    #[serde(default)]
    pub tags: Option<String>,
}

/// A number, which some versions write as a text.
fn number<'de, D: Deserializer<'de>>(value: D) -> Result<u32, D::Error> {
    let value = Value::deserialize(value)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.and_then(|number| number.try_into().ok()).ok_or_else(|| D::Error::custom("no VM id"))
}

/// A flag: 1, "1" or true.
fn flag<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(value)? {
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_u64() == Some(1),
        Value::String(text) => is_set(&text),
        _ => false,
    })
}

/// One line of the list, as far as we understand it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Guest(Entry),
    Other(serde::de::IgnoredAny),
}

impl Entry {
    /// Whether kthw made it, for whatever workspace.
    pub fn is_of_kthw(&self) -> bool {
        self.tags.as_deref().is_some_and(|tags| tags.split([';', ',', ' ']).any(|tag| tag == "kthw"))
    }

    /// Whether it is a template that kthw made, for whatever workspace.
    pub fn is_template_of_kthw(&self) -> bool {
        self.kind == "qemu" && self.template && self.is_of_kthw()
    }
}

/// What is known of the guests of one cluster.
#[derive(Default)]
pub(super) struct Inventory {
    listed: Mutex<Option<Listed>>,
    /// How many writing requests were sent.
    writes: AtomicU64,
}

struct Listed {
    entries: Arc<BTreeMap<u32, Entry>>,
    /// VM ids by name; a name may be used twice.
    names: BTreeMap<String, Vec<u32>>,
    /// How often names were asked for.
    asked: usize,
    at: Duration,
    writes: u64,
}

impl Inventory {
    /// Something may have been made or removed.
    pub fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    fn is_fresh(&self, listed: &Listed, clock: &dyn Clock) -> bool {
        listed.writes == self.writes.load(Ordering::Relaxed) && clock.now().saturating_sub(listed.at) < FRESH
    }
}

/// The list as it is now.
///
/// # Errors
/// When Proxmox does not answer or refuses.
pub(super) async fn all(client: &Client) -> Result<Arc<BTreeMap<u32, Entry>>, Failure> {
    read(client, &mut *client.inventory().listed.lock().await).await
}

/// The VM ids of machines whose name begins so and fits, in the list as it was last read.
///
/// # Errors
/// When Proxmox does not answer or refuses.
pub(super) async fn alike(client: &Client, begins: &str, fits: impl Fn(&str) -> bool) -> Result<Vec<u32>, Failure> {
    let mut listed = client.inventory().listed.lock().await;
    if listed.is_none() {
        read(client, &mut listed).await?;
    }
    let names = listed.as_ref().map(|listed| listed.names.range(begins.to_owned()..));
    let alike = names.into_iter().flatten().take_while(|(name, _)| name.starts_with(begins));
    Ok(alike.filter(|(name, _)| fits(name)).flat_map(|(_, vmids)| vmids).copied().collect())
}

/// The guest with this VM id, and where it was last seen. That there is none is asked anew unless the list is fresh.
///
/// # Errors
/// When Proxmox does not answer or refuses.
pub(super) async fn one(client: &Client, vmid: u32) -> Result<Option<Entry>, Failure> {
    let entries = client.inventory();
    // Whoever comes while the list is being read waits for it.
    let mut listed = entries.listed.lock().await;
    let known = match &*listed {
        Some(known) => known.entries.clone(),
        None => read(client, &mut listed).await?,
    };
    if let Some(entry) = known.get(&vmid) {
        return Ok(Some(entry.clone()));
    }
    if listed.as_ref().is_some_and(|listed| entries.is_fresh(listed, client.clock())) || is_free(client, vmid).await? {
        return Ok(None);
    }
    Ok(read(client, &mut listed).await?.get(&vmid).cloned())
}

/// The VM ids of machines with this name, in a list that is not old.
///
/// # Errors
/// When Proxmox does not answer or refuses.
pub(super) async fn called(client: &Client, name: &str) -> Result<Vec<u32>, Failure> {
    let mut listed = client.inventory().listed.lock().await;
    let lasts = |listed: &Listed| client.clock().now().saturating_sub(listed.at) < LASTING || listed.asked < listed.entries.len() / PART;
    if !listed.as_ref().is_some_and(lasts) {
        read(client, &mut listed).await?;
    }
    let Some(listed) = &mut *listed else { return Ok(Vec::new()) };
    listed.asked += 1;
    Ok(listed.names.get(name).cloned().unwrap_or_default())
}

/// A machine was made here.
pub(super) async fn remember(client: &Client, vmid: u32, node: &str, name: &str) {
    if let Some(listed) = &mut *client.inventory().listed.lock().await {
        let entry = Entry {
            vmid,
            node: node.to_owned(),
            kind: "qemu".into(),
            name: Some(name.to_owned()),
            pool: None,
            template: false,
            tags: None,
        };
        if Arc::make_mut(&mut listed.entries).insert(vmid, entry).is_none() {
            listed.names.entry(name.to_owned()).or_default().push(vmid);
        }
    }
}

/// A machine was put into a pool.
pub(super) async fn moved_to_pool(client: &Client, vmid: u32, pool: &str) {
    if let Some(listed) = &mut *client.inventory().listed.lock().await
        && let Some(entry) = Arc::make_mut(&mut listed.entries).get_mut(&vmid)
    {
        entry.pool = Some(pool.to_owned());
    }
}

/// Whether no guest has this VM id, also none that we may not see.
pub(super) async fn is_free(client: &Client, vmid: u32) -> Result<bool, Failure> {
    match client.get::<serde_json::Value>(&Call::get(["cluster", "nextid"]).with("vmid", vmid)).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is(Class::Taken) => Ok(false),
        Err(failure) => Err(failure),
    }
}

async fn read(client: &Client, listed: &mut Option<Listed>) -> Result<Arc<BTreeMap<u32, Entry>>, Failure> {
    let (at, writes) = (client.clock().now(), client.inventory().writes.load(Ordering::Relaxed));
    // Of a line that we cannot read nothing is known, and its VM id is asked for when it is wanted.
    let found: Vec<Line> = client.get(&Call::get(["cluster", "resources"]).with("type", "vm")).await?;
    let found = found.into_iter().filter_map(|line| if let Line::Guest(entry) = line { Some((entry.vmid, entry)) } else { None });
    let entries = Arc::new(found.collect::<BTreeMap<_, _>>());
    let mut names: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (vmid, entry) in entries.iter().filter(|(_, entry)| entry.kind == "qemu") {
        names.entry(entry.name.clone().unwrap_or_default()).or_default().push(*vmid);
    }
    *listed = Some(Listed { entries: entries.clone(), names, asked: 0, at, writes });
    Ok(entries)
}
