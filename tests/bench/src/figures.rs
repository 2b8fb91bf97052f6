//! From what was measured to a table.

/// One figure of each round.
#[derive(Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub(crate) fn median(&self) -> f64 {
        quantile(&self.sorted(), 500)
    }

    /// Round by round, how many times the other it is. Whatever made a round slow made both slow.
    pub(crate) fn relative_to(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// The median, and between which figures the middle half of the rounds lies. (The extremes
    /// would tell of the worst that happened to the machine meanwhile.)
    pub(crate) fn with_spread(&self) -> String {
        let sorted = self.sorted();
        let (lower, upper) = (quantile(&sorted, 250), quantile(&sorted, 750));
        format!("{:.2} ({lower:.2} to {upper:.2})", self.median())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// The value that so many in a thousand do not exceed, of values in order.
pub(crate) fn quantile(sorted: &[f64], per_mille: usize) -> f64 {
    let at = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// A time, given in microseconds, in the unit that suits it.
pub(crate) fn time(microseconds: f64) -> String {
    match microseconds {
        short if short < 100.0 => format!("{short:.1} µs"),
        middling if middling < 1000.0 => format!("{middling:.0} µs"),
        long if long < 1e6 => format!("{:.1} ms", long / 1e3),
        longest => format!("{:.2} s", longest / 1e6),
    }
}

/// 1,000,000 rather than 1000000.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// Prints a table that is one in Markdown, too.
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
