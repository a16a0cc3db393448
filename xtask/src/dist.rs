//! `cargo xtask dist`: the programs as they are shipped, built for the traffic that they will see.
//!
//! Profile-guided: an instrumented gateway serves the benchmark's traffic, and the compiler lays the code out by what
//! it saw. Takes two release builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench;
use crate::run::{cargo, read, root, run, target_folder};

/// The packages that bring a program.
const PACKAGES: [&str; 3] = ["weir", "control-plane", "data-plane"];
/// What the packages' programs are called.
const PROGRAMS: [&str; 3] = ["weir", "weir-control-plane", "weir-data-plane"];

/// Builds them into `target/dist`.
pub(crate) fn run_dist() -> Result<()> {
    let profdata = profdata()?;
    let folder = target_folder()?.join("dist");
    let counts = folder.join("counts");
    if counts.exists() {
        fs::remove_dir_all(&counts)?;
    }
    fs::create_dir_all(&counts)?;

    println!("1/3 an instrumented gateway");
    let instrumented = build(&folder, &["weir"], "-Cprofile-generate=", &counts)?;
    println!("2/3 the benchmark's traffic through it");
    bench::train(&instrumented.join("weir"))?;
    let merged = folder.join("weir.profdata");
    run(Command::new(profdata).arg("merge").arg("-o").arg(&merged).arg(&counts))
        .context("the gateway wrote no counts; did it end in order?")?;
    println!("3/3 the programs");
    let built = build(&folder, &PACKAGES, "-Cprofile-use=", &merged)?;
    for program in PROGRAMS {
        let shipped = folder.join(program);
        if shipped.exists() {
            // One that runs keeps its file; written over it could not be.
            fs::remove_file(&shipped)?;
        }
        fs::copy(built.join(program), shipped)?;
        println!("{}", folder.join(program).display());
    }
    Ok(())
}

/// A release build with one flag of the compiler more; the folder of its programs.
fn build(folder: &Path, packages: &[&str], flag: &str, argument: &Path) -> Result<PathBuf> {
    let mut flag = std::ffi::OsString::from(flag);
    flag.push(argument);
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--target-dir"]).arg(folder.join("build"));
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    // With a target named, the flags do not reach build scripts, whose counts nobody wants.
    let host = host()?;
    run(command.args(["--target", &host]).env("RUSTFLAGS", flag))?;
    Ok(folder.join("build").join(host).join("release"))
}

/// What the compiler builds for.
fn host() -> Result<String> {
    let version = read(Command::new("rustc").arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc does not say what it builds for")?.to_owned())
}

/// The tool of the compiler that reads what instrumented programs wrote.
fn profdata() -> Result<PathBuf> {
    let sysroot = read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let tool =
        Path::new(sysroot.trim()).join("lib/rustlib").join(host()?).join("bin/llvm-profdata");
    if !tool.exists() {
        run(Command::new("rustup").args(["component", "add", "llvm-tools"]).current_dir(root()))
            .context("llvm-profdata is not there, and rustup cannot bring it: install the component llvm-tools")?;
    }
    if !tool.exists() {
        bail!("{} is not there", tool.display());
    }
    Ok(tool)
}
