//! The command line: its pages are those of the code, and everything in it has an example.

use std::fmt::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// Set it to write the page anew instead of comparing it.
const WRITE: &str = "TIDEGAUGE_WRITE_DOCS";

/// Words that stand where a machine's own would: the page is the same everywhere.
const WIDTH: usize = 100;

#[test]
fn the_page_of_commands_and_flags_is_what_help_says() {
    let mut page = String::from(
        "# Commands and flags\n\nWhat `tidegauge COMMAND --help` prints, for all commands. Written by the \
         program's own tests: `TIDEGAUGE_WRITE_DOCS=1 cargo test --lib page_of_commands`.\n[cli.md](../cli.md) \
         explains them with examples and their output.\n",
    );
    let mut command = Cli::command().term_width(WIDTH);
    command.build();
    write_page(&mut page, &command, "tidegauge");
    let path = Path::new("docs/reference/commands.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, &page).expect("the page can be written");
    }
    let there = std::fs::read_to_string(path).expect("the page is there");
    assert!(
        there == page,
        "docs/reference/commands.md is not what --help says: set {WRITE}=1 to write it"
    );
}

/// A command's help, and that of those below it.
fn write_page(page: &mut String, command: &Command, name: &str) {
    let help = command.clone().term_width(WIDTH).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write_page(page, below, &format!("{name} {}", below.get_name()));
    }
}

#[test]
fn every_command_says_what_it_does_and_gives_an_example_that_is_one() {
    let mut command = Cli::command();
    command.build();
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let name = below.get_name();
        assert!(below.get_about().is_some(), "{name} does not say what it does");
        let examples = below.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut found = 0;
        for line in examples.lines().filter_map(|line| line.trim().strip_prefix("tidegauge ")) {
            let words = line.split(['>', '|']).next().unwrap_or_default();
            let parsed =
                Cli::command().try_get_matches_from(words_of(&format!("tidegauge {words}")));
            assert!(parsed.is_ok(), "the example of {name} is refused: {line}");
            found += 1;
        }
        assert!(found > 0, "{name} has no example");
    }
}

/// Words as a shell splits them, with double quotes.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (i, part) in line.split('"').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(String::from)),
            _ => words.push(part.to_string()),
        }
    }
    words
}

#[test]
fn shells_complete_every_command() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "tidegauge", &mut script);
        let script = String::from_utf8(script).expect("text");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(script.contains(name), "{shell} does not complete {name}");
        }
    }
}
