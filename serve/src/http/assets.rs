//! The files of the live page, in the binary. A new one is a line in the table.
//!
//! *Why embedded*: one file to install, a page that works without any network, and nothing that could
//! be served by a wrong path.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";
/// What is served: its path, its type, its bytes.
const FILES: [(&str, &str, &[u8]); 29] = [
    ("/", HTML, include_bytes!("../../assets/index.html")),
    ("/api.js", JS, include_bytes!("../../assets/api.js")),
    ("/app.js", JS, include_bytes!("../../assets/app.js")),
    ("/base.css", CSS, include_bytes!("../../assets/base.css")),
    ("/chart.js", JS, include_bytes!("../../assets/chart.js")),
    ("/dom.js", JS, include_bytes!("../../assets/dom.js")),
    ("/format.js", JS, include_bytes!("../../assets/format.js")),
    ("/grid.js", JS, include_bytes!("../../assets/grid.js")),
    ("/hex.js", JS, include_bytes!("../../assets/hex.js")),
    ("/icon.svg", SVG, include_bytes!("../../assets/icon.svg")),
    ("/parts.js", JS, include_bytes!("../../assets/parts.js")),
    ("/settings.js", JS, include_bytes!("../../assets/settings.js")),
    ("/spark.js", JS, include_bytes!("../../assets/spark.js")),
    ("/stream.js", JS, include_bytes!("../../assets/stream.js")),
    ("/theme.js", JS, include_bytes!("../../assets/theme.js")),
    ("/ticks.js", JS, include_bytes!("../../assets/ticks.js")),
    ("/views.css", CSS, include_bytes!("../../assets/views.css")),
    ("/vendor/uplot.LICENSE.txt", TEXT, include_bytes!("../../assets/vendor/uplot.LICENSE.txt")),
    ("/vendor/uplot.css", CSS, include_bytes!("../../assets/vendor/uplot.css")),
    ("/vendor/uplot.js", JS, include_bytes!("../../assets/vendor/uplot.js")),
    ("/views/anomalies.js", JS, include_bytes!("../../assets/views/anomalies.js")),
    ("/views/events.js", JS, include_bytes!("../../assets/views/events.js")),
    ("/views/history.js", JS, include_bytes!("../../assets/views/history.js")),
    ("/views/lanes.js", JS, include_bytes!("../../assets/views/lanes.js")),
    ("/views/models.js", JS, include_bytes!("../../assets/views/models.js")),
    ("/views/overview.js", JS, include_bytes!("../../assets/views/overview.js")),
    ("/views/rejects.js", JS, include_bytes!("../../assets/views/rejects.js")),
    ("/views/sensor.js", JS, include_bytes!("../../assets/views/sensor.js")),
    ("/views/sensors.js", JS, include_bytes!("../../assets/views/sensors.js")),
];

/// One file.
#[derive(Debug)]
pub(super) struct Asset {
    pub path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Of the content, so that a browser asks again and is told that it has it.
    etag: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(path, content_type, bytes): (&'static str, &'static str, &'static [u8])| {
        let digest = Sha256::digest(bytes);
        let short: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Asset { path, content_type, bytes, etag: format!("\"{short}\"") }
    };
    FILES.into_iter().map(asset).collect()
});

/// Every file of the page.
pub(super) fn all() -> &'static [Asset] {
    &ASSETS
}

impl Asset {
    /// The file, or that the browser has it.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let has = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut has = has.flat_map(|value| value.split(','));
        let headers = [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, "no-cache"),
            (ETAG, self.etag.as_str()),
        ];
        let same = |tag: &str| tag.trim().trim_start_matches("W/") == self.etag;
        match has.any(same) {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (headers, self.bytes).into_response(),
        }
    }
}

#[cfg(test)]
mod tests;
