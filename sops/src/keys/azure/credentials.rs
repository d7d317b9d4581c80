//! Who asks Azure: an application with its secret or a federated token, or who is signed in with the program `az`; in the order of
//! `DefaultAzureCredential`, which sops uses (<https://learn.microsoft.com/azure/developer/go/sdk/authentication/credential-chains>).
//!
//! Not here: certificates, passwords of users, managed identities. `az login` takes all of them.
use super::super::{
    Variables,
    exchange::{Question, in_one_line},
    identities, oauth, program,
};
use kthw_engine::Secret;
use kthw_http::Http;
use serde::Deserialize;
use std::{path::Path, process::Command, time::Duration};
use url::Url;

/// Where tokens come from, but in a cloud of its own, which `AZURE_AUTHORITY_HOST` names.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// `az` is a large program, and may renew a token.
const AZ_LIMIT: Duration = Duration::from_secs(45);

/// Credentials that were found.
pub(super) enum Found {
    Application { tenant: String, client: String, proof: Proof },
    Az,
}

/// How an application shows that it is the one.
pub(super) enum Proof {
    Secret(Secret),
    /// A token of somebody whom Azure trusts, such as a cluster of Kubernetes.
    Federated(Secret),
}

/// What `az account get-access-token` prints.
#[derive(Deserialize)]
struct Printed {
    #[serde(rename = "accessToken", deserialize_with = "oauth::secret")]
    access_token: Secret,
}

fn set(variables: &Variables, name: &str) -> Option<String> {
    variables(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// Looks for credentials.
pub(super) fn find(variables: &Variables) -> Result<Found, String> {
    let set = |name| set(variables, name);
    let (Some(tenant), Some(client)) = (set("AZURE_TENANT_ID"), set("AZURE_CLIENT_ID")) else { return Ok(Found::Az) };
    let proof = match (set("AZURE_CLIENT_SECRET"), set("AZURE_FEDERATED_TOKEN_FILE")) {
        (Some(secret), _) => Proof::Secret(Secret::new(secret)),
        (None, Some(file)) => {
            let token =
                identities::read(Path::new(&file)).map_err(|error| format!("cannot read {file} (AZURE_FEDERATED_TOKEN_FILE): {error}"))?;
            let token = str::from_utf8(&token).map_err(|_| format!("{file} holds no token"))?;
            Proof::Federated(Secret::new(token.trim()))
        }
        (None, None) => return Ok(Found::Az),
    };
    Ok(Found::Application { tenant, client, proof })
}

impl Found {
    /// An access token for `resource`, such as `https://vault.azure.net`.
    pub async fn access(self, http: &dyn Http, variables: &Variables, resource: &str) -> Result<Secret, String> {
        let Self::Application { tenant, client, proof } = self else { return of_az(variables, resource) };
        if !tenant.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) {
            return Err("AZURE_TENANT_ID is no name of a tenant".into());
        }
        let authority = set(variables, "AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.into());
        let url = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| "AZURE_AUTHORITY_HOST is no address".to_owned())?;
        let scope = format!("{resource}/.default");
        // https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
        let mut fields = vec![("grant_type", "client_credentials"), ("client_id", &client), ("scope", &scope)];
        let place = match &proof {
            Proof::Secret(secret) => {
                fields.push(("client_secret", secret.expose()));
                "AZURE_CLIENT_SECRET"
            }
            Proof::Federated(token) => {
                fields.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
                fields.push(("client_assertion", token.expose()));
                "AZURE_FEDERATED_TOKEN_FILE"
            }
        };
        oauth::token(http, &Question::form(url, &fields), place).await
    }
}

/// A token of who is signed in (<https://learn.microsoft.com/cli/azure/account#az-account-get-access-token>).
fn of_az(variables: &Variables, resource: &str) -> Result<Secret, String> {
    let mut az = Command::new("az");
    for name in ["PATH", "HOME"] {
        match variables(name) {
            Some(value) => az.env(name, value),
            None => az.env_remove(name),
        };
    }
    az.args(["account", "get-access-token", "--output", "json", "--resource", resource]);
    if let Some(tenant) = set(variables, "AZURE_TENANT_ID") {
        az.args(["--tenant", &tenant]);
    }
    let looked = "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE are not all set";
    let ended = program::run(&mut az, b"", AZ_LIMIT).map_err(|error| format!("{looked}, and {error}"))?;
    if !ended.status.success() {
        let said = in_one_line(ended.said.trim().trim_start_matches("ERROR: "));
        return Err(format!("{looked}, and az says: {said}"));
    }
    let printed: Printed = serde_json::from_slice(&ended.output).map_err(|_| "az prints something else than a token".to_owned())?;
    Ok(printed.access_token)
}
