//! [`FileBody`]: a range of an open file as the content of a response, and the check that the
//! file does not change while it is sent.
//!
//! Linux has no asynchronous read of ordinary files that epoll could wait for: `read` blocks
//! the thread while the disk works. So each read first tries the page cache, the kernel's copy
//! of file contents in memory, with `preadv2(2)` and `RWF_NOWAIT`, which fails instead of
//! waiting for the disk. Only if the bytes are not in the page cache, the read goes to tokio's
//! blocking thread pool, at the cost of two thread switches.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::spawn_blocking;

/// Bytes per read, if the memory budget has so many free while the file is sent.
pub(crate) const READ_SIZE: usize = 128 * 1024;

/// Bytes per read if it does not.
pub(crate) const SMALL_READ_SIZE: usize = 8 * 1024;

/// A range of an open file: the part that has not been read yet.
///
/// Other processes may write to the file in the meantime. If it has changed after a read, the
/// bytes of that read are not sent: a mixture of two versions is not valid content. The
/// response then ends before its declared length, so the client cannot take it for complete.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    version: FileVersion,
    range: Range<u64>,
    /// The bytes of the last read. The allocation is reused for the next one.
    buffer: Vec<u8>,
}

impl FileBody {
    /// Creates the body for a range of an open file. `version` is the file's version when it
    /// was opened. The caller must not share the file offset.
    pub(crate) fn new(file: File, version: FileVersion, range: Range<u64>) -> FileBody {
        FileBody { file: Arc::new(file), version, range, buffer: Vec::new() }
    }

    /// Returns the number of bytes that have not been read yet.
    pub fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Reads the next bytes, at most `max`: from the page cache on this thread, or else on a
    /// thread of the blocking pool.
    pub(crate) async fn read(&mut self, max: usize) -> io::Result<&[u8]> {
        let length = usize::try_from(self.length()).unwrap_or(max).min(max);
        let (version, start) = (self.version, self.range.start);
        let missing = length.saturating_sub(self.buffer.len());
        self.buffer.try_reserve_exact(missing).map_err(io::Error::other)?;
        self.buffer.resize(length, 0);
        if read_from_page_cache(&self.file, start, &mut self.buffer) == length {
            check_unchanged(&self.file, version)?;
        } else {
            // A blocking task must own its data. The buffer moves there and back.
            let (file, buffer) = (Arc::clone(&self.file), mem::take(&mut self.buffer));
            let read = move || read_blocking(&file, version, start, buffer);
            self.buffer = spawn_blocking(read).await??;
        }
        self.range.start += length as u64;
        Ok(&self.buffer)
    }
}

/// Fills the buffer from the file, and waits for the disk if necessary.
fn read_blocking(
    mut file: &File,
    version: FileVersion,
    start: u64,
    mut buffer: Vec<u8>,
) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut buffer)?;
    check_unchanged(file, version)?;
    Ok(buffer)
}

/// The metadata by which one version of a file is distinguished from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    pub(crate) length: u64,
    /// The mtime.
    pub(crate) modified: Option<SystemTime>,
    pub(crate) identity: Identity,
}

impl FileVersion {
    pub(crate) fn new(metadata: &Metadata) -> FileVersion {
        let modified = metadata.modified().ok();
        FileVersion { length: metadata.len(), modified, identity: identity(metadata) }
    }

    /// Returns the time of the last change: the ctime if the operating system has one, because
    /// programs can set the mtime but not the ctime.
    #[cfg(unix)]
    pub(crate) fn changed(&self) -> Option<SystemTime> {
        let (.., seconds, nanoseconds) = self.identity;
        let (seconds, nanoseconds) =
            (u64::try_from(seconds).ok()?, u64::try_from(nanoseconds).ok()?);
        Some(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
    }

    #[cfg(not(unix))]
    pub(crate) fn changed(&self) -> Option<SystemTime> {
        self.modified
    }
}

/// Device number, inode number, and ctime (time of the last change to the inode) in seconds and
/// nanoseconds. The ctime cannot be set, so a file that replaces another with the same length
/// and mtime is recognized as different.
type Identity = (u64, u64, i64, i64);

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    Identity::default()
}

/// Returns `true` if no directory entry refers to the file any more.
#[cfg(unix)]
fn is_unlinked(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.nlink() == 0
}

#[cfg(not(unix))]
fn is_unlinked(_: &Metadata) -> bool {
    false
}

/// Returns an error if the open file is not the given version any more.
///
/// A file that was unlinked, or replaced by `rename(2)`, keeps its content for open
/// descriptors, so its changed ctime is accepted. Any other change of the ctime counts as a
/// change of the content, because the mtime can be set back.
pub(crate) fn check_unchanged(file: &File, version: FileVersion) -> io::Result<()> {
    let metadata = file.metadata()?;
    let now = FileVersion::new(&metadata);
    let is_same = (now.length, now.modified) == (version.length, version.modified);
    match now == version || (is_same && is_unlinked(&metadata)) {
        true => Ok(()),
        false => Err(io::Error::other("the file changed while it was read")),
    }
}

/// Reads bytes at `offset` without waiting for the disk, and returns how many were in the page
/// cache. Returns 0 if the file system does not support `RWF_NOWAIT`.
#[cfg(target_os = "linux")]
fn read_from_page_cache(file: &File, offset: u64, buffer: &mut [u8]) -> usize {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;

    let mut buffers = [IoSliceMut::new(buffer)];
    preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn read_from_page_cache(_: &File, _: u64, _: &mut [u8]) -> usize {
    0
}
