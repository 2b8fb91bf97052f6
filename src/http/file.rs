//! A part of a file on its way out, and whether the file is still what it was.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::spawn_blocking;

/// Bytes that are read at once, if the memory budget has them for the time that it takes to send
/// the file.
pub(crate) const READ_SIZE: usize = 128 * 1024;

/// Bytes that are read at once if not.
pub(crate) const SMALL_READ_SIZE: usize = 8 * 1024;

/// A part of an open file, as much of it as was not read yet.
///
/// Nobody keeps others from writing to the file meanwhile. If it has changed by the time the last
/// piece was read, that piece is not sent: half of one state and half of another is nobody's
/// file, and an answer that falls short of its length cannot be taken for whole.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    state: State,
    range: Range<u64>,
    /// The last piece. There is one at a time, and its room serves the next.
    piece: Vec<u8>,
}

impl FileBody {
    /// A part of a file that is in the given state, and of which nobody else moves the place
    /// where it is read.
    pub(crate) fn new(file: File, state: State, range: Range<u64>) -> FileBody {
        FileBody { file: Arc::new(file), state, range, piece: Vec::new() }
    }

    /// How many bytes are left.
    pub fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Reads the next piece, of at most so many bytes: here if it is in the page cache, and if not,
    /// on a thread that may wait for the disk.
    pub(crate) async fn read(&mut self, most: usize) -> io::Result<&[u8]> {
        let length = usize::try_from(self.length()).unwrap_or(most).min(most);
        let (state, start) = (self.state, self.range.start);
        let missing = length.saturating_sub(self.piece.len());
        self.piece.try_reserve_exact(missing).map_err(io::Error::other)?;
        self.piece.resize(length, 0);
        if read_from_page_cache(&self.file, start, &mut self.piece) == length {
            is_still(&self.file, state)?;
        } else {
            let (file, piece) = (Arc::clone(&self.file), mem::take(&mut self.piece));
            let reading = move || read_piece(&file, state, start, piece);
            self.piece = spawn_blocking(reading).await??;
        }
        self.range.start += length as u64;
        Ok(&self.piece)
    }
}

fn read_piece(
    mut file: &File,
    state: State,
    start: u64,
    mut piece: Vec<u8>,
) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut piece)?;
    is_still(file, state)?;
    Ok(piece)
}

/// What is compared to find out whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) length: u64,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) identity: Identity,
}

impl State {
    pub(crate) fn of(metadata: &Metadata) -> State {
        let modified = metadata.modified().ok();
        State { length: metadata.len(), modified, identity: identity(metadata) }
    }
}

impl State {
    /// When the file last changed: by its ctime, where the system has one, for that cannot be set.
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

/// The numbers of the device and of the inode, and when the inode last changed (ctime). Nobody can set
/// this time, so a file that was put in place of another with the same length and date is told from
/// it.
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

/// An error if an open file is not in the state that it was in. One that was removed, or replaced
/// by another, is what it was for whoever has it open, though its inode has changed. Of any
/// other change to the inode nobody can say that it was not to the content: dates can be set back.
pub(crate) fn is_still(file: &File, state: State) -> io::Result<()> {
    let metadata = file.metadata()?;
    let now = State::of(&metadata);
    let is_same = (now.length, now.modified) == (state.length, state.modified);
    match now == state || (is_same && is_unlinked(&metadata)) {
        true => Ok(()),
        false => Err(io::Error::other("the file changed while it was read")),
    }
}

/// Reads bytes of a file from `place` on, as many as can be had without waiting for a disk, and
/// says how many. Where the file system cannot tell, there are none.
#[cfg(target_os = "linux")]
fn read_from_page_cache(file: &File, place: u64, bytes: &mut [u8]) -> usize {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;

    let mut bytes = [IoSliceMut::new(bytes)];
    preadv2(file, &mut bytes, place, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn read_from_page_cache(_: &File, _: u64, _: &mut [u8]) -> usize {
    0
}
