//! The page's data: questions in, the console's answers out.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::App;
use super::body;
use super::gate::Caller;
use super::hosts;
use super::params::Params;
use super::refusal::Refusal;
use crate::console::{Answer, Console, EventState, Info, Order, SensorSort, SensorsQuery};

type Answered = Result<Response, Refusal>;

/// Points of a sensor's history that a chart is given without asking.
const POINTS_DEFAULT: usize = 2000;
const POINTS_MAX: usize = 10_000;

#[derive(Serialize)]
struct InfoAndRole {
    #[serde(flatten)]
    info: Info,
    /// What the caller may do.
    role: &'static str,
    /// Whether the caller is a browser that logged in, and can log out.
    session: bool,
}

pub(super) async fn info(State(app): State<App>, caller: Caller, uri: Uri) -> Answered {
    Params::read(uri.query(), &[])?;
    let info = app.pool.ask(|console| console.info()).await?;
    let (role, session) = (caller.role().as_str(), caller.is_session());
    Ok(Json(InfoAndRole { info, role, session }).into_response())
}

pub(super) async fn overview(State(app): State<App>, uri: Uri) -> Answered {
    Params::read(uri.query(), &[])?;
    answer(&app, |console| console.overview()).await
}

pub(super) async fn sensors(State(app): State<App>, uri: Uri) -> Answered {
    let known = ["search", "only", "sort", "order", "offset", "limit"];
    let params = Params::read(uri.query(), &known)?;
    let sorts = [
        ("severity", SensorSort::Severity),
        ("score", SensorSort::Score),
        ("window_end", SensorSort::WindowEnd),
        ("anomalies", SensorSort::Anomalies),
        ("key", SensorSort::Key),
    ];
    let sort = params.word("sort", &sorts)?.unwrap_or(SensorSort::Severity);
    let usual = if sort == SensorSort::Key { Order::Asc } else { Order::Desc };
    let query = SensorsQuery {
        search: params.text("search").unwrap_or_default().to_owned(),
        only_anomalous: params.word("only", &[("anomalous", ())])?.is_some(),
        sort,
        order: params
            .word("order", &[("asc", Order::Asc), ("desc", Order::Desc)])?
            .unwrap_or(usual),
        offset: params.number("offset", 0..=usize::MAX)?.unwrap_or(0),
        limit: params.limit()?,
    };
    answer(&app, move |console| console.sensors(&query)).await
}

pub(super) async fn sensor(State(app): State<App>, uri: Uri) -> Answered {
    let params = Params::read(uri.query(), &["key", "from_us", "to_us", "points"])?;
    let Some(key) = params.key() else {
        return Err(Refusal::bad("\"key\" is missing: the values of the sensor's key columns"));
    };
    let (from_us, to_us) = (params.time_us("from_us")?, params.time_us("to_us")?);
    if let (Some(from_us), Some(to_us)) = (from_us, to_us)
        && from_us > to_us
    {
        return Err(Refusal::bad(format!("\"from_us\" is {from_us}, after \"to_us\", {to_us}")));
    }
    let points = params.number("points", 1..=POINTS_MAX)?.unwrap_or(POINTS_DEFAULT);
    answer(&app, move |console| console.sensor(&key, from_us, to_us, points)).await
}

pub(super) async fn anomalies(State(app): State<App>, uri: Uri) -> Answered {
    let params = Params::read(uri.query(), &["key", "before_us", "limit"])?;
    let (key, before_us, limit) = (params.key(), params.time_us("before_us")?, params.limit()?);
    answer(&app, move |console| console.anomalies(key.as_deref(), before_us, limit)).await
}

pub(super) async fn events(State(app): State<App>, uri: Uri) -> Answered {
    let params = Params::read(uri.query(), &["key", "state", "before_us", "limit"])?;
    let states = [("open", EventState::Open), ("closed", EventState::Closed)];
    let state = params.word("state", &states)?;
    let (key, before_us, limit) = (params.key(), params.time_us("before_us")?, params.limit()?);
    answer(&app, move |console| console.events(key.as_deref(), state, before_us, limit)).await
}

pub(super) async fn lanes(State(app): State<App>, uri: Uri) -> Answered {
    Params::read(uri.query(), &[])?;
    answer(&app, |console| console.lanes()).await
}

pub(super) async fn commits(State(app): State<App>, uri: Uri) -> Answered {
    let params = Params::read(uri.query(), &["lane", "before_epoch", "limit"])?;
    let Some(lane) = params.text("lane").map(str::to_owned) else {
        return Err(Refusal::bad("\"lane\" is missing: the name of a lane"));
    };
    let before = params.number("before_epoch", 0..=u64::MAX)?;
    let limit = params.limit()?;
    answer(&app, move |console| console.commits(&lane, before, limit)).await
}

pub(super) async fn models(State(app): State<App>, uri: Uri) -> Answered {
    Params::read(uri.query(), &[])?;
    answer(&app, |console| console.models()).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveAlias {
    alias: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollBack {
    alias: String,
}

pub(super) async fn move_alias(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Answered {
    let MoveAlias { alias, version } = told(&app, request).await?;
    tracing::info!(by = caller.name(), alias, version, "an alias is moved over HTTP");
    answer(&app, move |console| console.move_alias(&alias, version)).await
}

pub(super) async fn roll_back(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Answered {
    let RollBack { alias } = told(&app, request).await?;
    tracing::info!(by = caller.name(), alias, "an alias is rolled back over HTTP");
    answer(&app, move |console| console.roll_back(&alias)).await
}

pub(super) async fn rejects(State(app): State<App>, uri: Uri) -> Answered {
    let params = Params::read(uri.query(), &["before_us", "limit"])?;
    let (before_us, limit) = (params.time_us("before_us")?, params.limit()?);
    answer(&app, move |console| console.rejects(before_us, limit)).await
}

pub(super) async fn late(State(app): State<App>, uri: Uri) -> Answered {
    let limit = Params::read(uri.query(), &["limit"])?.limit()?;
    answer(&app, move |console| console.late(limit)).await
}

/// The question's answer as JSON.
async fn answer<T: Serialize + Send + 'static>(
    app: &App,
    question: impl FnOnce(&dyn Console) -> Answer<T> + Send + 'static,
) -> Answered {
    Ok(Json(app.pool.ask(question).await?).into_response())
}

/// What a request's body says. It must be told to be JSON, which a form of another site can't say.
async fn told<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Refusal> {
    Params::read(request.uri().query(), &[])?;
    hosts::is_json(request.headers())?;
    let bytes = body::read(request, &app.limits).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad(format!("the body is wrong: {error}")))
}
