//! What is the same on many machines is kept once while a saved world is read.
use super::files::Entry;
use std::{cell::RefCell, collections::HashSet, sync::Arc};

#[derive(Default)]
struct Known {
    paths: HashSet<Arc<str>>,
    entries: HashSet<Arc<Entry>>,
}

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// Reads something in which equal files are to be the same ones.
pub(crate) fn sharing<T>(read: impl FnOnce() -> T) -> T {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            KNOWN.take();
        }
    }
    KNOWN.set(Some(Known::default()));
    let _forget = Forget;
    read()
}

/// A file as it was met before, if it was.
pub(super) fn shared((path, entry): (Arc<str>, Arc<Entry>)) -> (Arc<str>, Arc<Entry>) {
    KNOWN.with_borrow_mut(|known| match known {
        Some(known) => (once(&mut known.paths, path), once(&mut known.entries, entry)),
        None => (path, entry),
    })
}

fn once<T: ?Sized + Eq + std::hash::Hash>(known: &mut HashSet<Arc<T>>, new: Arc<T>) -> Arc<T> {
    if let Some(old) = known.get(&new) {
        return old.clone();
    }
    known.insert(new.clone());
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Files;

    #[test]
    fn equal_files_are_kept_once_while_a_world_is_read() {
        let mut files = Files::default();
        files.put("/etc/hosts", "127.0.0.1 localhost\n", 0o644, 1);
        let text = serde_json::to_string(&[&files, &files]).unwrap();
        let read = || serde_json::from_str::<[Files; 2]>(&text).unwrap();
        let [one, two] = sharing(read);
        assert!(one == files && two == files && one.shares(&two, "/etc/hosts"));
        let [one, two] = read();
        assert!(!one.shares(&two, "/etc/hosts"));
    }
}
