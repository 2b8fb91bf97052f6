//! `make lab-defences`: takes one defence away at a time, and shows that the attack then succeeds.
//!
//! Each file of `patches/` is a small diff of `src`. It is applied to a copy of the source, the
//! copy is built, and the attack with the same number must break its Dustdevil. Otherwise either
//! the attack or the named defence is not what the table says.
//!
//! The copy stays in the target directory, and only files that differ are written to it. So cargo
//! compiles two packages for each patch, and only the first time from the beginning.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::attack::Outcome;
use crate::patch::Patch;
use crate::runner::{Report, Scratch, attack_victim, select};
use crate::script::Script;

/// What of the project the build of the lab needs.
const NEEDED: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "README.md", "src", "views", "tests/lab"];

/// The name of the program that is built from the copy. It is in the same target directory as this
/// one, so that no dependency is built twice.
const PROGRAM: &str = "dustdevil-lab-without";

/// Runs the patches of attack `number`, or all. Returns `true` if each attack succeeds.
pub(crate) fn run(number: Option<u32>) -> Result<bool, String> {
    let scripts = select(number)?;
    let patches = patches(number)?;
    let copy = Copy::new(&project())?;
    let scratch = Scratch::new()?;
    println!("    {:34} {:10} seconds", "defence taken away", "Dustdevil");
    let mut good = 0;
    for (number, path) in &patches {
        let began = Instant::now();
        let script = scripts.iter().find(|script| script.number == *number);
        let script = script.ok_or_else(|| format!("there is no attack {number}"))?;
        let name = name_of(path);
        let report = copy.attack(path, script, &scratch.0);
        let report = report.map_err(|error| format!("{name}: {error}"))?;
        let (outcome, seconds) = (report.outcome.text(), began.elapsed().as_secs_f64());
        println!("    {name:34} {outcome:10} {seconds:7.1}");
        match report.outcome {
            Outcome::Broken => good += 1,
            _ => println!("{}", report.text),
        }
    }
    println!("{good} of {} broken, as expected without their defence.", patches.len());
    Ok(good == patches.len())
}

/// Checks that each patch applies, and prints their names.
pub(crate) fn check() -> Result<(), String> {
    let copy = Copy::new(&project())?;
    for (_, path) in patches(None)? {
        let failed = |error: String| format!("{}: {error}", name_of(&path));
        copy.patched(&read_patch(&path).map_err(failed)?).map_err(failed)?;
        println!("{}", name_of(&path));
    }
    Ok(())
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_patch(path: &Path) -> Result<Patch, String> {
    Patch::parse(&fs::read_to_string(path).map_err(|error| error.to_string())?)
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
    /// The target directory in which this program was built.
    target: PathBuf,
    /// The files of the project, with their content.
    files: Vec<(PathBuf, Content)>,
}

/// The content of a file, or the target of a symbolic link.
#[derive(Clone)]
enum Content {
    File(String),
    Link(PathBuf),
}

impl Copy {
    fn new(project: &Path) -> Result<Copy, String> {
        let program = std::env::current_exe().ok();
        let target = program.as_deref().and_then(Path::parent).and_then(Path::parent);
        let target = target.ok_or("this program is in no target directory")?.to_owned();
        let mut files = Vec::new();
        for name in NEEDED {
            read_all(project, Path::new(name), &mut files)
                .map_err(|error| format!("{name}: {error}"))?;
        }
        for (path, content) in &mut files {
            if let (true, Content::File(text)) = (path.ends_with("lab/Cargo.toml"), content)
            {
                *text +=
                    &format!("\n[[bin]]\nname = {PROGRAM:?}\npath = \"src/main.rs\"\n");
            }
        }
        Ok(Copy { directory: target.join("defences"), target, files })
    }

    /// Builds the copy with a patch, and attacks its Dustdevil.
    fn attack(
        &self,
        patch: &Path,
        script: &Script,
        scratch: &Path,
    ) -> Result<Report, String> {
        self.write(&read_patch(patch)?)?;
        Ok(attack_victim(&self.build()?, script, "dustdevil", scratch))
    }

    /// Returns the files with a patch applied.
    fn patched(&self, patch: &Patch) -> Result<Vec<(&Path, Content)>, String> {
        let mut files = Vec::new();
        let mut patched = 0;
        for (path, content) in &self.files {
            let content = match (content, patch.file(path)) {
                (Content::File(text), Some(change)) => {
                    patched += 1;
                    Content::File(change.apply(text)?)
                }
                (content, _) => content.clone(),
            };
            files.push((&**path, content));
        }
        match patched == patch.len() {
            true => Ok(files),
            false => Err(String::from("it changes a file that does not exist")),
        }
    }

    /// Writes the files that differ from those of the copy.
    fn write(&self, patch: &Patch) -> Result<(), String> {
        for (path, content) in self.patched(patch)? {
            let to = self.directory.join(path);
            let written = match content {
                Content::File(text) => write_file(&text, &to),
                Content::Link(target) => write_link(&target, &to),
            };
            written.map_err(|error| format!("{}: {error}", to.display()))?;
        }
        Ok(())
    }

    /// Builds the copy, and returns the path of its program.
    fn build(&self) -> Result<PathBuf, String> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| String::from("cargo"));
        let manifest = self.directory.join("tests/lab/Cargo.toml");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
        build.arg("--target-dir").arg(&self.target);
        let built = build.output().map_err(|error| format!("cargo: {error}"))?;
        match built.status.success() {
            true => Ok(self.target.join("debug").join(PROGRAM)),
            false => Err(String::from_utf8_lossy(&built.stderr).into_owned()),
        }
    }
}

fn write_file(text: &str, to: &Path) -> io::Result<()> {
    if fs::read(to).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::write(to, text)
}

fn write_link(target: &Path, to: &Path) -> io::Result<()> {
    if fs::read_link(to).is_ok_and(|old| old == target) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    std::os::unix::fs::symlink(target, to)
}

/// Reads a text file, a symbolic link, or a directory with all that is in it.
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
            read_all(project, &path.join(entry?.file_name()), files)?;
        }
    } else {
        files.push((path.to_owned(), Content::File(fs::read_to_string(&from)?)));
    }
    Ok(())
}
