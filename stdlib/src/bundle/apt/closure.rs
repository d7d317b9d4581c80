//! Which packages of some repositories a machine may need for those that are wanted. Pure.
//!
//! A node's own apt decides what it installs, out of what its image lacks. So this takes rather too much: of each dependency the first way that can
//! be had, whatever else would do; all packages that provide a name; and what is usually there already, where one that is taken is made in step with it.
//! Left out is what every machine of the distribution has (`Essential`, and priority `required`).
use super::{
    index::Package,
    relation::{Relation, dependencies, provided},
    version::Version,
};
use std::collections::{BTreeMap, HashMap};

/// A package that is asked for by its name, perhaps in exactly one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its version as the package manager spells it; the newest when absent.
    pub version: Option<String>,
}

/// A dependency that no repository can satisfy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bundle) struct Missing {
    /// As it is written: `iptables (>= 1.4.21)`.
    pub(in crate::bundle) what: String,
    /// The package that depends on it; none for one that was wanted.
    pub(in crate::bundle) by: Option<String>,
    /// The versions that there are.
    pub(in crate::bundle) there: Vec<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(in crate::bundle) struct Found<'a> {
    /// Packages, each with the number of its repository, in the order of their names.
    pub(in crate::bundle) taken: BTreeMap<&'a str, (usize, &'a Package)>,
    pub(in crate::bundle) missing: Vec<Missing>,
}

/// All packages by their names, and by the names that they provide.
struct Known<'a> {
    /// Of each name the one that apt would install: in the version that is wanted, else the newest, from the first repository that has it.
    candidates: BTreeMap<&'a str, (usize, &'a Package)>,
    versions: HashMap<&'a str, Vec<&'a str>>,
    providers: HashMap<&'a str, Vec<(Relation<'a>, &'a str)>>,
}

/// What `wanted` needs of `repositories`, best first.
pub(in crate::bundle) fn closure<'a>(repositories: &'a [Vec<Package>], wanted: &[Wanted]) -> Found<'a> {
    let known = Known::of(repositories, wanted);
    let (mut found, mut waiting) = (Found::default(), Vec::new());
    for one in wanted {
        match known.candidates.get_key_value(one.name.as_str()) {
            Some((name, (_, package))) if one.version.as_ref().is_none_or(|wanted| *wanted == package.version) => waiting.push(*name),
            _ => {
                let what = one.version.as_ref().map_or_else(|| one.name.clone(), |version| format!("{} (= {version})", one.name));
                found.missing.push(Missing { what, by: None, there: known.there(&one.name) });
            }
        }
    }
    loop {
        while let Some(name) = waiting.pop() {
            let candidate = known.candidates[name];
            if found.taken.insert(name, candidate).is_some() {
                continue;
            }
            for ways in dependencies(&candidate.1.depends) {
                match known.satisfy(&ways) {
                    Some(names) => waiting.extend(names),
                    None => found.missing.push(known.missing(&ways, name)),
                }
            }
        }
        waiting = known.in_step(&found.taken);
        if waiting.is_empty() {
            break;
        }
    }
    found.missing.sort();
    found.missing.dedup();
    found
}

impl<'a> Known<'a> {
    fn of(repositories: &'a [Vec<Package>], wanted: &[Wanted]) -> Self {
        let exact: HashMap<&str, &str> = wanted.iter().filter_map(|one| Some((one.name.as_str(), one.version.as_deref()?))).collect();
        let mut known = Self { candidates: BTreeMap::new(), versions: HashMap::new(), providers: HashMap::new() };
        for (at, packages) in repositories.iter().enumerate() {
            for package in packages {
                let name = package.name.as_str();
                known.versions.entry(name).or_default().push(&package.version);
                if exact.get(name).is_some_and(|version| *version != package.version) {
                    continue;
                }
                let other = known.candidates.get(name);
                if other.is_none_or(|(_, other)| Version(&other.version) < Version(&package.version)) {
                    known.candidates.insert(name, (at, package));
                }
            }
        }
        for (name, (_, package)) in &known.candidates {
            for one in provided(&package.provides) {
                known.providers.entry(one.name).or_default().push((one, name));
            }
        }
        known
    }

    /// The packages to take for a dependency, none of them where every machine satisfies it; nothing where it cannot be satisfied.
    fn satisfy(&self, ways: &[Relation<'a>]) -> Option<Vec<&'a str>> {
        let answers: Vec<Vec<&'a str>> = ways.iter().map(|way| self.answer(way)).collect();
        // What is asked for in exactly one version may be there in another.
        let is_there = |(way, names): (&Relation<'a>, &Vec<&'a str>)| {
            way.exact().is_none() && names.iter().any(|name| self.candidates[name].1.is_required())
        };
        if ways.iter().zip(&answers).any(is_there) {
            return Some(Vec::new());
        }
        answers.into_iter().find(|names| !names.is_empty())
    }

    /// The package of that name, else all that provide it. Only who provides it in a version satisfies who asks for one.
    fn answer(&self, way: &Relation<'a>) -> Vec<&'a str> {
        if let Some((_, package)) = self.candidates.get(way.name).filter(|(_, package)| way.takes(&package.version)) {
            return vec![&package.name];
        }
        let providers = self.providers.get(way.name).into_iter().flatten();
        let fitting =
            providers.filter(|(provided, _)| way.versions.is_none() || provided.exact().is_some_and(|version| way.takes(version)));
        fitting.map(|(_, name)| *name).collect()
    }

    /// What machines usually have and depends on exactly this version of one that is taken: it has to move with it.
    fn in_step(&self, taken: &BTreeMap<&str, (usize, &Package)>) -> Vec<&'a str> {
        let is_tied =
            |way: &Relation<'_>| taken.get(way.name).is_some_and(|(_, one)| way.exact().is_some_and(|version| version == one.version));
        let others = self.candidates.iter().filter(|(name, (_, package))| package.is_usual() && !taken.contains_key(*name));
        others
            .filter(|(_, (_, package))| dependencies(&package.depends).flatten().any(|way| is_tied(&way)))
            .map(|(name, _)| *name)
            .collect()
    }

    fn missing(&self, ways: &[Relation<'_>], by: &str) -> Missing {
        let what = ways.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
        Missing { what, by: Some(by.to_owned()), there: ways.iter().flat_map(|way| self.there(way.name)).collect() }
    }

    fn there(&self, name: &str) -> Vec<String> {
        self.versions.get(name).into_iter().flatten().map(|version| (*version).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repositories out of lines: `name version [depends: …] [provides: …] [required|important]`, an empty line between two.
    fn repositories(text: &str) -> Vec<Vec<Package>> {
        let package = |line: &str| {
            let (line, provides) = line.split_once(" provides: ").unwrap_or((line, ""));
            let (line, depends) = line.split_once(" depends: ").unwrap_or((line, ""));
            let mut words = line.split_whitespace().map(str::to_owned);
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            let priority = words.next().unwrap_or_default();
            Package { name, version, depends: depends.into(), provides: provides.into(), priority, ..Package::default() }
        };
        text.split("\n\n").map(|one| one.lines().map(str::trim).filter(|line| !line.is_empty()).map(package).collect()).collect()
    }

    fn told(text: &str, wanted: &str) -> String {
        let repositories = repositories(text);
        let wanted = wanted.split_whitespace().map(|one| match one.split_once('=') {
            Some((name, version)) => Wanted { name: name.into(), version: Some(version.into()) },
            None => Wanted { name: one.into(), version: None },
        });
        let found = closure(&repositories, &wanted.collect::<Vec<_>>());
        let taken = found.taken.values().map(|(at, package)| format!("{at}:{}={}", package.name, package.version));
        let missing = found.missing.iter().map(|one| {
            let by = one.by.as_ref().map_or_else(String::new, |by| format!(" for {by}"));
            let there = if one.there.is_empty() { String::new() } else { format!(", there: {}", one.there.join(" ")) };
            format!("no {}{by}{there}", one.what)
        });
        taken.chain(missing).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_is_wanted_comes_with_all_that_it_needs() {
        for (what, text, wanted, expected) in [
            ("a chain", "a 1 depends: b\nb 1 depends: c (>= 2)\nc 2\nd 1", "a", "0:a=1; 0:b=1; 0:c=2"),
            ("a circle", "a 1 depends: b\nb 1 depends: a, c\nc 1 depends: b", "a", "0:a=1; 0:b=1; 0:c=1"),
            ("the newest of all repositories", "a 1.9\na 1.10\n\na 1.2", "a", "0:a=1.10"),
            ("the first of two that are equal", "a 1\n\na 1", "a", "0:a=1"),
            ("a wanted version", "a 1\na 2\nb 1 depends: a", "b a=1", "0:a=1; 0:b=1"),
            ("a wanted version of a later repository", "a 3\n\na 1\na 2", "a=2", "1:a=2"),
            ("the first way", "a 1 depends: b | c\nb 1\nc 1", "a", "0:a=1; 0:b=1"),
            ("a way that can be had", "a 1 depends: b (>= 2) | c\nb 1\nc 1", "a", "0:a=1; 0:c=1"),
            ("all that provide a name", "a 1 depends: mta\nb 1 provides: mta\nc 1 provides: x, mta", "a", "0:a=1; 0:b=1; 0:c=1"),
            ("a real package before one that provides it", "a 1 depends: b\nb 1\nc 1 provides: b", "a", "0:a=1; 0:b=1"),
            ("a provided version", "a 1 depends: v (>= 2)\nb 1 provides: v (= 2)\nc 1 provides: v", "a", "0:a=1; 0:b=1"),
            (
                "across repositories",
                "kubelet 1 depends: iptables (>= 1.4)\n\niptables 1.8 depends: libc6\nlibc6 2",
                "kubelet",
                "0:kubelet=1; 1:iptables=1.8; 1:libc6=2",
            ),
        ] {
            let mut told: Vec<String> = told(text, wanted).split("; ").map(str::to_owned).collect();
            told.sort();
            assert_eq!(told.join("; "), expected, "{what}");
        }
    }

    #[test]
    fn what_every_machine_has_stays_out() {
        for (what, text, expected) in [
            ("required", "a 1 depends: base\nbase 1 required depends: more\nmore 1", "0:a=1"),
            ("provided by what is required", "a 1 depends: awk\nmawk 1 required provides: awk\ngawk 1 provides: awk", "0:a=1"),
            ("another way is there", "a 1 depends: b | base\nb 1\nbase 1 required", "0:a=1"),
            ("in exactly one version it may be another", "a 1 depends: base (= 1)\nbase 1 required", "0:a=1; 0:base=1"),
            ("only important", "a 1 depends: b\nb 1 important", "0:a=1; 0:b=1"),
        ] {
            assert_eq!(told(text, "a"), expected, "{what}");
        }
    }

    #[test]
    fn what_is_made_in_step_comes_along() {
        let text = "timesyncd 2 depends: shared (= 2)\nshared 2\nsystemd 2 important depends: shared (= 2), lib\nlib 1\nsysv 2 important depends: systemd (= 2)\n\
                    udev 2 important depends: shared (= 1)\nextra 2 depends: shared (= 2)";
        assert_eq!(told(text, "timesyncd"), "0:lib=1; 0:shared=2; 0:systemd=2; 0:sysv=2; 0:timesyncd=2");
    }

    #[test]
    fn what_is_missing_is_named_with_who_needs_it() {
        for (text, wanted, expected) in [
            ("a 1", "b", "no b"),
            ("a 1\na 2", "a=3", "no a (= 3), there: 1 2"),
            ("a 1 depends: b (>= 2) | c\nb 1", "a", "0:a=1; no b (>= 2) | c for a, there: 1"),
            ("a 1 depends: v (>= 2)\nb 1 provides: v", "a", "0:a=1; no v (>= 2) for a"),
            ("a 1 depends: b\nb 1 depends: c\nd 1 depends: c", "a d", "0:a=1; 0:b=1; 0:d=1; no c for b; no c for d"),
        ] {
            assert_eq!(told(text, wanted), expected);
        }
    }
}
