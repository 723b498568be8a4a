//! The runner: decides who goes on, what breaks, and when it is over.
//!
//! *How interleaving works without threads*: each call of the store and each failpoint of a process may
//! let the others go on for a while, by running steps in the middle of the call. So a process stands
//! between any two steps of a commit for as long as the seed wants, and then goes on with what it knew.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tidegauge::control::OpenWindows;

use crate::executor::SimExecutor;
use crate::models::Models;
use crate::process::{Process, member};
use crate::scenario::Scenario;
use crate::source::ledger_position;
use crate::upkeep;
use crate::world::{Faults, World};

/// After trouble has ended and all is sent, it must all be committed within this time.
const PATIENCE: Duration = Duration::from_secs(400);
/// How deep processes may stand in the middle of calls.
const DEPTH_MAX: usize = 2;
const HOUR: Duration = Duration::from_secs(3600);

/// One seed's run.
pub struct Runner {
    pub world: Arc<World>,
    scenario: Scenario,
    slots: Vec<Slot>,
    depth: Cell<usize>,
    next_id: Cell<u64>,
    models: RefCell<Models>,
    /// The part of the world that has calmed down.
    calm: Cell<bool>,
}

/// A place for a process, and what may be known of it while it is busy.
struct Slot {
    process: RefCell<Option<Process>>,
    /// Where its process writes epochs: beside its workers.
    commits: RefCell<Option<Arc<SimExecutor>>>,
    id: Cell<u64>,
    name: RefCell<String>,
    /// Not to be started or turned before.
    until: Cell<Duration>,
    /// Stopped by a signal or asleep: it does not even say that it is alive.
    frozen: Cell<bool>,
    /// The same, in the middle of so many calls.
    standing: Cell<usize>,
}

impl Slot {
    fn is_awake(&self) -> bool {
        !self.frozen.get() && self.standing.get() == 0
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Runner>>> = const { RefCell::new(None) };
}

/// Lets the others go on in the middle of a call of this process, now and then.
pub fn others_go_on(world: &World, process: u64) {
    let go = {
        let mut state = world.state();
        let rate = state.faults.interleave;
        state.chance(rate)
    };
    if !go {
        return;
    }
    let Some(runner) = CURRENT.with_borrow(Clone::clone) else { return };
    if runner.depth.get() < DEPTH_MAX {
        runner.interleave(process);
    }
}

/// Time passes for everybody while somebody waits.
pub fn time_passes(by: Duration) {
    let Some(runner) = CURRENT.with_borrow(Clone::clone) else { return };
    runner.pass(by);
}

/// Runs a seed to its end; problems are in the world.
pub fn run(world: Arc<World>, scenario: Scenario) -> Rc<Runner> {
    let slot = |n: usize| Slot {
        process: RefCell::default(),
        commits: RefCell::default(),
        id: Cell::new(0),
        name: RefCell::new(format!("p{n}")),
        until: Cell::new(Duration::ZERO),
        frozen: Cell::new(false),
        standing: Cell::new(0),
    };
    let runner = Rc::new(Runner {
        slots: (0..scenario.processes).map(slot).collect(),
        models: RefCell::new(Models::new(world.clone())),
        world,
        scenario,
        depth: Cell::new(0),
        next_id: Cell::new(1),
        calm: Cell::new(false),
    });
    CURRENT.set(Some(runner.clone()));
    runner.clone().carry_out();
    CURRENT.set(None);
    runner
}

impl Runner {
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    fn carry_out(&self) {
        let chance = self.world.state().below(1000);
        if chance < 600 {
            self.models.borrow_mut().publish(chance);
        }
        while self.now() < self.scenario.calm_at {
            self.step();
        }
        self.calm_down();
        if !self.wait_for(|| self.now() > self.last_sent() && self.is_done()) {
            let positions = self.positions();
            self.world.state().problem(format!("not all is committed in the end: {positions:?}"));
            return;
        }
        for slot in &self.slots {
            if let Some(process) = slot.process.take()
                && let Err(error) = process.stop(OpenWindows::Leave)
            {
                // One that was left out while it slept may learn only now that its lanes are gone.
                self.judge(slot, &error);
            }
            let id = slot.id.replace(0);
            *slot.commits.borrow_mut() = None;
            self.world.state().dead.insert(id);
            self.world.state().note(format_args!("{id}: ended"));
            slot.until.set(Duration::MAX);
        }
        self.end();
    }

    /// A last process takes all lanes, so that whatever others have left undone is done, and ends.
    fn end(&self) {
        self.slots[0].until.set(Duration::ZERO);
        let last = &self.slots[0].id;
        if !self.wait_for(|| last.get() > 0 && self.world.state().group.is_all_of(last.get())) {
            self.world.state().problem("the last process does not get all partitions".into());
        }
        let Some(process) = self.slots[0].process.take() else { return };
        let windows = match self.scenario.close_windows {
            true => OpenWindows::Close,
            false => OpenWindows::Leave,
        };
        if let Err(error) = process.stop(windows) {
            self.world.state().problem(format!("the orderly end fails: {error:#}"));
        }
    }

    /// Goes on until something is so; false when it takes too long.
    fn wait_for(&self, is_so: impl Fn() -> bool) -> bool {
        let deadline = self.now().max(self.last_sent()) + PATIENCE;
        while !is_so() {
            if self.now() > deadline {
                return false;
            }
            self.step();
        }
        true
    }

    fn calm_down(&self) {
        self.calm.set(true);
        let mut state = self.world.state();
        state.faults = Faults::default();
        state.note(format_args!("calm"));
        drop(state);
        for slot in &self.slots {
            slot.frozen.set(false);
            slot.until.set(Duration::ZERO);
        }
    }

    /// A little time passes, something may break, and somebody goes on.
    fn step(&self) {
        let by = {
            let mut state = self.world.state();
            match state.below(400) {
                399 if !self.calm.get() => state.millis(600_000..4_000_000),
                0..20 => state.millis(1..20),
                n if n % 8 == 0 => state.millis(2_000..9_000),
                _ => state.millis(20..900),
            }
        };
        self.pass(by);
        if self.depth.get() == 0 || !self.calm.get() {
            self.trouble();
        }
        let (chosen, writes) = {
            let mut state = self.world.state();
            (state.below(self.slots.len()), state.chance(5_000))
        };
        if writes {
            self.write(&self.slots[chosen]);
        }
        self.turn(chosen);
    }

    /// Lets an epoch of a process be written.
    fn write(&self, slot: &Slot) {
        let alive = !self.world.state().dead.contains(&slot.id.get());
        if slot.until.get() > self.now() || !slot.is_awake() || !alive {
            return;
        }
        let commits = slot.commits.borrow().clone();
        if let Some(commits) = commits {
            commits.run_one();
        }
    }

    fn pass(&self, by: Duration) {
        let mut state = self.world.state();
        let then = state.now + by;
        for slot in self.slots.iter().filter(|slot| slot.id.get() > 0 && slot.is_awake()) {
            let id = slot.id.get();
            if state.dead.contains(&id) {
                continue;
            }
            for thread in 0..self.scenario.threads {
                state.group.heartbeat(&member(&slot.name.borrow(), thread), id, then);
            }
        }
        state.advance(by);
    }

    /// Starts or turns the process of a slot, unless it stands in the middle of a call.
    fn turn(&self, chosen: usize) {
        let slot = &self.slots[chosen];
        let now = self.now();
        if slot.until.get() > now || slot.standing.get() > 0 {
            return;
        }
        let Ok(mut process) = slot.process.try_borrow_mut() else { return };
        slot.frozen.set(false);
        if self.bury(slot, &mut process) {
            return;
        }
        let Some(running) = process.as_mut() else {
            *process = self.start(slot);
            return;
        };
        let (asks, ago, worker) = {
            let mut state = self.world.state();
            (state.chance(6_000), state.millis(0..700), state.below(running.workers()))
        };
        if asks {
            running.ends.refresh(ago);
        }
        let turned = running.turn(worker);
        if self.bury(slot, &mut process) {
            return;
        }
        if let Err(error) = turned {
            self.judge(slot, &error);
            // The first failure of a worker ends its process; the other workers end in order.
            if let Some(process) = process.take()
                && let Err(error) = process.fail(worker)
            {
                self.judge(slot, &error);
            }
            self.rest(slot);
        }
    }

    fn start(&self, slot: &Slot) -> Option<Process> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        slot.id.set(id);
        let name = slot.name.borrow().clone();
        self.world.state().note(format_args!("{id}: starts as {name}"));
        match Process::start(&self.world, &self.scenario, &name, id) {
            Ok(process) => {
                *slot.commits.borrow_mut() = Some(process.commits());
                Some(process)
            }
            Err(error) => {
                self.judge(slot, &error);
                self.rest(slot);
                None
            }
        }
    }

    /// Takes a dead process away, without any of its code.
    fn bury(&self, slot: &Slot, process: &mut Option<Process>) -> bool {
        let dead = process.is_some() && self.world.state().dead.contains(&slot.id.get());
        if dead {
            *process = None;
            self.rest(slot);
        }
        dead
    }

    /// A process has ended: its supervisor starts another after a while, mostly under the same name.
    fn rest(&self, slot: &Slot) {
        let mut state = self.world.state();
        // A process that has ended does nothing more, whatever its threads are at.
        state.dead.insert(slot.id.replace(0));
        *slot.commits.borrow_mut() = None;
        slot.until.set(state.now + state.millis(200..20_000));
        if state.chance(2_500) {
            *slot.name.borrow_mut() = format!("q{}", self.next_id.get());
        }
    }

    /// A process may fail because of what is done to it, and for no other reason.
    fn judge(&self, slot: &Slot, error: &anyhow::Error) {
        self.judge_text(slot.id.get(), &format!("{error:#}"));
    }

    fn judge_text(&self, id: u64, text: &str) {
        let mut state = self.world.state();
        state.note(format_args!("{id}: fails: {text}"));
        let reasons = [
            "simulated",
            "interrupted by a failpoint",
            "was taken by writer",
            "was taken by another writer at each",
            "another member took our name",
            "has failed at an earlier commit",
            "was not done in time",
        ];
        if !reasons.iter().any(|reason| text.contains(reason)) {
            state.problem(format!("a process fails for no reason: {text}"));
        }
    }

    /// Something that happens to processes, clocks or models.
    fn trouble(&self) {
        let (what, victim) = {
            let mut state = self.world.state();
            let rate = state.faults.process;
            if !state.chance(rate) {
                return;
            }
            (state.below(22), state.below(self.slots.len()))
        };
        let slot = &self.slots[victim];
        match what {
            0..3 => self.kill(slot),
            3..7 => self.freeze(slot),
            7..9 => self.stop(slot),
            9 => self.lose_power(),
            10..12 => self.set_clock(slot),
            12..15 => {
                let chance = self.world.state().below(1000);
                self.models.borrow_mut().publish(chance);
            }
            15..18 => self.maintain(),
            18..20 => self.delete_messages(),
            _ => {
                // Scaled down for a while.
                self.stop(slot);
                let mut state = self.world.state();
                slot.until.set(state.now + state.millis(20_000..300_000));
            }
        }
    }

    /// Retention overtakes whoever has not read yet.
    fn delete_messages(&self) {
        let mut state = self.world.state();
        let now = state.now;
        if !self.scenario.retention {
            return;
        }
        let partitions = state.topic.partitions(now);
        let partition = state.below(partitions) as i32;
        let end = state.topic.end(partition, now);
        let low = (end - state.below(12) as i64).max(0);
        state.note(format_args!("partition {partition} begins at {low}"));
        state.topic.delete_below(partition, low);
    }

    /// Somebody maintains the lake, and may die of it like anybody else.
    fn maintain(&self) {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.world.state().note(format_args!("{id}: maintains the lake"));
        if let Err(error) = upkeep::run(&self.world, &self.scenario, id) {
            self.judge_text(id, &format!("{error:#}"));
        }
        let mut state = self.world.state();
        state.dead.insert(id);
        state.note(format_args!("{id}: is done"));
    }

    fn kill(&self, slot: &Slot) {
        let mut state = self.world.state();
        let id = slot.id.get();
        if id > 0 && state.dead.insert(id) {
            state.note(format_args!("{id}: killed"));
        }
    }

    fn freeze(&self, slot: &Slot) {
        let mut state = self.world.state();
        let long = match state.below(4) {
            0 => state.millis(1_000..9_000),
            1 => state.millis(9_000..14_000),
            2 => state.millis(14_000..120_000),
            _ => HOUR + state.millis(0..3_600_000),
        };
        let until = state.now + long;
        state.note(format_args!("{}: frozen until {:.0}", slot.id.get(), until.as_secs_f64()));
        slot.until.set(until);
        slot.frozen.set(true);
    }

    fn stop(&self, slot: &Slot) {
        let Ok(mut process) = slot.process.try_borrow_mut() else { return };
        if self.bury(slot, &mut process) || !slot.is_awake() {
            return;
        }
        let windows = match self.world.state().chance(2_000) {
            true => OpenWindows::Close,
            false => OpenWindows::Leave,
        };
        let Some(process) = process.take() else { return };
        self.world.state().note(format_args!("{}: stops, {windows:?}", slot.id.get()));
        if let Err(error) = process.stop(windows) {
            self.judge(slot, &error);
        }
        self.rest(slot);
    }

    fn lose_power(&self) {
        let mut state = self.world.state();
        let all: BTreeSet<u64> = self.slots.iter().map(|slot| slot.id.get()).collect();
        state.dead.extend(all);
        let state = &mut *state;
        let lost = state.objects.lose_power(&mut state.random);
        state.note(format_args!("power lost, and {lost} objects"));
    }

    fn set_clock(&self, slot: &Slot) {
        let mut state = self.world.state();
        // Below what makes an event too early or too old.
        let most = [1_000_000_000, 600_000_000_000, 6 * 3_600_000_000_000][state.below(3)];
        let skew = state.random.random_range(-most..most);
        state.note(format_args!("{}: its wall clock is off by {skew} ns", slot.id.get()));
        state.skew.insert(slot.id.get(), skew);
    }

    /// Others go on while this process stands in the middle of a call.
    fn interleave(&self, process: u64) {
        // Maintenance has no slot: nobody waits for a sign of life of it.
        let slot = self.slots.iter().find(|slot| slot.id.get() == process);
        let (steps, freezes, first) = {
            let mut state = self.world.state();
            let freezes = state.chance(5_000);
            let first = match freezes {
                true => state.millis(5_000..60_000),
                false => state.millis(0..100),
            };
            state.note(format_args!("{process}: stands still, frozen: {freezes}"));
            (state.below(60), freezes, first)
        };
        let stands = |more: bool| {
            if let Some(slot) = slot.filter(|_| freezes) {
                let calls = slot.standing.get();
                slot.standing.set(if more { calls + 1 } else { calls - 1 });
            }
        };
        stands(true);
        self.depth.set(self.depth.get() + 1);
        self.pass(first);
        for _ in 0..steps {
            self.step();
        }
        self.depth.set(self.depth.get() - 1);
        stands(false);
        self.world.state().note(format_args!("{process}: goes on"));
    }

    fn now(&self) -> Duration {
        self.world.state().now
    }

    fn last_sent(&self) -> Duration {
        self.scenario.sent.iter().flatten().map(|sent| sent.at).max().unwrap_or_default()
    }

    /// Everything that was ever sent is committed.
    fn is_done(&self) -> bool {
        self.positions().iter().all(|(committed, end)| committed == end)
    }

    /// Of each partition: the ledger's position and the end.
    fn positions(&self) -> Vec<(i64, i64)> {
        let state = self.world.state();
        let of = |partition: usize| {
            let folder = format!("_tidegauge/ledger/t-{partition}/");
            let newest = state.objects.last_in(&folder);
            let committed = newest.map_or(-1, |(_, bytes)| ledger_position(bytes));
            (committed, state.topic.end(partition as i32, state.now))
        };
        (0..state.topic.partitions(state.now)).map(of).collect()
    }
}
