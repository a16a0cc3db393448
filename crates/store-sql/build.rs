//! `sqlx::migrate!` embeds the migration files; cargo must know that a new file is a change.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/postgres");
    println!("cargo:rerun-if-changed=../../migrations/sqlite");
}
