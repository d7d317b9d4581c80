//! Takes a node's answer apart at its marks.
use super::Separator;
use kthw_engine::redacted;

/// A node's answer that is not what the script would have printed.
#[derive(Debug, thiserror::Error)]
#[error("cannot understand {what}: {seen}")]
pub struct Malformed {
    what: &'static str,
    seen: String,
}

impl Malformed {
    pub fn new(what: &'static str, seen: impl AsRef<str>) -> Self {
        // Before it is cut: half a secret is no longer found.
        Self { what, seen: redacted(seen.as_ref()).chars().take(200).collect() }
    }
}

/// The end of what a program printed, of which the last `limit` bytes are kept at most. When the beginning may be missing it starts with the
/// first whole line: half a secret is no longer found.
pub(crate) fn tail(printed: &[u8], limit: usize) -> String {
    if printed.len() < limit {
        return String::from_utf8_lossy(printed).into_owned();
    }
    let kept = &printed[printed.len() - limit..];
    match kept.iter().position(|byte| *byte == b'\n') {
        Some(end) => String::from_utf8_lossy(&kept[end + 1..]).into_owned(),
        None => format!("(a line of more than {} KiB)", limit >> 10),
    }
}

/// The marked sections of an answer, in order: name and content.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    all: Vec<(String, Vec<u8>)>,
}

impl Sections {
    /// Splits an answer at the lines that start with `mark`; what stands before the first is the login shell's and is dropped.
    ///
    /// # Errors
    /// When the section `end` is missing, that is, when the answer was cut short.
    pub fn split(answer: &[u8], mark: &Separator) -> Result<Self, Malformed> {
        let mut sections = Self::default();
        for line in answer.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_prefix(mark.as_str().as_bytes()) {
                Some(name) => sections.all.push((String::from_utf8_lossy(name).trim_end().to_owned(), Vec::new())),
                None => {
                    if let Some((_, content)) = sections.all.last_mut() {
                        content.extend_from_slice(line);
                    }
                }
            }
        }
        match sections.all.last() {
            Some((name, _)) if name == "end" => Ok(sections),
            _ => Err(Malformed::new("the answer", "it ends in the middle")),
        }
    }

    /// The content of the first section with this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, content)| content.as_slice())
    }

    /// The section right behind `name`, if it begins with `prefix`: the rest of its name and its content.
    pub fn after(&self, name: &str, prefix: &str) -> Option<(&str, &[u8])> {
        let at = self.all.iter().position(|(known, _)| known == name)?;
        let (next, content) = self.all.get(at + 1)?;
        Some((next.strip_prefix(prefix)?, content))
    }

    /// All sections.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.all.iter().map(|(name, content)| (name.as_str(), content.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn what_may_be_cut_begins_with_a_whole_line() {
        assert_eq!(tail(b"one\ntwo\n", 9), "one\ntwo\n");
        assert_eq!(tail(b"one\ntwo\n", 8), "two\n");
        assert_eq!(tail(b"one\ntwo\nthree\n", 8), "three\n");
        assert_eq!(tail(b"one", 3), "(a line of more than 0 KiB)");
    }
}
