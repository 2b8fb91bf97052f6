//! The picture of a request on its way: time along one axis, layers along the other. An SVG that
//! the server makes.

use std::fmt::Write;

use dustdevil::escape::html as escaped;
use dustdevil::{Film, Layer, Step};

use crate::text::milliseconds;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 80.0;
const LANE: f64 = 30.0;

/// Returns the picture of a film. Each dot leads to its step.
pub fn timeline(film: &Film, prefix: &str) -> String {
    let height = LANE * 6.0 + 24.0;
    let mut svg = format!(
        "<figure><svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"the layers that the \
         request passed through, over {} ms\">\n",
        WIDTH + LEFT + 20.0,
        milliseconds(film.took)
    );
    for layer in Layer::ALL {
        let (y, name) = (y(layer), layer.name());
        let _ = writeln!(
            svg,
            "<text x=\"0\" y=\"{:.0}\">{name}</text><line class=\"lane\" x1=\"{LEFT}\" \
             y1=\"{y:.0}\" x2=\"{:.0}\" y2=\"{y:.0}\"/>",
            y + 4.0,
            LEFT + WIDTH
        );
    }
    let points =
        film.steps.iter().map(|step| format!("{:.1},{:.0}", x(film, step), y(step.layer)));
    let points = points.collect::<Vec<_>>().join(" ");
    let _ = writeln!(svg, "<polyline points=\"{points}\"/>");
    for step in &film.steps {
        if let Some(took) = step.took {
            let width = scale(film, took.as_secs_f64()).max(2.0);
            let _ = writeln!(
                svg,
                "<rect class=\"took\" x=\"{:.1}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"8\"/>",
                x(film, step),
                y(step.layer) - 4.0
            );
        }
    }
    for (index, step) in film.steps.iter().enumerate() {
        let text = escaped(&format!(
            "{} ms {}: {}",
            milliseconds(step.at),
            step.name,
            step.detail
        ));
        let _ = writeln!(
            svg,
            "<a href=\"#{prefix}s{index}\" tabindex=\"-1\"><circle class=\"{}\" cx=\"{:.1}\" \
             cy=\"{:.0}\" r=\"5\"><title>{text}</title></circle></a>",
            step.layer.name(),
            x(film, step),
            y(step.layer)
        );
    }
    let bottom = height - 6.0;
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{bottom}\">0 ms</text><text class=\"end\" x=\"{:.0}\" \
         y=\"{bottom}\">{} ms</text>\n</svg></figure>",
        LEFT + WIDTH,
        milliseconds(film.took)
    );
    svg
}

fn y(layer: Layer) -> f64 {
    let lanes = Layer::ALL.iter().rev().zip(0_u8..);
    let lane = lanes.filter(|(other, _)| **other == layer).map(|(_, lane)| lane).next();
    f64::from(lane.unwrap_or_default()) * LANE + 16.0
}

fn x(film: &Film, step: &Step) -> f64 {
    LEFT + scale(film, step.at.as_secs_f64())
}

/// Returns the width of so many seconds.
fn scale(film: &Film, seconds: f64) -> f64 {
    let whole = film.took.as_secs_f64().max(1e-9);
    (seconds / whole).min(1.0) * WIDTH
}
