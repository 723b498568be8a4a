//! Requests and their answers, in Prometheus' words: <https://prometheus.io/docs/prometheus/latest/querying/api/>.
//! Nothing here knows of connections: a path, parameters and a clock go in, a status and JSON come out.

use serde_json::{Map, Value, json};

use super::evaluate::{When, evaluate};
use super::labels::{self, Asked, Told};
use super::{Line, Series, parse, scalar};
use crate::console::{Answer, ConsoleError};

const MICROS: f64 = 1e6;
/// The release of Prometheus whose answers these are.
const SPOKEN: &str = "2.42.0";
/// Where a question about names without a time looks: the last day.
const NAMES_BACK_US: i64 = 86_400 * 1_000_000;
/// Parameters of one request.
const PARAMETERS_MAX: usize = 64;

/// A status of HTTP and its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// 200, 400, 404 or 503.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// Answers a request. `path` is what follows `/prometheus/api/v1/`; `parameters` are those of the URL and of a
/// form, as a form encodes them; `now_us` is the clock.
pub fn answer(series: &dyn Series, path: &str, parameters: &[&str], now_us: i64) -> Reply {
    let encoded = parameters.iter().flat_map(|text| form_urlencoded::parse(text.as_bytes()));
    let pairs: Vec<(String, String)> =
        encoded.take(PARAMETERS_MAX + 1).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let request = Request { series, pairs: &pairs, now_us };
    let answered = if pairs.len() > PARAMETERS_MAX {
        Err(ConsoleError::Invalid(format!("more than {PARAMETERS_MAX} parameters")))
    } else {
        request.answer(path)
    };
    match answered {
        Ok(told) => {
            let mut body = json!({ "status": "success", "data": told.data });
            if told.is_cut {
                body["warnings"] = json!(["there is more than this: name fewer"]);
            }
            Reply { status: 200, body }
        }
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &ConsoleError) -> Reply {
    let (status, kind) = match error {
        ConsoleError::NotFound(_) => (404, "not_found"),
        ConsoleError::Invalid(_) | ConsoleError::Refused(_) => (400, "bad_data"),
        ConsoleError::Unavailable(_) => (503, "unavailable"),
    };
    let body = json!({ "status": "error", "errorType": kind, "error": error.to_string() });
    Reply { status, body }
}

struct Request<'a> {
    series: &'a dyn Series,
    pairs: &'a [(String, String)],
    now_us: i64,
}

impl Request<'_> {
    fn answer(&self, path: &str) -> Answer<Told> {
        let whole = |data| Ok(Told { data, is_cut: false });
        match path {
            "query" => whole(self.query()?),
            "query_range" => whole(self.query_range()?),
            "series" => labels::series(self.series, &self.asked(&self.selectors())?),
            "labels" => labels::names(self.series, &self.asked(&self.selectors())?),
            "metadata" => whole(self.metadata()?),
            "status/buildinfo" => whole(json!({
                "version": SPOKEN,
                "revision": concat!("tidegauge ", env!("CARGO_PKG_VERSION")),
                "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
            })),
            "rules" => whole(json!({ "groups": [] })),
            "alerts" => whole(json!({ "alerts": [] })),
            "query_exemplars" => whole(json!([])),
            _ => match path.strip_prefix("label/").and_then(|rest| rest.strip_suffix("/values")) {
                Some(label) if !label.is_empty() && !label.contains('/') => {
                    labels::values(self.series, label, &self.asked(&self.selectors())?)
                }
                _ => Err(ConsoleError::NotFound(format!("there is no api/v1/{path} here"))),
            },
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn need(&self, name: &str) -> Answer<&str> {
        self.get(name).ok_or_else(|| ConsoleError::Invalid(format!("{name} is missing")))
    }

    fn selectors(&self) -> Vec<&str> {
        let is_match = |(key, _): &&(String, String)| key == "match[]";
        self.pairs.iter().filter(is_match).map(|(_, value)| value.as_str()).collect()
    }

    fn asked<'b>(&self, selectors: &'b [&'b str]) -> Answer<Asked<'b>> {
        let to_us = self.get("end").map(|text| time(text, "end")).transpose()?;
        let to_us = to_us.unwrap_or(self.now_us);
        let from_us = self.get("start").map(|text| time(text, "start")).transpose()?;
        let after_us = from_us.unwrap_or_else(|| to_us.saturating_sub(NAMES_BACK_US));
        let limit = self.get("limit").map_or(Ok(0), str::parse);
        let limit = limit.map_err(|_| ConsoleError::Invalid("limit is no whole number".into()))?;
        Ok(Asked { selectors, after_us, to_us, limit })
    }

    fn query(&self) -> Answer<Value> {
        let text = self.need("query")?;
        let at_us = self.get("time").map(|text| time(text, "time")).transpose()?;
        let at_us = at_us.unwrap_or(self.now_us);
        if let Some(number) = scalar::scalar(text) {
            return Ok(json!({ "resultType": "scalar", "result": sample(at_us, number) }));
        }
        let lines = self.lines(text, When::At(at_us))?;
        let result = lines.iter().filter_map(|line| {
            let (time_us, number) = line.points.last()?;
            Some(json!({ "metric": line.labels, "value": sample(*time_us, *number) }))
        });
        Ok(json!({ "resultType": "vector", "result": result.collect::<Vec<_>>() }))
    }

    fn query_range(&self) -> Answer<Value> {
        let text = self.need("query")?;
        let start_us = time(self.need("start")?, "start")?;
        let end_us = time(self.need("end")?, "end")?;
        let step_us = step(self.need("step")?)?;
        if let Some(number) = scalar::scalar(text) {
            let ends = [sample(start_us, number), sample(end_us, number)];
            return Ok(
                json!({ "resultType": "matrix", "result": [{ "metric": {}, "values": ends }] }),
            );
        }
        let lines = self.lines(text, When::Between(start_us, end_us, step_us))?;
        let result = lines.iter().map(|line: &Line| {
            let values = line.points.iter().map(|(time_us, number)| sample(*time_us, *number));
            json!({ "metric": line.labels, "values": values.collect::<Vec<_>>() })
        });
        Ok(json!({ "resultType": "matrix", "result": result.collect::<Vec<_>>() }))
    }

    fn lines(&self, text: &str, when: When) -> Answer<Vec<Line>> {
        let expression = parse::expression(text).map_err(ConsoleError::Invalid)?;
        evaluate(self.series, &expression, when)
    }

    fn metadata(&self) -> Answer<Value> {
        let wanted = self.get("metric");
        let families = self.series.families()?;
        let told = families.into_iter().filter(|f| wanted.is_none_or(|name| name == f.name));
        let told = told.map(|family| {
            let about = json!([{ "type": "gauge", "help": family.help, "unit": "" }]);
            (family.name, about)
        });
        Ok(Value::Object(told.collect::<Map<_, _>>()))
    }
}

/// A time and a number, as Prometheus writes them: seconds, and the number as a text.
fn sample(time_us: i64, number: f64) -> Value {
    let text = match number {
        n if n.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        n => n.to_string(),
    };
    json!([time_us as f64 / MICROS, text])
}

/// Seconds since 1970, or a time as RFC 3339 writes it.
fn time(text: &str, name: &str) -> Answer<i64> {
    let wrong = || ConsoleError::Invalid(format!("{name} is {text:?}, which is no time"));
    if let Ok(seconds) = text.parse::<f64>() {
        return micros(seconds).ok_or_else(wrong);
    }
    let time = chrono::DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_micros()).map_err(|_| wrong())
}

/// Seconds, or a duration with units.
fn step(text: &str) -> Answer<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => micros(seconds)
            .filter(|us| *us > 0)
            .ok_or_else(|| ConsoleError::Invalid(format!("step is {text}, which is too small"))),
        Err(_) => parse::duration(text).map_err(ConsoleError::Invalid),
    }
}

fn micros(seconds: f64) -> Option<i64> {
    let us = (seconds * MICROS).round();
    // Up to the year 9999: what comes after is a mistake, and would not fit for long.
    (us.is_finite() && us.abs() < 2.6e17).then_some(us as i64)
}
