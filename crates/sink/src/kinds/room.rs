//! The room that a file system or a device has left.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use rustix::fs::StatVfs;

/// The bytes that this user may still write to a file system.
pub(super) fn of_file_system(found: &StatVfs) -> Option<u64> {
    found.f_bavail.checked_mul(found.f_frsize)
}

/// The bytes from the position of a device to its end. The position stays.
pub(super) fn of_device(mut device: &File) -> Option<u64> {
    let position = device.stream_position().ok()?;
    let end = device.seek(SeekFrom::End(0)).ok()?;
    device.seek(SeekFrom::Start(position)).ok()?;
    end.checked_sub(position)
}
