//! The files of one folder: finding them, and never anything outside.
//!
//! Small files are kept in memory, and compared with the disk at most once a second. Large ones
//! are opened each time, and read while they are sent.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::error::{Error, Result, is_shortage};
use crate::web::static_file::{Found, StaticFile};

/// Octets of files in memory, in all. Past it, all files are forgotten, and looked at again as
/// they are asked for.
const MEMORY: usize = 16 * 1024 * 1024;

/// Files that are remembered at once. Past it, likewise.
const MOST_FILES: usize = 4096;

/// How long a file is taken to be what it was.
const FRESH: Duration = Duration::from_secs(1);

/// A folder whose files may be seen.
pub struct StaticFiles {
    root: PathBuf,
    memory: Mutex<Memory>,
}

/// The files that are remembered.
#[derive(Default)]
struct Memory {
    entries: HashMap<String, Entry>,
    /// Octets of them all.
    octets: usize,
}

/// A file that is remembered, and when it was compared with the disk.
struct Entry {
    file: Arc<StaticFile>,
    checked: Instant,
}

/// What memory says of a file.
enum Remembered {
    /// It was looked at just now.
    Fresh(Arc<StaticFile>),
    /// It was looked at a while ago.
    Stale(Arc<StaticFile>),
    /// It is not remembered.
    Nothing,
}

impl StaticFiles {
    /// The files below `folder`, which must be there.
    pub fn new(folder: &Path) -> Result<StaticFiles> {
        let root =
            fs::canonicalize(folder).and_then(|root| fs::read_dir(&root).map(|_| root));
        let root = root.map_err(|error| {
            Error::Setup(format!("the static folder {}: {error}", folder.display()))
        })?;
        Ok(StaticFiles { root, memory: Mutex::default() })
    }

    /// The file at a path below the folder, as a URL has it once it is decoded. `None` if
    /// there is none to be seen there.
    pub async fn find(&self, path: &str) -> Result<Option<Found>> {
        if !is_plain(path) {
            return Ok(None);
        }
        let before = match self.recall(path) {
            Remembered::Fresh(file) => return Ok(Some(Found { file, open: None })),
            Remembered::Stale(file) => Some(file),
            Remembered::Nothing => None,
        };
        let (root, relative) = (self.root.clone(), path.to_owned());
        let last = before.clone().filter(|file| file.is_in_memory());
        // What is being written to just now is looked at once more.
        let look_twice = move || {
            look(&root, &relative, before.clone())
                .or_else(|_| look(&root, &relative, before))
        };
        let found = spawn_blocking(look_twice).await.map_err(Error::other)?;
        if let (Err(error), Some(file)) = (&found, last)
            && is_shortage(error)
        {
            // Better what was there a moment ago than nothing.
            return Ok(Some(Found { file, open: None }));
        }
        let file = found.as_ref().ok().and_then(Option::as_ref).map(|found| &found.file);
        self.remember(path, file);
        Ok(found?)
    }

    /// Whoever is told that a file is stale goes and looks; those who come meanwhile make do with
    /// it.
    fn recall(&self, path: &str) -> Remembered {
        let now = Instant::now();
        let mut memory = self.memory();
        let Some(entry) = memory.entries.get_mut(path) else { return Remembered::Nothing };
        let file = Arc::clone(&entry.file);
        // A large file is opened each time anyway, and sent only as what it is then.
        if file.is_in_memory() && now < entry.checked + FRESH {
            return Remembered::Fresh(file);
        }
        entry.checked = now;
        Remembered::Stale(file)
    }

    fn remember(&self, path: &str, found: Option<&Arc<StaticFile>>) {
        let mut memory = self.memory();
        memory.forget(path);
        if let Some(file) = found {
            let entry = Entry { file: Arc::clone(file), checked: Instant::now() };
            memory.keep(path, entry);
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget(&mut self, path: &str) {
        if let Some(entry) = self.entries.remove(path) {
            self.octets -= entry.file.octets_in_memory();
        }
    }

    /// Keeps an entry for a path that has none.
    fn keep(&mut self, path: &str, entry: Entry) {
        let octets = entry.file.octets_in_memory();
        if self.octets + octets > MEMORY || self.entries.len() >= MOST_FILES {
            *self = Memory::default();
        }
        self.octets += octets;
        self.entries.insert(path.to_owned(), entry);
    }
}

/// Whether a path goes down and nowhere else, to nothing hidden: no `..`, no dotfiles, no NUL, and
/// neither backslash nor colon, which mean folders, drives and streams to another system.
fn is_plain(path: &str) -> bool {
    let is_name = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && !segment.contains(['\\', '\0', ':'])
    };
    path.split('/').all(is_name)
}

/// Looks at the disk. `before` is what was there the last time.
fn look(
    root: &Path,
    relative: &str,
    before: Option<Arc<StaticFile>>,
) -> io::Result<Option<Found>> {
    let Some((path, open, metadata)) = open(root, relative)? else { return Ok(None) };
    let file = match before {
        Some(before) if before.is_at(&path, &metadata) => before,
        before => Arc::new(StaticFile::read(path, &open, &metadata, before.as_deref())?),
    };
    let open = Some(open).filter(|_| !file.is_in_memory());
    Ok(Some(Found { file, open }))
}

/// Opens a file if it is a regular one below `root`. Links are followed first, so that one which
/// leads outside, or to something hidden, leads nowhere. Whether it is a file is asked before
/// it is opened, for opening a pipe would wait for whoever writes to it.
fn open(root: &Path, relative: &str) -> io::Result<Option<(PathBuf, File, Metadata)>> {
    let Ok(path) = fs::canonicalize(root.join(relative)) else { return Ok(None) };
    let Ok(inside) = path.strip_prefix(root) else {
        return Ok(None);
    };
    let is_hidden = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b".");
    if inside.iter().any(is_hidden) {
        return Ok(None);
    }
    let opened = fs::metadata(&path).and_then(|metadata| match metadata.is_file() {
        true => File::open(&path).map(Some),
        false => Ok(None),
    });
    let file = match opened {
        // Gone just now, or not for us to read.
        Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => None,
        opened => opened?,
    };
    let Some(file) = file else { return Ok(None) };
    let metadata = file.metadata()?;
    Ok(Some((path, file, metadata)))
}
