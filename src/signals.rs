//! The signals that stop a server: SIGINT, SIGTERM and SIGHUP.

use std::future::pending;
use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that asks the process to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// SIGINT, or Ctrl-C.
    Interrupt,
    /// SIGTERM, as sent by service managers.
    #[cfg_attr(not(unix), expect(dead_code))]
    Terminate,
    /// SIGHUP: the terminal was closed.
    #[cfg_attr(not(unix), expect(dead_code))]
    HangUp,
}

#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if SIGHUP is ignored.
    hang_up: Option<Signal>,
}

#[cfg(unix)]
impl Signals {
    /// Installs the signal handlers. From here on, the signals no longer end the process.
    pub(crate) fn new() -> io::Result<Signals> {
        let hang_up = (!ignores_sighup()).then(|| signal(SignalKind::hangup()));
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: hang_up.transpose()?,
        })
    }

    pub(crate) async fn next(&mut self) -> StopSignal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = hang_up => StopSignal::HangUp,
        }
    }
}

/// Returns `true` if the process was started with SIGHUP ignored, as nohup(1) does; handling
/// the signal would then end a process that is meant to outlive its terminal. Reads the mask of
/// ignored signals (`SigIgn` in `proc_pid_status(5)`). Systems without it count as ignoring the
/// signal.
#[cfg(unix)]
fn ignores_sighup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is that of signal 1, SIGHUP.
    mask.is_none_or(|mask| mask & 1 == 1)
}

/// Other systems have no such signals, but they have Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    pub(crate) async fn next(&mut self) -> StopSignal {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
        StopSignal::Interrupt
    }
}
