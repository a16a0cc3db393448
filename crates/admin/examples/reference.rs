//! Writes the reference of the Admin API into a folder: `openapi.json`, and `admin-api.md` made
//! from it. `cargo xtask codegen` calls it for `deploy/reference`; a test compares them.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).ok_or_else(|| io::Error::other("which folder?"))?;
    for (name, text) in admin::reference() {
        fs::write(Path::new(&folder).join(name), text)?;
    }
    Ok(())
}
