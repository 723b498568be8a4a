//! The section `[models.device]`: when a group of sensors is anomalous together.

use tidegauge_flow::KeySchema;

use super::reader::Reader;

const BY: &str = "models.device.by";

/// Columns that the table `devices` has of its own.
const OURS: [&str; 5] = ["sensors", "judged", "anomalous", "is_anomaly", "severity"];

/// Which sensors belong together, and how many of them make an anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Key columns: sensors with the same values in them are one device.
    pub by: Vec<String>,
    /// So many anomalous sensors make the device anomalous.
    pub at_least: u64,
}

/// There when its columns are.
pub(super) fn device(reader: &mut Reader) -> Option<Device> {
    const LEAST: &str = "models.device.at_least";
    // 0 is outside the range, so it can only be the default.
    let at_least = reader.integer(LEAST, 0, 1..=1_000_000);
    match reader.texts(BY) {
        Some(by) => Some(Device { by, at_least: at_least.max(1) }),
        None => {
            if at_least > 0 {
                reader
                    .mistake(LEAST, "is there without models.device.by, which says whose sensors");
            }
            None
        }
    }
}

/// Whether it groups by columns of the key, each once.
pub(super) fn check(reader: &mut Reader, device: &Device, key: &KeySchema) {
    let known: Vec<&str> = key.columns().iter().map(|column| column.name.as_str()).collect();
    if device.by.is_empty() {
        reader.mistake(BY, format!("is empty, allowed are columns of the key: {known:?}"));
    }
    for (i, name) in device.by.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            reader
                .mistake(BY, format!("names {name:?}, allowed are columns of the key: {known:?}"));
        }
        if device.by[..i].contains(name) {
            reader.mistake(BY, format!("names {name:?} twice"));
        }
        if OURS.contains(&name.as_str()) {
            reader.mistake(BY, format!("names {name:?}, which the table devices has itself"));
        }
    }
}
