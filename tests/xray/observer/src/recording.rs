//! The recording of one connection, and how it is cut into films.
//!
//! A film begins when the service gets a request, or when a head is refused. Steps before that,
//! from the first byte on, wait in `pending`. It is complete when the response has been written:
//! pipelined responses leave in one write, so what was sent is split by its framing.

use std::backtrace::Backtrace;
use std::collections::VecDeque;
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::film::{Film, Layer, Step};
use crate::mask::{mask, masked};
use crate::recorder::{Finished, Recorder};
use crate::split;
use crate::trace::{frames, refusing_line, root};

/// A step whose backtrace is not resolved yet.
#[derive(Clone)]
pub(crate) struct RawStep {
    pub(crate) at: Duration,
    pub(crate) took: Option<Duration>,
    layer: Layer,
    name: String,
    pub(crate) detail: String,
    pub(crate) sequence: u64,
    trace: Arc<Backtrace>,
}

/// Bytes that were read or written by one system call.
pub(crate) struct Transfer {
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) step: RawStep,
}

/// A film that is not complete.
struct OpenFilm {
    /// `None` for a request that is not observed.
    id: Option<u64>,
    title: String,
    is_head: bool,
    /// `true` after the head of the response was written to the output buffer.
    has_response: bool,
    steps: Vec<RawStep>,
}

/// A film whose backtraces are not resolved yet.
pub(crate) struct RawFilm {
    film: Film,
    steps: Vec<(RawStep, Transfers)>,
}

/// The bytes of a step: in the request, and in the response.
type Transfers = (Option<Range<usize>>, Option<Range<usize>>);

/// The recording of one connection.
pub(crate) struct Connection {
    pub(crate) recorder: Recorder,
    pub(crate) id: u64,
    peer: SocketAddr,
    pub(crate) began: Option<Instant>,
    /// The time at which the current observer was called.
    pub(crate) clock: Instant,
    /// The time that observing has taken.
    pub(crate) observing: Duration,
    /// Bytes of the requests that are not in a complete film.
    pub(crate) input: Vec<u8>,
    pub(crate) input_offset: usize,
    pub(crate) output: Vec<u8>,
    pub(crate) output_offset: usize,
    pub(crate) reads: Vec<Transfer>,
    pub(crate) writes: Vec<Transfer>,
    pending: Vec<RawStep>,
    open: VecDeque<OpenFilm>,
}

impl Connection {
    pub(crate) fn new(recorder: Recorder, peer: SocketAddr) -> Connection {
        Connection {
            id: recorder.next_connection.fetch_add(1, Ordering::Relaxed),
            recorder,
            peer,
            began: None,
            clock: Instant::now(),
            observing: Duration::ZERO,
            input: Vec::new(),
            input_offset: 0,
            output: Vec::new(),
            output_offset: 0,
            reads: Vec::new(),
            writes: Vec::new(),
            pending: Vec::new(),
            open: VecDeque::new(),
        }
    }

    /// Returns the time since the first byte of the connection, without that of observing.
    pub(crate) fn now(&self) -> Duration {
        let began = self.began.unwrap_or(self.clock);
        self.clock.saturating_duration_since(began).saturating_sub(self.observing)
    }

    pub(crate) fn step(&mut self, layer: Layer, name: &str, detail: String) -> RawStep {
        let at = self.now();
        let sequence = self.recorder.next_step.fetch_add(1, Ordering::Relaxed);
        let trace = Arc::new(Backtrace::force_capture());
        RawStep { at, took: None, layer, name: name.to_owned(), detail, sequence, trace }
    }

    /// Returns the steps of the request that is being handled, or those of the next.
    pub(crate) fn steps(&mut self) -> &mut Vec<RawStep> {
        match self.open.back_mut() {
            Some(film) if !film.has_response => &mut film.steps,
            _ => &mut self.pending,
        }
    }

    pub(crate) fn mark(&mut self, layer: Layer, name: &str, detail: &str) -> u64 {
        // Paths of files are shown relative to the repository.
        let root = format!("{}/", root().display());
        let detail = masked(&detail.replace(&root, ""));
        let step = self.step(layer, name, detail);
        let sequence = step.sequence;
        let is_response = name == "response";
        if is_response && self.open.back().is_none_or(|film| film.has_response) {
            self.begin_film(String::from("a head that was refused"), false);
        }
        self.steps().push(step);
        if let Some(film) = self.open.back_mut().filter(|_| is_response) {
            film.has_response = true;
        }
        sequence
    }

    pub(crate) fn begin_film(&mut self, title: String, is_head: bool) -> u64 {
        let id = self.recorder.next_id.fetch_add(1, Ordering::Relaxed);
        self.recorder.films().begin_film(id);
        self.open(Some(id), title, is_head);
        id
    }

    /// Begins a request that leaves no film.
    pub(crate) fn skip_film(&mut self, is_head: bool) {
        self.open(None, String::new(), is_head);
    }

    fn open(&mut self, id: Option<u64>, title: String, is_head: bool) {
        let steps = mem::take(&mut self.pending);
        self.open.push_back(OpenFilm { id, title, is_head, has_response: false, steps });
    }

    /// Completes the films whose response has been sent whole; at the end of the connection, all.
    pub(crate) fn publish(&mut self, is_end: bool) {
        while let Some(film) = self.open.front() {
            let is_last = self.open.len() == 1;
            let input = split::request(&self.input).and_then(|message| message.end);
            let output = split::response(&self.output, film.is_head);
            let output = output.and_then(|message| message.end);
            let (input, output) = match (input, output) {
                (Some(input), Some(output)) if film.has_response => (input, output),
                // A refused request has no framing: what has arrived is all there is.
                _ if is_end && is_last => (self.input.len(), self.output.len()),
                (input, output) if is_end => (input.unwrap_or(0), output.unwrap_or(0)),
                _ => return,
            };
            self.cut(input, output);
        }
    }

    /// Moves the first open film, with so many bytes of input and output, to the films.
    fn cut(&mut self, input: usize, output: usize) {
        let Some(open) = self.open.pop_front() else { return };
        let steps = self.take_steps(open.steps, input, output);
        let mut film = Film {
            id: open.id.unwrap_or_default(),
            peer: self.peer,
            connection: self.id,
            title: open.title,
            status: 0,
            input: self.input.drain(..input).collect(),
            input_offset: self.input_offset,
            output: self.output.drain(..output).collect(),
            output_offset: self.output_offset,
            steps: Vec::new(),
            left_out: 0,
            took: Duration::ZERO,
        };
        self.input_offset += input;
        self.output_offset += output;
        if let Some(message) = split::response(&film.output, open.is_head) {
            film.status = split::status(&film.output[message.head]);
        }
        mask(&mut film.input);
        mask(&mut film.output);
        if open.id.is_some() {
            // Fails only at the end of the process.
            let _ = self.recorder.finished.send(Finished::Film(RawFilm { film, steps }));
        }
    }

    /// Takes the steps of a film, with those of the reads and writes that carried its bytes.
    fn take_steps(
        &mut self,
        own: Vec<RawStep>,
        input: usize,
        output: usize,
    ) -> Vec<(RawStep, Transfers)> {
        let is_last = self.open.is_empty();
        let reads = take_overlapping(&mut self.reads, self.input_offset, input, is_last);
        let writes =
            take_overlapping(&mut self.writes, self.output_offset, output, is_last);
        let mut steps: Vec<(RawStep, Transfers)> = Vec::new();
        steps.extend(reads.into_iter().map(|(step, range)| (step, (Some(range), None))));
        steps.extend(writes.into_iter().map(|(step, range)| (step, (None, Some(range)))));
        steps.extend(own.into_iter().map(|step| (step, (None, None))));
        if is_last && self.input.len() == input {
            steps.extend(self.pending.drain(..).map(|step| (step, (None, None))));
        }
        steps.sort_by_key(|(step, _)| step.sequence);
        steps
    }
}

/// Takes the transfers that overlap the first `length` bytes from `offset`, each with the part of
/// the film that it carried. A transfer that goes on stays for the next film, too.
fn take_overlapping(
    transfers: &mut Vec<Transfer>,
    offset: usize,
    length: usize,
    is_last: bool,
) -> Vec<(RawStep, Range<usize>)> {
    let mut taken = Vec::new();
    let end = offset + length;
    for transfer in mem::take(transfers) {
        let transfer_end = transfer.start + transfer.length;
        let range =
            transfer.start.max(offset) - offset..transfer_end.min(end).max(offset) - offset;
        if transfer_end <= end && (transfer.length > 0 || is_last) {
            taken.push((transfer.step, range));
        } else if transfer.start < end {
            taken.push((transfer.step.clone(), range));
            transfers.push(transfer);
        } else {
            transfers.push(transfer);
        }
    }
    taken
}

impl RawFilm {
    /// Resolves the backtraces, and counts the times from the first byte of this request.
    pub(crate) fn develop(self) -> Film {
        let RawFilm { mut film, steps } = self;
        let first = steps.first().map(|(step, _)| step.at).unwrap_or_default();
        let last = steps.last().map(|(step, _)| step.at).unwrap_or_default();
        film.took = last.saturating_sub(first);
        film.steps = steps
            .into_iter()
            .map(|(step, (input, output))| Step { input, output, ..step.develop(first) })
            .collect();
        film.bound();
        film
    }
}

impl RawStep {
    /// Resolves the backtrace. The last function of a refusal is the one that refused.
    fn develop(self, first: Duration) -> Step {
        let mut frames = frames(&self.trace);
        let mut detail = self.detail;
        if self.name == "refused"
            && let Some((text, frame)) = refusing_line(&detail)
        {
            frames.push(frame);
            detail = text.to_owned();
        }
        Step {
            at: self.at.saturating_sub(first),
            took: self.took,
            layer: self.layer,
            name: self.name,
            detail,
            input: None,
            output: None,
            sequence: self.sequence,
            frames,
        }
    }
}
