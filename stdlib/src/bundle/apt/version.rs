//! Versions of Debian packages in their order: <https://www.debian.org/doc/debian-policy/ch-controlfields.html#version>.
use std::cmp::Ordering;

/// A version, `[epoch:]upstream[-revision]`. Two that are equal in this order may be written differently (`1.0` and `1.00`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a>(pub(super) &'a str);

impl Version<'_> {
    fn parts(&self) -> (&str, &str, &str) {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("0", self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        (epoch, upstream, revision)
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.parts(), other.parts());
        number(ours.0, theirs.0).then_with(|| part(ours.1, theirs.1)).then_with(|| part(ours.2, theirs.2))
    }
}

/// What is no number and what is one take turns, from the left.
fn part(mut ours: &str, mut theirs: &str) -> Ordering {
    while !ours.is_empty() || !theirs.is_empty() {
        let (a, rest) = split(ours, |c| !c.is_ascii_digit());
        let (b, other) = split(theirs, |c| !c.is_ascii_digit());
        let (x, rest) = split(rest, |c| c.is_ascii_digit());
        let (y, other) = split(other, |c| c.is_ascii_digit());
        match text(a, b).then_with(|| number(x, y)) {
            Ordering::Equal => (ours, theirs) = (rest, other),
            other => return other,
        }
    }
    Ordering::Equal
}

fn split(text: &str, of_it: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !of_it(c)).unwrap_or(text.len()))
}

/// `~` comes before the end, the end before letters, and letters before all else.
fn text(ours: &str, theirs: &str) -> Ordering {
    let rank = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    };
    let (ours, theirs) = (ours.as_bytes(), theirs.as_bytes());
    let longest = ours.len().max(theirs.len());
    (0..longest).map(|at| rank(ours.get(at)).cmp(&rank(theirs.get(at)))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Numbers of any length; none is zero.
fn number(ours: &str, theirs: &str) -> Ordering {
    let (ours, theirs) = (ours.trim_start_matches('0'), theirs.trim_start_matches('0'));
    ours.len().cmp(&theirs.len()).then_with(|| ours.cmp(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_dpkgs_order() {
        // As `dpkg --compare-versions` has it.
        for (less, more) in [
            ("1.0~rc1", "1.0"),
            ("1.0~rc1-1", "1.0~rc1-1+b1"),
            ("1.0-1", "1.0-1+deb12u1"),
            ("1.9", "1.10"),
            ("9.0", "1:0.1"),
            ("1.0-1", "1.0-1.1"),
            ("1.0", "1.0-1"),
            ("1.0a", "1.0+"),
            ("1.20~ds1-1", "1.20-1"),
            ("2.36-9+deb12u10", "2.36-9+deb12u13"),
            ("1.2-3-4", "1.2-4-1"),
            ("99999999999999999998", "99999999999999999999"),
            ("1.0~~", "1.0~"),
        ] {
            assert!(Version(less) < Version(more) && Version(more) > Version(less), "{less} < {more}");
        }
        for (one, other) in [("1.0", "0:1.0"), ("1.00", "1.0"), ("1.0-0", "1.0"), ("1.0.", "1.0.0")] {
            assert!(Version(one) == Version(other), "{one} = {other}");
        }
    }
}
