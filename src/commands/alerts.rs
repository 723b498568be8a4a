//! `alerts`: how far they are told, and what to do about messages that nobody took.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use tidegauge_flow::time::rfc3339;
use tidegauge_sink::{Alerts, DeadLetter, Lake};

use super::{Usage, load};
use crate::cli::{AlertArgs, AlertVerb};
use crate::config::{Alert, Config};
use crate::courier::message::Message;
use crate::courier::{Answer, Receiver};
use crate::pipeline;
use crate::say::say;

pub fn run(args: &AlertArgs) -> Result<ExitCode> {
    let config = load(&args.configured)?;
    let chosen = chosen(&config, args.alert.as_deref())?;
    let store = pipeline::existing_store(&config.lake.url, &config.lake.storage)?;
    // Alerts are of a lake that is there.
    Lake::read(store.clone())?;
    let alerts = Alerts::of(store);
    let mut left = 0;
    for alert in chosen {
        match args.verb {
            AlertVerb::List => list(&alerts, alert)?,
            AlertVerb::Dead => dead(&alerts, alert)?,
            AlertVerb::Retry => left += retry(&alerts, alert)?,
        }
    }
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen<'a>(config: &'a Config, wanted: Option<&str>) -> Result<Vec<&'a Alert>> {
    let is = |alert: &&Alert| wanted.is_none_or(|wanted| wanted == alert.name);
    let chosen: Vec<&Alert> = config.alerts.iter().filter(is).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = config.alerts.iter().map(|alert| alert.name.as_str()).collect();
        let what = match wanted {
            Some(wanted) => format!("--alert is {wanted:?}, there are {names:?}"),
            None => "the configuration has no [[alerts]]".to_owned(),
        };
        return Err(Usage(what).into());
    }
    Ok(chosen)
}

fn list(alerts: &Alerts, alert: &Alert) -> Result<()> {
    let name = &alert.name;
    let dead = alerts.dead(name)?;
    let lanes = alerts.lanes(name)?;
    if lanes.is_empty() {
        say!("{name}: not begun yet");
    }
    for lane in lanes {
        let Some(cursor) = alerts.newest(name, &lane)? else { continue };
        let moved = rfc3339(cursor.moved_at_us.saturating_mul(1000));
        let at = cursor.at;
        say!(
            "{name}  {lane}  {} messages, up to epoch {} row {}, at {moved}",
            at.sequence,
            at.epoch,
            at.row
        );
    }
    say!("{name}: {dead} dead letters");
    Ok(())
}

fn dead(alerts: &Alerts, alert: &Alert) -> Result<()> {
    let letters = alerts.letters(&alert.name)?;
    for letter in &letters {
        let DeadLetter { lane, sequence, id, message, why, attempts, died_at_us, .. } = letter;
        let died = rfc3339(died_at_us.saturating_mul(1000));
        say!("{}  {lane}  {sequence}  {id}  {died}  {attempts} attempts: {why}", alert.name);
        say!("    {message}");
    }
    say!("{}: {} dead letters", alert.name, letters.len());
    Ok(())
}

/// Sends letters in their order; returns how many are left.
fn retry(alerts: &Alerts, alert: &Alert) -> Result<usize> {
    let letters = alerts.letters(&alert.name)?;
    let name = &alert.name;
    let receiver = Receiver::new(&alert.receiver);
    let mut receiver = receiver.with_context(|| format!("alert {name}"))?;
    let mut sent = 0;
    for letter in &letters {
        let event = letter.id.split('_').next().unwrap_or_default().to_owned();
        let message = Message { id: letter.id.clone(), event, body: letter.message.clone() };
        match receiver.send(std::slice::from_ref(&message), SystemTime::now()) {
            Answer::Taken => {
                alerts.remove(letter)?;
                sent += 1;
            }
            Answer::Refused { why } => say!("{name}: {} stays dead: {why}", letter.id),
            Answer::Later { why, .. } => {
                say!("{name}: {} stays dead: {why}", letter.id);
                break;
            }
        }
    }
    let left = letters.len() - sent;
    say!("{name}: {sent} of {} dead letters were taken", letters.len());
    Ok(left)
}
