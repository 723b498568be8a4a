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
/// What is served: its path, its type, its bytes.
const FILES: [(&str, &str, &[u8]); 1] = [("/", HTML, include_bytes!("../../assets/index.html"))];

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
