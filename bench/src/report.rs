//! The table: what was measured beside what was aimed at.

use std::fmt::Write as _;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The work.
    pub(crate) work: &'static str,
    /// What of it is measured.
    pub(crate) measure: &'static str,
    /// What came out.
    pub(crate) result: String,
    /// What is aimed at.
    pub(crate) goal: &'static str,
    /// Whether it was reached; `None` where it could not be measured.
    pub(crate) met: Option<bool>,
    /// What others need for it.
    pub(crate) reference: &'static str,
    /// Wall time and spread, which depend on what else the machine does.
    pub(crate) beside: String,
}

/// The rows as a table in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text =
        "| work | measure | result | goal | reached | reference | beside |\n|---|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let Row { work, measure, result, goal, reference, beside, .. } = row;
        let _ = writeln!(text, "| {work} | {measure} | {result} | {goal} | {met} | {reference} | {beside} |");
    }
    text
}

/// What came out of several rounds of the same work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds a round.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The one in the middle: on a shared machine single rounds are disturbed.
    pub(crate) fn median(&self) -> f64 {
        self.at(50)
    }

    /// The one below which so many of a hundred lie.
    pub(crate) fn at(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(place).copied().unwrap_or(f64::NAN)
    }

    /// The smallest and the greatest.
    pub(crate) fn spread(&self) -> String {
        let edge = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        format!("{}–{}", short(edge(self.0.first())), short(edge(self.0.last())))
    }
}

/// A figure with its unit, or that there is none.
pub(crate) fn figure(value: f64, unit: &str) -> String {
    if value.is_nan() { "not measured".to_owned() } else { format!("{} {unit}", short(value)) }
}

/// Whether a figure keeps to its goal; `None` where there is no figure.
pub(crate) fn met(value: f64, goal: f64) -> Option<bool> {
    (!value.is_nan()).then_some(value <= goal)
}

/// A number with three digits that matter.
pub(crate) fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_counts() {
        let mut rounds = Rounds::default();
        for value in [3.0, 100.0, 2.0] {
            rounds.push(value);
        }
        assert_eq!((rounds.median(), rounds.spread()), (3.0, "2.00–100".to_owned()));
    }

    #[test]
    fn nearly_all_lie_below_the_ninety_ninth() {
        let mut rounds = Rounds::default();
        (0..600).rev().for_each(|value| rounds.push(f64::from(value)));
        assert_eq!((rounds.at(50), rounds.at(99), rounds.at(100)), (300.0, 594.0, 599.0));
        assert!(Rounds::default().at(99).is_nan());
    }

    #[test]
    fn what_was_not_measured_is_said_to_be_so() {
        assert_eq!((figure(1.5, "µs"), met(1.5, 1.0)), ("1.50 µs".to_owned(), Some(false)));
        assert_eq!((figure(f64::NAN, "µs"), met(f64::NAN, 1.0)), ("not measured".to_owned(), None));
    }

    #[test]
    fn a_row_is_a_line_of_the_table() {
        let row = Row {
            work: "idle",
            measure: "RSS",
            result: "7 KiB".to_owned(),
            goal: "≤ 10 KiB",
            met: Some(true),
            reference: "",
            beside: String::new(),
        };
        assert!(table(&[row]).ends_with("| idle | RSS | 7 KiB | ≤ 10 KiB | yes |  |  |\n"));
    }
}
