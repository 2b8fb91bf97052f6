//! Writes the seed corpus of the fuzzer: the bytes that each transcript sends.

use std::fs;
use std::path::Path;

use steps::{Step, paths, steps};

#[path = "../it/steps.rs"]
#[allow(dead_code)]
mod steps;

/// The first four bytes of a seed, which tell the target how to send the rest: in pieces of
/// these lengths, by a client that half-closes at the end.
const SENDING: [u8; 4] = [0, 7, 1, 40];

fn main() {
    println!("cargo::rerun-if-changed=../transcripts");
    println!("cargo::rerun-if-changed=../it/steps.rs");
    fs::create_dir_all("seeds").expect("a directory for the seeds");
    let directory = Path::new("../transcripts");
    for path in paths(directory) {
        let path_below =
            path.strip_prefix(directory).expect("the path is below the directory");
        let name = path_below.to_string_lossy().replace('/', "-");
        fs::write(Path::new("seeds").join(name), seed(&path)).expect("a seed written");
    }
}

fn seed(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).expect("a transcript is text");
    let mut seed = SENDING.to_vec();
    for (_, step) in steps(&text).expect("a transcript is well-formed") {
        if let Step::Send(bytes) = step {
            seed.extend(bytes);
        }
    }
    seed
}
