//! How a process ends.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

/// The exit code of a program that ended so; an error is told on standard error, with its causes.
pub fn exit<E>(ended: Result<(), E>) -> ExitCode
where
    E: AsRef<dyn Error + Send + Sync>,
{
    let Err(error) = ended else { return ExitCode::SUCCESS };
    let error: &(dyn Error + Send + Sync) = error.as_ref();
    let mut text = format!("error: {error}");
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // Some errors repeat their cause in their own text.
        if !told.contains(&next_text) {
            text.push_str("\n  because: ");
            text.push_str(&next_text);
        }
        told = next_text;
        cause = next.source();
    }
    // When standard error is gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
