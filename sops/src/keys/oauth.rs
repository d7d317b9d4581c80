//! Access tokens (OAuth 2, RFC 6749), which Google and Azure want to see with every request, and the words of their refusals.
use super::exchange::Question;
use kthw_engine::Secret;
use kthw_http::Http;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

#[derive(Deserialize)]
struct Answer {
    #[serde(deserialize_with = "secret")]
    access_token: Secret,
}

/// Takes a text of a document into custody.
pub(super) fn secret<'d, D: Deserializer<'d>>(value: D) -> Result<Secret, D::Error> {
    String::deserialize(value).map(Secret::new)
}

/// The token that a question is answered with; `place` is where the credentials in the question were found.
pub(super) async fn token(http: &dyn Http, question: &Question, place: &str) -> Result<Secret, String> {
    let answer: Answer =
        question.ask(http, said).await.map_err(|refused| format!("{place} gives no access token: {}", refused.reason(&question.url)))?;
    Ok(answer.access_token)
}

/// `{"error": "invalid_grant", "error_description": "…"}` (RFC 6749, 5.2) of who gives out tokens;
/// `{"error": {"code": 403, "message": "…", "status": "PERMISSION_DENIED"}}` of Google (<https://cloud.google.com/apis/design/errors>);
/// `{"error": {"code": "Forbidden", "message": "…"}}` of Azure (<https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses>).
pub(super) fn said(answer: &Value) -> Option<String> {
    let error = answer.get("error")?;
    let text = |holder: &'_ Value, name: &str| holder.get(name).and_then(Value::as_str).map(str::to_owned);
    let words = match error.as_str() {
        Some(code) => [Some(code.to_owned()), text(answer, "error_description")],
        None => [text(error, "status").or_else(|| text(error, "code")), text(error, "message")],
    };
    Some(words.into_iter().flatten().collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_of_all_shapes() {
        for (answer, expected) in [
            (json!({ "error": "invalid_grant", "error_description": "Bad Request" }), Some("invalid_grant: Bad Request")),
            (json!({ "error": { "code": 403, "message": "no", "status": "PERMISSION_DENIED" } }), Some("PERMISSION_DENIED: no")),
            (json!({ "error": { "code": "Forbidden", "message": "no", "innererror": { "code": "x" } } }), Some("Forbidden: no")),
            (json!({ "error": 1 }), Some("")),
            (json!([]), None),
        ] {
            assert_eq!(said(&answer).as_deref(), expected, "{answer}");
        }
    }
}
