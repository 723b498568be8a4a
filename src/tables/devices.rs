//! The table `devices`: what the newest verdicts of a device's sensors come to, window by window.
//!
//! Computed when it is read, so it is always that of the predictions, also of those from before it was
//! asked for.

use anyhow::{Context, Result};
use datafusion::prelude::SessionContext;
use tidegauge_flow::names;
use tidegauge_sink::Generation;

use crate::config::Device;
use crate::sql::{REVISED, newest, quoted};

/// Adds the table to a session that has `predictions`.
///
/// # Errors
/// When the lake has other key columns than the configuration, or can't be read.
pub async fn add(context: &SessionContext, device: &Device, generation: &Generation) -> Result<()> {
    let known = |name: &String| generation.key.iter().any(|column| column.name == *name);
    if let Some(name) = device.by.iter().find(|name| !known(name)) {
        anyhow::bail!("[models.device] by names {name:?}, which is no key column of this lake");
    }
    let revised = context.sql(REVISED).await?.collect().await?;
    let rows = match revised.iter().all(|batch| batch.num_rows() == 0) {
        true => "predictions".into(),
        false => {
            let keys = generation.key.iter().map(|column| quoted(&column.name));
            newest(&keys.collect::<Vec<_>>(), "true")
        }
    };
    let frame = context.sql(&statement(device, &rows)).await.context("the table devices")?;
    context.register_table("devices", frame.into_view())?;
    Ok(())
}

fn statement(device: &Device, rows: &str) -> String {
    let by: Vec<String> = device.by.iter().map(|name| quoted(name)).collect();
    let columns = format!("{}, {}, {}", by.join(", "), names::WINDOW_START, names::WINDOW_END);
    let (anomaly, least) = (names::IS_ANOMALY, device.at_least);
    let anomalous = format!("count(*) FILTER (WHERE {anomaly})");
    format!(
        "SELECT {columns}, count(*) AS sensors, count({anomaly}) AS judged, \
         {anomalous} AS anomalous, CASE WHEN count({anomaly}) = 0 THEN NULL \
         ELSE {anomalous} >= {least} END AS is_anomaly, max({}) AS severity \
         FROM {rows} GROUP BY {columns}",
        names::SEVERITY
    )
}
