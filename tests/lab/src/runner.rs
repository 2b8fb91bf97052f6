//! `make lab`: runs each attack against its victim and against Dustdevil, and prints the table.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::attack::Outcome;
use crate::script::Script;
use crate::server::Server;
use crate::target::Target;

/// Timeout of one script. After it, the script has no answer.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(60);

/// The attack that uses up the limit of logins. At a server of the reader it is the last.
const GUESSING: u32 = 9;

/// Number of rows that run at a time. Most of their time they wait.
const PARALLEL_ROWS: usize = 6;

/// The result of a script: its outcome, and what it has printed.
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    pub(crate) text: String,
}

/// A row of the table: the results against the victim and against Dustdevil.
struct Row {
    victim: Report,
    dustdevil: Report,
    took: Duration,
}

impl Row {
    fn is_as_expected(&self) -> bool {
        self.victim.outcome == Outcome::Broken && self.dustdevil.outcome == Outcome::Held
    }
}

/// A directory for logs and output, which is removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Scratch, String> {
        let path =
            std::env::temp_dir().join(format!("dustdevil-lab-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the scripts of `number`, or all.
pub(crate) fn select(number: Option<u32>) -> Result<Vec<Script>, String> {
    let mut scripts = Script::all()?;
    if let Some(number) = number {
        let max = scripts.len();
        scripts.retain(|script| script.number == number);
        if scripts.is_empty() {
            return Err(format!("there is no attack {number}; there are {max}"));
        }
    }
    Ok(scripts)
}

/// The path of this program, which the scripts and the victims are started with.
pub(crate) fn this_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))
}

/// Runs the attacks against the victims and Dustdevil. Returns `true` if each victim is broken
/// and Dustdevil has held.
pub(crate) fn run(number: Option<u32>) -> Result<bool, String> {
    let scripts = select(number)?;
    let (scratch, lab) = (Scratch::new()?, this_program()?);
    let began = Instant::now();
    let rows = in_parallel(&scripts, |script| row(&lab, script, &scratch.0));
    if let ([script], [row]) = (&*scripts, &*rows) {
        tell(script, row);
    }
    println!("    {:34} {:19}  {:10} seconds", "attack", "victim", "Dustdevil");
    for (script, row) in scripts.iter().zip(&rows) {
        let victim = format!("{:9} {}", script.victim, row.victim.outcome.text());
        println!(
            "{:2}  {:34} {victim:19}  {:10} {:7.1}",
            script.number,
            script.name,
            row.dustdevil.outcome.text(),
            row.took.as_secs_f64()
        );
    }
    let good = rows.iter().filter(|row| row.is_as_expected()).count();
    println!(
        "{good} of {} as expected (victim broken, Dustdevil held) in {:.1} s.",
        rows.len(),
        began.elapsed().as_secs_f64()
    );
    if number.is_none() {
        for (script, row) in
            scripts.iter().zip(&rows).filter(|(_, row)| !row.is_as_expected())
        {
            tell(script, row);
        }
        println!("make lab N=4 tells the fourth, with its bytes.");
    }
    Ok(good == rows.len())
}

/// Calls `work` for each script, some at a time.
fn in_parallel<T: Send>(scripts: &[Script], work: impl Fn(&Script) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(script) = scripts.get(index) else { return done };
            done.push((index, work(script)));
        }
    };
    let mut rows: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL_ROWS).map(|_| scope.spawn(worker)).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().expect("no row panics"));
        joined.flatten().collect()
    });
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Runs one attack against its victim and against Dustdevil, at the same time.
fn row(lab: &Path, script: &Script, scratch: &Path) -> Row {
    let began = Instant::now();
    let against = |victim: &str| attack_victim(lab, script, victim, scratch);
    let (victim, dustdevil) = thread::scope(|scope| {
        let victim = scope.spawn(|| against(&script.victim));
        let dustdevil = against("dustdevil");
        (victim.join().expect("a row does not panic"), dustdevil)
    });
    Row { victim, dustdevil, took: began.elapsed() }
}

/// Starts a victim and runs a script against it.
pub(crate) fn attack_victim(
    lab: &Path,
    script: &Script,
    victim: &str,
    scratch: &Path,
) -> Report {
    let log = scratch.join(format!("{:02}-{victim}.log", script.number));
    match Server::start(lab, victim, &script.idle, log) {
        Ok(server) => {
            let name = format!("{:02}-{victim}", script.number);
            attack(lab, script, &server.target, Some(&server.log), &scratch.join(name))
        }
        Err(message) => Report { outcome: Outcome::NoAnswer, text: message },
    }
}

/// Runs a script. Its output goes to the file `output`, so that it cannot fill a pipe.
fn attack(
    lab: &Path,
    script: &Script,
    target: &Target,
    log: Option<&Path>,
    output: &Path,
) -> Report {
    let run = || {
        let file = File::create(output)?;
        let mut command = Command::new("sh");
        command.arg(&script.path).arg(target.url()).env("LAB", lab).env_remove("LAB_LOG");
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        if let Some(log) = log {
            command.env("LAB_LOG", log);
        }
        wait(&mut command)
    };
    match run() {
        Ok(status) => {
            let text = fs::read(output).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            Report { outcome: Outcome::of_status(status), text }
        }
        Err(error) => Report { outcome: Outcome::NoAnswer, text: error.to_string() },
    }
}

/// Waits for the end of a command, at most for [`SCRIPT_TIMEOUT`], and returns its exit status.
fn wait(command: &mut Command) -> std::io::Result<Option<i32>> {
    let began = Instant::now();
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if began.elapsed() > SCRIPT_TIMEOUT {
            child.kill()?;
            child.wait()?;
            return Err(std::io::Error::other("the script did not end in time"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Prints all about one attack.
fn tell(script: &Script, row: &Row) {
    introduce(script);
    for (name, report) in [(&*script.victim, &row.victim), ("Dustdevil", &row.dustdevil)] {
        println!("--- Against {name}: {} ---\n{}", report.outcome.text(), report.text);
    }
    println!("What stops it: src/{}", script.stops);
    println!("The test that keeps it: {}\n", script.test);
}

fn introduce(script: &Script) {
    println!("=== {}. {} ===", script.number, script.name);
    println!("{}\n\n{}\n", script.class, script.prose);
}

/// Runs the attacks against a server of the reader. Returns `true` if it was not broken, and has
/// answered to at least one attack.
pub(crate) fn run_at(number: Option<u32>, url: &str) -> Result<bool, String> {
    let target = Target::parse(url)?;
    let mut scripts = select(number)?;
    scripts.sort_by_key(|script| (script.number == GUESSING, script.number));
    let (scratch, lab) = (Scratch::new()?, this_program()?);
    println!("    {:34} {:10} seconds", "attack", "target");
    let (mut broken, mut held) = (0, 0);
    for script in &scripts {
        let began = Instant::now();
        let report = attack(&lab, script, &target, None, &scratch.0.join("output"));
        let (seconds, outcome) = (began.elapsed().as_secs_f64(), report.outcome.text());
        println!("{:2}  {:34} {outcome:10} {seconds:7.1}", script.number, script.name);
        broken += usize::from(report.outcome == Outcome::Broken);
        held += usize::from(report.outcome == Outcome::Held);
        if number.is_some() {
            println!();
            introduce(script);
            println!("{}", report.text);
        }
    }
    let unknown = scripts.len() - broken - held;
    println!(
        "{broken} broken, {held} held, {unknown} without an answer (which says nothing)."
    );
    Ok(broken == 0 && held > 0)
}
