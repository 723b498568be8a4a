//! How lanes are opened: at an assignment, or again after trouble.

use anyhow::{Result, anyhow};
use tidegauge_aggregate::Closing;
use tidegauge_flow::Partition;
use tidegauge_ingest::{Begin, Origins};

use super::gap::{self, Gap};
use super::held::{Consuming, Held, Waiting};
use super::lanes::Lanes;
use super::trouble::{Trouble, Weight, weigh};
use crate::config::{LaneMode, OnGap};
use crate::lane::Lane;

impl Lanes {
    /// Where to read partitions that the group gives us.
    ///
    /// # Errors
    /// What is final.
    pub(super) fn take(&mut self, partitions: &[i32], origins: &dyn Origins) -> Result<Vec<Begin>> {
        for &partition in partitions {
            self.orders.forget(partition);
            if self.pipeline.config.source.lanes == LaneMode::Topic
                && !self.all.contains(&partition)
            {
                self.all.push(partition);
            }
        }
        let mut begins = Vec::with_capacity(partitions.len());
        for &partition in partitions {
            let number = self.lane_of(partition);
            if !self.held.contains_key(&number) {
                self.open_first(number, origins)?;
            }
            begins.push(self.begin_of(number, partition, origins)?);
        }
        Ok(begins)
    }

    fn begin_of(&mut self, number: i32, partition: i32, origins: &dyn Origins) -> Result<Begin> {
        let Some(Held::Consuming(held)) = self.held.get_mut(&number) else {
            return Ok(Begin::Later);
        };
        let input = match held.lane.input_of(partition) {
            Some(input) => input,
            // The topic has grown under the lane.
            None => {
                self.ends.watch(&[partition]);
                let place = Partition::new(self.topic.clone(), partition);
                held.lane.input(&place, origins.offset(partition)?)
            }
        };
        Ok(Begin::At(held.lane.next(input)))
    }

    fn open_first(&mut self, number: i32, origins: &dyn Origins) -> Result<()> {
        let partitions = self.partitions_of(number);
        self.ends.watch(&partitions);
        match self.open(number, origins) {
            Ok(lane) => {
                let held = Held::Consuming(Box::new(Consuming::new(lane, None, self.now())));
                self.held.insert(number, held);
                Ok(())
            }
            Err(error) => {
                let now = self.now();
                let waits = self.wait(number, Trouble::new(now), error);
                waits.inspect_err(|_| self.ends.forget(&partitions))
            }
        }
    }

    /// Opens lanes whose time to try again has come; one per call, for it may take a while.
    ///
    /// # Errors
    /// What is final, and what has lasted too long.
    pub fn reopen(&mut self, origins: &dyn Origins) -> Result<()> {
        let now = self.now();
        let due = |held: &Held| match held {
            Held::Waiting(waiting) if waiting.trouble.at <= now => Some(waiting.trouble),
            _ => None,
        };
        let found = self.held.iter().find_map(|(number, held)| Some((*number, due(held)?)));
        let Some((number, trouble)) = found else { return Ok(()) };
        let lane = match self.open(number, origins) {
            Ok(lane) => lane,
            Err(error) => return self.wait(number, trouble, error),
        };
        for partition in self.partitions_of(number) {
            if let Some(input) = lane.input_of(partition) {
                self.orders.seek(partition, lane.next(input));
            }
        }
        tracing::info!(lane = lane.name(), "lane opened again");
        let consuming = Consuming::new(lane, Some(trouble), self.now());
        self.held.insert(number, Held::Consuming(Box::new(consuming)));
        Ok(())
    }

    /// A lane's trouble: it is dropped and opened again later, unless the error is final.
    ///
    /// # Errors
    /// The error, when it is final or has lasted too long.
    pub(super) fn fail(&mut self, number: i32, error: anyhow::Error) -> Result<()> {
        let Some(held) = self.take_consuming(number) else { return Ok(()) };
        let trouble = held.trouble.unwrap_or_else(|| Trouble::new(self.now()));
        self.wait(number, trouble, error)
    }

    fn wait(&mut self, number: i32, mut trouble: Trouble, error: anyhow::Error) -> Result<()> {
        let Weight::Passes(why) = weigh(&error) else { return Err(error) };
        let lane = self.lane_name(number);
        self.pipeline.metrics.lane_dropped(why);
        tracing::warn!(lane, error = format!("{error:#}"), "lane has trouble, trying again");
        trouble.again(self.now(), self.retry_for(), error, |d| self.pipeline.jitter(d))?;
        self.set_waiting(number, trouble);
        Ok(())
    }

    pub(super) fn set_waiting(&mut self, number: i32, trouble: Trouble) {
        for partition in self.partitions_of(number) {
            self.orders.stop(partition);
        }
        self.held.insert(number, Held::Waiting(Waiting { trouble }));
    }

    pub(super) fn take_consuming(&mut self, number: i32) -> Option<Box<Consuming>> {
        match self.held.remove(&number)? {
            Held::Consuming(held) => Some(held),
            waiting => {
                self.held.insert(number, waiting);
                None
            }
        }
    }

    fn open(&self, number: i32, origins: &dyn Origins) -> Result<Lane> {
        let identity = origins.identity()?;
        let name = self.lane_name(number);
        let mut lane = Lane::open(&self.pipeline, &name, Closing::ByWatermark)?;
        for partition in self.partitions_of(number) {
            self.enter(&mut lane, partition, identity.as_deref(), origins)?;
        }
        if let Some(identity) = &identity {
            lane.identify(&self.topic, identity);
            lane.set_witness(&self.topic, &self.ends);
        }
        // A lane that is new begins here for good: `latest` must not mean another place after a crash.
        lane.commit(self.pipeline.clock.now_us())?;
        Ok(lane)
    }

    /// Makes a partition an input of the lane, at the ledger's position if that is still to be had.
    fn enter(
        &self,
        lane: &mut Lane,
        number: i32,
        identity: Option<&str>,
        origins: &dyn Origins,
    ) -> Result<()> {
        let partition = Partition::new(self.topic.clone(), number);
        let Some(next) = lane.position_of(&partition) else {
            lane.input(&partition, origins.offset(number)?);
            return Ok(());
        };
        let input = lane.input(&partition, next);
        let known = lane.identity_of(&self.topic);
        let place = format!("{}[{number}]", self.topic);
        match gap::find(place, next, origins.bounds(number)?, known, identity)? {
            None => Ok(()),
            Some(gap) => self.cross(lane, input, &gap),
        }
    }

    /// Goes past what is not to be had, if that is what the configuration wants.
    fn cross(&self, lane: &mut Lane, input: usize, gap: &Gap) -> Result<()> {
        if self.pipeline.config.source.on_gap == OnGap::Fail {
            return Err(anyhow!(
                "{gap}; set [source] on_gap = \"skip\" to go on there, with the jump in the ledger, \
                 or give the lake another [lake] url"
            ));
        }
        tracing::warn!(lane = lane.name(), skipped = gap.skipped(), "{gap}: going on there");
        self.pipeline.metrics.skipped_offsets.inc_by(gap.skipped());
        lane.jump(input, gap.to, gap.why);
        Ok(())
    }
}
