//! An attack script, and what its head says about it.
//!
//! ```text
//! #!/bin/sh
//! # name: Guess the id from the clock
//! # class: CWE-330, OWASP A04:2025
//! # victim: tutorial
//! # stops: session/id.rs Id::generate
//! # test: ids::an_id_is_128_random_bits_in_32_hex_digits
//! #
//! # Prose: how an attacker thinks, and what should happen.
//! ```

use std::fs;
use std::path::{Path, PathBuf};

/// A script of `attacks/`.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) path: PathBuf,
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) victim: String,
    pub(crate) stops: String,
    pub(crate) test: String,
    /// The idle timeout with which both servers are started, in seconds. Empty: the default.
    pub(crate) idle: String,
    pub(crate) prose: String,
}

impl Script {
    fn read(path: &Path) -> Result<Script, String> {
        let failed = |what: &str| format!("{}: {what}", path.display());
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = file.split('-').next().and_then(|number| number.parse().ok());
        let text = fs::read_to_string(path).map_err(|error| failed(&error.to_string()))?;
        let head =
            || text.lines().skip(1).map_while(|line| line.strip_prefix('#')).map(str::trim);
        let find = |name: &str| {
            head()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let needed = |name: &str| {
            find(name).map(str::to_owned).ok_or_else(|| failed(&format!("no {name}:")))
        };
        let prose = head().skip_while(|line| !line.is_empty()).skip(1);
        Ok(Script {
            path: path.to_owned(),
            number: number
                .ok_or_else(|| failed("its name does not begin with a number"))?,
            name: needed("name")?,
            class: needed("class")?,
            victim: needed("victim")?,
            stops: needed("stops")?,
            test: needed("test")?,
            idle: find("idle").unwrap_or_default().to_owned(),
            prose: prose.collect::<Vec<_>>().join("\n").trim().to_owned(),
        })
    }

    /// Reads all scripts, in the order of their numbers. `lib.sh` is next to their directory.
    pub(crate) fn all() -> Result<Vec<Script>, String> {
        let directory = directory();
        let failed = |error| format!("{}: {error}", directory.display());
        let mut scripts = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "sh") {
                scripts.push(Script::read(&path)?);
            }
        }
        scripts.sort_by_key(|script| script.number);
        Ok(scripts)
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks")
}
