//! Paths below a folder, walked part by part from what is open already, so that no link is followed on the way.
use crate::name::Name;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdirat, openat, statat, unlinkat},
    io::Errno,
};
use std::{
    fs::{DirBuilder, File},
    io::{self, ErrorKind, Read},
    os::{fd::AsFd, unix::fs::DirBuilderExt},
    path::Path,
};

const OF_A_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
/// A pipe in a record's place must not be waited for.
const CAREFUL: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Where the file of a record is or would be.
pub(super) struct Place<'n> {
    pub folder: File,
    pub file: &'n str,
}

impl Place<'_> {
    pub fn open(&self, how: OFlags) -> io::Result<Option<File>> {
        let file = match openat(&self.folder, self.file, how | CAREFUL, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match file.metadata()?.is_file() {
            true => Ok(Some(file)),
            false => Err(io::Error::new(ErrorKind::InvalidInput, "it is no file")),
        }
    }

    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open(OFlags::RDONLY)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Where the file of a record is; `None` when not even its folder is there.
pub(super) fn find<'n>(root: &File, name: &'n Name) -> io::Result<Option<Place<'n>>> {
    let (parents, file) = split(name);
    let mut folder = root.try_clone()?;
    for part in parents {
        let Some(next) = enter(&folder, part)? else { return Ok(None) };
        folder = next;
    }
    Ok(Some(Place { folder, file }))
}

/// [`find`], with the folders made that are not there.
pub(super) fn make_place<'n>(root: &File, name: &'n Name, durable: bool) -> io::Result<Place<'n>> {
    let (parents, file) = split(name);
    let mut folder = root.try_clone()?;
    for part in parents {
        folder = match enter(&folder, part)? {
            Some(next) => next,
            None => {
                mkdirat(&folder, part, Mode::RWXU)?;
                if durable {
                    folder.sync_all()?;
                }
                enter(&folder, part)?.ok_or(ErrorKind::NotFound)?
            }
        };
    }
    Ok(Place { folder, file })
}

fn split(name: &Name) -> (impl Iterator<Item = &str>, &str) {
    let (parents, file) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
    (parents.split('/').filter(|part| !part.is_empty()), file)
}

/// Opens a folder in `folder`; `None` when there is none.
pub(super) fn enter(folder: &File, part: &str) -> io::Result<Option<File>> {
    open_folder(folder, Path::new(part))
}

/// Opens a folder. A link in its place is an error, those on the way to it are followed.
pub(super) fn open_folder(at: impl AsFd, path: &Path) -> io::Result<Option<File>> {
    let at = at.as_fd();
    let is_link =
        || statat(at, path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
    match openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | CAREFUL, Mode::empty()) {
        Ok(folder) => Ok(Some(folder.into())),
        Err(Errno::NOENT) => Ok(None),
        // Linux says the same of a link and of a file.
        Err(Errno::NOTDIR) if is_link() => Err(Errno::LOOP.into()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a file that is not there.
pub(super) fn create(folder: &File, file: &str) -> io::Result<File> {
    Ok(openat(folder, file, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | CAREFUL, OF_A_FILE)?.into())
}

/// Removes a file; it may be gone already.
pub(super) fn unlink(folder: &File, file: &str) -> io::Result<()> {
    unlinkat(folder, file, AtFlags::empty()).map_err(io::Error::from).or_else(|error| in_place_of(Errno::NOENT, (), error))
}

/// `value`, if it is only that which went wrong.
pub(super) fn in_place_of<T>(accepted: Errno, value: T, error: io::Error) -> io::Result<T> {
    if Errno::from_io_error(&error) == Some(accepted) { Ok(value) } else { Err(error) }
}

/// Adds the names of all files in `folder`, which is called `above`, and in the folders in it.
pub(super) fn collect(folder: &File, above: &str, names: &mut Vec<Name>) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(part) = entry.file_name().to_str() else { continue };
        let path = if above.is_empty() { part.to_owned() } else { format!("{above}/{part}") };
        let Ok(name) = path.parse::<Name>() else { continue };
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(statat(folder, part, AtFlags::SYMLINK_NOFOLLOW)?.st_mode),
            kind => kind,
        };
        match kind {
            FileType::RegularFile => names.push(name),
            FileType::Directory => {
                if let Some(folder) = enter(folder, part)? {
                    collect(&folder, &path, names)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes a folder that is its owner's alone, and those above it that are not there, so that all of them survive the machine.
///
/// # Errors
/// When one of them cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    make(folder, true)
}

pub(super) fn make(folder: &Path, durable: bool) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make(parent, durable)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    if durable { File::open(parent)?.sync_all() } else { Ok(()) }
}
