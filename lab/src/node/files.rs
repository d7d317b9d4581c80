//! A machine's file system: a map from path to what stands there.
use super::shared;
use kthw_engine::node::{PathKind, PathState};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

/// All files of a machine, by absolute path. Machines that were made alike share what is alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Files(BTreeMap<Arc<str>, Arc<Entry>>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let files: BTreeMap<Arc<str>, Arc<Entry>> = Deserialize::deserialize(deserializer)?;
        Ok(Self(files.into_iter().map(shared::shared).collect()))
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// File, directory, link or something else.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owning user.
    pub owner: String,
    /// Owning group.
    pub group: String,
    /// Last modification, in seconds since 1970.
    pub modified_s: u64,
    /// The digest of the downloaded file that this one stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<String>,
}

/// What kind of thing it is, with its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A file.
    File(#[serde(with = "super::text_or_base64")] Vec<u8>),
    /// A directory.
    Directory,
    /// A link and where it points.
    Symlink(String),
    /// A device or socket.
    Other,
}

/// Files larger than this are reported without their content.
const SMALL: usize = 64 * 1024;

impl Files {
    /// What stands at `path`, without following a link in its last place.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.at(&self.real_parent(path)?)
    }

    /// The content of a file, through links.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        match &self.at(&self.resolve(path)?)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// The content of a file as text; empty when there is none.
    pub fn text(&self, path: &str) -> String {
        self.content(path).map(|content| String::from_utf8_lossy(content).into_owned()).unwrap_or_default()
    }

    /// Whether something stands at `path`, through links.
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path).is_some()
    }

    /// Whether a directory stands at `path`, through links.
    pub fn is_directory(&self, path: &str) -> bool {
        self.resolve(path).is_some_and(|path| path.is_empty() || self.is_directory_itself(&path))
    }

    /// Puts a file in place of whatever stands there.
    ///
    /// # Errors
    /// When its directory is missing, as a shell says it.
    pub fn write(&mut self, path: &str, content: Vec<u8>, mode: u32, now_s: u64) -> Result<(), String> {
        let real = self.real_parent(path).filter(|real| parent(real).is_none_or(|folder| self.is_directory(folder)));
        let Some(real) = real else { return Err(format!("cannot create {path}: Directory nonexistent")) };
        if self.is_directory_itself(&real) {
            return Err(format!("cannot overwrite directory {path}"));
        }
        self.insert(real, Kind::File(content), mode, now_s);
        Ok(())
    }

    /// Puts a file in place and makes its directories.
    pub fn put(&mut self, path: &str, content: &str, mode: u32, now_s: u64) {
        if let Some(folder) = parent(path) {
            self.make_directory(folder, 0o755, now_s);
        }
        // The directories were just made, so only a directory at `path` itself could refuse; then it stays.
        let _ = self.write(path, content.as_bytes().to_vec(), mode, now_s);
    }

    /// Makes a directory and its parents; one that is there keeps its mode.
    pub fn make_directory(&mut self, path: &str, mode: u32, now_s: u64) {
        if path.is_empty() || self.is_directory(path) {
            return;
        }
        if let Some(folder) = parent(path) {
            self.make_directory(folder, 0o755, now_s);
        }
        if let Some(real) = self.real_parent(path) {
            self.insert(real, Kind::Directory, mode, now_s);
        }
    }

    /// Makes or repoints a link.
    ///
    /// # Errors
    /// When its directory is missing or a directory stands there.
    pub fn link(&mut self, path: &str, target: &str, now_s: u64) -> Result<(), String> {
        self.write(path, Vec::new(), 0o777, now_s)?;
        if let Some(entry) = self.get_mut(path) {
            entry.kind = Kind::Symlink(target.to_owned());
        }
        Ok(())
    }

    /// Removes a file or link; what is not there stays away.
    ///
    /// # Errors
    /// When it is a directory.
    pub fn remove(&mut self, path: &str) -> Result<(), String> {
        let Some(real) = self.real_parent(path) else { return Ok(()) };
        if self.is_directory_itself(&real) {
            return Err(format!("cannot remove '{path}': Is a directory"));
        }
        self.0.remove(real.as_str());
        Ok(())
    }

    /// Removes whatever stands at `path`, with everything below.
    pub fn remove_tree(&mut self, path: &str) {
        let Some(real) = self.real_parent(path) else { return };
        let below = format!("{real}/");
        self.0.retain(|path, _| **path != *real && !path.starts_with(&below));
    }

    /// What stands at `path`, to change it; a link is not followed.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Entry> {
        let real = self.real_parent(path)?;
        self.0.get_mut(real.as_str()).map(Arc::make_mut)
    }

    /// Names directly below a directory.
    pub fn names(&self, path: &str) -> Vec<&str> {
        let Some(real) = self.resolve(path) else { return Vec::new() };
        let below = format!("{}/", real.trim_end_matches('/'));
        let inside =
            self.0.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded)).take_while(|(path, _)| path.starts_with(&below));
        inside.map(|(path, _)| &path[below.len()..]).filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }

    /// What [`Probe::Path`](kthw_engine::node::Probe::Path) finds.
    pub fn state(&self, path: &str, expect: Option<&str>) -> Option<PathState> {
        let entry = self.get(path)?;
        let mut state = PathState {
            kind: match &entry.kind {
                Kind::File(_) => PathKind::File,
                Kind::Directory => PathKind::Directory,
                Kind::Symlink(target) => PathKind::Symlink { target: target.clone() },
                Kind::Other => PathKind::Other,
            },
            mode: entry.mode,
            owner: entry.owner.clone(),
            group: entry.group.clone(),
            modified_s: i64::try_from(entry.modified_s).unwrap_or(0),
            sha256: None,
            content: None,
        };
        if let Kind::File(content) = &entry.kind {
            let digest = entry.stands_for.clone().unwrap_or_else(|| crate::state::fingerprint(content));
            state.content = expect.filter(|wanted| *wanted != digest && content.len() <= SMALL).map(|_| content.clone());
            state.sha256 = Some(digest);
        }
        Some(state)
    }

    #[cfg(test)]
    pub(super) fn shares(&self, other: &Self, path: &str) -> bool {
        matches!((self.0.get(path), other.0.get(path)), (Some(one), Some(two)) if Arc::ptr_eq(one, two))
    }

    fn at(&self, real: &str) -> Option<&Entry> {
        self.0.get(real).map(|entry| &**entry)
    }

    fn is_directory_itself(&self, real: &str) -> bool {
        matches!(self.at(real), Some(Entry { kind: Kind::Directory, .. }))
    }

    fn insert(&mut self, real: String, kind: Kind, mode: u32, now_s: u64) {
        let entry = Entry { kind, mode, owner: "root".into(), group: "root".into(), modified_s: now_s, stands_for: None };
        self.0.insert(real.into(), Arc::new(entry));
    }

    /// The path with links in its directories followed; `None` when one of them is missing.
    fn real_parent(&self, path: &str) -> Option<String> {
        let path = path.trim_end_matches('/');
        match parent(path) {
            None => Some(path.to_owned()),
            Some(folder) => {
                let name = &path[folder.len()..];
                let folder = if folder.is_empty() { String::new() } else { self.resolve(folder).unwrap_or_else(|| folder.to_owned()) };
                Some(format!("{folder}{name}"))
            }
        }
    }

    /// The path with all links followed; `None` when nothing stands at its end.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut real = self.real_parent(path)?;
        // A chain of links longer than this is a loop.
        for _ in 0..16 {
            match self.at(&real) {
                Some(Entry { kind: Kind::Symlink(target), .. }) => {
                    let target = joined(parent(&real).unwrap_or_default(), target);
                    real = self.real_parent(&target)?;
                }
                Some(_) => return Some(real),
                // The root directory is always there.
                None => return real.is_empty().then_some(real),
            }
        }
        None
    }
}

/// A link's target as an absolute path, without `..`.
fn joined(folder: &str, target: &str) -> String {
    let mut names: Vec<&str> =
        if target.starts_with('/') { Vec::new() } else { folder.split('/').filter(|name| !name.is_empty()).collect() };
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_files() -> Files {
        let mut files = Files::default();
        files.put("/etc/hosts", "127.0.0.1 localhost\n", 0o644, 1);
        files.put("/usr/lib/os-release", "ID=ubuntu\n", 0o644, 1);
        files.link("/etc/os-release", "../usr/lib/os-release", 1).unwrap();
        files.link("/lib", "usr/lib", 1).unwrap();
        files
    }

    #[test]
    fn links_are_followed_in_directories_and_for_content() {
        let files = some_files();
        assert_eq!(files.text("/etc/os-release"), "ID=ubuntu\n");
        assert_eq!(files.text("/lib/os-release"), "ID=ubuntu\n");
        assert!(matches!(files.get("/etc/os-release").unwrap().kind, Kind::Symlink(_)));
        assert_eq!(files.names("/etc"), ["hosts", "os-release"]);
        assert!(files.exists("/etc") && files.is_directory("/lib") && !files.exists("/etc/nothing"));
    }

    #[test]
    fn a_file_needs_its_directory() {
        let mut files = some_files();
        assert_eq!(files.write("/srv/a/b", b"x".to_vec(), 0o600, 2), Err("cannot create /srv/a/b: Directory nonexistent".into()));
        files.make_directory("/srv/a", 0o700, 2);
        files.write("/srv/a/b", b"x".to_vec(), 0o600, 2).unwrap();
        assert!(files.remove("/srv/a").is_err());
        files.remove_tree("/srv/a");
        assert!(!files.exists("/srv/a/b") && files.exists("/srv"));
    }

    #[test]
    fn content_comes_along_only_when_another_is_wanted() {
        let files = some_files();
        let same = crate::state::fingerprint("127.0.0.1 localhost\n");
        assert_eq!(files.state("/etc/hosts", Some(&same)).unwrap().content, None);
        assert!(files.state("/etc/hosts", Some("other")).unwrap().content.is_some());
        assert_eq!(files.state("/etc/nothing", None), None);
    }

    #[test]
    fn bytes_that_are_no_text_survive_saving() {
        let mut files = some_files();
        files.write("/etc/key", vec![0, 159, 146, 150], 0o600, 3).unwrap();
        let text = serde_json::to_string(&files).unwrap();
        assert_eq!(serde_json::from_str::<Files>(&text).unwrap(), files);
    }
}
