//! The API of a cluster: reading it, and changing it with an effect. The raw client, which could write at any time, stays in this file.
use super::starting;
use bytes::Bytes;
use http::{Request, Response};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::APIResourceList};
use kthw_engine::{Clock, Effect};
use kube::{
    Api, Config, Result,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams},
    client::Body,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::{BoxError, Service};

/// The field manager under which kthw applies and patches.
pub const FIELD_MANAGER: &str = "kthw";

/// A client of one cluster's API.
#[derive(Clone)]
pub struct Client(kube::Client);

/// A kind of object, and the namespace to look for it in; none for what has no namespace.
#[derive(Clone, Debug)]
pub struct At {
    /// The kind, as the server serves it.
    pub resource: ApiResource,
    /// The namespace.
    pub namespace: Option<String>,
}

/// Why a request for a certificate is approved.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    /// The version of the request that was looked at; any where nobody else can change it.
    pub version: Option<&'a str>,
    /// One word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
}

impl Client {
    /// A client whose requests `service` answers; names without a namespace are in `default_namespace`.
    pub fn new<S, B>(service: S, default_namespace: impl Into<String>) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(kube::Client::new(service, default_namespace))
    }

    /// A client that connects as `config` says.
    ///
    /// # Errors
    /// When the credentials in it cannot be used.
    pub fn direct(config: Config) -> Result<Self> {
        kube::Client::try_from(config).map(Self)
    }

    /// The same client, which takes no refusal from a server that is still starting.
    pub(super) fn patient(self, clock: Arc<dyn Clock>) -> Self {
        let client = self.0;
        let namespace = client.default_namespace().to_owned();
        let send = move |request| {
            let client = client.clone();
            async move { client.send(request).await }
        };
        let service = tower::service_fn(move |request| starting::patiently(send.clone(), clock.clone(), request));
        Self(kube::Client::new(service, namespace))
    }

    /// What the server serves of an API version, such as `v1` or `apps/v1`.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses; `NotFound` for a group that it does not serve.
    pub async fn resources(&self, version: &str) -> Result<APIResourceList> {
        match version.contains('/') {
            true => self.0.list_api_group_resources(version).await,
            false => self.0.list_core_api_resources(version).await,
        }
    }

    /// One object; `None` when it is not there.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn get(&self, at: &At, name: &str) -> Result<Option<DynamicObject>> {
        match self.api(at).get_opt(name).await {
            // Where a kind went with its definition the server knows not even the path, and says so in plain text.
            Err(error) if super::error::is_not_found(&error) => Ok(None),
            answer => answer,
        }
    }

    /// The objects of a kind that `fields` selects, such as `spec.nodeName=wu1`; all of them when it is empty.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn list(&self, at: &At, fields: &str) -> Result<Vec<DynamicObject>> {
        let parameters = if fields.is_empty() { ListParams::default() } else { ListParams::default().fields(fields) };
        Ok(self.api(at).list(&parameters).await?.items)
    }

    /// The last line that a container of a pod has written, which the API server asks the pod's kubelet for.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses, or does not reach the kubelet.
    pub async fn last_line(&self, namespace: &str, pod: &str, container: &str) -> Result<String> {
        let parameters =
            LogParams { container: Some(container.to_owned()), tail_lines: Some(1), limit_bytes: Some(1024), ..LogParams::default() };
        let pods: Api<Pod> = Api::namespaced(self.0.clone(), namespace);
        pods.logs(pod, &parameters).await
    }

    /// Makes an object as `body` says, by server-side apply. It can be repeated.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn apply(&self, at: &At, name: &str, body: &Value, _effect: &Effect) -> Result<()> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.api(at).patch(name, &parameters, &Patch::Apply(body)).await.map(drop)
    }

    /// Asks whether [`apply`](Self::apply) would be taken; the server and its webhooks judge it, and nothing is changed.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn rehearse(&self, at: &At, name: &str, body: &Value) -> Result<()> {
        let parameters = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER).force() };
        self.api(at).patch(name, &parameters, &Patch::Apply(body)).await.map(drop)
    }

    /// Changes what `body` names in an object, by a merge patch; a `null` in it takes something out. With `metadata.resourceVersion` in it
    /// the server refuses when somebody else was faster.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn patch(&self, at: &At, name: &str, body: &Value, _effect: &Effect) -> Result<()> {
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        self.api(at).patch(name, &parameters, &Patch::Merge(body)).await.map(drop)
    }

    /// Approves a request for a certificate, so that the cluster signs it.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses; a conflict where the request is not the one that was looked at any more.
    pub async fn approve(&self, at: &At, name: &str, approval: Approval<'_>, _effect: &Effect) -> Result<()> {
        let Approval { version, reason, message } = approval;
        let condition = json!({ "type": "Approved", "status": "True", "reason": reason, "message": message });
        let mut body = json!({ "status": { "conditions": [condition] } });
        if let Some(version) = version {
            body["metadata"] = json!({ "resourceVersion": version });
        }
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        self.api(at).patch_subresource("approval", name, &parameters, &Patch::Merge(body)).await.map(drop)
    }

    /// Asks the server to evict the pod with this `uid`, within its disruption budgets: 429 when one of them does not allow it now.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn evict(&self, namespace: &str, name: &str, uid: &str, _effect: &Effect) -> Result<()> {
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name, "namespace": namespace },
            "deleteOptions": { "preconditions": { "uid": uid } },
        });
        let request = Request::post(format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?)
            .map_err(kube::Error::HttpError)?;
        self.0.request::<Value>(request).await.map(drop)
    }

    /// Asks for a token of a service account that ends after `seconds`; the answer is a `TokenRequest`.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses; `NotFound` where there is no such service account.
    pub async fn token(&self, namespace: &str, name: &str, seconds: u32, _effect: &Effect) -> Result<Value> {
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": seconds } });
        let request = Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?)
            .map_err(kube::Error::HttpError)?;
        self.0.request(request).await
    }

    /// Removes an object; what depends on it goes with it, in the background. That it is gone already is fine.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn delete(&self, at: &At, name: &str, _effect: &Effect) -> Result<()> {
        match self.api(at).delete(name, &DeleteParams::background()).await {
            Err(error) if super::error::is_not_found(&error) => Ok(()),
            done => done.map(drop),
        }
    }

    fn api(&self, at: &At) -> Api<DynamicObject> {
        match &at.namespace {
            Some(namespace) => Api::namespaced_with(self.0.clone(), namespace, &at.resource),
            None => Api::all_with(self.0.clone(), &at.resource),
        }
    }
}
