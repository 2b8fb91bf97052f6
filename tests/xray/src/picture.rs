//! The picture of a request on its way: time along one axis, layers along the other. An SVG that
//! the server makes.

use dustdevil::escape::html as escaped;
use dustdevil::{Film, Layer, Step};

use crate::text::milliseconds;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 80.0;
const LANE: f64 = 24.0;

/// Returns the picture of a film. Each dot leads to its step.
pub fn timeline(film: &Film, prefix: &str) -> String {
    let height = LANE * 6.0 + 24.0;
    let took = milliseconds(film.took);
    let points =
        film.steps.iter().map(|step| format!("{:.1},{:.0}", x(film, step), y(step.layer)));
    let points = points.collect::<Vec<_>>().join(" ");
    let spans: String = film.steps.iter().map(|step| span(film, step)).collect();
    let steps = film.steps.iter().enumerate();
    let dots: String = steps.map(|(index, step)| dot(film, step, index, prefix)).collect();
    format!(
        "<figure tabindex=\"0\" role=\"group\" aria-label=\"Picture of the request\">\n\
         <svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"The layers that the \
         request passed through, over {took} ms. The list of steps has the same in words.\">\n\
         {lanes}<polyline points=\"{points}\"/>\n{spans}{dots}\
         <text x=\"{LEFT}\" y=\"{bottom}\">0 ms</text>\
         <text class=\"end\" x=\"{right:.0}\" y=\"{bottom}\">{took} ms</text>\n</svg></figure>\n",
        width = WIDTH + LEFT + 20.0,
        lanes = Layer::ALL.map(lane).concat(),
        bottom = height - 6.0,
        right = LEFT + WIDTH
    )
}

/// Returns the line of a layer with its name.
fn lane(layer: Layer) -> String {
    let (y, name, right) = (y(layer), layer.name(), LEFT + WIDTH);
    format!(
        "<text x=\"0\" y=\"{:.0}\">{name}</text>\
         <line class=\"lane\" x1=\"{LEFT}\" y1=\"{y:.0}\" x2=\"{right:.0}\" y2=\"{y:.0}\"/>\n",
        y + 4.0
    )
}

/// Returns a bar for a step that contains others, as long as it took.
fn span(film: &Film, step: &Step) -> String {
    let Some(took) = step.took else { return String::new() };
    let (x, y) = (x(film, step), y(step.layer) - 4.0);
    let width = scale(film, took.as_secs_f64()).max(2.0);
    format!(
        "<rect class=\"took\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"8\"/>\n"
    )
}

/// Returns the dot of a step. Keyboards reach the step in the list, so the dot is no stop.
fn dot(film: &Film, step: &Step, index: usize, prefix: &str) -> String {
    let text = format!("{} ms {}: {}", milliseconds(step.at), step.name, step.detail);
    format!(
        "<a href=\"#{prefix}s{index}\" tabindex=\"-1\"><circle class=\"{}\" cx=\"{:.1}\" \
         cy=\"{:.0}\" r=\"5\"><title>{}</title></circle></a>\n",
        step.layer.name(),
        x(film, step),
        y(step.layer),
        escaped(&text)
    )
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
