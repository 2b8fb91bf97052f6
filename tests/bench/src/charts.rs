//! The results as SVG charts, from the same values as the printed tables.
//!
//! The charts are shown in a README, on light and on dark pages. So the background is transparent,
//! and a style sheet in the SVG replaces some colours if the system is in dark mode. The colours
//! are from the palette of Okabe and Ito, which colour-blind readers can tell apart.

use std::fs;
use std::path::PathBuf;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::figures::grouped;

/// A bar of a server, with the label at its end.
pub(crate) struct Bar {
    pub(crate) server: &'static str,
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// The bars of one scenario.
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// A number of sessions, with CPU time and median latency of a request in microseconds.
pub(crate) type Point = (u32, [f64; 2]);

/// A chart of bars, which begin at 0 of the scaled x axis.
struct BarChart {
    file: &'static str,
    title: &'static str,
    subtitle: &'static str,
    scale: fn(f64) -> f64,
    /// Formats a scaled value at the axis.
    tick: fn(&f64) -> String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const TEXT: RGBColor = RGBColor(0x1F, 0x23, 0x28);
const GRID: RGBColor = RGBColor(0xD1, 0xD9, 0xE0);
const GRAY: RGBColor = RGBColor(0x8C, 0x8C, 0x8C);
const VERMILLION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
const PURPLE: RGBColor = RGBColor(0xCC, 0x79, 0xA7);

/// The colours that dark mode replaces, and their replacements.
const DARK: [(RGBColor, &str); 4] =
    [(TEXT, "#E6EDF3"), (GRID, "#3D444D"), (GRAY, "#A6A6A6"), (BLUE, "#56B4E9")];

/// Sizes in pixels: width of a chart, margins of the plot, height of a bar, gap between groups.
const WIDTH: u32 = 960;
const TOP: i32 = 92;
const BOTTOM: i32 = 52;
const LEFT: i32 = 250;
const RIGHT: i32 = 40;
const BAR: i32 = 17;
const GAP: i32 = 16;

/// Draws CPU time per request.
pub(crate) fn draw_requests(groups: &[Group], rounds: usize) -> Result {
    let chart = BarChart {
        file: "requests.svg",
        title: "CPU time per request",
        subtitle: "user and system, in µs; shorter is better",
        scale: |time| time,
        tick: |time| format!("{time:.0} µs"),
    };
    chart.draw(groups, rounds)
}

/// Draws CPU time per request as a ratio to nginx. On a logarithmic axis, half and twice nginx's
/// time are bars of the same length, to the left and to the right of 1.
pub(crate) fn draw_files(groups: &[Group], rounds: usize) -> Result {
    let chart = BarChart {
        file: "files.svg",
        title: "CPU time per request of a static file, ratio to nginx",
        subtitle: "logarithmic axis; a bar to the left of 1 needs less than nginx",
        scale: f64::log2,
        tick: |log| log.exp2().to_string(),
    };
    chart.draw(groups, rounds)
}

impl BarChart {
    fn draw(self, groups: &[Group], rounds: usize) -> Result {
        let Some(first) = groups.first() else { return Ok(()) };
        let legend: Vec<_> =
            first.bars.iter().map(|bar| (bar.server, color(bar.server))).collect();
        let bars = groups.iter().flat_map(|group| &group.bars);
        let (low, high) = bars
            .clone()
            .map(|bar| (self.scale)(bar.value))
            .fold((0.0, 0.0), |(low, high): (f64, f64), value| {
                (low.min(value * 1.25), high.max(value * 1.1))
            });
        let height =
            i32::try_from(bars.count())? * BAR + i32::try_from(groups.len())? * GAP;
        write(self.file, TOP + height + BOTTOM, |area| {
            draw_heading(area, self.title, self.subtitle, rounds, &legend)?;
            let mut chart = ChartBuilder::on(area)
                .margin_top(TOP)
                .margin_right(RIGHT)
                .x_label_area_size(BOTTOM)
                .y_label_area_size(LEFT)
                .build_cartesian_2d(low..high, -height..0)?;
            let mut mesh = chart.configure_mesh();
            mesh.disable_y_mesh()
                .disable_y_axis()
                .x_labels(4)
                .x_label_formatter(&self.tick);
            mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).axis_style(TEXT);
            mesh.label_style(text(16)).draw()?;
            let plot = chart.plotting_area();
            let mut y = -GAP / 2;
            for group in groups {
                let middle = y - BAR * i32::try_from(group.bars.len())? / 2;
                plot.draw(&label(&group.title, (low, middle), HPos::Right))?;
                for bar in &group.bars {
                    let end = (self.scale)(bar.value);
                    let corners = [(0.0, y - 1), (end, y - BAR + 1)];
                    plot.draw(&Rectangle::new(corners, color(bar.server).filled()))?;
                    let side = if end < 0.0 { HPos::Right } else { HPos::Left };
                    plot.draw(&label(&bar.label, (end, y - BAR / 2), side))?;
                    y -= BAR;
                }
                y -= GAP;
            }
            plot.draw(&PathElement::new([(0.0, -height), (0.0, 0)], TEXT.stroke_width(2)))?;
            Ok(())
        })
    }
}

/// Draws CPU time and latency of a request by the number of sessions.
pub(crate) fn draw_scale(points: &[Point], rounds: usize) -> Result {
    let legend =
        [("CPU time, 64 connections", VERMILLION), ("median latency, 2 connections", BLUE)];
    let highest = points.iter().flat_map(|point| point.1).fold(0.0, f64::max) * 1.2;
    write("scale.svg", 460, |area| {
        let subtitle = "in µs, a page that reads the session; logarithmic x axis";
        draw_heading(
            area,
            "Cost of a request by number of sessions",
            subtitle,
            rounds,
            &legend,
        )?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(TOP)
            .margin_right(RIGHT)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(80)
            .build_cartesian_2d(2.8..7.0, 0.0..highest)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().x_labels(5).x_desc("live sessions").y_labels(6);
        mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).axis_style(TEXT);
        mesh.x_label_formatter(&|log| grouped(format_args!("{:.0}", 10f64.powf(*log))));
        mesh.y_label_formatter(&|time| format!("{time:.0} µs"));
        mesh.label_style(text(16)).draw()?;
        for (index, (_, color)) in legend.into_iter().enumerate() {
            let line =
                points.iter().map(|point| (f64::from(point.0).log10(), point.1[index]));
            chart.draw_series(LineSeries::new(line.clone(), color.stroke_width(3)))?;
            chart.draw_series(line.clone().map(|at| Circle::new(at, 5, color.filled())))?;
            let above = |(x, time)| (x, time + highest / 40.0);
            let labels =
                line.map(|at| label(&format!("{:.1}", at.1), above(at), HPos::Center));
            chart.draw_series(labels)?;
        }
        Ok(())
    })
}

/// Draws the title, the unit with the number of rounds, and the legend.
fn draw_heading(
    area: &Area<'_>,
    title: &str,
    subtitle: &str,
    rounds: usize,
    legend: &[(&str, RGBColor)],
) -> Result {
    let bold = ("sans-serif", 24, FontStyle::Bold).into_font().color(&TEXT);
    area.draw(&Text::new(title, (20, 16), bold))?;
    let subtitle = format!("{subtitle}; median over {rounds} round(s)");
    area.draw(&Text::new(subtitle, (20, 42), text(17)))?;
    let mut x = 20;
    for (name, color) in legend {
        area.draw(&Rectangle::new([(x, 66), (x + 14, 80)], color.filled()))?;
        area.draw(&Text::new(*name, (x + 20, 67), text(16)))?;
        x += 50 + 8 * i32::try_from(name.len())?;
    }
    Ok(())
}

/// Returns a text to the left, to the right or on top of a point. No-break spaces keep a distance;
/// SVG removes other spaces.
fn label<C>(words: &str, at: C, side: HPos) -> Text<'static, C, String> {
    let vertical = match side {
        HPos::Center => VPos::Bottom,
        HPos::Left | HPos::Right => VPos::Center,
    };
    Text::new(format!("\u{a0}{words}\u{a0}"), at, text(15).pos(Pos::new(side, vertical)))
}

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}

fn color(server: &str) -> RGBColor {
    match server {
        "dustdevil" => VERMILLION,
        "hyper" => BLUE,
        "axum" => GREEN,
        "actix" => PURPLE,
        _ => GRAY,
    }
}

/// Writes a chart to the directory `CHARTS`, or nothing if the environment does not name one.
fn write(file: &str, height: i32, draw: impl FnOnce(&Area<'_>) -> Result) -> Result {
    let Some(directory) = std::env::var_os("CHARTS").map(PathBuf::from) else {
        return Ok(());
    };
    let mut svg = String::new();
    let size = (WIDTH, height.unsigned_abs());
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw(&area)?;
    drop(area);
    fs::create_dir_all(&directory)?;
    let path = directory.join(file);
    fs::write(&path, with_dark_mode(&svg))?;
    println!("Chart: {}\n", path.display());
    Ok(())
}

/// Inserts the style sheet for dark mode. plotters writes colours as attributes such as
/// `fill="#0072B2"`. Attribute selectors find them, and any rule of a style sheet overrides them.
fn with_dark_mode(svg: &str) -> String {
    let rules = DARK.map(|(RGBColor(r, g, b), dark)| {
        let light = format!("#{r:02X}{g:02X}{b:02X}");
        format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
    });
    let style =
        format!("<style>@media(prefers-color-scheme:dark){{{}}}</style>", rules.concat());
    svg.replacen(">\n", &format!(">\n{style}\n"), 1)
}
