//! A mirror of upstream's files, as somebody without the internet has one: those of the test data, and those of Go modules.
use crate::{TEST_DATA, cache, find};
use std::path::{Path, PathBuf};

/// Makes `folder` such a mirror, of links; returns it. What is not in hand is not in it.
///
/// # Panics
/// When the folder cannot be written.
pub fn mirror(folder: &Path) -> &Path {
    let data = find(&TEST_DATA).unwrap_or_default();
    for root in [data.join("manifests"), cache().join("manifests")] {
        for file in list(&root).iter().flat_map(|project| list(project)).flat_map(|version| list(&version)) {
            let place = folder.join(file.strip_prefix(&root).expect("it lies there"));
            std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
            let _ = std::os::unix::fs::symlink(&file, &place);
        }
    }
    folder
}

fn list(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
