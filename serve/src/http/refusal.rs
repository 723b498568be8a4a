//! An answer that is no answer: `{"error": "what was wrong and what to do"}` with its status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::console::ConsoleError;

/// Seconds after which it may be worth to ask again.
const RETRY_AFTER: u32 = 2;

/// A refusal on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub error: String,
    /// For the counter of refusals; `None`: an ordinary mistake, counted by its status only.
    pub reason: Option<Refused>,
    pub retry_after: Option<u32>,
}

/// Which limit or guard refused: a label, so a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All connections are taken; the next waits.
    Connections,
    /// One address holds as many as it may.
    PeerConnections,
    /// All places for event streams are taken.
    Streams,
    /// An event stream was not read as fast as events came.
    SlowStream,
    /// The handshake of TLS failed or was not done in time.
    Handshake,
    /// A client took no byte of its answer for too long.
    SlowReader,
    /// Not HTTP.
    Malformed,
    /// Too many or too long headers.
    HeaderSize,
    /// A header that did not end in time.
    HeaderTime,
    /// A body above the limit.
    BodySize,
    /// A body that did not end in time.
    BodyTime,
    /// An answer that did not come in time.
    RequestTime,
    /// Too many questions wait for an answer.
    Busy,
    /// A name in `Host` that is not ours.
    Host,
    /// A change that another site asks for.
    Origin,
    /// No key, or one that is not known.
    Unauthorized,
    /// A key whose role may not.
    Forbidden,
    /// Too many failed logins.
    Logins,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::Connections,
        Self::PeerConnections,
        Self::Streams,
        Self::SlowStream,
        Self::Handshake,
        Self::SlowReader,
        Self::Malformed,
        Self::HeaderSize,
        Self::HeaderTime,
        Self::BodySize,
        Self::BodyTime,
        Self::RequestTime,
        Self::Busy,
        Self::Host,
        Self::Origin,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Logins,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::PeerConnections => "peer_connections",
            Self::Streams => "streams",
            Self::SlowStream => "slow_stream",
            Self::Handshake => "tls_handshake",
            Self::SlowReader => "slow_reader",
            Self::Malformed => "malformed",
            Self::HeaderSize => "header_size",
            Self::HeaderTime => "header_time",
            Self::BodySize => "body_size",
            Self::BodyTime => "body_time",
            Self::RequestTime => "request_time",
            Self::Busy => "busy",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Logins => "logins",
        }
    }
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), reason: None, retry_after: None }
    }

    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// Not now; the same question may be answered soon.
    pub(super) fn later(error: impl Into<String>) -> Self {
        let retry_after = Some(RETRY_AFTER);
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, error) }
    }

    pub(super) fn because(self, reason: Refused) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

impl From<ConsoleError> for Refusal {
    fn from(error: ConsoleError) -> Self {
        match error {
            ConsoleError::NotFound(error) => Self::new(StatusCode::NOT_FOUND, error),
            ConsoleError::Invalid(error) => Self::bad(error),
            ConsoleError::Refused(error) => Self::new(StatusCode::CONFLICT, error),
            ConsoleError::Unavailable(error) => Self::later(error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error }));
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(reason) = self.reason {
            // For the counter, which sees responses only.
            response.extensions_mut().insert(reason);
        }
        response
    }
}
