//! What a Debian package asks of others: <https://www.debian.org/doc/debian-policy/ch-relationships.html>.
use super::version::Version;
use std::{cmp::Ordering, fmt};

/// One way to satisfy a dependency: a package by its name, perhaps in certain versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relation<'a> {
    pub(super) name: &'a str,
    /// `<<`, `<=`, `=`, `>=` or `>>`, and the version.
    pub(super) versions: Option<(&'a str, &'a str)>,
}

impl<'a> Relation<'a> {
    /// Reads `name[:arch] [(>= version)] [[arch …]] [<profile …>]`; nothing for what is not one. Architectures and build profiles stand in source packages alone.
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| c.is_whitespace() || "([<:".contains(c)).unwrap_or(text.len());
        let name = text.get(..end).filter(|name| !name.is_empty())?;
        let inside = text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
        let versions = match inside {
            None => None,
            Some((inside, _)) => {
                let inside = inside.trim();
                let end = inside.find(|c| !"<>=".contains(c))?;
                Some((&inside[..end], inside[end..].trim()))
            }
        };
        Some(Self { name, versions })
    }

    /// Whether this version is one of those that are asked for.
    pub(super) fn takes(&self, version: &str) -> bool {
        let Some((how, wanted)) = self.versions else { return true };
        let order = Version(version).cmp(&Version(wanted));
        match how {
            "<<" => order == Ordering::Less,
            // The old spellings `<` and `>` mean the same as these two.
            "<=" | "<" => order != Ordering::Greater,
            "=" => order == Ordering::Equal,
            ">=" | ">" => order != Ordering::Less,
            ">>" => order == Ordering::Greater,
            _ => false,
        }
    }

    /// The version, where it is asked for exactly.
    pub(super) fn exact(&self) -> Option<&'a str> {
        self.versions.and_then(|(how, version)| (how == "=").then_some(version))
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.versions {
            None => f.write_str(self.name),
            Some((how, version)) => write!(f, "{} ({how} {version})", self.name),
        }
    }
}

/// The dependencies in a field: of each, the ways to satisfy it, best first.
pub(super) fn dependencies(field: &str) -> impl Iterator<Item = Vec<Relation<'_>>> {
    let each = field.split(',').map(|one| one.split('|').filter_map(Relation::of).collect::<Vec<_>>());
    each.filter(|ways| !ways.is_empty())
}

/// What a package says that it provides: names, some with one version.
pub(super) fn provided(field: &str) -> impl Iterator<Item = Relation<'_>> {
    field.split(',').filter_map(Relation::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(field: &str) -> String {
        let ways = |ways: Vec<Relation<'_>>| ways.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
        dependencies(field).map(ways).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn dependencies_are_read_in_every_spelling() {
        for (field, expected) in [
            ("libc6 (>= 2.36), awk", "libc6 (>= 2.36), awk"),
            ("debconf (>= 0.5) | debconf-2.0", "debconf (>= 0.5) | debconf-2.0"),
            ("python3:any (>= 3.9~), perl:native", "python3 (>= 3.9~), perl"),
            ("a(<<2),b ( = 1:2-3 ) ,, c [amd64] <!nocheck>", "a (<< 2), b (= 1:2-3), c"),
            ("", ""),
            (" , | ", ""),
        ] {
            assert_eq!(told(field), expected);
        }
    }

    #[test]
    fn versions_are_asked_for_in_five_ways() {
        for (relation, taken) in
            [("a", "123"), ("a (<< 2)", "1"), ("a (<= 2)", "12"), ("a (= 2)", "2"), ("a (>= 2)", "23"), ("a (>> 2)", "3"), ("a (>< 2)", "")]
        {
            let relation = Relation::of(relation).expect("a relation");
            let found: String = ["1", "2", "3"].into_iter().filter(|version| relation.takes(version)).collect();
            assert_eq!(found, taken, "{relation}");
        }
    }
}
