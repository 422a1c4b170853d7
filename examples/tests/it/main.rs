//! The programs together, in one process.

mod command_line;
