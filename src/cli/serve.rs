//! What there is to say of the live page.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct Serve {
    /// The lake's folder or URL; models are only shown then, not moved
    #[arg(value_name = "LAKE", required_unless_present = "config", conflicts_with = "config")]
    pub lake: Option<String>,
    /// The configuration that names the lake, its models and [http]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one setting, over file and environment; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    pub sets: Vec<String>,
    /// Where it listens [default: [http] listen, or 127.0.0.1:8787]; port 0 is one that is free
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The file of keys, which is needed when others than this machine reach it
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// The certificate for HTTPS, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// A name, besides the address, by which browsers reach it; may be repeated
    #[arg(long = "allowed-host", value_name = "NAME")]
    pub allowed_hosts: Vec<String>,
}
