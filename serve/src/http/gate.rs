//! What every request passes: who asks, whether they may, and what is counted and said with the answer.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::App;
use super::keys::Role;
use super::refusal::{Refusal, Refused};
use super::routes::{self, Need};

/// Scripts and styles come from this server only, and nothing else is loaded, framed or sent anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// Said with every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("content-security-policy"), POLICY),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("referrer-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
];

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    role: Role,
    name: Option<String>,
}

/// Who may ask what.
#[derive(Debug, Default)]
pub(super) struct Gate {}

impl Caller {
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The key's name; `-` where there are no keys.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("-")
    }
}

impl Gate {
    /// Whether the key that someone came in with is still in force.
    pub(super) fn still_knows(&self, _caller: &Caller) -> bool {
        true
    }

    fn admit(&self, request: &Request) -> Result<Caller, Refusal> {
        let caller = Caller { role: Role::Operate, name: None };
        match routes::need(request.method(), request.uri().path()) {
            Need::Nothing | Need::Name => Ok(caller),
            Need::Role(role) if caller.role.may(role) => Ok(caller),
            Need::Role(role) => {
                let error = format!("this needs a key of the role {}", role.as_str());
                let refusal = Refusal::new(axum::http::StatusCode::FORBIDDEN, error);
                Err(refusal.because(Refused::Forbidden))
            }
        }
    }
}

/// The way of every request.
pub(super) async fn pass(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = routes::label(request.uri().path());
    let method = routes::method_label(request.method());
    let mut response = match app.gate.admit(&request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            match timeout(app.limits.request_time, next.run(request)).await {
                Ok(response) => response,
                Err(_) => late(&app).into_response(),
            }
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Some(reason) = response.extensions_mut().remove::<Refused>() {
        app.metrics.http.refused(reason);
    }
    let status = response.status().as_u16();
    app.metrics.http.answered(route, method, status, began.elapsed().as_secs_f64());
    secure(response.headers_mut());
    response
}

fn late(app: &App) -> Refusal {
    let error = format!("there was no answer within {:?}", app.limits.request_time);
    Refusal::later(error).because(Refused::RequestTime)
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().expect("the gate lets nobody in without"))
    }
}
