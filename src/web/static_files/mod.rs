//! The static files: the document root, and a cache of its small files.
//!
//! A request for a cached file costs one `stat`, which compares the file on disk with the
//! cached one, so a rewritten file is never served in its old version. Large files are opened
//! for each request and read while they are sent.
//!
//! The version in a URL (`static_url`) may be up to [`REVALIDATE_AFTER`] old. This is a time to
//! live, and not stale-while-revalidate (RFC 5861): an expired entry is revalidated before it
//! is used, because a `stat` is cheap enough to wait for.
//!
//! If a file is modified while it is sent, its response is aborted, and the client sees that
//! the content is shorter than its Content-Length. Otherwise the content could be half old and
//! half new. This applies to log files, too: a file that grows cannot be told from one that is
//! rewritten. A handler that reads the log up to its current end sends it whole:
//!
//! ```no_run
//! # use dustdevil::{Exchange, Result};
//! # async fn example(exchange: &mut Exchange) -> Result {
//! let log = tokio::task::spawn_blocking(|| std::fs::read("server.log"));
//! exchange.set_header("Content-Type", "text/plain; charset=UTF-8")?;
//! exchange.write(log.await??)
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
use crate::web::static_files::document_root::{DocumentRoot, is_safe_path};
use crate::web::static_files::file::{FoundFile, StaticFile};

/// Maximum number of bytes of file content in the cache. Above it, the cache is cleared and
/// fills again with the files that are requested.
const MAX_CACHED_BYTES: usize = 16 * 1024 * 1024;

/// Maximum number of files in the cache, including large ones, of which only the metadata is
/// cached. Above it, the cache is cleared, too.
const MAX_CACHED_FILES: usize = 4096;

/// Time after which the version of a file is compared with the disk again for its URL.
const REVALIDATE_AFTER: Duration = Duration::from_secs(1);

/// The files of a document root: those of `static_path`, or those of another directory, which
/// are the arguments of a route with a [`StaticFileHandler`](handler::StaticFileHandler).
pub struct StaticFiles {
    root: Arc<DocumentRoot>,
    default_filename: Option<String>,
    cache: Mutex<Cache>,
    /// Lock striping: a path always uses the same lock, and loads from disk while it is held.
    /// If many requests miss the cache for the same file, the first loads it and the others
    /// find it in the cache (request coalescing, against a cache stampede). Two paths rarely
    /// share a lock. Tokio's mutex, because it is held across `.await`.
    load_locks: [tokio::sync::Mutex<()>; 16],
    hasher: RandomState,
}

#[derive(Default)]
struct Cache {
    files: HashMap<String, CachedFile>,
    /// Total bytes of content in `files`.
    bytes: usize,
}

#[derive(Clone)]
struct CachedFile {
    file: Arc<StaticFile>,
    /// When the version was last compared with the disk.
    checked: Instant,
}

impl StaticFiles {
    /// Opens a directory. Fails with [`Error::Config`] if it cannot be read. Tornado's `path`.
    pub fn new(directory: impl AsRef<Path>) -> Result<StaticFiles> {
        let directory = directory.as_ref();
        let root = DocumentRoot::new(directory).map_err(|error| {
            Error::Config(format!("the static folder {}: {error}", directory.display()))
        })?;
        Ok(StaticFiles {
            root: Arc::new(root),
            default_filename: None,
            cache: Mutex::default(),
            load_locks: Default::default(),
            hasher: RandomState::new(),
        })
    }

    /// Sets the name of the file that is sent for a directory, such as `index.html`. Default:
    /// none, and a directory is 404. Tornado's `default_filename`.
    #[must_use]
    pub fn default_filename(mut self, name: impl Into<String>) -> StaticFiles {
        self.default_filename = Some(name.into());
        self
    }

    /// Returns the file at a percent-decoded path relative to the root, or `None` if there is
    /// no file there that may be served. An empty path, or one that ends in a slash, is that of
    /// a directory, and finds its default file.
    pub async fn find(&self, path: &str) -> Result<Option<FoundFile>> {
        let cached = self.lookup(path);
        step!("file: {path:?}, in the cache: {}", cached.is_some());
        if cached.is_some() {
            return Ok(cached);
        }
        // Boxed, because it is large and rare: most files are in the cache.
        Box::pin(self.load_and_store(path)).await
    }

    /// Returns the file for the version in its URL, or `None` if there is no such file. The
    /// version may be a second old. That is harmless: a request with an old version gets the
    /// current file, without permission to cache it.
    pub async fn version(&self, path: &str) -> Result<Option<Arc<StaticFile>>> {
        let now = cached_clock::now();
        let cached = self.cache().files.get(path).cloned();
        let is_fresh = |cached: &CachedFile| now < cached.checked + REVALIDATE_AFTER;
        if let Some(cached) = cached.filter(is_fresh) {
            return Ok(Some(cached.file));
        }
        let found = self.find(path).await?;
        if let Some(cached) = self.cache().files.get_mut(path) {
            cached.checked = now;
        }
        Ok(found.map(|found| found.file))
    }

    /// Loads a file from disk, on a thread that may block, and stores it in the cache.
    async fn load_and_store(&self, path: &str) -> Result<Option<FoundFile>> {
        let is_directory = path.is_empty() || path.ends_with('/');
        let name = self.default_filename.as_deref().filter(|_| is_directory);
        let path = &format!("{path}{}", name.unwrap_or_default());
        if !is_safe_path(path) {
            step!("refused: the path {path:?} is not safe");
            return Ok(None);
        }
        let _guard = self.load_lock(path).lock().await;
        // Another request may have loaded it while this one waited for the lock.
        if let Some(found) = self.lookup(path) {
            return Ok(Some(found));
        }
        let previous = self.cache().files.get(path).map(|cached| Arc::clone(&cached.file));
        let (root, relative) = (Arc::clone(&self.root), path.clone());
        // A file that was modified while it was read is read once more.
        let load_with_retry = move || {
            load(&root, &relative, previous.clone())
                .or_else(|_| load(&root, &relative, previous))
        };
        let found = spawn_blocking(load_with_retry).await?;
        let file = found.as_ref().ok().and_then(Option::as_ref).map(|found| &found.file);
        self.store(path, file);
        Ok(found?)
    }

    fn load_lock(&self, path: &str) -> &tokio::sync::Mutex<()> {
        let index = self.hasher.hash_one(path) % self.load_locks.len() as u64;
        &self.load_locks[usize::try_from(index).unwrap_or_default()]
    }

    /// Returns a small file from the cache, if a `stat` shows that it is unchanged. The call
    /// does not leave the thread: for a path that was used recently, the kernel has the inode
    /// in memory and does not wait for the disk.
    fn lookup(&self, path: &str) -> Option<FoundFile> {
        let file = Arc::clone(&self.cache().files.get(path)?.file);
        let is_current = file.is_in_memory()
            && fs::metadata(file.path()).is_ok_and(|metadata| file.is_unchanged(&metadata));
        is_current.then_some(FoundFile { file, open: None })
    }

    /// Replaces the cached file of a path, or removes it if there is no such file any more.
    fn store(&self, path: &str, file: Option<&Arc<StaticFile>>) {
        let mut cache = self.cache();
        cache.remove(path);
        if let Some(file) = file {
            let cached =
                CachedFile { file: Arc::clone(file), checked: cached_clock::now() };
            cache.insert(path, cached);
        }
    }

    /// A std mutex, because it is never held across `.await`, nor during a system call.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn remove(&mut self, path: &str) {
        if let Some(cached) = self.files.remove(path) {
            self.bytes -= cached.file.bytes_in_memory();
        }
    }

    /// Inserts a file; the path must not be in the cache. Clearing the whole cache when it is
    /// full is cruder than LRU, but needs no bookkeeping for each hit.
    fn insert(&mut self, path: &str, cached: CachedFile) {
        let bytes = cached.file.bytes_in_memory();
        if self.bytes + bytes > MAX_CACHED_BYTES || self.files.len() >= MAX_CACHED_FILES {
            *self = Cache::default();
        }
        self.bytes += bytes;
        self.files.insert(path.to_owned(), cached);
    }
}

/// Opens a file, and reads it unless it is the same as `previous`.
fn load(
    root: &DocumentRoot,
    relative: &str,
    previous: Option<Arc<StaticFile>>,
) -> io::Result<Option<FoundFile>> {
    let Some((open, metadata)) = root.open(relative)? else { return Ok(None) };
    let file = match previous {
        Some(previous) if previous.is_unchanged(&metadata) => previous,
        previous => {
            let path = root.path_of(relative);
            Arc::new(StaticFile::read(path, &open, &metadata, previous.as_deref())?)
        }
    };
    let open = Some(open).filter(|_| !file.is_in_memory());
    Ok(Some(FoundFile { file, open }))
}
