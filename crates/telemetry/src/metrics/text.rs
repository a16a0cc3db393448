//! The Prometheus text exposition format 0.0.4.

use std::fmt::Write;

/// What Prometheus calls the type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, count and sum.
    Histogram,
}

/// The text in the making.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
}

impl Text {
    /// Begins a family: its samples follow.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.out.push_str("# HELP ");
        self.out.push_str(name);
        self.out.push(' ');
        for c in help.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                _ => self.out.push(c),
            }
        }
        self.line(format_args!("\n# TYPE {name} {kind}"));
    }

    /// One sample; labels in the order given.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.name_and_labels(name, "", labels, None);
        self.value(value);
    }

    /// One sample of a count, exact beyond 2^53.
    pub fn whole(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.name_and_labels(name, "", labels, None);
        self.line(format_args!(" {value}"));
    }

    /// The samples of a histogram. `counts` holds one count per bound and one for what is beyond
    /// the last; they are not cumulative.
    pub fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        let mut below = 0;
        let bounds = bounds.iter().map(Some).chain([None]);
        for (bound, count) in bounds.zip(counts) {
            below += count;
            let le = bound.map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.name_and_labels(name, "_bucket", labels, Some(&le));
            self.line(format_args!(" {below}"));
        }
        self.name_and_labels(name, "_count", labels, None);
        self.line(format_args!(" {below}"));
        self.name_and_labels(name, "_sum", labels, None);
        self.value(sum);
    }

    pub(super) fn into_string(self) -> String {
        self.out
    }

    fn name_and_labels(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        le: Option<&str>,
    ) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        let mut before = '{';
        for (label, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            self.out.push(before);
            before = ',';
            self.out.push_str(label);
            self.out.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    _ => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if before == ',' {
            self.out.push('}');
        }
    }

    fn value(&mut self, value: f64) {
        if value.is_nan() {
            self.line(format_args!(" NaN"));
        } else if value.is_infinite() {
            self.line(format_args!(" {}Inf", if value > 0.0 { '+' } else { '-' }));
        } else {
            self.line(format_args!(" {value}"));
        }
    }

    fn line(&mut self, end: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(end);
        self.out.push('\n');
    }
}
