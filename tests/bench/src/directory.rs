//! A temporary directory: the static files that the servers send, nginx's configuration, and
//! the requests that wrk sends.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// Names and sizes in bytes of the static files: one that fits into a single write with its
/// head, one of the size of an image, and one that is larger than the kernel's socket buffers.
const FILES: [(&str, usize); 3] =
    [("1KiB.txt", 1 << 10), ("100KiB.txt", 100 << 10), ("10MiB.txt", 10 << 20)];

/// Removed with its content when dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Creates the directory and the static files. The demo does not start without its
    /// stylesheet.
    pub(crate) fn new() -> Result<Directory> {
        let name = format!("dustdevil-bench-{}", std::process::id());
        let directory = Directory(std::env::temp_dir().join(name));
        fs::create_dir_all(directory.files())?;
        fs::write(directory.files().join("site.css"), "")?;
        for (name, bytes) in FILES {
            fs::write(
                directory.files().join(name),
                "Dustdevil.\n".repeat(bytes).split_at(bytes).0,
            )?;
        }
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The directory of the static files.
    pub(crate) fn files(&self) -> PathBuf {
        self.0.join("static")
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<String> {
        let path = self.0.join(name);
        fs::write(&path, bytes)?;
        Ok(path.to_str().ok_or("the path is not UTF-8")?.to_owned())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // An error leaves files in the system's temporary directory, which is harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}
