//! The command line of keys and of health checks.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key: it is printed once, the file keeps its hash
    #[command(after_help = "Example:\n  tidegauge keys add keys.toml --role view --name grafana")]
    Add(AddKey),
    /// List the keys of a file by id, role, name and time
    #[command(after_help = "Example:\n  tidegauge keys list keys.toml")]
    List {
        /// The file of hashed keys
        file: PathBuf,
    },
    /// Remove keys: they are refused from the next request on
    #[command(
        after_help = "Examples:\n  tidegauge keys remove keys.toml --id 3f9a41c0b7de\n  tidegauge keys remove keys.toml --name grafana"
    )]
    Remove(RemoveKey),
    /// Make keys.toml, and a file with a key for each role, in a folder; what is there stays
    #[command(after_help = "Example:\n  tidegauge keys init /keys")]
    Init {
        /// The folder
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct AddKey {
    /// The file of hashed keys; made when it is not there
    pub file: PathBuf,
    /// What the key may do
    #[arg(long, value_enum)]
    pub role: RoleName,
    /// Who has it; several keys may have one name, so that one can be replaced while the other works
    #[arg(long)]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "name"])))]
pub struct RemoveKey {
    /// The file of hashed keys
    pub file: PathBuf,
    /// The key with this id, as `keys list` shows it
    #[arg(long)]
    pub id: Option<String>,
    /// All keys of this name
    #[arg(long)]
    pub name: Option<String>,
    /// With --name: only those of this role
    #[arg(long, value_enum, requires = "name")]
    pub role: Option<RoleName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleName {
    /// Read everything, change nothing
    View,
    /// Have readings scored, and nothing else
    Score,
    /// Everything
    Operate,
}

#[derive(Debug, Args)]
pub struct Health {
    /// Whether the process lives [the default]
    #[arg(long, conflicts_with = "ready")]
    pub live: bool,
    /// Whether it does its work; needs a key where there are keys
    #[arg(long)]
    pub ready: bool,
    /// Where it listens
    #[arg(long, default_value = "http://127.0.0.1:8787", env = "TIDEGAUGE_HEALTH_URL")]
    pub url: String,
    /// A file with a key
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// For https: the certificate that is trusted, or that of its authority, in PEM
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// For https: the name in the certificate, when the URL has another
    #[arg(long)]
    pub name: Option<String>,
}
