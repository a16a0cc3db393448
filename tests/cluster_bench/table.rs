//! A table in Markdown, row by row as the figures come.

use std::io::Write;
use std::time::Duration;

/// The head of the table.
pub(crate) fn head() {
    println!("| what | measured | target |\n| --- | --- | --- |");
}

/// One row.
pub(crate) fn row(what: &str, measured: &str, target: &str) {
    println!("| {what} | {measured} | {target} |");
    // Whoever looks on sees it now; a closed output is noticed by the next row.
    let _ = std::io::stdout().flush();
}

/// The median, the 99th percentile and the longest of these, in milliseconds.
pub(crate) fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| {
        let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    format!("p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", at(0.5), at(0.99), at(1.0))
}
