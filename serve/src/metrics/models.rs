//! What the models are like that aliases mean: how old, how many, how often they flag what is normal.

use prometheus::{Gauge, GaugeVec, IntGaugeVec, Opts, Registry};

use super::gauges;

/// What an alias is used for, and the label of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The verdicts' models.
    Champion,
    /// Those of the onset view.
    Onset,
    /// Those that judge beside the champion.
    Challenger,
    /// Those that stand in.
    Fallback,
}

impl View {
    /// Every view.
    pub const ALL: [Self; 4] = [Self::Champion, Self::Onset, Self::Challenger, Self::Fallback];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Onset => "onset",
            Self::Challenger => "challenger",
            Self::Fallback => "fallback",
        }
    }
}

/// The models of one alias, taken together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelsSeen {
    /// The set that the alias means.
    pub set: u64,
    /// When that set was published, seconds since 1970.
    pub published_seconds: f64,
    /// Models that it leads to.
    pub models: usize,
    /// End of the last window that the model was trained on that saw the latest, and the earliest; none
    /// where no model says it.
    pub trained_to_seconds: Option<(f64, f64)>,
    /// Shares of held-out normal windows that models flag, in any order.
    pub false_alarm_rates: Vec<f64>,
}

/// Shares of models, and how they are written.
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.9, "0.9"), (1.0, "1")];

/// What is known of the aliases' models. Series of a view appear when it has models.
#[derive(Debug)]
pub struct ModelMetrics {
    sets: IntGaugeVec,
    models: IntGaugeVec,
    published: GaugeVec,
    trained_to: GaugeVec,
    false_alarms: GaugeVec,
}

impl ModelMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let numbers = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<GaugeVec> {
            let family = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        Ok(Self {
            sets: gauges(
                registry,
                "tidegauge_score_alias_set",
                "Version of the set that a view's alias means.",
                &["view"],
            )?,
            models: gauges(
                registry,
                "tidegauge_score_alias_models",
                "Models that a view's alias leads to.",
                &["view"],
            )?,
            published: numbers(
                "tidegauge_score_alias_published_timestamp_seconds",
                "When the set of a view's alias was published, seconds since 1970.",
                &["view"],
            )?,
            trained_to: numbers(
                "tidegauge_score_trained_to_timestamp_seconds",
                "End of the last window that models were trained on, seconds since 1970.",
                &["view", "model"],
            )?,
            false_alarms: numbers(
                "tidegauge_score_false_alarm_rate",
                "Share of held-out normal windows that models flag, by the share of models below it.",
                &["view", "quantile"],
            )?,
        })
    }

    /// Says what a view's models are like from now on.
    pub fn seen(&self, view: View, seen: &ModelsSeen) {
        let label = view.as_str();
        let one = [label];
        self.sets.with_label_values(&one).set(i64::try_from(seen.set).unwrap_or(i64::MAX));
        let models = i64::try_from(seen.models).unwrap_or(i64::MAX);
        self.models.with_label_values(&one).set(models);
        self.published.with_label_values(&one).set(seen.published_seconds);
        let (newest, oldest) = seen.trained_to_seconds.unzip();
        put(&self.trained_to, [label, "newest"], newest);
        put(&self.trained_to, [label, "oldest"], oldest);
        let mut rates = seen.false_alarm_rates.clone();
        rates.sort_by(f64::total_cmp);
        for (share, written) in QUANTILES {
            // The smallest rate that so many models do not exceed.
            let place = ((rates.len() as f64 * share).ceil() as usize).saturating_sub(1);
            put(&self.false_alarms, [label, written], rates.get(place).copied());
        }
    }
}

/// Sets a series, or takes it away: no number is better than an old one.
fn put(family: &GaugeVec, labels: [&str; 2], value: Option<f64>) {
    match value {
        Some(value) => Gauge::set(&family.with_label_values(&labels), value),
        // An error says that there is none.
        None => drop(family.remove_label_values(&labels)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_by_view_and_taken_back_when_nothing_is_known() {
        let registry = Registry::new();
        let metrics = ModelMetrics::register(&registry).expect("distinct names");
        let rates = (1..=10).rev().map(|n| f64::from(n) / 100.0).collect();
        let seen = ModelsSeen {
            set: 7,
            published_seconds: 5.0,
            models: 10,
            trained_to_seconds: Some((4.0, 2.0)),
            false_alarm_rates: rates,
        };
        metrics.seen(View::Champion, &seen);
        let rate = |quantile| metrics.false_alarms.with_label_values(&["champion", quantile]).get();
        assert_eq!((rate("0.5"), rate("0.9"), rate("1")), (0.05, 0.09, 0.1));
        let trained = |model| metrics.trained_to.with_label_values(&["champion", model]).get();
        assert_eq!((trained("newest"), trained("oldest")), (4.0, 2.0));
        metrics.seen(View::Champion, &ModelsSeen { set: 8, ..ModelsSeen::default() });
        let names: Vec<_> = registry.gather().iter().map(|f| f.name().to_owned()).collect();
        assert!(!names.iter().any(|name| name.contains("false_alarm")), "{names:?}");
        assert_eq!(metrics.sets.with_label_values(&["champion"]).get(), 8);
    }
}
