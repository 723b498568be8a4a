//! What every request passes: who asks, whether they may, and what is counted and said with the answer.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, HeaderName, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::attempts::Attempts;
use super::hosts::{self, Hosts};
use super::keyring::{Keyring, Known};
use super::keys::{KeyHash, KeysError, Role};
use super::refusal::{Refusal, Refused};
use super::routes::{self, Need};
use super::sessions::{Place, Sessions};
use super::settings::HttpSettings;
use super::{App, body, login};
use crate::metrics::HttpMetrics;

/// Scripts and styles come from this server only, and nothing else is loaded, framed or sent anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// Said with every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("content-security-policy"), POLICY),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    // Not `no-referrer`: with it browsers send no origin with the form of a login.
    (HeaderName::from_static("referrer-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
];

const TRANSPORT: (HeaderName, &str) =
    (HeaderName::from_static("strict-transport-security"), "max-age=31536000");

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    role: Role,
    /// `None` where there are no keys.
    key: Option<Known>,
    /// By a login.
    session: Option<Place>,
}

/// Who may ask what.
#[derive(Debug)]
pub(super) struct Gate {
    hosts: Hosts,
    keys: Option<Keyring>,
    tls: bool,
    pub(super) sessions: Sessions,
    pub(super) attempts: Attempts,
}

impl Caller {
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Whether it is a browser that logged in.
    pub(super) fn is_session(&self) -> bool {
        self.session.is_some()
    }

    /// The key's name; `-` where there are no keys.
    pub(super) fn name(&self) -> &str {
        self.key.as_ref().map_or("-", |key| &key.name)
    }
}

impl Gate {
    /// Reads the keys.
    pub(super) fn open(settings: &HttpSettings) -> Result<Self, KeysError> {
        Ok(Self {
            hosts: Hosts::new(settings),
            keys: settings.keys.clone().map(Keyring::open).transpose()?,
            tls: settings.tls.is_some(),
            sessions: Sessions::default(),
            attempts: Attempts::default(),
        })
    }

    pub(super) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    pub(super) fn tls(&self) -> bool {
        self.tls
    }

    /// The key that a text is.
    pub(super) fn key(&self, text: &str, metrics: &HttpMetrics) -> Option<Known> {
        self.keys.as_ref()?.find(text, metrics)
    }

    /// Whether the key that someone came in with is still in force, and nobody has logged out.
    pub(super) fn still_knows(&self, caller: &Caller, metrics: &HttpMetrics) -> bool {
        if caller.session.is_some_and(|place| !self.sessions.holds(place, Instant::now())) {
            return false;
        }
        match (&self.keys, &caller.key) {
            (Some(keys), Some(key)) => keys.knows(key.hash, metrics).is_some(),
            _ => true,
        }
    }

    /// Who asks, when they may.
    fn admit(&self, request: &Request, app: &App) -> Result<Caller, Refusal> {
        let open = Caller { role: Role::Operate, key: None, session: None };
        let need = routes::need(request.method(), request.uri().path());
        if need == Need::Nothing {
            return Ok(open);
        }
        self.hosts.check(request)?;
        if length(request.headers()).is_some_and(|length| length > app.limits.body_bytes as u64) {
            return Err(body::too_long(&app.limits));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            hosts::same_origin(request)?;
        }
        let Need::Role(role) = need else { return Ok(open) };
        let caller = match &self.keys {
            None => open,
            Some(keys) => self.caller(keys, request.headers(), &app.metrics.http)?,
        };
        if !caller.role.may(role) {
            let (needed, has) = (role.as_str(), caller.role.as_str());
            let error = format!("this needs a key of the role {needed}, and this one is for {has}");
            return Err(Refusal::new(StatusCode::FORBIDDEN, error).because(Refused::Forbidden));
        }
        Ok(caller)
    }

    fn caller(
        &self,
        keys: &Keyring,
        headers: &HeaderMap,
        metrics: &HttpMetrics,
    ) -> Result<Caller, Refusal> {
        let let_in = |key: Known, session| Caller { role: key.role, key: Some(key), session };
        let unknown = |error: &str| {
            Refusal::new(StatusCode::UNAUTHORIZED, error).because(Refused::Unauthorized)
        };
        if headers.contains_key(AUTHORIZATION) {
            let key = bearer(headers).and_then(|text| keys.find(text, metrics));
            let error = "the key is not known, or not sent as Authorization: Bearer KEY";
            return key.map(|key| let_in(key, None)).ok_or_else(|| unknown(error));
        }
        let session = login::session(headers, self.tls);
        let hash = session.and_then(|place| self.sessions.key(place, Instant::now()));
        let key = hash.and_then(|hash: KeyHash| keys.knows(hash, metrics));
        if let (Some(place), Some(_), None) = (session, hash, &key) {
            // Also when the key comes back.
            self.sessions.close(place);
        }
        let error = "a key is needed: send it as Authorization: Bearer KEY, or log in at /login";
        key.map(|key| let_in(key, session)).ok_or_else(|| unknown(error))
    }
}

/// The way of every request.
pub(super) async fn pass(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = routes::label(request.uri().path());
    let method = routes::method_label(request.method());
    let page = login::wants_page(request.headers());
    let mut response = match app.gate.admit(&request, &app) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            match timeout(app.limits.request_time, next.run(request)).await {
                Ok(response) => response,
                Err(_) => late(&app).into_response(),
            }
        }
        Err(refusal) => refused(refusal, page),
    };
    if let Some(reason) = response.extensions_mut().remove::<Refused>() {
        app.metrics.http.refused(reason);
    }
    let status = response.status().as_u16();
    app.metrics.http.answered(route, method, status, began.elapsed().as_secs_f64());
    secure(response.headers_mut(), app.gate.tls);
    response
}

fn refused(refusal: Refusal, page: bool) -> Response {
    if refusal.status != StatusCode::UNAUTHORIZED {
        return refusal.into_response();
    }
    let mut response = match page {
        true => login::page(StatusCode::UNAUTHORIZED, None),
        false => refusal.clone().into_response(),
    };
    response.headers_mut().insert(WWW_AUTHENTICATE, login::CHALLENGE);
    if let Some(reason) = refusal.reason {
        response.extensions_mut().insert(reason);
    }
    response
}

fn late(app: &App) -> Refusal {
    let error = format!("there was no answer within {:?}", app.limits.request_time);
    Refusal::later(error).because(Refused::RequestTime)
}

fn secure(headers: &mut HeaderMap, tls: bool) {
    let transport = tls.then_some(TRANSPORT);
    for (name, value) in HEADERS.into_iter().chain(transport) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The key of `Authorization: Bearer KEY`, when there is one such header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let one = values.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    one.then(|| key.trim())
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().expect("the gate lets nobody in without"))
    }
}
