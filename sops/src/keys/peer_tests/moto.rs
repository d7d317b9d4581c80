//! A moto_server of one's own: AWS KMS, STS and IAM on 127.0.0.1, with signatures and policies checked on demand.
use super::{super::aws, *};
use kthw_peers::MotoServer;
use serde_json::Value;
use std::sync::Arc;
use zeroize::Zeroizing;

pub(crate) const REGION: &str = "eu-central-1";

/// Ends with the value.
pub(crate) struct Moto(MotoServer);

impl Moto {
    pub fn start(moto: &Path) -> Self {
        Self(MotoServer::start(moto))
    }

    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }

    /// A home with credentials for it in the environment.
    pub fn home(&self) -> Home {
        let home = Home::new().with("AWS_ENDPOINT_URL", self.endpoint());
        home.with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").with("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    }

    /// The ARN of a new key.
    pub fn key(&self, home: &Home) -> String {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "TrentService.CreateKey")];
        let answer = call(home, aws::Call { service: "kms", headers: &headers, body: Zeroizing::new(b"{}".to_vec()) });
        let answer: Value = serde_json::from_str(&answer).expect("KMS answers in JSON");
        answer["KeyMetadata"]["Arn"].as_str().expect("the key has an ARN").to_owned()
    }

    /// Calls IAM; what it answers is XML.
    pub fn iam(&self, home: &Home, action: &str, fields: &[(&str, &str)]) -> String {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("Action", action), ("Version", "2010-05-08")])
            .extend_pairs(fields)
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        call(home, aws::Call { service: "iam", headers: &headers, body: Zeroizing::new(form.into_bytes()) })
    }

    /// From now on signatures are verified and policies apply.
    pub fn be_strict(&self) {
        self.0.be_strict();
    }
}

fn call(home: &Home, call: aws::Call<'_>) -> String {
    let variables = home.variables.clone();
    let variables: Arc<Variables> = Arc::new(move |name: &str| variables.iter().find(|known| known.0 == name).map(|known| known.1.clone()));
    let account = aws::Account { partition: "aws", region: REGION, role: None, profile: None };
    let answer = aws::call(&variables, &account, call).expect("moto answers");
    String::from_utf8(answer.to_vec()).expect("it answers with text")
}

/// The text of an element of an answer in XML.
pub(crate) fn field<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).expect("the field is there");
    rest.split_once('<').expect("the element ends").0
}

pub(crate) fn recipient(arn: &str) -> Recipient {
    Recipient::AwsKms { arn: arn.into(), role: None, context: BTreeMap::new(), profile: None }
}
