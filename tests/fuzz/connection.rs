//! The fuzz target: sends arbitrary bytes to a connection, and lets the oracle of the tests
//! check the responses.
//!
//! The first byte decides whether the client waits at the end or half-closes. The next three
//! are the lengths of the pieces in which the rest is sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oracle::{Oracle, Sending};

#[path = "../it/oracle/mod.rs"]
mod oracle;

thread_local! {
    static ORACLE: Oracle =
        Oracle::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../static").into());
}

fuzz_target!(|input: &[u8]| {
    let Some((&[ending, first, second, third], bytes)) = input.split_first_chunk() else {
        return;
    };
    let lengths = [first, second, third].map(usize::from);
    let sending = Sending { bytes, lengths: &lengths, waits: ending % 2 == 1 };
    ORACLE.with(|oracle| {
        if let Err(what) = oracle.examine(&sending) {
            panic!("{what}");
        }
    });
});
