//! `salt-run`: what can be asked on the master's host, as Salt's program of that name.

use std::io;
use std::process::ExitCode;

use salt_examples::salt::{Screen, program, runner};

fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut screen = Screen::new(&mut out, &mut err);
    let command = match runner::Command::read(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(exit) => return exit.say(&mut screen).unwrap_or_default(),
    };
    let settings = program::Settings {
        config_dir: &command.config_dir,
        output: &command.output,
        log_level: command.log_level.as_deref(),
        log_file: command.log_file.as_deref(),
    };
    program::run(&settings, &mut screen, async |config, show, screen| {
        runner::run(&command, config, show, screen).await
    })
}
