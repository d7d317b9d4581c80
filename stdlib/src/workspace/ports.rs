//! Ports, one or a range of them, as people write them.
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::{borrow::Cow, fmt, ops::RangeInclusive};

/// Ports in a row, from 1 to 65535: `9100`, or `8000-8100`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ports(RangeInclusive<u16>);

impl Ports {
    /// One port.
    pub const fn one(port: u16) -> Self {
        Self(port..=port)
    }

    /// The first and the last.
    pub fn ends(&self) -> (u16, u16) {
        (*self.0.start(), *self.0.end())
    }

    /// Whether a port is among them.
    pub fn holds(&self, port: u16) -> bool {
        self.0.contains(&port)
    }

    fn parse(text: &str) -> Option<Self> {
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first.trim())?, port(last.trim())?);
        (first <= last).then_some(Self(first..=last))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ends() {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.ends() {
            (first, last) if first == last => serializer.serialize_u16(first),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrRange;

        impl Visitor<'_> for NumberOrRange {
            type Value = Ports;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 1 to 65535, or a range of ports such as `8000-8100`")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Ports, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Ports, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Ports, E> {
                Ports::parse(text)
                    .ok_or_else(|| E::custom(format!("`{text}` is neither a port from 1 to 65535 nor a range such as `8000-8100`")))
            }
        }

        deserializer.deserialize_any(NumberOrRange)
    }
}

impl JsonSchema for Ports {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ports".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string", "pattern": "^[0-9]{1,5}( ?- ?[0-9]{1,5})?$" }],
            "examples": [9100, "8000-8100"],
        })
    }
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
}

impl Protocol {
    /// As firewalls spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_or_ranges() {
        let read = |text: &str| serde_saphyr::from_str::<Ports>(text).map(|ports| ports.to_string()).map_err(|error| error.to_string());
        for (text, shown) in [("9100", "9100"), ("8000-8100", "8000-8100"), ("\"80 - 81\"", "80-81"), ("7-7", "7"), ("65535", "65535")] {
            assert_eq!(read(text).as_deref(), Ok(shown), "{text}");
        }
        for wrong in ["0", "65536", "-1", "81-80", "1-", "ssh", "1-2-3", "1.5"] {
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains("a port from 1 to 65535"), "{wrong}: {error}");
        }
    }
}
