//! A directory for the time of a measurement: static files, and what programs are told in files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// The static files, and their bytes.
const FILES: [(&str, usize); 3] =
    [("1KiB.txt", 1 << 10), ("100KiB.txt", 100 << 10), ("10MiB.txt", 10 << 20)];

/// Goes away with all that is in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// One with static files in it. The demo wants its stylesheet among them.
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

    /// The static files.
    pub(crate) fn files(&self) -> PathBuf {
        self.0.join("static")
    }

    /// Writes a file; gives its path.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<String> {
        let path = self.0.join(name);
        fs::write(&path, bytes)?;
        Ok(path.to_str().ok_or("the path is no text")?.to_owned())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Whatever is left is the system's to clear away.
        let _ = fs::remove_dir_all(&self.0);
    }
}
