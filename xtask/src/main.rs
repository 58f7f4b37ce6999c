//! The workspace's own tasks: `cargo xtask demo|test|bench|vm`. Not shipped, knows nothing that the command itself should know.

fn main() {}
