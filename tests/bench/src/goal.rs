//! Performance goals of Dustdevil, and the table that says which of them are met.

use crate::figures::print_table;

/// An upper bound for one figure of one scenario.
pub(crate) struct Goal {
    /// Title of the scenario.
    pub(crate) scenario: String,
    /// The figure, with its unit or the server that it is a ratio to.
    pub(crate) figure: String,
    pub(crate) at_most: f64,
    pub(crate) measured: f64,
}

/// Prints the goals as a table. No goals: no table.
pub(crate) fn print(goals: &[Goal]) {
    if goals.is_empty() {
        return;
    }
    // Goals below 100 are ratios; the others are bytes.
    let number = |number: f64| match number {
        ratio if ratio < 100.0 => format!("{ratio:.2}"),
        bytes => format!("{bytes:.0}"),
    };
    let row = |goal: &Goal| {
        vec![
            goal.scenario.clone(),
            format!("{}: at most {}", goal.figure, number(goal.at_most)),
            number(goal.measured),
            if goal.measured <= goal.at_most { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = goals.iter().map(row).collect();
    print_table(&["scenario", "goal", "measured", "met"], &rows);
}
