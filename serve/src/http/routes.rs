//! What is answered where, and by whom it may be asked.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::keys::Role;
use super::refusal::Refusal;
use super::{App, api, assets, gate, login, series, stream};

/// The type that Prometheus expects of its text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Below this the lake is a Prometheus data source.
const SERIES: &str = "/prometheus/api/v1/";

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Everyone, whatever the name in `Host`: a probe.
    Nothing,
    /// Everyone who asks for us by a name of ours.
    Name,
    /// Whoever has a key of this role.
    Role(Role),
}

/// Paths that are served, for the metrics' labels; those of assets are counted together.
const PATHS: [&str; 20] = [
    "/health/live",
    "/health/ready",
    "/metrics",
    "/login",
    "/login.css",
    "/logout",
    "/api/v1/info",
    "/api/v1/overview",
    "/api/v1/sensors",
    "/api/v1/sensor",
    "/api/v1/anomalies",
    "/api/v1/events",
    "/api/v1/lanes",
    "/api/v1/commits",
    "/api/v1/models",
    "/api/v1/models/alias",
    "/api/v1/models/rollback",
    "/api/v1/rejects",
    "/api/v1/late",
    "/api/v1/stream",
];

/// Reading needs `view`, all else `operate`, but for what is listed here: a new route is closed until
/// someone opens it.
pub(super) fn need(method: &Method, path: &str) -> Need {
    let reads = *method == Method::GET || *method == Method::HEAD;
    match path {
        "/health/live" if reads => Need::Nothing,
        "/login" | "/logout" | "/login.css" => Need::Name,
        // Questions that are sent as a form, because they can be long.
        _ if *method == Method::POST && path.starts_with(SERIES) => Need::Role(Role::View),
        _ if reads => Need::Role(Role::View),
        _ => Need::Role(Role::Operate),
    }
}

/// The label of a path: one of a closed list.
pub(super) fn label(path: &str) -> &'static str {
    if let Some(path) = PATHS.iter().find(|known| **known == path) {
        return path;
    }
    if path.starts_with(SERIES) {
        return "/prometheus/api/v1";
    }
    if assets::all().iter().any(|asset| asset.path == path) { "page" } else { "other" }
}

/// The label of a method: one of a closed list.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}

pub(super) fn router(app: App) -> Router {
    let api = Router::new()
        .route("/info", get(api::info))
        .route("/overview", get(api::overview))
        .route("/sensors", get(api::sensors))
        .route("/sensor", get(api::sensor))
        .route("/anomalies", get(api::anomalies))
        .route("/events", get(api::events))
        .route("/lanes", get(api::lanes))
        .route("/commits", get(api::commits))
        .route("/models", get(api::models))
        .route("/models/alias", post(api::move_alias))
        .route("/models/rollback", post(api::roll_back))
        .route("/rejects", get(api::rejects))
        .route("/late", get(api::late))
        .route("/stream", get(stream::open));
    let mut router = Router::new()
        .route("/metrics", get(exposition))
        .route("/health/live", get(|State(app): State<App>| probe(app.health.liveness())))
        .route("/health/ready", get(|State(app): State<App>| probe(app.health.readiness())))
        .route("/login", get(login::form).post(login::enter))
        .route("/login.css", get(login::style))
        .route("/logout", post(login::leave))
        .nest("/api/v1", api)
        .route("/prometheus/api/v1/{*path}", get(series::ask).post(series::ask));
    for asset in assets::all() {
        let answer = move |headers: HeaderMap| async move { asset.answer(&headers) };
        router = router.route(asset.path, get(answer));
    }
    router
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            let error = "this is not answered for that method: see Allow";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error)
        })
        .layer(middleware::from_fn_with_state(app.clone(), gate::pass))
        .with_state(app)
}

async fn exposition(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, EXPOSITION)], app.metrics.text()).into_response()
}

fn probe(state: Result<(), String>) -> std::future::Ready<Response> {
    std::future::ready(match state {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    })
}
