//! A key for a session cookie, so that a browser need not be given a key with each request.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::accept::Peer;
use super::refusal::{Refusal, Refused};
use super::sessions::Place;
use super::{App, body, hosts};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const STYLE: &[u8] = include_bytes!("../../assets/login.css");
const FORM: &str = "application/x-www-form-urlencoded";

/// What is asked for without a key.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"tidegauge\"");

/// The cookie's name. The longer one is taken by browsers only with TLS and from this host.
const COOKIE_PLAIN: &str = "tidegauge";
const COOKIE_TLS: &str = "__Host-tidegauge";

/// The form, with what was wrong the last time.
pub(super) fn page(status: StatusCode, wrong: Option<&str>) -> Response {
    let wrong = wrong.map_or(String::new(), |wrong| format!("<p role=\"alert\">{wrong}</p>\n"));
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Log in - tidegauge</title>\n<link rel=\"stylesheet\" href=\"/login.css\">\n</head>\n\
         <body>\n<main>\n<h1>tidegauge</h1>\n{wrong}<form method=\"post\" action=\"/login\">\n\
         <label for=\"key\">API key</label>\n\
         <input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" required \
         autofocus>\n<button type=\"submit\">Log in</button>\n</form>\n</main>\n</body>\n</html>\n"
    );
    let mut response = (status, [(CONTENT_TYPE, HTML)], text).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    response
}

/// Whether a browser asks, which a page helps more than JSON.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get("accept").and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

pub(super) async fn style() -> Response {
    ([(CONTENT_TYPE, CSS)], STYLE).into_response()
}

/// The form; where there are no keys, the page itself.
pub(super) async fn form(State(app): State<App>) -> Response {
    if app.gate.has_keys() { page(StatusCode::OK, None) } else { to("/") }
}

pub(super) async fn enter(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    if !app.gate.has_keys() {
        return Ok(to("/"));
    }
    if !hosts::is_type(request.headers(), FORM) {
        return Err(hosts::wrong_type(FORM));
    }
    let peer = request.extensions().get::<Peer>().copied();
    let Peer(peer) = peer.expect("every connection has one");
    let now = Instant::now();
    if let Some(wait) = app.gate.attempts.wait(peer, now) {
        let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
        let error = format!("too many failed logins from this address: wait {seconds} seconds");
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, error).because(Refused::Logins);
        return Err(Refusal { retry_after: Some(seconds), ..refusal });
    }
    let bytes = body::read(request, &app.limits).await?;
    let mut fields = form_urlencoded::parse(&bytes);
    let key = fields.find(|(name, _)| name == "key").map(|(_, key)| key).unwrap_or_default();
    let Some(known) = app.gate.key(key.trim(), &app.metrics.http) else {
        app.gate.attempts.failed(peer, now);
        tracing::warn!(%peer, "a login with a key that is not known");
        let mut response = page(StatusCode::UNAUTHORIZED, Some("This key is not known."));
        response.extensions_mut().insert(Refused::Unauthorized);
        return Ok(response);
    };
    let id = app.gate.sessions.open(known.hash, now).map_err(|error| {
        tracing::error!(%error, "no session can be opened");
        Refusal::later("no session can be opened: see the log")
    })?;
    tracing::info!(%peer, name = known.name, role = known.role.as_str(), "a login");
    Ok(with_cookie(to("/"), &cookie(&app, &id)))
}

pub(super) async fn leave(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(place) = session(&headers, app.gate.tls()) {
        app.gate.sessions.close(place);
    }
    with_cookie(to("/login"), &format!("{}; Max-Age=0", cookie(&app, "")))
}

/// The session whose id a request's cookie holds.
pub(super) fn session(headers: &HeaderMap, tls: bool) -> Option<Place> {
    let wanted = cookie_name(tls);
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = values.flat_map(|value| value.split(';'));
    cookies.find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == wanted).then(|| Place::of(value))
    })
}

fn cookie_name(tls: bool) -> &'static str {
    if tls { COOKIE_TLS } else { COOKIE_PLAIN }
}

fn cookie(app: &App, id: &str) -> String {
    let tls = app.gate.tls();
    let secure = if tls { "; Secure" } else { "" };
    format!("{}={id}; Path=/; HttpOnly; SameSite=Strict{secure}", cookie_name(tls))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    let value = HeaderValue::from_str(cookie).expect("ids are hexadecimal");
    response.headers_mut().insert(SET_COOKIE, value);
    response
}

fn to(path: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response()
}
