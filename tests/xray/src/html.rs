//! A film as a page: bytes on the left, steps in the middle, source on the right.
//!
//! The page has no script. A byte leads to its step, a step to its source and to its bytes, by
//! links within the page; the style sheet shows the target of a link (`:target`).

use std::fmt::Write;

use dustdevil::escape::html as escaped;
use dustdevil::{Film, Frame, Step};

use crate::text::{Part, milliseconds, parts, place, visible};
use crate::{guide, picture, source};

/// Returns a whole page.
pub fn page(title: &str, content: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} - X-ray</title>\n<link rel=\"stylesheet\" href=\"/xray/style.css\">\n\
         <link rel=\"icon\" href=\"/xray/icon.svg\">\n\
         </head>\n<body>\n<header>\n<nav aria-label=\"X-ray\"><a href=\"/xray/\">Films</a> <a href=\"/play\">Player</a> \
         <a href=\"/main\">Demo</a></nav>\n</header>\n<main>\n{content}</main>\n</body>\n</html>\n"
    )
}

/// Returns the content of the page of a film. `prefix` tells the anchors of several films on one
/// page apart; such a page has a heading of its own, and those of the films are below it.
pub fn film(film: &Film, prefix: &str) -> String {
    let level = if prefix.is_empty() { 1 } else { 2 };
    let anchors = Anchors { film, prefix, level };
    let mut html = format!(
        "<h{level} class=\"title\"><code>{}</code></h{level}>\n\
         <p class=\"quiet\">film {}, status {}, {} ms, from {}</p>\n",
        escaped(&film.title),
        film.id,
        film.status,
        milliseconds(film.took),
        film.peer
    );
    if film.left_out > 0 {
        let _ = writeln!(html, "<p>{} bytes and steps are left out.</p>", film.left_out);
    }
    html.push_str(&picture::timeline(film, prefix));
    let bytes = anchors.dump("received", &film.input, film.input_offset, true)
        + &anchors.dump("sent", &film.output, film.output_offset, false);
    let steps = format!("<ol>\n{}</ol>", anchors.steps());
    html.push_str("<div class=\"film\">\n");
    html.push_str(&anchors.section("Bytes", &bytes));
    html.push_str(&anchors.section("Steps", &steps));
    html.push_str(&anchors.section("Source", &anchors.sources()));
    html.push_str("</div>\n");
    html
}

struct Anchors<'f> {
    film: &'f Film,
    prefix: &'f str,
    /// The level of the heading of the film.
    level: usize,
}

impl Anchors<'_> {
    /// Returns a column of the page. It scrolls, so the keyboard must reach it.
    fn section(&self, name: &str, content: &str) -> String {
        let (class, level) = (name.to_ascii_lowercase(), self.level + 1);
        format!(
            "<section class=\"{class}\" aria-label=\"{name}\" tabindex=\"0\">\
             <h{level}>{name}</h{level}>\n{content}</section>\n"
        )
    }

    /// Returns bytes in rows of sixteen, as digits and as text. Each part of the message has a
    /// color, and leads to its step.
    fn dump(&self, what: &str, bytes: &[u8], offset: usize, is_request: bool) -> String {
        let prefix = self.prefix;
        let (count, level) = (bytes.len(), self.level + 2);
        let mut html = format!(
            "<h{level} id=\"{prefix}{what}\">{what}: {count} bytes</h{level}>\n<pre>"
        );
        let parts = parts(bytes, is_request);
        for (row, chunk) in bytes.chunks(16).enumerate() {
            let start = row * 16;
            let _ = write!(html, "<i>{:04x}</i> ", offset + start);
            let end = start + chunk.len();
            let cuts: Vec<(usize, &Part, usize, usize)> = parts
                .iter()
                .enumerate()
                .filter(|(_, part)| part.range.start < end && part.range.end > start)
                .map(|(index, part)| {
                    (index, part, part.range.start.max(start), part.range.end.min(end))
                })
                .collect();
            for (index, part, from, to) in &cuts {
                let digits: String =
                    bytes[*from..*to].iter().map(|byte| format!("{byte:02x} ")).collect();
                let is_first = *from == part.range.start;
                self.push_part(&mut html, *index, part, &digits, is_first);
            }
            html.push_str(&"   ".repeat(16 - chunk.len()));
            for (index, part, from, to) in &cuts {
                let shown: String =
                    bytes[*from..*to].iter().map(|byte| visible(*byte)).collect();
                self.push_part(&mut html, *index, part, &shown, false);
            }
            html.push('\n');
        }
        html.push_str("</pre>\n");
        html
    }

    /// Writes some of the bytes of a part. The keyboard stops once at each part.
    fn push_part(
        &self,
        html: &mut String,
        index: usize,
        part: &Part,
        text: &str,
        is_stop: bool,
    ) {
        let (color, prefix) = (index % 6, self.prefix);
        let steps = &self.film.steps;
        let find = |name: &str| steps.iter().position(|step| step.name == name);
        let step = find(part.step).or_else(|| find("refused")).unwrap_or_default();
        let stop = if is_stop { "" } else { " tabindex=\"-1\"" };
        let (name, text) = (escaped(&part.name), escaped(text));
        let _ = write!(
            html,
            "<a class=\"c{color}\" href=\"#{prefix}s{step}\" title=\"{name}\"{stop}>{text}</a>"
        );
    }

    fn steps(&self) -> String {
        self.film
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| self.step(index, step))
            .collect()
    }

    fn step(&self, index: usize, step: &Step) -> String {
        let prefix = self.prefix;
        let took =
            step.took.map(|took| format!(" <small>({} ms)</small>", milliseconds(took)));
        let bytes = match (&step.input, &step.output) {
            (Some(_), _) => format!(" <a href=\"#{prefix}received\">bytes</a>"),
            (_, Some(_)) => format!(" <a href=\"#{prefix}sent\">bytes</a>"),
            _ => String::new(),
        };
        let functions: String = step
            .frames
            .iter()
            .map(|frame| {
                let (function, place) = (escaped(&frame.function), escaped(&place(frame)));
                format!("<li><code>{function}</code> <small>{place}</small></li>\n")
            })
            .collect();
        let last = step.frames.last().map(|frame| escaped(&frame.function));
        format!(
            "<li id=\"{prefix}s{index}\" class=\"step {layer}{refused}\"><small>{at} ms {layer}</small> \
             <a href=\"#{prefix}c{index}\"><strong>{name}</strong></a> {detail}{took}{bytes}\n\
             <details><summary>{last}</summary><ol>{functions}</ol></details></li>\n",
            layer = step.layer.name(),
            refused = if step.name == "refused" { " refused" } else { "" },
            at = milliseconds(step.at),
            name = escaped(&step.name),
            detail = escaped(&step.detail),
            took = took.unwrap_or_default(),
            last = last.unwrap_or_default(),
        )
    }

    fn sources(&self) -> String {
        let steps = self.film.steps.iter().enumerate();
        steps
            .filter_map(|(index, step)| Some(self.source(index, step, step.frames.last()?)))
            .collect()
    }

    fn source(&self, index: usize, step: &Step, frame: &Frame) -> String {
        let prefix = self.prefix;
        let mut lines = String::new();
        for (number, code) in source::around(frame) {
            let code = escaped(&code);
            let line = format!("<i>{number:>4}</i> {code}");
            let _ = match number == frame.line as usize {
                true => writeln!(lines, "<mark>{line}</mark>"),
                false => writeln!(lines, "{line}"),
            };
        }
        let path = guide::place(step).map(|(path, number)| {
            format!(" <a href=\"/xray/guide/{path}#n{number}\">path: {path} {number}</a>")
        });
        format!(
            "<article id=\"{prefix}c{index}\"><p><a href=\"#{prefix}s{index}\">{name}</a> \
             <code>{function}</code> <small>{place}</small>{path}</p>\n<pre>{lines}</pre></article>\n",
            name = escaped(&step.name),
            function = escaped(&frame.function),
            place = escaped(&place(frame)),
            path = path.unwrap_or_default(),
        )
    }
}

/// Returns the content of the page that lists films.
pub fn list(films: &[std::sync::Arc<Film>]) -> String {
    let mut html = String::from("<h1>Films</h1>\n");
    if films.is_empty() {
        html.push_str("<p>There is no film yet: send a request.</p>\n");
        return html;
    }
    html.push_str(
        "<p class=\"quiet\">Two at once, in one order: <code>/xray/1+2</code></p>\n\
         <table>\n<thead><tr><th scope=\"col\">film</th><th scope=\"col\">request</th>\
         <th scope=\"col\">status</th><th scope=\"col\">ms</th>\
         <th scope=\"col\">steps</th></tr></thead>\n<tbody>\n",
    );
    for film in films.iter().rev() {
        let _ = writeln!(
            html,
            "<tr><td>{id}</td><td><a href=\"/xray/{id}\"><code>{title}</code></a></td>\
             <td>{status}</td><td>{took}</td><td>{steps}</td></tr>",
            id = film.id,
            title = escaped(&film.title),
            status = film.status,
            took = milliseconds(film.took),
            steps = film.steps.len()
        );
    }
    html.push_str("</tbody>\n</table>\n");
    html
}
