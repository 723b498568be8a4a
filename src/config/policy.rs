//! The settings of `[window.policy]`: which time a reading counts for.

use std::time::Duration;

use tidegauge_aggregate::{Action, Rule, Scope, TimeBy, TimePolicy};
use tidegauge_ingest::EventMapping;

use super::reader::Reader;
use super::{Source, SourceKind};

const DAY: Duration = Duration::from_secs(86_400);
/// 20 days, 23:59:59: what Azure Stream Analytics allows.
const LATE_MOST: Duration = Duration::from_secs(21 * 86_400 - 1);

const ADJUST: (&str, Action) = ("adjust", Action::Adjust);
const DROP: (&str, Action) = ("drop", Action::Drop);

/// The policy; what it drops as early, decoding drops already.
pub(super) fn policy(
    reader: &mut Reader,
    source: &Source,
    event: Option<&mut EventMapping>,
) -> TimePolicy {
    let time = reader
        .one_of("window.policy.time", &[("event", TimeBy::Event), ("arrival", TimeBy::Arrival)]);
    let policy = TimePolicy {
        time,
        early: rule(reader, "early", 366 * DAY, &[DROP, ADJUST]),
        late: rule(reader, "late", LATE_MOST, &[ADJUST, DROP]),
        out_of_order: reader.one_of(
            "window.policy.on_out_of_order",
            &[("off", None), ("adjust", Some(Action::Adjust)), ("drop", Some(Action::Drop))],
        ),
        scope: reader.one_of(
            "window.policy.watermark",
            &[("stream", Scope::Stream), ("sensor", Scope::Sensor)],
        ),
    };
    contradictions(reader, source, event.as_deref(), &policy);
    if let Some(event) = event {
        apply(reader, event, &policy);
    }
    policy
}

fn rule(
    reader: &mut Reader,
    name: &str,
    most: Duration,
    actions: &[(&str, Action)],
) -> Option<Rule> {
    let (key, on) = (format!("window.policy.{name}"), format!("window.policy.on_{name}"));
    let action = reader.one_of(&on, actions);
    if reader.text(&key).is_none() {
        if reader.text(&on).is_some() {
            reader.mistake(&on, format!("says what happens, but {key} does not say when: set it"));
        }
        return None;
    }
    let tolerance = reader.duration(&key, "0s", Duration::ZERO..=most);
    Some(Rule { tolerance_ns: tolerance.as_nanos() as i64, action })
}

fn contradictions(
    reader: &mut Reader,
    source: &Source,
    event: Option<&EventMapping>,
    policy: &TimePolicy,
) {
    const TIME: &str = "window.policy.time";
    const WATERMARK: &str = "window.policy.watermark";
    if policy.needs_arrivals() && source.kind == SourceKind::Files {
        reader.mistake("window.policy", "asks when readings arrived, which files do not say");
    }
    if policy.time == TimeBy::Arrival {
        if policy.early.is_some() || policy.late.is_some() || policy.out_of_order.is_some() {
            let what = "is \"arrival\": no rule applies to arrivals, take early, late and \
                        on_out_of_order out";
            reader.mistake(TIME, what);
        }
        if reader.text("event.early").is_some() {
            reader.mistake(
                "event.early",
                "judges event times, and window.policy.time is \"arrival\"",
            );
        }
    }
    if policy.scope == Scope::Sensor {
        if policy.late.is_none() {
            let what =
                "is \"sensor\": how long windows then wait is up to window.policy.late, set it";
            reader.mistake(WATERMARK, what);
        }
        if policy.out_of_order.is_none() {
            let what = "is \"sensor\", but window.policy.on_out_of_order is \"off\": nothing would be \
                        judged by it";
            reader.mistake(WATERMARK, what);
        }
    }
    let adjusts = |rule: Option<Rule>| rule.is_some_and(|rule| rule.action == Action::Adjust);
    let moves = policy.time == TimeBy::Arrival
        || adjusts(policy.early)
        || adjusts(policy.late)
        || policy.out_of_order == Some(Action::Adjust);
    if moves && event.is_some_and(|event| event.id.is_some()) {
        let what = "tells duplicates within a window, and window.policy may move a duplicate to \
                    another: use \"drop\" there";
        reader.mistake("event.id", what);
    }
}

/// What the policy means for decoding.
fn apply(reader: &mut Reader, event: &mut EventMapping, policy: &TimePolicy) {
    if policy.time == TimeBy::Arrival {
        // A sensor without a clock is what this is for.
        event.early_ns = i64::MAX;
        if reader.text("event.earliest").is_none() {
            event.earliest_ns = i64::MIN;
        }
    }
    if let Some(early) = policy.early {
        if early.tolerance_ns > event.early_ns {
            let what = "is longer than event.early, which rejects first: raise that";
            reader.mistake("window.policy.early", what);
        }
        if early.action == Action::Drop {
            event.early_ns = event.early_ns.min(early.tolerance_ns);
        }
    }
}
