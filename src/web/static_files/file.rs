//! One static file: its metadata, its validators (RFC 9110 section 8.8), and its content if it
//! is small.
//!
//! The cache relies on timestamps to notice that a file has changed. A timestamp is racy (git
//! calls it "racy git"): if the clock of the file system is coarse, a second change within the
//! same tick leaves the same timestamp.
//!
//! ```text
//! clock tick   |        t1         |        t2
//!              write A   read A   write B           A and B both have the timestamp t1
//! ```
//! So the cached state of a file is used only if the file was older than
//! [`RACY_TIMESTAMP_WINDOW`] when it was read. Any later change then has a later timestamp.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::http::body::Body;
use crate::http::conditions::Validators;
use crate::http::date::{self, whole_seconds};
use crate::http::file::{FileBody, FileVersion, check_unchanged};
use crate::web::static_files::content_type::content_type;

/// Maximum size in bytes of a file whose content is kept in memory.
const MAX_IN_MEMORY: u64 = 128 * 1024;

/// Maximum size in bytes of a file whose entity tag is a hash of its content. Reading such a
/// file takes some milliseconds, once after each change.
const MAX_HASHED: u64 = 4 * 1024 * 1024;

/// A file that changed less than this before it was read may change again without a new
/// timestamp: FAT stores times in steps of two seconds.
const RACY_TIMESTAMP_WINDOW: Duration = Duration::from_secs(2);

/// A file to be sent.
#[derive(Debug)]
pub struct FoundFile {
    /// The metadata and, if it is small, the content.
    pub file: Arc<StaticFile>,
    /// The open file, unless the content is in memory. It was opened together with reading the
    /// metadata, so that the sent content belongs to them even if the name is replaced.
    pub(crate) open: Option<File>,
}

/// The state of a file when it was read.
#[derive(Debug)]
pub struct StaticFile {
    path: PathBuf,
    state: FileVersion,
    timestamp_is_safe: bool,
    /// Entity tag and modification date. Up to 4 MiB the tag is a hash of the content, so that
    /// two servers with the same file have the same tag. Above, it is a hash of length and
    /// date: a file that was rewritten with the same length and date keeps its tag.
    pub validators: Validators,
    /// The version that `static_url` writes after `?v=`. It changes when the file changes.
    pub version: String,
    /// The Content-Type, by the file name extension.
    pub content_type: String,
    /// The Content-Encoding: `gzip` for `.svgz`, a compressed SVG image.
    pub content_encoding: Option<&'static str>,
    /// The modification date, formatted for `Last-Modified`.
    pub last_modified: Option<String>,
    content: Option<Bytes>,
}

impl StaticFile {
    /// Reads an open file. `previous` is its state when it was last read.
    pub(crate) fn read(
        path: PathBuf,
        file: &File,
        metadata: &Metadata,
        previous: Option<&StaticFile>,
    ) -> io::Result<StaticFile> {
        let state = FileVersion::new(metadata);
        let content = match state.length {
            0..=MAX_IN_MEMORY => Some(read_small(file, state)?),
            _ => None,
        };
        let version = match (&content, state.length) {
            (Some(content), _) => hex::encode(Md5::digest(content)),
            (None, ..=MAX_HASHED) => hash(file, state)?,
            (None, _) => version_of_large(state),
        };
        let etag = format!("\"{version}\"");
        let (content_type, content_encoding) = content_type(&path);
        // RFC 9110 section 8.8.2.1: Last-Modified must not be later than the response.
        let last_modified = state.modified.map(|time| time.min(SystemTime::now()));
        let second = |last_modified: Option<SystemTime>| last_modified.map(whole_seconds);
        // RFC 9110 section 8.8.2.2: a date is a weak validator if the file changed twice within
        // its second.
        let date_is_strong = previous.is_none_or(|previous| {
            second(previous.validators.last_modified) != second(last_modified)
                || (previous.version == version && previous.validators.date_is_strong)
        });
        let formatted_date = last_modified.map(date::format);
        let validators = Validators { etag, last_modified, date_is_strong };
        // The ctime, if the system has one: unlike the mtime, it cannot be set back.
        let age = state.changed().and_then(|time| time.elapsed().ok());
        let timestamp_is_safe = age.is_some_and(|age| age > RACY_TIMESTAMP_WINDOW);
        Ok(StaticFile {
            path,
            state,
            timestamp_is_safe,
            validators,
            version,
            content_type,
            content_encoding,
            last_modified: formatted_date,
            content,
        })
    }

    /// Returns the length in bytes.
    pub fn length(&self) -> u64 {
        self.state.length
    }

    /// Returns `true` if the content is in memory.
    pub fn is_in_memory(&self) -> bool {
        self.content.is_some()
    }

    /// Returns the number of bytes of content in memory.
    pub fn bytes_in_memory(&self) -> usize {
        self.content.as_ref().map_or(0, Bytes::len)
    }

    /// Returns the path on the server.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `true` if the metadata proves that the file has not changed since it was read.
    pub(crate) fn is_unchanged(&self, metadata: &Metadata) -> bool {
        self.timestamp_is_safe && self.state == FileVersion::new(metadata)
    }
}

impl FoundFile {
    /// Returns a range of the content as the body of a response. For a file that is not in
    /// memory it can be called once, because the body takes the open file.
    pub fn body(&mut self, range: Range<u64>) -> io::Result<Body> {
        let state = self.file.state;
        if let Some(content) = &self.file.content {
            let to_index = |offset: u64| usize::try_from(offset).map_err(io::Error::other);
            let (start, end) = (to_index(range.start)?, to_index(range.end)?);
            return Ok(Body::Bytes(content.slice(start..end)));
        }
        let file =
            self.open.take().ok_or_else(|| io::Error::other("the file is not open"))?;
        Ok(Body::File(Box::new(FileBody::new(file, state, range))))
    }
}

/// Reads a small file whole. Fails if it changes while it is read.
fn read_small(file: &File, state: FileVersion) -> io::Result<Bytes> {
    let mut content = Vec::new();
    file.take(MAX_IN_MEMORY + 1).read_to_end(&mut content)?;
    check_unchanged(file, state)?;
    match content.len() as u64 == state.length {
        true => Ok(content.into()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Returns the hash of a file's content, read with a buffer of 64 KiB.
fn hash(mut file: &File, state: FileVersion) -> io::Result<String> {
    let (mut hash, mut buffer) = (Md5::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    check_unchanged(file, state)?;
    Ok(hex::encode(hash.finalize()))
}

/// Returns a hash of length and mtime, because hashing a large file would take too long. Inode
/// and ctime are left out: they differ between servers with the same file, and change without
/// the content.
fn version_of_large(state: FileVersion) -> String {
    let since = state.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = since.unwrap_or_default().as_nanos();
    hex::encode(Md5::digest(format!("{} {time}", state.length)))
}
