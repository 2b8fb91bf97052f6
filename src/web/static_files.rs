//! The files of one folder: finding them, and never anything outside.
//!
//! Small files are kept in memory, and compared with the disk at most once a second. Large ones
//! are read while they are sent, a piece at a time.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::http::conditions::Validators;
use crate::http::date::whole_seconds;
use crate::http::response::Body;
use crate::http::stream::{Outlet, Stream, StreamError};

/// Files up to this size are kept in memory.
const SMALL: u64 = 128 * 1024;

/// Octets of files in memory, in all. Past it, all files are forgotten, and looked at again as
/// they are asked for.
const MEMORY: usize = 16 * 1024 * 1024;

/// Files that are remembered at once. Past it, likewise.
const MOST_FILES: usize = 4096;

/// How long a file is taken to be what it was.
const FRESH: Duration = Duration::from_secs(1);

/// What is read from a large file at once. Two pieces are in memory: one that is being sent, and
/// the next.
const PIECE: usize = 128 * 1024;

/// A folder whose files may be seen.
pub struct StaticFiles {
    root: PathBuf,
    memory: Mutex<HashMap<String, Entry>>,
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

/// A file that was found, to be sent.
#[derive(Debug)]
pub struct Found {
    /// What it is.
    pub file: Arc<StaticFile>,
    /// It itself, unless it is in memory: what was looked at is what will be sent, whatever
    /// becomes of its name.
    open: Option<File>,
}

/// A file as it was when it was looked at.
#[derive(Debug)]
pub struct StaticFile {
    path: PathBuf,
    state: State,
    /// Its entity tag and its date.
    pub validators: Validators,
    /// What `static_url` writes after `?v=`: it changes when the file does.
    pub version: String,
    /// What it is, by the end of its name.
    pub content_type: String,
    content: Option<Bytes>,
}

/// What is compared to find out whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    length: u64,
    modified: Option<SystemTime>,
    identity: Identity,
}

impl State {
    fn of(metadata: &Metadata) -> State {
        let modified = metadata.modified().ok();
        State { length: metadata.len(), modified, identity: identity(metadata) }
    }
}

/// The inode's number, and when the inode last changed (ctime). Nobody can set this time, so a file
/// that was put in place of another with the same length and date is told from it.
type Identity = (u64, i64, i64);

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    Identity::default()
}

/// Whether no folder has it any more.
#[cfg(unix)]
fn is_unlinked(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.nlink() == 0
}

#[cfg(not(unix))]
fn is_unlinked(_: &Metadata) -> bool {
    false
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
        // What is being written to just now is looked at once more.
        let look_twice = move || {
            look(&root, &relative, before.clone())
                .or_else(|_| look(&root, &relative, before))
        };
        let found = spawn_blocking(look_twice).await;
        let found = found.map_err(Error::other)?;
        let file = found.as_ref().ok().and_then(Option::as_ref).map(|found| &found.file);
        self.remember(path, file);
        Ok(found?)
    }

    /// Whoever is told that a file is stale goes and looks; those who come meanwhile make do with
    /// it.
    fn recall(&self, path: &str) -> Remembered {
        let now = Instant::now();
        let mut memory = self.memory();
        let Some(entry) = memory.get_mut(path) else { return Remembered::Nothing };
        let file = Arc::clone(&entry.file);
        // A large file is opened each time anyway, and sent only as what it is then.
        if file.content.is_some() && now < entry.checked + FRESH {
            return Remembered::Fresh(file);
        }
        entry.checked = now;
        Remembered::Stale(file)
    }

    fn remember(&self, path: &str, found: Option<&Arc<StaticFile>>) {
        let mut memory = self.memory();
        memory.remove(path);
        let Some(file) = found else { return };
        let octets: usize =
            memory.values().map(|entry| entry.file.octets_in_memory()).sum();
        if octets + file.octets_in_memory() > MEMORY || memory.len() >= MOST_FILES {
            memory.clear();
        }
        let entry = Entry { file: Arc::clone(file), checked: Instant::now() };
        memory.insert(path.to_owned(), entry);
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StaticFile {
    fn read(
        path: PathBuf,
        file: &File,
        metadata: &Metadata,
        before: Option<&StaticFile>,
    ) -> io::Result<StaticFile> {
        let state = State::of(metadata);
        let content = match state.length {
            0..=SMALL => Some(read_small(file, state)?),
            _ => None,
        };
        let version = match &content {
            Some(content) => hex::encode(Md5::digest(content)),
            None => version_of_large(state),
        };
        let etag = format!("\"{version}\"");
        let content_type = content_type(&path);
        // RFC 9110 section 8.8.2.1: nothing was modified later than now.
        let last_modified = state.modified.map(|time| time.min(SystemTime::now()));
        let date = |last_modified: Option<SystemTime>| last_modified.map(whole_seconds);
        let date_is_strong = before.is_none_or(|before| {
            date(before.validators.last_modified) != date(last_modified)
        });
        let validators = Validators { etag, last_modified, date_is_strong };
        Ok(StaticFile { path, state, validators, version, content_type, content })
    }

    /// Its length in octets.
    pub fn length(&self) -> u64 {
        self.state.length
    }

    fn octets_in_memory(&self) -> usize {
        self.content.as_ref().map_or(0, Bytes::len)
    }
}

impl Found {
    /// All of it, or a part; once.
    pub fn body(&mut self, range: Range<u64>) -> io::Result<Body> {
        let state = self.file.state;
        if let Some(content) = &self.file.content {
            let place = |at: u64| usize::try_from(at).map_err(io::Error::other);
            return Ok(Body::Bytes(content.slice(place(range.start)?..place(range.end)?)));
        }
        let file =
            self.open.take().ok_or_else(|| io::Error::other("the file is not open"))?;
        let length = range.end - range.start;
        Ok(Body::Stream(Stream::new(Some(length), |outlet| {
            read_out(file, state, range, outlet)
        })))
    }
}

/// Reads piece by piece. If the file has changed by the time the last piece was read, that piece is
/// not sent: half of one state and half of another is nobody's file, and an answer that falls
/// short of its length cannot be taken for whole.
async fn read_out(
    mut file: File,
    state: State,
    mut range: Range<u64>,
    outlet: Outlet,
) -> Result<(), StreamError> {
    while !range.is_empty() {
        outlet.ready().await?;
        let length = usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE);
        let start = range.start;
        let piece;
        (file, piece) =
            spawn_blocking(move || read_piece(file, start, length, state)).await??;
        range.start += length as u64;
        outlet.send(piece).await?;
    }
    Ok(())
}

fn read_piece(
    mut file: File,
    start: u64,
    length: usize,
    state: State,
) -> io::Result<(File, Bytes)> {
    file.seek(SeekFrom::Start(start))?;
    let mut piece = vec![0; length];
    file.read_exact(&mut piece)?;
    if !is_still(&file, state)? {
        return Err(io::Error::other("the file changed while it was sent"));
    }
    Ok((file, piece.into()))
}

/// Whether a path goes down and nowhere else, to nothing hidden: no `..`, no dotfiles, no
/// backslash that another system would take for a slash, no NUL.
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
        Some(before) if before.state == State::of(&metadata) && before.path == path => {
            before
        }
        before => Arc::new(StaticFile::read(path, &open, &metadata, before.as_deref())?),
    };
    let open = Some(open).filter(|_| file.content.is_none());
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

fn read_small(file: &File, state: State) -> io::Result<Bytes> {
    let mut content = Vec::new();
    file.take(SMALL + 1).read_to_end(&mut content)?;
    if content.len() as u64 != state.length || !is_still(file, state)? {
        return Err(io::Error::other("the file changed while it was read"));
    }
    Ok(content.into())
}

/// Whether an open file is in the state that it was in. One that was removed, or replaced by
/// another, is what it was for whoever has it open, though its inode has changed. Of any
/// other change to the inode nobody can say that it was not to the content: dates can be set back.
fn is_still(file: &File, state: State) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let now = State::of(&metadata);
    let is_same = (now.length, now.modified) == (state.length, state.modified);
    Ok(now == state || (is_same && is_unlinked(&metadata)))
}

/// A large file is not read through for its tag: what tells its states apart does for that, too.
fn version_of_large(state: State) -> String {
    let since = state.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = since.unwrap_or_default().as_nanos();
    hex::encode(Md5::digest(format!("{} {time} {:?}", state.length, state.identity)))
}

/// By the end of its name. Text is taken to be UTF-8.
fn content_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let essence = match guess.essence_str() {
        // RFC 9239 section 6: one name for JavaScript, modules (.mjs) included.
        "application/javascript" => "text/javascript",
        essence => essence,
    };
    let is_text = essence.starts_with("text/") || TEXT.contains(&essence);
    format!("{essence}{}", if is_text { "; charset=UTF-8" } else { "" })
}

/// What is text, and does not say so.
const TEXT: [&str; 3] =
    ["application/json", "application/xml", "application/manifest+json"];
