//! The results as SVG charts, from the same values as the printed tables. A README shows them
//! on light and on dark pages, so the background is transparent, and a style sheet in the SVG
//! replaces some colours in dark mode. The colours of bars and lines are from the palette of
//! Okabe and Ito, which colour-blind readers can tell apart.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::figures::{grouped, time};

/// A bar of a server, with the label at its end.
pub(crate) struct Bar {
    pub(crate) server: &'static str,
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// The title of a scenario, and its bars.
pub(crate) type Group = (String, Vec<Bar>);

/// A chart of horizontal bars, which begin at 0 of the scaled axis. `tick` formats its values.
pub(crate) struct BarChart {
    file: &'static str,
    heading: [&'static str; 2],
    scale: fn(f64) -> f64,
    tick: fn(&f64) -> String,
}

pub(crate) const REQUESTS: BarChart = BarChart {
    file: "requests.svg",
    heading: ["CPU time per request", "user and system; shorter is better"],
    scale: |time| time,
    tick: |time| format!("{time:.0} µs"),
};

pub(crate) const REDIS: BarChart = BarChart {
    file: "redis.svg",
    heading: ["CPU time of Redis per request", "user and system; shorter is better"],
    ..REQUESTS
};

/// Ratios to nginx. On a logarithmic axis, half and twice nginx's time are bars of the same
/// length, to the left and to the right of 1. Only powers of two have a number.
pub(crate) const FILES: BarChart = BarChart {
    file: "files.svg",
    heading: ["CPU time per request of a static file", "ratio to nginx, logarithmic"],
    scale: f64::log2,
    tick: |log| {
        if log.fract().abs() < 0.01 { log.exp2().to_string() } else { String::new() }
    },
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const TEXT: RGBColor = RGBColor(0x1F, 0x23, 0x28);
const GRID: RGBColor = RGBColor(0xD1, 0xD9, 0xE0);
const GRAY: RGBColor = RGBColor(0x8C, 0x8C, 0x8C);
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);

/// The colours that dark mode replaces, and their replacements.
const DARK: [(RGBColor, &str); 4] =
    [(TEXT, "#E6EDF3"), (GRID, "#3D444D"), (GRAY, "#A6A6A6"), (BLUE, "#56B4E9")];

/// Height of a bar, and of the gap between groups, in pixels.
const ROW: i32 = 17;

/// The two lines of `scale.svg`.
const CPU: &str = "CPU time, 64 connections";
const P50: &str = "median latency, 2 connections";

impl BarChart {
    /// Draws groups of bars of the same servers.
    pub(crate) fn draw(&self, groups: &[Group], rounds: usize) -> Result {
        let Some((_, first)) = groups.first() else { return Ok(()) };
        let legend: Vec<&str> = first.iter().map(|bar| bar.server).collect();
        let bars = || groups.iter().flat_map(|group| &group.1);
        let ends = || bars().map(|bar| (self.scale)(bar.value));
        let (low, high) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
        // Space for the labels at the ends of the longest bars.
        let space = (high - low) * 0.2;
        let (left, right) = (if low < 0.0 { low - space } else { low }, high + space);
        let group_height = i32::try_from(first.len())? * ROW + ROW;
        let height = i32::try_from(groups.len())? * group_height;
        write(self.file, height, |area| {
            draw_head(area, self.heading, rounds, &legend)?;
            let mut chart =
                builder(area, 260).build_cartesian_2d(left..right, -height..0)?;
            let mut mesh = chart.configure_mesh();
            mesh.disable_y_mesh().disable_y_axis().x_labels(6);
            mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).axis_style(TEXT);
            mesh.x_label_formatter(&self.tick).label_style(text(16)).draw()?;
            let plot = chart.plotting_area();
            let mut y = -ROW / 2;
            for (title, bars) in groups {
                let middle = y - (group_height - ROW) / 2;
                plot.draw(&label(title, (left, middle), HPos::Right))?;
                for (bar, y) in bars.iter().zip((0..).map(|row| y - row * ROW)) {
                    let (end, fill) = ((self.scale)(bar.value), color(bar.server).filled());
                    plot.draw(&Rectangle::new([(0.0, y - 1), (end, y - ROW + 1)], fill))?;
                    let side = if end < 0.0 { HPos::Right } else { HPos::Left };
                    plot.draw(&label(&bar.label, (end, y - ROW / 2), side))?;
                }
                y -= group_height;
            }
            let axis = PathElement::new([(0.0, -height), (0.0, 0)], TEXT.stroke_width(2));
            Ok(plot.draw(&axis)?)
        })
    }
}

/// Draws CPU time and median latency of a request, in microseconds, by the number of sessions.
pub(crate) fn draw_scale(points: &[(u32, [f64; 2])], rounds: usize) -> Result {
    let heading = ["A request by number of sessions", "page that reads the session"];
    let highest = points.iter().flat_map(|point| point.1).fold(0.0, f64::max) * 1.2;
    write("scale.svg", 320, |area| {
        draw_head(area, heading, rounds, &[CPU, P50])?;
        let mut chart = builder(area, 80).build_cartesian_2d(2.8..7.0, 0.0..highest)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().x_labels(5).x_desc("live sessions (logarithmic)").y_labels(6);
        mesh.x_label_formatter(&|log| grouped(format_args!("{:.0}", 10f64.powf(*log))));
        mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).axis_style(TEXT);
        mesh.y_label_formatter(&|y| format!("{y:.0} µs")).label_style(text(16)).draw()?;
        for (index, color) in [CPU, P50].map(color).into_iter().enumerate() {
            let line = points.iter().map(|at| (f64::from(at.0).log10(), at.1[index]));
            let above = |(x, y): (f64, f64)| (x, y + highest / 40.0);
            let labels = line.clone().map(|at| label(&time(at.1), above(at), HPos::Center));
            chart.draw_series(LineSeries::new(line.clone(), color.stroke_width(3)))?;
            chart.draw_series(line.map(|at| Circle::new(at, 5, color.filled())))?;
            chart.draw_series(labels)?;
        }
        Ok(())
    })
}

/// Draws the title, a line with the unit and the number of rounds, and the legend.
fn draw_head(area: &Area<'_>, lines: [&str; 2], rounds: usize, legend: &[&str]) -> Result {
    let bold = ("sans-serif", 24, FontStyle::Bold).into_font().color(&TEXT);
    area.draw(&Text::new(lines[0], (20, 16), bold))?;
    let second = format!("{}; medians, rounds: {rounds}", lines[1]);
    area.draw(&Text::new(second, (20, 44), text(17)))?;
    let mut x = 20;
    for name in legend {
        area.draw(&Rectangle::new([(x, 70), (x + 14, 84)], color(name).filled()))?;
        area.draw(&Text::new(*name, (x + 20, 71), text(16)))?;
        x += 44 + 7 * i32::try_from(name.len())?;
    }
    Ok(())
}

fn builder<'a, 'b>(area: &'a Area<'b>, left: u32) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin_top(100).margin_right(50).x_label_area_size(60).y_label_area_size(left);
    builder
}

/// Returns a text to the left, to the right or on top of a point. No-break spaces keep a
/// distance; SVG removes other spaces.
fn label<C>(words: &str, at: C, side: HPos) -> Text<'static, C, String> {
    let vertical = if matches!(side, HPos::Center) { VPos::Bottom } else { VPos::Center };
    Text::new(format!("\u{a0}{words}\u{a0}"), at, text(15).pos(Pos::new(side, vertical)))
}

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}

fn color(name: &str) -> RGBColor {
    match name {
        "dustdevil" | CPU => RGBColor(0xD5, 0x5E, 0x00),
        "hyper" | P50 => BLUE,
        "axum" => RGBColor(0x00, 0x9E, 0x73),
        "actix" => RGBColor(0xCC, 0x79, 0xA7),
        _ => GRAY,
    }
}

/// Writes a chart to the directory `CHARTS`, or nothing if the environment does not name one.
/// `height` is that of the plot; 160 pixels around it are the heading and the x axis.
fn write(file: &str, height: i32, draw: impl FnOnce(&Area<'_>) -> Result) -> Result {
    let Some(directory) = std::env::var_os("CHARTS") else { return Ok(()) };
    let mut svg = String::new();
    let size = (960, u32::try_from(height + 160)?);
    draw(&SVGBackend::with_string(&mut svg, size).into_drawing_area())?;
    let path = Path::new(&directory).join(file);
    std::fs::create_dir_all(directory)?;
    std::fs::write(&path, with_dark_mode(&svg))?;
    println!("Chart: {}\n", path.display());
    Ok(())
}

/// Inserts the style sheet for dark mode. plotters writes colours as attributes such as
/// `fill="#0072B2"`. Attribute selectors find them, and any rule of a style sheet overrides
/// them.
fn with_dark_mode(svg: &str) -> String {
    let rules = DARK.map(|(RGBColor(r, g, b), dark)| {
        let light = format!("#{r:02X}{g:02X}{b:02X}");
        format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
    });
    let rules = format!("@media(prefers-color-scheme:dark){{{}}}", rules.concat());
    svg.replacen(">\n", &format!(">\n<style>{rules}</style>\n"), 1)
}
