//! The observer of decisions that have no seam: a logger that records the target
//! `dustdevil::steps`, and passes all other lines on.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::film::Layer;
use crate::recorder::mark;

/// The target of the steps in the library.
const STEPS: &str = "dustdevil::steps";

/// A logger in front of another.
struct Logger {
    next: Box<dyn Log>,
    next_max: LevelFilter,
}

/// Installs the logger in front of `next`, which gets the lines up to `next_max`.
pub fn install(
    next: Box<dyn Log>,
    next_max: LevelFilter,
) -> Result<(), log::SetLoggerError> {
    log::set_max_level(LevelFilter::Trace);
    log::set_boxed_logger(Box::new(Logger { next, next_max }))
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_observed(metadata) || metadata.level() <= self.next_max
    }

    fn log(&self, record: &Record<'_>) {
        let is_step = record.target() == STEPS;
        let is_passed = !is_step && record.level() <= self.next_max;
        if is_observed(record.metadata()) {
            let text = record.args().to_string();
            match text.split_once(": ") {
                Some((name, detail)) if is_step => {
                    mark(layer(record), name, detail);
                }
                _ => mark(layer(record), "log", &text),
            }
        }
        if is_passed && self.next.enabled(record.metadata()) {
            self.next.log(record);
        }
    }

    fn flush(&self) {
        self.next.flush();
    }
}

/// Returns `true` for the library's steps, and for its other lines from level info.
fn is_observed(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == STEPS
        || (target.starts_with("dustdevil::") && metadata.level() <= Level::Info)
}

/// Returns the layer of the module that wrote a record.
fn layer(record: &Record<'_>) -> Layer {
    let module = record.module_path().unwrap_or_default();
    match module.split("::").nth(1) {
        Some("http") => Layer::Http,
        Some("session") => Layer::Session,
        _ => Layer::Web,
    }
}
