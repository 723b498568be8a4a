//! The address under which a Grafana finds the lake: `/prometheus/api/v1/…`, by GET or as a form by POST.

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;
use super::{App, body};
use crate::series::{Reply, answer};

const FORM: &str = "application/x-www-form-urlencoded";

pub(super) async fn ask(
    State(app): State<App>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let form = form(&app, request).await?;
    let query = query.unwrap_or_default();
    let asked =
        app.pool.ask_series(move |series| answer(series, &path, &[&query, &form], series.now_us()));
    let Reply { status, body } = asked.await?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((status, json, body.to_string()).into_response())
}

/// The parameters of a form; none with GET.
async fn form(app: &App, request: Request) -> Result<String, Refusal> {
    if request.method() != Method::POST {
        return Ok(String::new());
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with(FORM)) {
        let error = format!("parameters by POST come as a form, {FORM}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    let bytes = body::read(request, &app.limits).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
