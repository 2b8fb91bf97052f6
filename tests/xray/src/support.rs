//! What the modules that are shared with the tests need from them.

use std::path::PathBuf;
use std::sync::Arc;

use dustdevil::{MemoryLimits, MemoryStore, Settings, store};

/// Returns a path below the root of the repository.
pub fn project(path: &str) -> PathBuf {
    dustdevil::root().join(path)
}

/// Default settings with a new store, observed.
pub fn settings() -> Settings {
    let memory = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let session_store = Some(Arc::new(store::Observed::new(memory)) as Arc<_>);
    Settings { session_store, ..Settings::default() }
}
