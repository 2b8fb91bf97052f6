//! The files of the document root, and the cache of those that are small.
//!
//! A cached file costs one `stat` a request, which compares it with what is there: a file that was
//! rewritten is never served as it was before. Large files are opened each time, and read while they
//! are sent.
//!
//! A file that is written to while it is sent is cut off, and a client that was told its length sees
//! that it is not whole: it could be half of one state and half of another. That is so, too, for a
//! log, which only grows, because growing cannot be told from being written anew. A handler that
//! reads a log as far as it goes at that moment sends it whole:
//!
//! ```no_run
//! # use dustdevil::{Error, Exchange, Result};
//! # async fn example(exchange: &mut Exchange) -> Result {
//! let log = tokio::task::spawn_blocking(|| std::fs::read("server.log"));
//! exchange.set_header("Content-Type", "text/plain; charset=UTF-8")?;
//! exchange.write(log.await.map_err(Error::other)??)
//! # }
//! ```

mod content_type;

mod document_root;

pub mod file;

pub mod handler;

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::cached_clock;
use crate::error::{Error, Result};
use crate::web::static_files::document_root::{DocumentRoot, is_plain};
use crate::web::static_files::file::{Found, StaticFile};

/// Bytes of files in the cache, in all. Past it, all files are forgotten, and looked at again as
/// they are asked for.
const MEMORY: usize = 16 * 1024 * 1024;

/// Files in the cache, with those of which only the entity tag is kept. Past it, likewise.
const MOST_FILES: usize = 4096;

/// How old the version of a file in a URL may be.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A directory whose files may be seen.
pub struct StaticFiles {
    root: Arc<DocumentRoot>,
    memory: Mutex<Memory>,
    /// One of them is held while the disk is looked at, always the same for the same file, so that a
    /// crowd that asks for one file reads it once. They are tokio's, for they are held while the
    /// disk is waited for.
    looking: [tokio::sync::Mutex<()>; 16],
    hasher: RandomState,
}

/// The files that are remembered.
#[derive(Default)]
struct Memory {
    entries: HashMap<String, Entry>,
    /// Bytes of them all.
    bytes: usize,
}

/// A file that is remembered.
#[derive(Clone)]
struct Entry {
    file: Arc<StaticFile>,
    /// When its version was last compared with the disk.
    checked: Instant,
}

impl StaticFiles {
    /// The files below a directory, which must be there.
    pub fn new(directory: &Path) -> Result<StaticFiles> {
        let root = DocumentRoot::new(directory).map_err(|error| {
            Error::Config(format!("the static folder {}: {error}", directory.display()))
        })?;
        Ok(StaticFiles {
            root: Arc::new(root),
            memory: Mutex::default(),
            looking: Default::default(),
            hasher: RandomState::new(),
        })
    }

    /// The file at a path below the directory, as a URL has it once it is decoded. `None` if
    /// there is none to be seen there.
    pub async fn find(&self, path: &str) -> Result<Option<Found>> {
        if let Some(found) = self.recall(path) {
            return Ok(Some(found));
        }
        if !is_plain(path) {
            return Ok(None);
        }
        // Most files are in the cache, and a handler has no room for what it takes to look.
        Box::pin(self.look_up(path)).await
    }

    /// The version of a file, for its URL; `None` if there is no such file. It may be a second old: a
    /// URL with another version than the file has now leads to the file, and not to a cache.
    pub async fn version(&self, path: &str) -> Result<Option<Arc<StaticFile>>> {
        let now = cached_clock::now();
        let known = self.memory().entries.get(path).cloned();
        if let Some(entry) = known.filter(|entry| now < entry.checked + CHECK_INTERVAL) {
            return Ok(Some(entry.file));
        }
        let found = self.find(path).await?;
        if let Some(entry) = self.memory().entries.get_mut(path) {
            entry.checked = now;
        }
        Ok(found.map(|found| found.file))
    }

    /// Looks at the disk, and remembers what was there.
    async fn look_up(&self, path: &str) -> Result<Option<Found>> {
        let _looking = self.looking(path).lock().await;
        if let Some(found) = self.recall(path) {
            return Ok(Some(found));
        }
        let before = self.memory().entries.get(path).map(|entry| Arc::clone(&entry.file));
        let (root, relative) = (Arc::clone(&self.root), path.to_owned());
        // What is being written to just now is looked at once more.
        let look_twice = move || {
            look(&root, &relative, before.clone())
                .or_else(|_| look(&root, &relative, before))
        };
        let found = spawn_blocking(look_twice).await.map_err(Error::other)?;
        let file = found.as_ref().ok().and_then(Option::as_ref).map(|found| &found.file);
        self.remember(path, file);
        Ok(found?)
    }

    fn looking(&self, path: &str) -> &tokio::sync::Mutex<()> {
        let number = self.hasher.hash_one(path) % self.looking.len() as u64;
        &self.looking[usize::try_from(number).unwrap_or_default()]
    }

    /// A file from the cache, if it is still what is there. The kernel has the answer in memory for a
    /// path that was asked for a moment ago, so this does not wait for a disk.
    fn recall(&self, path: &str) -> Option<Found> {
        let file = Arc::clone(&self.memory().entries.get(path)?.file);
        let is_current = file.is_in_memory()
            && fs::metadata(file.path()).is_ok_and(|metadata| file.is_still(&metadata));
        is_current.then_some(Found { file, open: None })
    }

    fn remember(&self, path: &str, found: Option<&Arc<StaticFile>>) {
        let mut memory = self.memory();
        memory.forget(path);
        if let Some(file) = found {
            let entry = Entry { file: Arc::clone(file), checked: cached_clock::now() };
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
            self.bytes -= entry.file.bytes_in_memory();
        }
    }

    /// Keeps the file of a path that has none.
    fn keep(&mut self, path: &str, entry: Entry) {
        let bytes = entry.file.bytes_in_memory();
        if self.bytes + bytes > MEMORY || self.entries.len() >= MOST_FILES {
            *self = Memory::default();
        }
        self.bytes += bytes;
        self.entries.insert(path.to_owned(), entry);
    }
}

/// Looks at the disk. `before` is what was there the last time.
fn look(
    root: &DocumentRoot,
    relative: &str,
    before: Option<Arc<StaticFile>>,
) -> io::Result<Option<Found>> {
    let Some((open, metadata)) = root.open(relative)? else { return Ok(None) };
    let file = match before {
        Some(before) if before.is_still(&metadata) => before,
        before => {
            let path = root.path_of(relative);
            Arc::new(StaticFile::read(path, &open, &metadata, before.as_deref())?)
        }
    };
    let open = Some(open).filter(|_| !file.is_in_memory());
    Ok(Some(Found { file, open }))
}
