//! Statistics over rounds (median, interquartile range), and their output as tables.

/// One figure, measured once per round.
#[derive(Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// Returns the median; of an even number of rounds, the lower of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.sorted(), 500)
    }

    /// Returns the ratio to another series, round by round. A disturbance of the machine (other
    /// load, a lower clock frequency) slows down both sides of a round, so the ratio is more
    /// stable than either series.
    pub(crate) fn relative_to(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// Formats the median and the interquartile range. Minimum and maximum are not shown: they
    /// describe the largest disturbance of the machine, not the server.
    pub(crate) fn with_spread(&self) -> String {
        let sorted = self.sorted();
        let (lower, upper) = (quantile(&sorted, 250), quantile(&sorted, 750));
        format!("{:.2} ({lower:.2} to {upper:.2})", self.median())
    }

    /// Returns the values in ascending order.
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// Returns a quantile of sorted values by the nearest-rank method: the smallest value that at
/// least `per_mille` in 1,000 values do not exceed. NaN if there are no values.
pub(crate) fn quantile(sorted: &[f64], per_mille: usize) -> f64 {
    let index = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Formats a time, given in microseconds, with the unit that suits its size.
pub(crate) fn time(microseconds: f64) -> String {
    match microseconds {
        time if time < 100.0 => format!("{time:.1} µs"),
        time if time < 1000.0 => format!("{time:.0} µs"),
        time if time < 1e6 => format!("{:.1} ms", time / 1e3),
        time => format!("{:.2} s", time / 1e6),
    }
}

/// Formats a number with commas: 1,000,000.
pub(crate) fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// Prints a table in Markdown, with its columns aligned so that it reads well in a terminal.
pub(crate) fn print_table(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate();
        let padded = cells.map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        println!("| {} |", padded.collect::<Vec<_>>().join(" | "));
    };
    line(&mut head.iter().copied());
    let rules: Vec<&str> =
        (0..head.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
    line(&mut rules.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    println!();
}
