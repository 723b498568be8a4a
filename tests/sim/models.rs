//! Model sets that appear while the pipeline runs, and an alias that moves to them.

use std::sync::Arc;

use tidegauge::pipeline::registry_of;
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, KeyValue, SensorKey};
use tidegauge_score::{ModelEntry, ModelParams, Registry, SvmParams, SvmParts};

use crate::store::SimStore;
use crate::world::World;

/// Sets in a chain that widen each other.
const CHAIN_MAX: u64 = 3;

/// Who publishes models.
pub struct Models {
    world: Arc<World>,
    registry: Registry,
    newest: Option<u64>,
}

impl Models {
    pub fn new(world: Arc<World>) -> Self {
        let registry = registry_of(Arc::new(SimStore { world: world.clone(), process: 0 }));
        Self { world, registry, newest: None }
    }

    /// Publishes another set and moves the alias; some sets hold few sensors and widen the last one, and
    /// now and then the alias goes back.
    pub fn publish(&mut self, chance: usize) {
        if let Some(version) = self.newest.filter(|v| *v > 1 && chance.is_multiple_of(5)) {
            self.champion(version - 1);
            return;
        }
        let key = KeySchema::new(vec![KeyColumn { name: "Id".into(), kind: KeyType::Int64 }]);
        let widens = self
            .newest
            .filter(|version| chance.is_multiple_of(3) && !version.is_multiple_of(CHAIN_MAX));
        let of_partition = |p: i64| (0..4).map(move |id| p * 100 + id);
        let all =
            (0..6).flat_map(of_partition).filter(|id| !(*id as usize + chance).is_multiple_of(3));
        let next = self.newest.map_or(1, |newest| newest + 1);
        let entries = all.map(|id| entry(id, next)).collect();
        let published = self.registry.publish(&key, entries, widens, "sim", 1);
        let version = published.expect("nothing is in the way of the one who publishes");
        assert_eq!(version, next, "nobody else publishes");
        self.newest = Some(version);
        self.champion(version);
    }

    fn champion(&self, version: u64) {
        self.world.state().note(format_args!("champion is set {version}"));
        let moved = self.registry.move_alias("champion", version, 1);
        moved.expect("nothing is in the way of the one who moves the alias");
    }
}

/// The threshold by which a row shows which set scored it.
pub fn threshold(version: u64) -> f64 {
    -0.4 - version as f64 / 1000.0
}

fn entry(id: i64, version: u64) -> ModelEntry {
    let svm = SvmParams::new(SvmParts {
        mean: vec![30.0],
        scale: vec![20.0],
        vectors: vec![0.0],
        alpha: vec![1.0],
        gamma: 0.1,
        rho: 0.5,
        ..SvmParts::default()
    });
    ModelEntry {
        key: SensorKey([KeyValue::Int(id)].into()),
        features: vec!["s".into()],
        model: ModelParams::OneClassSvm(svm.expect("a valid model")),
        threshold: threshold(version),
        calibration: None,
        training: None,
        source: "made for the simulation".into(),
    }
}
