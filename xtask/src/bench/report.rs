//! From samples to a table and a chart.

use std::fmt;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::bench::load::{Latency, Seen};

/// One round of one gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// CPU time per request, in microseconds.
    pub(super) cpu_us: f64,
    per_second: f64,
    latency: Latency,
    memory: u64,
}

impl Sample {
    pub(super) fn new(seen: &Seen, spent: Duration, memory: u64) -> Sample {
        Sample {
            cpu_us: spent.as_secs_f64() * 1e6 / seen.requests as f64,
            per_second: seen.per_second,
            latency: seen.latency,
            memory,
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:7.2} CPU-µs/request {:9.0} requests/s  p50 {:?}  p99 {:?}",
            self.cpu_us, self.per_second, self.latency.p50, self.latency.p99
        )
    }
}

/// One case: the gateways and their rounds.
pub(super) struct Outcome {
    /// As it is called on the command line.
    case: String,
    /// What it is.
    title: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    median: Sample,
    /// The first gateway's CPU time beside this one's, round by round: the median of those.
    ratio: f64,
    /// The same of the 99th percentiles.
    p99_ratio: f64,
}

impl Outcome {
    pub(super) fn new(case: String, title: String, samples: Vec<(String, Vec<Sample>)>) -> Outcome {
        let first = samples.first().map(|(_, all)| all.clone()).unwrap_or_default();
        let row = |(name, all): (String, Vec<Sample>)| {
            let ratio = |part: fn(&Sample) -> f64| {
                median(
                    all.iter().zip(&first).map(|(this, first)| part(first) / part(this)).collect(),
                )
            };
            let of = |part: fn(&Sample) -> f64| median(all.iter().map(part).collect());
            let time = |part: fn(&Sample) -> f64| Duration::from_secs_f64(of(part));
            let median = Sample {
                cpu_us: of(|s| s.cpu_us),
                per_second: of(|s| s.per_second),
                latency: Latency {
                    p50: time(|s| s.latency.p50.as_secs_f64()),
                    p99: time(|s| s.latency.p99.as_secs_f64()),
                    p999: time(|s| s.latency.p999.as_secs_f64()),
                },
                memory: of(|s| s.memory as f64) as u64,
            };
            let p99_ratio = ratio(|s| s.latency.p99.as_secs_f64());
            Row { name, median, ratio: ratio(|s| s.cpu_us), p99_ratio }
        };
        Outcome { case, title, rows: samples.into_iter().map(row).collect() }
    }
}

/// Prints the tables; writes them and a chart into `folder`.
pub(super) fn write(outcomes: &[Outcome], folder: &Path) -> Result<()> {
    let table = table(outcomes);
    println!("\n{table}");
    fs::create_dir_all(folder)?;
    fs::write(folder.join("proxy.md"), &table)?;
    fs::write(folder.join("proxy.svg"), chart(outcomes))?;
    println!("written: {0}/proxy.md {0}/proxy.svg", folder.display());
    Ok(())
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| case | gateway | CPU-µs/request | first ÷ this | requests/s | p50 ms | p99 ms | p99.9 ms | p99: first ÷ this | MB |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for outcome in outcomes {
        for row in &outcome.rows {
            let m = &row.median;
            let milliseconds = |time: Duration| number(time.as_secs_f64() * 1e3);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.0} | {} | {} | {} | {} | {:.1} |",
                outcome.case,
                row.name,
                number(m.cpu_us),
                number(row.ratio),
                m.per_second,
                milliseconds(m.latency.p50),
                milliseconds(m.latency.p99),
                milliseconds(m.latency.p999),
                number(row.p99_ratio),
                m.memory as f64 / 1e6,
            );
        }
    }
    text
}

/// With two decimals; a dash for what was not measured.
fn number(value: f64) -> String {
    if value > 0.0 && value.is_finite() { format!("{value:.2}") } else { "–".to_owned() }
}

/// Bars of CPU time per request, shortest is best.
fn chart(outcomes: &[Outcome]) -> String {
    const BAR: usize = 18;
    const GAP: usize = 14;
    /// Where bars begin, behind the names, and the length of the longest.
    const LEFT: usize = 170;
    const LONGEST: f64 = 480.0;
    let rows: usize = outcomes.iter().map(|outcome| outcome.rows.len()).sum();
    let height = rows * BAR + outcomes.len() * (BAR + GAP) + GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut y = GAP;
    for outcome in outcomes {
        let longest = outcome.rows.iter().map(|row| row.median.cpu_us).fold(0.0, f64::max);
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{}: CPU-µs per request</text>",
            y + BAR - 6,
            outcome.title
        );
        y += BAR;
        for row in &outcome.rows {
            let width = row.median.cpu_us / longest * LONGEST;
            let colour = if row.name.starts_with("weir") { "#2a7ab9" } else { "#b8b8b8" };
            let _ = writeln!(
                svg,
                "<text x=\"8\" y=\"{0}\">{1}</text><rect x=\"{LEFT}\" y=\"{2}\" width=\"{width:.0}\" \
                 height=\"{3}\" fill=\"{colour}\"/><text x=\"{4:.0}\" y=\"{0}\">{5:.1}</text>",
                y + BAR - 6,
                row.name,
                y + 2,
                BAR - 4,
                LEFT as f64 + 6.0 + width,
                row.median.cpu_us
            );
            y += BAR;
        }
        y += GAP;
    }
    svg + "</svg>\n"
}

/// The middle of some values.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
