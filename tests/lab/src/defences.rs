//! `make lab-defences`: takes one defence away at a time, and shows that the attack then succeeds.
//!
//! Each file of `patches/` is a small diff of `src`. It is applied to a copy of the source, the
//! copy is built, and the attack with the same number must break its Dustdevil. Otherwise either
//! the attack or the named defence is not what the table says.
//!
//! The copy stays in the target directory, and only files that differ are written to it. So cargo
//! compiles two packages for each patch, and no dependency twice.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::attack::Outcome;
use crate::patch::Patch;
use crate::runner::{Scratch, attack_victim, select};
use crate::script::Script;

/// What of the project the build of the lab needs.
const NEEDED: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "README.md", "src", "views", "tests/lab"];

/// Runs the patches of `number`, or all. Returns `true` if each attack succeeds.
pub(crate) fn run(number: Option<u32>) -> Result<bool, String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let scripts = select(number)?;
    let patches = patches(number)?;
    let copy = Copy::new(&project)?;
    let scratch = Scratch::new()?;
    println!("    {:34} {:10} seconds", "defence taken away", "Dustdevil");
    let mut is_good = true;
    for (number, path) in patches {
        let began = Instant::now();
        let script = scripts.iter().find(|script| script.number == number);
        let script = script.ok_or_else(|| format!("there is no attack {number}"))?;
        let report = copy.attack(&path, script, &scratch.0)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (outcome, seconds) = (report.outcome.text(), began.elapsed().as_secs_f64());
        println!("    {name:34} {outcome:10} {seconds:7.1}");
        if report.outcome != Outcome::Broken {
            is_good = false;
            println!("{}", report.text);
        }
    }
    Ok(is_good)
}

/// Returns the patches with the numbers of their attacks, in order.
fn patches(number: Option<u32>) -> Result<Vec<(u32, PathBuf)>, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("patches");
    let failed = |error: io::Error| format!("{}: {error}", directory.display());
    let mut patches = Vec::new();
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of = name.split('-').next().and_then(|number| number.parse().ok());
        let of = of.ok_or_else(|| format!("{name} does not begin with a number"))?;
        if number.is_none_or(|number| number == of) {
            patches.push((of, path));
        }
    }
    patches.sort();
    match patches.is_empty() {
        true => Err(String::from("there is no such patch")),
        false => Ok(patches),
    }
}

/// The copy of the source.
struct Copy {
    directory: PathBuf,
    /// The files of the project, with their content.
    files: Vec<(PathBuf, Content)>,
}

/// The content of a file, or the target of a symbolic link.
enum Content {
    File(Vec<u8>),
    Link(PathBuf),
}

impl Copy {
    fn new(project: &Path) -> Result<Copy, String> {
        let target = std::env::current_exe().ok();
        let target = target.as_deref().and_then(Path::parent).and_then(Path::parent);
        let target = target.ok_or("this program is in no target directory")?;
        let directory = target.join("lab-defences");
        let mut files = Vec::new();
        for name in NEEDED {
            read_all(project, Path::new(name), &mut files)
                .map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(Copy { directory, files })
    }

    /// Builds the copy with a patch, and attacks its Dustdevil.
    fn attack(
        &self,
        patch: &Path,
        script: &Script,
        scratch: &Path,
    ) -> Result<crate::runner::Report, String> {
        let failed = |message: String| format!("{}: {message}", patch.display());
        let text = fs::read_to_string(patch).map_err(|error| failed(error.to_string()))?;
        let patch = Patch::parse(&text).map_err(failed)?;
        self.write(&patch).map_err(failed)?;
        let lab = self.build().map_err(failed)?;
        Ok(attack_victim(&lab, script, "dustdevil", scratch))
    }

    /// Writes the files that differ from those of the copy, and removes those that are no longer
    /// there.
    fn write(&self, patch: &Patch) -> Result<(), String> {
        let mut patched = BTreeSet::new();
        for (path, content) in &self.files {
            let to = self.directory.join(path);
            let failed = |error: io::Error| format!("{}: {error}", to.display());
            fs::create_dir_all(to.parent().unwrap_or(&to)).map_err(failed)?;
            match content {
                Content::Link(target) => {
                    if fs::read_link(&to).ok().as_ref() != Some(target) {
                        let _ = fs::remove_file(&to);
                        link(target, &to).map_err(failed)?;
                    }
                }
                Content::File(original) => {
                    let content = match patch.file(path) {
                        Some(change) => {
                            patched.insert(path);
                            let text = String::from_utf8_lossy(original);
                            change.apply(&text)?.into_bytes()
                        }
                        None => original.clone(),
                    };
                    if fs::read(&to).ok().as_ref() != Some(&content) {
                        fs::write(&to, content).map_err(failed)?;
                    }
                }
            }
        }
        match patched.len() == patch.len() {
            true => Ok(()),
            false => Err(String::from("it changes a file that does not exist")),
        }
    }

    /// Builds the copy, and returns the path of its program.
    fn build(&self) -> Result<PathBuf, String> {
        let target = self.directory.join("target");
        let mut cargo =
            Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        cargo.args(["build", "--quiet", "--locked", "--manifest-path"]);
        cargo
            .arg(self.directory.join("tests/lab/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target);
        // Warnings are to be expected: a defence that is gone leaves unused code.
        cargo.env("RUSTFLAGS", "-Awarnings");
        let built = cargo.output().map_err(|error| format!("cargo: {error}"))?;
        match built.status.success() {
            true => Ok(target.join("debug/dustdevil-lab")),
            false => Err(String::from_utf8_lossy(&built.stderr).into_owned()),
        }
    }
}

/// Reads a file, a symbolic link, or a directory with all that is in it.
fn read_all(
    project: &Path,
    path: &Path,
    files: &mut Vec<(PathBuf, Content)>,
) -> io::Result<()> {
    let from = project.join(path);
    let kind = fs::symlink_metadata(&from)?.file_type();
    if kind.is_symlink() {
        files.push((path.to_owned(), Content::Link(fs::read_link(&from)?)));
    } else if kind.is_dir() {
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            if name != "target" {
                read_all(project, &path.join(name), files)?;
            }
        }
    } else {
        files.push((path.to_owned(), Content::File(fs::read(&from)?)));
    }
    Ok(())
}

#[cfg(unix)]
fn link(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn link(target: &Path, link: &Path) -> io::Result<()> {
    fs::copy(link.parent().unwrap_or(link).join(target), link).map(drop)
}
