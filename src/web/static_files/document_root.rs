//! The document root: opening files below one directory, and never anything outside of it.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// A directory whose files may be seen.
pub(crate) struct DocumentRoot {
    path: PathBuf,
}

impl DocumentRoot {
    /// A directory that is there, and can be read.
    pub(crate) fn new(directory: &Path) -> io::Result<DocumentRoot> {
        let path = fs::canonicalize(directory)?;
        fs::read_dir(&path)?;
        Ok(DocumentRoot { path })
    }

    /// Where a file below the root is, if it is there.
    pub(crate) fn path_of(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    /// Opens a regular file. `None` is that there is none to be seen: it is missing, or no regular
    /// file, or hidden, or outside, or not for us to read.
    pub(crate) fn open(&self, relative: &str) -> io::Result<Option<(File, Metadata)>> {
        let file = match open_beneath(&self.path, relative) {
            Ok(file) => file,
            Err(error) if is_not_there(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata)))
    }
}

/// The names of a path go down and nowhere else, to nothing hidden: no `..`, no dotfiles, no NUL, and
/// no backslash, which means directories to another system; so does a colon, where there are drives.
pub(crate) fn is_plain(path: &str) -> bool {
    let special: &[char] = if cfg!(unix) { &['\\', '\0'] } else { &['\\', '\0', ':'] };
    let is_name = |segment: &str| {
        !segment.is_empty() && !segment.starts_with('.') && !segment.contains(special)
    };
    path.split('/').all(is_name)
}

fn is_hidden(path: &Path) -> bool {
    path.iter().any(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_not_there(error: &io::Error) -> bool {
    use io::ErrorKind::{
        CrossesDevices, InvalidFilename, NotADirectory, NotFound, PermissionDenied,
    };
    // The last is what a link fails with that leads out of the root, or that is absolute, wherever it
    // leads.
    [NotFound, PermissionDenied, NotADirectory, InvalidFilename, CrossesDevices]
        .contains(&error.kind())
}

/// Opens what is at a path below `root`, whatever it is, without waiting for it (`O_NONBLOCK`): a
/// pipe would wait for somebody to write to it.
///
/// The kernel sees to it that nothing outside is opened (`RESOLVE_BENEATH`, openat2(2)). A check before
/// the call would not do: a name may be made a link between the two.
#[cfg(target_os = "linux")]
fn open_beneath(root: &Path, relative: &str) -> io::Result<File> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
    use rustix::io::Errno;

    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(root, directory, Mode::empty())?;
    let open = |resolve| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        openat2(&directory, relative, flags, Mode::empty(), ResolveFlags::BENEATH | resolve)
    };
    let failed = |errno| match errno {
        // A link to itself, a socket, a device that is not there.
        Errno::LOOP | Errno::NXIO | Errno::NODEV => io::ErrorKind::NotFound.into(),
        errno => io::Error::from(errno),
    };
    match open(ResolveFlags::NO_SYMLINKS) {
        Ok(file) => Ok(file.into()),
        Err(Errno::LOOP) => {
            // There is a link on the way. What it leads to may be hidden.
            let file = open(ResolveFlags::NO_MAGICLINKS).map_err(failed)?;
            let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
            match opened.strip_prefix(root) {
                Ok(inside) if !is_hidden(inside) => Ok(file.into()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
        // Kernels before 5.6 do not have it, and some sandboxes do not know it.
        Err(Errno::NOSYS | Errno::PERM) => open_checked(root, relative),
        Err(errno) => Err(failed(errno)),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(root: &Path, relative: &str) -> io::Result<File> {
    open_checked(root, relative)
}

/// The same, where the system has no such call: links are followed first, so that one which leads
/// outside, or to something hidden, leads nowhere. Somebody who can write to the directory may still
/// make a link of the name in between.
fn open_checked(root: &Path, relative: &str) -> io::Result<File> {
    let not_found = |_| io::Error::from(io::ErrorKind::NotFound);
    let path = fs::canonicalize(root.join(relative)).map_err(not_found)?;
    let is_inside = path.strip_prefix(root).is_ok_and(|inside| !is_hidden(inside));
    if is_inside && fs::metadata(&path)?.is_file() {
        return File::open(&path);
    }
    Err(io::ErrorKind::NotFound.into())
}
