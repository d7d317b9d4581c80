//! Answers as they come: object_store puts what a service refuses into a text, from which nobody can tell a wrong region from a missing
//! bucket, and which may quote the request with its token. So a refusal is read here, and kept as what it is.
use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService, ReqwestConnector,
    },
};

/// A refusal is shorter than this.
const LONGEST: usize = 64 << 10;
/// A message is shown up to this length.
const SHOWN: usize = 300;

/// Connects over reqwest, and reads refusals.
#[derive(Debug)]
pub(super) struct Attentive;

impl HttpConnector for Attentive {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Reader(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Reader(HttpClient);

impl HttpService for Reader {
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        async move {
            let response = self.0.execute(request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let region = response.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok()).map(str::to_owned);
            let status = response.status().as_u16();
            let body = beginning(response.into_body()).await;
            Err(HttpError::new(HttpErrorKind::Unknown, Refusal::read(status, region, &body)))
        }
        .boxed()
    }
}

/// The body as far as it came.
async fn beginning(body: HttpResponseBody) -> String {
    let mut pieces = body.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LONGEST {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a service answered instead of doing what it was asked
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub(super) struct Refusal {
    pub status: u16,
    /// Such as `NoSuchKey`; empty where it is not the answer of an S3.
    pub code: String,
    message: String,
    /// Where the bucket is, if the service says so.
    pub region: Option<String>,
}

impl Refusal {
    fn read(status: u16, region: Option<String>, body: &str) -> Self {
        let field = |name: &str| element(body, name).map(|text| text.chars().filter(|c| !c.is_control()).take(SHOWN).collect::<String>());
        let region = region.or_else(|| field("Region"));
        Self { status, code: field("Code").unwrap_or_default(), message: field("Message").unwrap_or_default(), region }
    }

    /// `403 AccessDenied: Access Denied`.
    fn words(&self) -> String {
        let mut words = self.status.to_string();
        for (separator, more) in [(" ", &self.code), (": ", &self.message)] {
            if !more.is_empty() {
                words.push_str(separator);
                words.push_str(more);
            }
        }
        words
    }
}

/// The text of the first element of this name. What S3 puts there has no markup.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The request\n signature</Message>\
                   <CanonicalRequest>x-amz-security-token:canary</CanonicalRequest></Error>";
        let refusal = Refusal::read(403, None, xml);
        assert_eq!(
            (refusal.to_string().as_str(), refusal.code.as_str()),
            ("403 SignatureDoesNotMatch: The request signature", "SignatureDoesNotMatch")
        );
        assert!(!format!("{refusal:?}").contains("canary"));
        let xml =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting 'eu-west-1'</Message><Region>eu-west-1</Region></Error>";
        assert_eq!(Refusal::read(400, None, xml).region.as_deref(), Some("eu-west-1"));
        assert_eq!(Refusal::read(301, Some("eu-west-2".into()), "").region.as_deref(), Some("eu-west-2"));
        assert_eq!(Refusal::read(502, None, "<html>").to_string(), "502");
    }
}
