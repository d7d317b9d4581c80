//! Errors of the Kubernetes API, in words.
use super::document::Document;
use kthw_http::in_plain_words;
use kube::Error;
use miette::Diagnostic;

/// What went wrong, without Rust's names for it: the server's own message, or the innermost cause.
pub fn in_words(error: &Error) -> String {
    if let Error::Api(status) = error {
        let causes: Vec<String> = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .map(|cause| if cause.field.is_empty() { cause.message.clone() } else { format!("{}: {}", cause.field, cause.message) })
            .filter(|cause| !status.message.contains(cause.as_str()))
            .collect();
        let more = if causes.is_empty() { String::new() } else { format!(" ({})", causes.join("; ")) };
        return format!("{}{more}", if status.message.is_empty() { &status.reason } else { &status.message });
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    in_plain_words(&innermost.to_string())
}

/// Whether the server says that there is no such thing.
pub fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// Whether somebody else changed the same thing meanwhile.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

/// Whether the same request may succeed in a moment: the server is busy or restarting, or the connection broke.
pub fn is_passing(error: &Error) -> bool {
    match error {
        Error::Api(status) => {
            matches!(status.code, 429 | 502 | 503 | 504)
                || (status.code == 500 && (status.message.contains("etcdserver") || status.message.contains("failed calling webhook")))
        }
        // A certificate that does not fit will not fit in a moment either.
        Error::HyperError(_) | Error::Service(_) => !in_words(error).contains("certificate"),
        _ => false,
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} has not shown the way to its Kubernetes API for {seconds} s")]
#[diagnostic(code(kthw::kubernetes::no_way), help("look at the machine's load and its logs (`journalctl -b`), then run it again"))]
pub(crate) struct NoWay {
    pub node: String,
    pub seconds: u64,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read {what}: {reason}")]
#[diagnostic(code(kthw::kubernetes::read), help("see that the API server answers: `kubectl get --raw=/readyz` on the control plane"))]
pub(crate) struct ReadObject {
    pub what: String,
    pub reason: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the API server refused {what}: {reason}")]
#[diagnostic(code(kthw::kubernetes::apply), help("compare the object with what this Kubernetes version accepts"))]
pub(crate) struct ApplyObject {
    pub what: String,
    pub reason: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the API server does not remove {what}: {reason}")]
#[diagnostic(code(kthw::kubernetes::remove), help("nothing behind it was removed; see what keeps it, and run again"))]
pub(crate) struct RemoveObject {
    pub what: String,
    pub reason: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the API server does not serve `{kind}` of {version}, which {what} is")]
#[diagnostic(code(kthw::kubernetes::no_such_kind), help("apply the custom resource definitions that it needs first, with `needs: [...]`"))]
pub(crate) struct NoSuchKind {
    what: String,
    kind: String,
    version: String,
}

impl NoSuchKind {
    pub fn of(document: &Document) -> Self {
        Self { what: document.to_string(), kind: document.kind.clone(), version: document.api_version.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn api(code: u16, message: &str) -> Error {
        let status = json!({"status": "Failure", "code": code, "message": message, "reason": "R",
            "details": {"causes": [{"reason": "x", "field": "spec.a", "message": "too long"}]}});
        Error::Api(Box::new(serde_json::from_value(status).expect("a status")))
    }

    #[test]
    fn the_servers_words_come_first() {
        assert_eq!(in_words(&api(409, "conflict")), "conflict (spec.a: too long)");
        assert_eq!(in_words(&api(409, "")), "R (spec.a: too long)");
    }

    #[test]
    fn a_busy_server_is_asked_again_and_a_refusal_is_not() {
        assert!(is_passing(&api(503, "")));
        assert!(is_passing(&api(500, "etcdserver: leader changed")));
        assert!(!is_passing(&api(500, "field not declared in schema")));
        assert!(!is_passing(&api(422, "")));
        assert!(is_not_found(&api(404, "")));
    }
}
