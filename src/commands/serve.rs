//! `serve`: the live page over a lake, at rest or while others write it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tidegauge_serve::series::Series;
use tidegauge_serve::{Health, HttpSettings, Metrics, Server, Site, TlsFiles};
use tidegauge_sink::{Storage, check_object_url, is_object_url};

use super::Usage;
use crate::cli::Serve;
use crate::clock::SystemClock;
use crate::config;
use crate::console::{LakeConsole, Origin};
use crate::pipeline;
use crate::say::say;
use crate::series::LakeSeries;
use crate::signals::Signals;

/// Where it listens when nobody says it.
pub(super) const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8787);
/// How often it looks for a signal, which also wakes it.
const LOOK: Duration = Duration::from_secs(60);

pub fn run(args: Serve) -> Result<ExitCode> {
    let clock = Arc::new(SystemClock);
    let (origin, settings) = match (&args.lake, &args.config) {
        (Some(lake), _) => {
            if is_object_url(lake) {
                check_object_url(lake)?;
            }
            (Origin::of_lake(lake, Storage::default(), clock), None)
        }
        (None, Some(path)) => {
            let mut config = config::load(path, &args.sets)?;
            let http = config.http.take();
            (Origin::of_config(config, None, clock), http)
        }
        (None, None) => unreachable!("the command line requires one of them"),
    };
    let settings = settings_of(args, settings)?;
    let lake = origin.shown_url();
    let signals = Signals::install()?;
    let health = Arc::new(Health::new());
    // It is ready as soon as it answers: what the lake says is in the answers.
    health.ready();
    let series = series(&origin)?;
    let console = Some(Arc::new(LakeConsole::start(origin)?) as _);
    let site = Site { metrics: Arc::new(Metrics::new()?), health, console, series };
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let server = Server::start(settings, site)?;
    say!("{lake} is shown at {scheme}://{}; Ctrl-C ends it", server.local_addr());
    while !signals.wait(LOOK) {}
    server.stop();
    Ok(ExitCode::SUCCESS)
}

/// The lake for Grafana; `None` when there is no lake at the start.
fn series(origin: &Origin) -> Result<Option<Arc<dyn Series>>> {
    let (Some(_), Some(store)) = (origin.reader()?, origin.store()?) else { return Ok(None) };
    let registry = match &origin.config {
        Some(config) => pipeline::registry(config)?,
        None => pipeline::registry_of(store),
    };
    Ok(Some(Arc::new(LakeSeries::open(&origin.url, &origin.storage, registry)?)))
}

/// What the configuration says of the server, and the command line over it.
fn settings_of(args: Serve, configured: Option<HttpSettings>) -> Result<HttpSettings> {
    let Serve { listen, keys, tls_certificate, tls_key, allowed_hosts, .. } = args;
    let mut settings = configured.unwrap_or_else(|| HttpSettings::on(SocketAddr::from(LISTEN)));
    settings.listen = listen.unwrap_or(settings.listen);
    settings.keys = keys.or(settings.keys);
    settings.allowed_hosts.extend(allowed_hosts.iter().map(|name| name.to_ascii_lowercase()));
    if let (Some(certificate), Some(key)) = (tls_certificate, tls_key) {
        settings.tls = Some(TlsFiles { certificate, key });
    }
    if !settings.is_loopback() && settings.keys.is_none() {
        let what = format!(
            "others reach {}: name a file of keys with --keys FILE, which `tidegauge keys add FILE --role view \
             --name NAME` makes, or listen on 127.0.0.1",
            settings.listen
        );
        return Err(Usage(what).into());
    }
    Ok(settings)
}
