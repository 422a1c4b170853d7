//! `salt`: runs functions on minions, as Salt's program of that name.

use std::io::{self, Read as _};
use std::process::ExitCode;

use salt_examples::salt::{Screen, command::Command, program, run};

fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut screen = Screen::new(&mut out, &mut err);
    let stdin = || {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        Ok(text)
    };
    let command = match Command::read(std::env::args().skip(1), stdin) {
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
        run::run(&command, config, show, screen).await
    })
}
