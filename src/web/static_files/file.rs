//! One file: what it was when it was looked at, and its bytes on their way out.

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

/// Files up to this size are kept in memory.
const SMALL: u64 = 128 * 1024;

/// Files up to this size have a hash of their content as their entity tag. Reading one takes some
/// milliseconds, once each time that the file has changed.
const MAX_HASHED: u64 = 4 * 1024 * 1024;

/// A file that changed later than this before it was looked at may have changed once more since,
/// and show it nowhere: some systems' clocks for files are as coarse as that.
const SETTLED: Duration = Duration::from_secs(2);

/// A file that was found, to be sent.
#[derive(Debug)]
pub struct Found {
    /// What it is.
    pub file: Arc<StaticFile>,
    /// It itself, unless it is in memory: what was looked at is what will be sent, whatever
    /// becomes of its name.
    pub(crate) open: Option<File>,
}

/// A file as it was when it was looked at.
#[derive(Debug)]
pub struct StaticFile {
    path: PathBuf,
    state: FileVersion,
    is_settled: bool,
    /// Its entity tag and its date. The tag is a hash of the content, so that two servers with the
    /// same file have the same; above 4 MiB, it is one of the length and the date. Then a file that
    /// was rewritten with the same length and date is not told from what it was.
    pub validators: Validators,
    /// What `static_url` writes after `?v=`: it changes when the file does.
    pub version: String,
    /// What it is, by the end of its name.
    pub content_type: String,
    /// How that is packed, likewise: a `.svgz` is an image, and has to be unpacked to be seen.
    pub content_encoding: Option<&'static str>,
    /// Its date, as each answer has it.
    pub last_modified: Option<String>,
    content: Option<Bytes>,
}

impl StaticFile {
    /// Looks at an open file; `before` is what was there the last time.
    pub(crate) fn read(
        path: PathBuf,
        file: &File,
        metadata: &Metadata,
        before: Option<&StaticFile>,
    ) -> io::Result<StaticFile> {
        let state = FileVersion::new(metadata);
        let content = match state.length {
            0..=SMALL => Some(read_small(file, state)?),
            _ => None,
        };
        let version = match (&content, state.length) {
            (Some(content), _) => hex::encode(Md5::digest(content)),
            (None, ..=MAX_HASHED) => hash(file, state)?,
            (None, _) => version_of_large(state),
        };
        let etag = format!("\"{version}\"");
        let (content_type, content_encoding) = content_type(&path);
        // RFC 9110 section 8.8.2.1: nothing was modified later than now.
        let last_modified = state.modified.map(|time| time.min(SystemTime::now()));
        let second = |last_modified: Option<SystemTime>| last_modified.map(whole_seconds);
        let date_is_strong = before.is_none_or(|before| {
            second(before.validators.last_modified) != second(last_modified)
                || (before.version == version && before.validators.date_is_strong)
        });
        let written_date = last_modified.map(date::format);
        let validators = Validators { etag, last_modified, date_is_strong };
        let age = state.changed().and_then(|time| time.elapsed().ok());
        let is_settled = age.is_some_and(|age| age > SETTLED);
        Ok(StaticFile {
            path,
            state,
            is_settled,
            validators,
            version,
            content_type,
            content_encoding,
            last_modified: written_date,
            content,
        })
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.state.length
    }

    /// Whether it is kept in memory.
    pub fn is_in_memory(&self) -> bool {
        self.content.is_some()
    }

    /// How much of it is kept in memory, in bytes.
    pub fn bytes_in_memory(&self) -> usize {
        self.content.as_ref().map_or(0, Bytes::len)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `true` if what has this metadata now is this file, unchanged.
    pub(crate) fn is_still(&self, metadata: &Metadata) -> bool {
        self.is_settled && self.state == FileVersion::new(metadata)
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
        Ok(Body::File(Box::new(FileBody::new(file, state, range))))
    }
}

fn read_small(file: &File, state: FileVersion) -> io::Result<Bytes> {
    let mut content = Vec::new();
    file.take(SMALL + 1).read_to_end(&mut content)?;
    check_unchanged(file, state)?;
    match content.len() as u64 == state.length {
        true => Ok(content.into()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads a file through for its hash.
fn hash(mut file: &File, state: FileVersion) -> io::Result<String> {
    let (mut hash, mut piece) = (Md5::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hash.update(&piece[..length]),
        }
    }
    check_unchanged(file, state)?;
    Ok(hex::encode(hash.finalize()))
}

/// A large file is not read through for its tag. Inode and ctime are not in it: they differ on each
/// server that has the file, and change with what is not the content.
fn version_of_large(state: FileVersion) -> String {
    let since = state.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = since.unwrap_or_default().as_nanos();
    hex::encode(Md5::digest(format!("{} {time}", state.length)))
}
