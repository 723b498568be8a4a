//! Simulated events as the bytes that a producer sends.

use std::io::Write as _;

use tidegauge_flow::time::{NANOS, civil_from_days};

use super::Event;

/// The fields of a simulated event, as JSON strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNames {
    time: String,
    device: String,
    sensor: String,
    value: String,
}

impl EventNames {
    /// Names as the mapping of the events has them.
    pub fn new(time: &str, device: &str, sensor: &str, value: &str) -> Self {
        let quoted = |name: &str| serde_json::Value::from(name).to_string();
        Self {
            time: quoted(time),
            device: quoted(device),
            sensor: quoted(sensor),
            value: quoted(value),
        }
    }
}

impl Default for EventNames {
    fn default() -> Self {
        Self::new("TS", "Device", "Sensor", "Value")
    }
}

/// Appends the event as
/// `{"TS":"2018-04-06T20:59:55.7096564Z","Device":2,"Sensor":4,"Value":84.92}`.
pub fn to_json(event: &Event, names: &EventNames, out: &mut Vec<u8>) {
    let days = event.time_ns.div_euclid(86_400 * NANOS);
    let (year, month, day) = civil_from_days(days);
    let in_day = event.time_ns.rem_euclid(86_400 * NANOS);
    let seconds = in_day / NANOS;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = in_day % NANOS / 100;
    let Event { device, sensor, value, .. } = event;
    let EventNames { time, device: device_name, sensor: sensor_name, value: value_name } = names;
    let written = write!(
        out,
        "{{{time}:\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.\
         {fraction:07}Z\",{device_name}:{device},{sensor_name}:{sensor},{value_name}:{value}}}",
    );
    // Writing to a vector has no way to fail.
    debug_assert!(written.is_ok());
}

/// The Kafka key of the event's sensor, as `2_4`.
pub fn key_text(event: &Event) -> String {
    format!("{}_{}", event.device, event.sensor)
}
