//! `keys`: the file of hashed keys to the HTTP port.
#![allow(clippy::print_stderr)]

use std::process::ExitCode;

use anyhow::Result;
use tidegauge_flow::time::rfc3339;
use tidegauge_serve::http::keys::{self, KeyEntry, KeyFile, KeysError, Made, Role, Secret};

use super::Usage;
use crate::cli::{AddKey, Keys, RemoveKey, RoleName};
use crate::clock;
use crate::say::say;

pub fn run(verb: Keys) -> Result<ExitCode> {
    match verb {
        Keys::Add(args) => add(&args)?,
        Keys::List { file } => {
            for key in &KeyFile::read(&file)?.keys {
                say!("{}", line(key));
            }
        }
        Keys::Remove(args) => remove(&args)?,
        Keys::Init { dir } => {
            for made in keys::init(&dir, &now())? {
                match made {
                    Made::New(path) => say!("made {}", path.display()),
                    Made::Kept(path) => say!("kept {}", path.display()),
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(args: &AddKey) -> Result<()> {
    let secret = Secret::random()?;
    let role = role(args.role);
    keys::add(&args.file, role, &args.name, &secret, &now()).map_err(usage)?;
    // The key alone on standard output, so that it can go into a file or another program.
    say!("{}", secret.text());
    let (id, role, file) = (secret.hash().id(), role.as_str(), args.file.display());
    eprintln!("key {id} of the role {role} is in {file}; it is shown this once");
    Ok(())
}

fn remove(args: &RemoveKey) -> Result<()> {
    let of = args.role.map(role);
    let goes = |key: &KeyEntry| {
        let id = args.id.as_ref().is_none_or(|id| *id == key.hash.id());
        let name = args.name.as_ref().is_none_or(|name| *name == key.name);
        id && name && of.is_none_or(|role| role == key.role)
    };
    for key in keys::remove(&args.file, goes)? {
        say!("removed {}", line(&key));
    }
    Ok(())
}

fn line(key: &KeyEntry) -> String {
    let (id, role) = (key.hash.id(), key.role.as_str());
    format!("{id}  {role:<7}  {}  {}", key.created, key.name)
}

fn role(name: RoleName) -> Role {
    match name {
        RoleName::View => Role::View,
        RoleName::Score => Role::Score,
        RoleName::Operate => Role::Operate,
    }
}

/// What was asked for cannot be meant.
fn usage(error: KeysError) -> anyhow::Error {
    match error {
        KeysError::Wrong(what) => Usage(what).into(),
        error => error.into(),
    }
}

fn now() -> String {
    rfc3339(clock::now_ns())
}
