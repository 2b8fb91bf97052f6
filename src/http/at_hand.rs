//! What of a file is in the system's memory, where reading it holds up nobody. Linux can be asked
//! for that and no more; elsewhere nothing is known to be at hand.

use std::fs::File;

/// Reads octets of a file from `place` on, as many as can be had without waiting for a disk, and
/// says how many. Where the file system cannot tell, there are none.
#[cfg(target_os = "linux")]
pub(crate) fn read(file: &File, place: u64, octets: &mut [u8]) -> usize {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;

    let mut octets = [IoSliceMut::new(octets)];
    preadv2(file, &mut octets, place, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read(_: &File, _: u64, _: &mut [u8]) -> usize {
    0
}
