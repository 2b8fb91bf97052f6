//! What Dustdevil is to reach, and whether it does.

use crate::figures::print_table;

/// A figure that is not to be exceeded.
pub(crate) struct Goal {
    /// What was measured.
    pub(crate) of: String,
    /// And which figure of it.
    pub(crate) figure: String,
    pub(crate) at_most: f64,
    pub(crate) measured: f64,
}

/// Prints a table of all of them, if there are any.
pub(crate) fn print(goals: &[Goal]) {
    if goals.is_empty() {
        return;
    }
    // Bytes are whole, and ratios are not.
    let number = |number: f64| match number {
        ratio if ratio < 100.0 => format!("{ratio:.2}"),
        bytes => format!("{bytes:.0}"),
    };
    let row = |goal: &Goal| {
        vec![
            goal.of.clone(),
            format!("{}: at most {}", goal.figure, number(goal.at_most)),
            number(goal.measured),
            if goal.measured <= goal.at_most { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = goals.iter().map(row).collect();
    print_table(&["scenario", "goal", "measured", "held"], &rows);
}
