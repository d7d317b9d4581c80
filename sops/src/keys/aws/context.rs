//! What reqsign sees of the world: the variables of one environment, files, programs for a limited time, and kthw's HTTP client.
use super::super::{Variables, program};
use bytes::Bytes;
use http::{Request, Response};
use kthw_http::{HttpClient, send};
use reqsign_core::{CommandExecute, CommandOutput, Context, Env, Error, FileRead, HttpSend, Result};
use std::{collections::HashMap, fmt, fs, path::PathBuf, process::Command, sync::Arc, time::Duration};

/// A process that makes credentials is ended after this time.
const PROCESS_LIMIT: Duration = Duration::from_secs(45);

/// The world over `variables`, with requests through `client`.
pub(super) fn context(variables: &Arc<Variables>, client: Client) -> Context {
    Context::new().with_env(Environment(variables.clone())).with_file_read(Files).with_http_send(client).with_command_execute(Programs)
}

/// What reqsign asks for as a list.
const LISTED: [&str; 14] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

struct Environment(Arc<Variables>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Env for Environment {
    fn var(&self, key: &str) -> Option<String> {
        (self.0)(key).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
    }

    fn vars(&self) -> HashMap<String, String> {
        LISTED.into_iter().filter_map(|name| Some((name.to_owned(), self.var(name)?))).collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        (self.0)("HOME").map(PathBuf::from)
    }
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        fs::read(path).map_err(|error| Error::config_invalid(error.to_string()))
    }
}

#[derive(Debug)]
struct Programs;

impl CommandExecute for Programs {
    async fn command_execute(&self, name: &str, arguments: &[&str]) -> Result<CommandOutput> {
        let ended = program::run(Command::new(name).args(arguments), b"", PROCESS_LIMIT).map_err(Error::unexpected)?;
        Ok(CommandOutput { status: ended.status.code().unwrap_or(-1), stdout: ended.output.to_vec(), stderr: ended.said.into_bytes() })
    }
}

#[derive(Clone)]
pub(super) struct Client(pub Arc<HttpClient>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl HttpSend for Client {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        send(&*self.0, request).await.map_err(|error| Error::unexpected(error.reason))
    }
}
