//! `weir hybrid gen-cert`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgMatches, Command, value_parser};
use lifecycle::{Clock, SystemClock};
use process::cluster::shared_certificate;

use super::say;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What there is to say on the command line.
pub(super) fn command() -> Command {
    let path = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).value_parser(value_parser!(PathBuf)).default_value(default).help(help)
    };
    Command::new("hybrid")
        .about("What a cluster of separate planes needs")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("gen-cert")
                .alias("gen_cert")
                .about(
                    "Make the certificate that all members of a cluster share \
                     (cluster_mtls = shared)",
                )
                .arg(path("cert", "./cluster.crt", "Where the certificate goes (cluster_cert)"))
                .arg(path("key", "./cluster.key", "Where its key goes (cluster_cert_key)"))
                .arg(
                    Arg::new("days")
                        .short('d')
                        .long("days")
                        .value_parser(value_parser!(u32).range(1..=36_500))
                        .default_value("1095")
                        .help("How many days it is valid"),
                ),
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    // The only one; clap refuses the rest.
    let Some(("gen-cert", matches)) = matches.subcommand() else { return Ok(()) };
    let path = |name: &str| matches.get_one::<PathBuf>(name).context("has a default");
    let (certificate_path, key_path) = (path("cert")?, path("key")?);
    let days = *matches.get_one::<u32>("days").context("has a default")?;
    for path in [certificate_path, key_path] {
        ensure!(
            !path.exists(),
            "{} is there already; move it away, or give other paths",
            path.display()
        );
    }
    let now = Duration::from_secs(SystemClock.wall_s().unsigned_abs());
    let (certificate, key) = shared_certificate(UNIX_EPOCH + now, DAY * days)?;
    write(key_path, &key, 0o600)?;
    write(certificate_path, &certificate, 0o644)?;
    say(&format!(
        "Successfully generated certificate/key pairs, they have been written to: '{}' and '{}'.",
        certificate_path.display(),
        key_path.display()
    ))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pair_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.crt"), folder.path().join("c.key"));
        let arguments = |name: &str| {
            let paths = [certificate.as_os_str(), key.as_os_str()];
            let words = ["hybrid".as_ref(), name.as_ref(), "-d".as_ref(), "7".as_ref()];
            command().get_matches_from(words.into_iter().chain(paths))
        };
        run(&arguments("gen_cert")).unwrap();
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let sources = settings::Sources {
            flags: vec![
                ("cluster_cert".to_owned(), certificate.display().to_string()),
                ("cluster_cert_key".to_owned(), key.display().to_string()),
            ],
            ..settings::Sources::default()
        };
        let settings = settings::resolve(settings::Program::DataPlane, &sources).unwrap().settings;
        assert!(process::cluster::client(&settings).unwrap().is_some());
        let error = run(&arguments("gen-cert")).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
    }
}
