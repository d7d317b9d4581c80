//! A text with secrets in it: it is put together where it is compared and written, and shown with their names.
use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_engine::{Error, Result, Rhai, Secret, SecretRef};
use kthw_sops::Secrets;
use miette::Diagnostic;
use rhai::Dynamic;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The text, in parts. In a script's options it is `#{ "$text": [...] }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretText {
    #[serde(rename = "$text")]
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Part {
    Plain(String),
    Secret(InText),
}

/// A secret in a text, in a form that the text's reader understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InText {
    #[serde(rename = "$secret")]
    name: String,
    form: Form,
}

/// How a secret stands in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As it is.
    Plain,
    /// With this user before it, as HTTP's Basic scheme has both: in base64 (RFC 7617).
    Basic(String),
    /// Percent-encoded, as the password in a URL (RFC 3986).
    InUrl,
    /// As it is, where white space would end it.
    Word,
}

impl SecretText {
    /// A text without secrets, so far.
    pub fn new(text: impl Into<String>) -> Self {
        Self::default().text(text)
    }

    /// Adds plain text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        match self.parts.last_mut() {
            Some(Part::Plain(last)) => last.push_str(&text.into()),
            _ => self.parts.push(Part::Plain(text.into())),
        }
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn secret(mut self, name: &str, form: Form) -> Self {
        self.parts.push(Part::Secret(InText { name: name.to_owned(), form }));
        self
    }

    /// Adds what another one says.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        other.parts.iter().fold(self, |text, part| match part {
            Part::Plain(plain) => text.text(plain),
            Part::Secret(secret) => text.secret(&secret.name, secret.form.clone()),
        })
    }

    /// The whole, if no secret is in it.
    pub fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Plain(text)] => Some(text),
            _ => None,
        }
    }

    /// As a script passes it on: a text if there is no secret in it.
    ///
    /// # Errors
    /// Never.
    pub fn into_dynamic(self) -> Rhai<Dynamic> {
        match self.plain() {
            Some(text) => Ok(text.to_owned().into()),
            None => rhai::serde::to_dynamic(&self),
        }
    }

    /// The secrets that it holds.
    pub fn secrets(&self) -> impl Iterator<Item = SecretRef> {
        self.parts.iter().filter_map(|part| match part {
            Part::Plain(_) => None,
            Part::Secret(secret) => Some(SecretRef { name: secret.name.clone() }),
        })
    }

    /// The text with its secrets.
    ///
    /// # Errors
    /// A secret that is missing; one of several lines that is a part of a text.
    pub fn resolve(&self, secrets: &Secrets) -> Result<Secret> {
        let mut whole = String::new();
        for part in &self.parts {
            match part {
                Part::Plain(text) => whole.push_str(text),
                Part::Secret(InText { name, form }) => {
                    let value = secrets.resolve(&SecretRef { name: name.clone() })?;
                    let ends_early = |c: char| c.is_control() || (*form == Form::Word && c.is_whitespace());
                    if self.parts.len() > 1 && value.expose().chars().any(ends_early) {
                        return Err(Error::recipe(NotOneLine { name: name.clone() }));
                    }
                    whole.push_str(form.of(&value).expose());
                }
            }
        }
        Ok(Secret::holding(whole))
    }
}

impl From<SecretRef> for SecretText {
    /// A text that is a secret as a whole, in as many lines as it has.
    fn from(secret: SecretRef) -> Self {
        Self::default().secret(&secret.name, Form::Plain)
    }
}

impl Form {
    /// The value in this form. It is a secret in each of them, and redaction looks for each.
    fn of(&self, value: &Secret) -> Secret {
        match self {
            Self::Plain | Self::Word => value.clone(),
            Self::Basic(user) => Secret::new(STANDARD.encode(Secret::holding(format!("{user}:{}", value.expose())).expose())),
            Self::InUrl => Secret::new(in_url(value.expose())),
        }
    }
}

/// Every byte that is not unreserved, percent-encoded.
pub fn in_url(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Plain(text) => f.write_str(text),
            Part::Secret(InText { name, .. }) => write!(f, "<secret {name}>"),
        })
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the secret `{name}` has white space or a control character, such as the end of a line, where neither can be written")]
#[diagnostic(
    code(kthw::sops::not_one_line),
    help("`kthw secrets edit` shows what it is; where it is right so, its owner has to choose another")
)]
struct NotOneLine {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let values = [("proxy.password", "p@ss:w/rd"), ("lines", "a\nb\n")];
        Secrets::from_values("secrets.sops.yaml", values.map(|(name, value)| (name, Secret::new(value))))
    }

    #[test]
    fn secrets_stand_in_it_by_their_names_until_it_is_written() {
        let text = SecretText::new("Authorization = \"Basic ").secret("proxy.password", Form::Basic("me".into())).text("\"\n");
        assert_eq!(text.to_string(), "Authorization = \"Basic <secret proxy.password>\"\n");
        let whole = text.resolve(&secrets()).unwrap();
        assert_eq!(whole.expose(), "Authorization = \"Basic bWU6cEBzczp3L3Jk\"\n");
        assert_eq!(format!("{whole:?}"), "<secret>");
        assert_eq!(kthw_engine::redacted(whole.expose()), "Authorization = \"Basic <secret>\"\n");
        let url = SecretText::new("http://me:").secret("proxy.password", Form::InUrl).text("@proxy:3128");
        assert_eq!(url.resolve(&secrets()).unwrap().expose(), "http://me:p%40ss%3Aw%2Frd@proxy:3128");
    }

    #[test]
    fn it_passes_through_a_script_as_it_is() {
        let text = SecretText::new("a").secret("b", Form::Basic("c".into())).text("d");
        let value = serde_json::to_value(&text).unwrap();
        assert_eq!(value.to_string(), r#"{"$text":["a",{"$secret":"b","form":{"basic":"c"}},"d"]}"#);
        assert_eq!(serde_json::from_value::<SecretText>(value).unwrap(), text);
    }

    #[test]
    fn a_secret_of_several_lines_is_no_part_of_a_line() {
        let whole = SecretText::from(SecretRef { name: "lines".into() });
        assert_eq!(whole.resolve(&secrets()).unwrap().expose(), "a\nb\n");
        let part = SecretText::new("password=").secret("lines", Form::Plain);
        assert!(part.resolve(&secrets()).unwrap_err().to_string().contains("control character"));
        let secrets = Secrets::from_values("s", [("two", Secret::new("a b"))]);
        assert!(SecretText::new("password ").secret("two", Form::Word).resolve(&secrets).is_err());
        assert!(SecretText::new("password ").secret("two", Form::Plain).resolve(&secrets).is_ok());
    }
}
