//! The client: signs in at the first call, tries the next host when one does not answer, and takes no write without an effect.
use super::{
    access::{Access, AccessError, Credentials, Endpoint},
    call::{Call, Write},
    error::{BadAnswer, Failure, NoAnswer, Refused},
    guest::Guest,
    inventory::Inventory,
    session::Session,
    task::Task,
    texts::Class,
};
use crate::{
    http::{HttpClient, Trust},
    seams::{Http, Unreachable},
};
use bytes::Bytes;
use http::Response;
use kthw_engine::{Clock, Effect, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OnceCell, Semaphore};

/// How often all hosts are tried when nobody answers.
const ROUNDS: u32 = 3;
/// The pause before the second round; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// A client of one Proxmox VE cluster.
pub struct Client {
    open: OnceCell<Open>,
    find: Box<dyn Fn() -> Result<Access> + Send + Sync>,
    clock: Arc<dyn Clock>,
    lanes: Mutex<HashMap<String, Arc<Semaphore>>>,
    inventory: Inventory,
    /// What the next start of a node's machine will change, of those that were looked at.
    waiting: Mutex<BTreeMap<String, Vec<String>>>,
    /// Which version of Proxmox VE answers.
    version: OnceCell<Option<Version>>,
    /// Which templates have a drive for cloud-init, by VM id.
    cloud_init: tokio::sync::Mutex<BTreeMap<u32, bool>>,
    /// The storage of a template's disk that only its own Proxmox node has, by VM id; none where all have it.
    local_storage: tokio::sync::Mutex<BTreeMap<u32, Option<String>>>,
}

/// The first two numbers of a version, such as 8 and 4.
pub(super) type Version = (u32, u32);

struct Open {
    http: Arc<dyn Http>,
    endpoints: Vec<Endpoint>,
    /// The host that answered last.
    current: AtomicUsize,
    session: RwLock<Arc<Session>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.open.get().map(|open| &open.endpoints)).finish_non_exhaustive()
    }
}

impl Client {
    /// A client over the network. Its settings are looked for at the first call, so a run that needs no Proxmox never opens its secrets.
    pub fn new(find: impl Fn() -> Result<Access> + Send + Sync + 'static, clock: Arc<dyn Clock>) -> Self {
        Self {
            open: OnceCell::new(),
            find: Box::new(find),
            clock,
            lanes: Mutex::default(),
            inventory: Inventory::default(),
            waiting: Mutex::default(),
            version: OnceCell::new(),
            cloud_init: tokio::sync::Mutex::default(),
            local_storage: tokio::sync::Mutex::default(),
        }
    }

    /// A client that sends through `http`, whatever `access` says whom to trust.
    pub fn over(http: Arc<dyn Http>, access: Access, clock: Arc<dyn Clock>) -> Self {
        Self { open: OnceCell::new_with(Some(Open::new(http, access))), ..Self::new(|| Err(AccessError::NoEndpoint.into()), clock) }
    }

    /// Reads what `call` names.
    ///
    /// # Errors
    /// When nobody answers, Proxmox refuses, or the answer is no `T`.
    pub async fn get<T: DeserializeOwned>(&self, call: &Call) -> std::result::Result<T, Failure> {
        let data = self.ask(call, true).await?;
        serde_json::from_value(data).map_err(|error| BadAnswer { call: call.name(), reason: error.to_string() }.into())
    }

    /// Reads what may not be there: `None` when Proxmox says that it does not exist.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_opt<T: DeserializeOwned>(&self, call: &Call) -> std::result::Result<Option<T>, Failure> {
        match self.get(call).await {
            Ok(found) => Ok(Some(found)),
            // The API answers 500 for a machine that is gone, 404 only for paths that it does not know.
            Err(Failure::Refused(refused)) if refused.status == 404 => Ok(None),
            Err(failure) if failure.is(Class::Missing) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Changes something; the task that carries it out, if it takes longer. Its id is noted with the effect.
    ///
    /// # Errors
    /// When nobody answers or Proxmox refuses.
    pub async fn write(&self, call: &Call<Write>, effect: &Effect) -> std::result::Result<Option<Task>, Failure> {
        let task = self.make(call, effect).await?.as_str().and_then(Task::parse);
        if let Some(task) = &task {
            effect.note(&task.to_string()).await.map_err(Failure::Ours)?;
        }
        Ok(task)
    }

    /// Makes something and returns what Proxmox says about it.
    ///
    /// # Errors
    /// When nobody answers or Proxmox refuses.
    pub async fn make(&self, call: &Call<Write>, _effect: &Effect) -> std::result::Result<Value, Failure> {
        self.inventory.wrote();
        self.ask(call, false).await
    }

    /// A client of the same hosts as somebody else.
    ///
    /// # Errors
    /// When the settings are missing or wrong.
    pub(super) async fn as_other(&self, credentials: Credentials) -> std::result::Result<Self, Failure> {
        let open = self.open().await?;
        let access = Access { endpoints: open.endpoints.clone(), credentials, trust: Trust::System };
        Ok(Self::over(open.http.clone(), access, self.clock.clone()))
    }

    /// Signs in with other credentials from the next call on.
    pub(super) async fn sign_in_as(&self, credentials: Credentials) -> std::result::Result<(), Failure> {
        let session = Arc::new(Session::new(credentials));
        *self.open().await?.session.write().unwrap_or_else(PoisonError::into_inner) = session;
        Ok(())
    }

    /// Who this client is: `user@realm!token`, or `user@realm`.
    pub(super) async fn identity(&self) -> std::result::Result<String, Failure> {
        Ok(self.open().await?.session().identity().to_owned())
    }

    /// Notes what the machine of `node` goes on without until it is restarted.
    pub(super) fn note_waiting(&self, node: &str, keys: &[String]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.is_empty() { drop(waiting.remove(node)) } else { drop(waiting.insert(node.to_owned(), keys.to_vec())) }
    }

    /// What the running machines go on without until they are restarted, by node; of those that were looked at so far.
    pub fn waiting(&self) -> BTreeMap<String, Vec<String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which version answers, asked once: `GET /version`. `None` where Proxmox does not say it in numbers.
    ///
    /// # Errors
    /// When nobody answers or Proxmox refuses.
    pub(super) async fn version(&self) -> std::result::Result<Option<Version>, Failure> {
        #[derive(serde::Deserialize)]
        struct Said {
            version: String,
        }
        let ask = async || {
            let said: Said = self.get(&Call::get(["version"])).await?;
            let mut numbers = said.version.split(['.', '-']).map_while(|part| part.parse().ok());
            Ok(numbers.next().zip(numbers.next()))
        };
        self.version.get_or_try_init(ask).await.copied()
    }

    /// Whether a template has a drive for cloud-init. Asked once: nothing gives it one while kthw runs.
    ///
    /// # Errors
    /// When nobody answers or Proxmox refuses.
    pub(super) async fn has_cloud_init(&self, template: &Guest) -> Result<bool> {
        let mut known = self.cloud_init.lock().await;
        if let Some(has) = known.get(&template.vmid) {
            return Ok(*has);
        }
        // A template that is gone by now is for whoever clones it to find out.
        let has = template.config(self).await?.is_none_or(|config| config.has_cloud_init());
        known.insert(template.vmid, has);
        Ok(has)
    }

    /// The storage of a template's disk, if only its own Proxmox node has it. Whoever may not see it leaves that to Proxmox.
    pub(super) async fn local_storage_of(&self, template: &Guest) -> Result<Option<String>> {
        #[derive(serde::Deserialize)]
        struct Status {
            #[serde(default)]
            shared: u8,
        }
        let mut known = self.local_storage.lock().await;
        if let Some(storage) = known.get(&template.vmid) {
            return Ok(storage.clone());
        }
        let drive = template.config(self).await?.and_then(|config| config.boot_disk().map(|(_, drive)| drive));
        let Some(storage) = drive.map(|drive| drive.storage).filter(|storage| !storage.is_empty()) else { return Ok(None) };
        let local = match self.get::<Status>(&Call::get(["nodes", &template.host, "storage", &storage, "status"])).await {
            Ok(status) => (status.shared == 0).then_some(storage),
            Err(Failure::Refused(_) | Failure::BadAnswer(_)) => None,
            Err(failure) => return Err(failure.into()),
        };
        known.insert(template.vmid, local.clone());
        Ok(local)
    }

    /// What is known of the cluster's guests.
    pub(super) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The clock of this run.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A queue called `name` of which at most so many hold a place at once.
    pub(super) fn lane(&self, name: String, at_most: usize) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().expect("nobody panics while holding the lanes");
        lanes.entry(name).or_insert_with(|| Arc::new(Semaphore::new(at_most))).clone()
    }

    /// Asks the host that answered last, or the others if it does not answer, and again after a pause. A write is sent again only when it surely
    /// reached nobody.
    async fn ask<K>(&self, call: &Call<K>, reads: bool) -> std::result::Result<Value, Failure> {
        let open = self.open().await?;
        let mut pause = PAUSE;
        for round in 1.. {
            match open.try_all(call, reads, &*self.clock).await {
                Err(failure)
                    if round < ROUNDS && failure.is_passing() && (reads || !failure.may_be_done()) && !failure_is_final(&failure) =>
                {
                    self.clock.sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        unreachable!("the loop ends in its last round")
    }

    async fn open(&self) -> std::result::Result<&Open, Failure> {
        let connect = async || {
            let access = (self.find)()?;
            let http = HttpClient::new(&access.trust).map_err(AccessError::from)?;
            Ok(Open::new(Arc::new(http), access))
        };
        self.open.get_or_try_init(connect).await.map_err(Failure::Ours)
    }
}

/// A certificate that is not believed will not be believed later.
fn failure_is_final(failure: &Failure) -> bool {
    matches!(failure, Failure::NoAnswer(error) if error.tried.iter().all(|(_, reason)| reason.contains("certificate")))
}

impl Open {
    fn new(http: Arc<dyn Http>, access: Access) -> Self {
        let Access { endpoints, credentials, trust: _ } = access;
        Self { http, endpoints, current: AtomicUsize::new(0), session: RwLock::new(Arc::new(Session::new(credentials))) }
    }

    fn session(&self) -> Arc<Session> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a call to one host after the other. A write goes to another host only when it surely was not carried out.
    async fn try_all<K>(&self, call: &Call<K>, reads: bool, clock: &dyn Clock) -> std::result::Result<Value, Failure> {
        let count = self.endpoints.len();
        let first = self.current.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        let mut refused = None;
        let session = self.session();
        for step in 0..count {
            let at = (first + step) % count;
            let endpoint = &self.endpoints[at];
            let answer = match session.send(&*self.http, endpoint, call, clock).await {
                Ok(answer) => answer,
                Err(SendError::Unreachable(Unreachable { reason, sent })) => {
                    tried.push((endpoint.host().to_owned(), reason));
                    if sent && !reads {
                        return Err(NoAnswer { call: call.name(), tried, maybe_done: true }.into());
                    }
                    continue;
                }
                Err(SendError::Failure(failure)) => return Err(*failure),
            };
            let status = answer.status();
            if status.is_success() {
                self.current.store(at, Ordering::Relaxed);
                return data(call, answer.body());
            }
            let failure = refusal(call, endpoint, &answer);
            // 595: the other host was never reached. After the others a write may have been carried out.
            let failure = Failure::from(failure);
            if failure.is_passing() && (reads || status.as_u16() == 595) {
                refused = Some(failure);
                continue;
            }
            return Err(failure);
        }
        Err(match refused {
            Some(refused) => refused,
            None => NoAnswer { call: call.name(), tried, maybe_done: false }.into(),
        })
    }
}

/// Why a request has no answer at all.
pub(super) enum SendError {
    /// This host did not answer.
    Unreachable(Unreachable),
    /// Something that another host would not change.
    Failure(Box<Failure>),
}

pub(super) fn refusal<K>(call: &Call<K>, endpoint: &Endpoint, answer: &Response<Bytes>) -> Refused {
    let phrase = answer.extensions().get::<hyper::ext::ReasonPhrase>().and_then(|phrase| std::str::from_utf8(phrase.as_bytes()).ok());
    Refused::new(call.name(), endpoint.host(), answer.status(), phrase, answer.body())
}

pub(super) fn data<K>(call: &Call<K>, body: &[u8]) -> std::result::Result<Value, Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        data: Value,
    }
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) => Ok(answer.data),
        Err(error) => Err(BadAnswer { call: call.name(), reason: error.to_string() }.into()),
    }
}
