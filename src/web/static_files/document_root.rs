//! The document root: opens files below one directory, and nothing outside of it.
//!
//! Two attacks have to be prevented. Path traversal: a path such as `../../etc/passwd` names a
//! file outside. [`is_safe_path`] rejects it by its syntax. Symlink escape: a symbolic link
//! inside leads to a file outside. Resolving the path first and checking the result is a race
//! (time of check to time of use): the name can become a link between the check and the `open`.
//! On Linux, the kernel does both in one system call: `RESOLVE_BENEATH` of openat2(2).

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// A directory whose files may be served, except hidden ones.
pub(crate) struct DocumentRoot {
    path: PathBuf,
}

impl DocumentRoot {
    /// Fails if the directory does not exist or cannot be read.
    pub(crate) fn new(directory: &Path) -> io::Result<DocumentRoot> {
        let path = fs::canonicalize(directory)?;
        fs::read_dir(&path)?;
        Ok(DocumentRoot { path })
    }

    /// Returns the path of a file below the root, whether it exists or not.
    pub(crate) fn path_of(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    /// Opens a regular file. Returns `None` if there is none that may be served: it does not
    /// exist, is not a regular file, is hidden, is outside of the root, or the process has no
    /// permission.
    pub(crate) fn open(&self, relative: &str) -> io::Result<Option<(File, Metadata)>> {
        let file = match open_beneath(&self.path, relative) {
            Ok(file) => file,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata)))
    }
}

/// Returns `true` if no segment of a path is empty, begins with a dot (`..`, hidden files), or
/// contains a NUL, a backslash (a separator on Windows) or, on systems with drive letters, a
/// colon.
pub(crate) fn is_safe_path(path: &str) -> bool {
    let special: &[char] = if cfg!(unix) { &['\\', '\0'] } else { &['\\', '\0', ':'] };
    let is_name = |segment: &str| {
        !segment.is_empty() && !segment.starts_with('.') && !segment.contains(special)
    };
    path.split('/').all(is_name)
}

fn is_hidden(path: &Path) -> bool {
    path.iter().any(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Returns `true` if an error means that there is no file to serve: 404 instead of 500.
fn is_not_found(error: &io::Error) -> bool {
    use io::ErrorKind::{
        CrossesDevices, InvalidFilename, NotADirectory, NotFound, PermissionDenied,
    };
    // `CrossesDevices` (EXDEV) is the error of `RESOLVE_BENEATH`: a link leads out of the root
    // or is absolute.
    [NotFound, PermissionDenied, NotADirectory, InvalidFilename, CrossesDevices]
        .contains(&error.kind())
}

/// Opens a path below `root`, also if it is not a regular file. `O_NONBLOCK`, because opening a
/// named pipe (FIFO) would block until a writer opens it.
///
/// The first `openat2` allows no symbolic links. If there is one, the second follows it within
/// the root, and `/proc/self/fd` shows the path of the file that was opened. Checking that path
/// is not a race, because the file is open already.
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
        // A cycle of links; a socket; a device without a driver.
        Errno::LOOP | Errno::NXIO | Errno::NODEV => io::ErrorKind::NotFound.into(),
        errno => io::Error::from(errno),
    };
    match open(ResolveFlags::NO_SYMLINKS) {
        Ok(file) => Ok(file.into()),
        Err(Errno::LOOP) => {
            // The path has a symbolic link. Its target may be hidden.
            let file = open(ResolveFlags::NO_MAGICLINKS).map_err(failed)?;
            let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
            match opened.strip_prefix(root) {
                Ok(inside) if !is_hidden(inside) => Ok(file.into()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
        // Kernels before 5.6 do not have openat2, and some sandboxes (seccomp) reject it.
        Err(Errno::NOSYS | Errno::PERM) => open_checked(root, relative),
        Err(errno) => Err(failed(errno)),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(root: &Path, relative: &str) -> io::Result<File> {
    open_checked(root, relative)
}

/// Like [`open_beneath`], for systems without openat2: resolves all links, then checks that the
/// result is inside and not hidden. The race remains: a process that can write to the directory
/// may replace the file by a link between the check and the `open`.
fn open_checked(root: &Path, relative: &str) -> io::Result<File> {
    let not_found = |_| io::Error::from(io::ErrorKind::NotFound);
    let path = fs::canonicalize(root.join(relative)).map_err(not_found)?;
    let is_inside = path.strip_prefix(root).is_ok_and(|inside| !is_hidden(inside));
    if is_inside && fs::metadata(&path)?.is_file() {
        return File::open(&path);
    }
    Err(io::ErrorKind::NotFound.into())
}
