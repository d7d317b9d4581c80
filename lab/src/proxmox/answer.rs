//! Answers of the lab's Proxmox VE: data, or a refusal with its status, message and wrong parameters.
use super::check::Errors;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

/// What a handler gives back.
pub(crate) type Answer = Result<Value, Refusal>;

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: u16,
    pub message: String,
    pub errors: Errors,
}

/// A refusal with only a message.
pub(crate) fn refuse<T>(status: u16, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, message: message.into(), errors: Errors::new() })
}

/// A refusal of these parameters.
pub(crate) fn wrong_parameters(errors: Errors) -> Refusal {
    Refusal { status: 400, message: "Parameter verification failed.".into(), errors }
}

/// The answer as it goes over the wire. The message stands in the body, as newer versions do it; a status line has no place here.
pub(crate) fn response(answer: Answer) -> Response<Bytes> {
    let (status, body) = match answer {
        Ok(data) => (200, json!({ "data": data })),
        Err(Refusal { status, message, errors }) if errors.is_empty() => {
            (status, json!({ "data": null, "message": format!("{message}\n") }))
        }
        Err(Refusal { status, message, errors }) => (status, json!({ "data": null, "message": format!("{message}\n"), "errors": errors })),
    };
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json;charset=UTF-8"));
    response
}
