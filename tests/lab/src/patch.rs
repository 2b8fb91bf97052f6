//! A unified diff, as `git diff` writes it, and its application. The line numbers are not used: a
//! hunk applies where its old lines are, and only if they are in the file exactly once. So code
//! that moves does not break a patch, and code that changes does.

use std::path::{Path, PathBuf};

/// A patch: the changes of one or more files.
pub(crate) struct Patch(Vec<FileChange>);

/// The changes of a file.
pub(crate) struct FileChange {
    path: PathBuf,
    hunks: Vec<Hunk>,
}

/// A place in a file: its lines before and after the change.
#[derive(Default)]
struct Hunk {
    old: String,
    new: String,
}

impl Patch {
    /// Parses a patch. Lines before the first file, such as prose, are ignored.
    pub(crate) fn parse(text: &str) -> Result<Patch, String> {
        let mut files: Vec<FileChange> = Vec::new();
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("+++ b/") {
                let path = PathBuf::from(path.trim_end());
                files.push(FileChange { path, hunks: Vec::new() });
                continue;
            }
            let Some(file) = files.last_mut() else { continue };
            if line.starts_with("@@") {
                file.hunks.push(Hunk::default());
                continue;
            }
            if line.starts_with("diff ")
                || line.starts_with("index ")
                || line.starts_with("--- ")
            {
                continue;
            }
            let Some(hunk) = file.hunks.last_mut() else { continue };
            let (sign, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
            if sign != "+" {
                hunk.old += &format!("{rest}\n");
            }
            if sign != "-" {
                hunk.new += &format!("{rest}\n");
            }
        }
        let is_whole = !files.is_empty() && files.iter().all(|file| !file.hunks.is_empty());
        match is_whole {
            true => Ok(Patch(files)),
            false => Err(String::from("it is no unified diff, as git diff writes it")),
        }
    }

    /// Returns the number of files that it changes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn file(&self, path: &Path) -> Option<&FileChange> {
        self.0.iter().find(|file| file.path == path)
    }
}

impl FileChange {
    pub(crate) fn apply(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for (number, hunk) in self.hunks.iter().enumerate() {
            let places = text.matches(&hunk.old).count();
            if places != 1 {
                return Err(format!(
                    "its hunk {} does not apply to {}: its lines are there {places} times",
                    number + 1,
                    self.path.display()
                ));
            }
            text = text.replacen(&hunk.old, &hunk.new, 1);
        }
        Ok(text)
    }
}
