//! Both planes in one process, and the operator's commands.

fn main() {}
