//! The parts that a lake with anomaly events has otherwise than one without them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::parts::{CountersV2, TableV1, counters_in, counters_out};
use crate::record::{Counters, Table};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TableV3 {
    Predictions,
    Late,
    Rejects,
    Events,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountersV3 {
    pub messages: u64,
    pub readable: u64,
    pub rejected: u64,
    pub aggregated: u64,
    pub late: u64,
    pub late_closed: u64,
    pub late_arrival: u64,
    pub late_out_of_order: u64,
    pub filtered: u64,
    pub duplicate: u64,
    pub rows: u64,
    pub n_readings: u64,
    pub superseded: u64,
    pub events: u64,
    pub open: u64,
}

/// The parts that a lake with anomaly events has otherwise. One without them keeps the older form, so that
/// older programs read it.
pub(super) trait Parts {
    type Table: Serialize + DeserializeOwned;
    type Counters: Serialize + DeserializeOwned;

    fn table_out(table: Table) -> Self::Table;
    fn table_in(table: &Self::Table) -> Table;
    fn counters_out(counters: &Counters) -> Self::Counters;
    fn counters_in(counters: &Self::Counters) -> Counters;
}

/// Those of records up to format 2 and of summaries of format 1.
pub(super) enum WithoutEvents {}

/// Those of records of format 3 and of summaries of format 2.
pub(super) enum WithEvents {}

impl Parts for WithoutEvents {
    type Table = TableV1;
    type Counters = CountersV2;

    fn table_out(table: Table) -> TableV1 {
        match table {
            Table::Predictions => TableV1::Predictions,
            Table::Late => TableV1::Late,
            Table::Rejects => TableV1::Rejects,
            Table::Events => unreachable!("what has events is written in the form that knows them"),
        }
    }

    fn table_in(table: &TableV1) -> Table {
        match table {
            TableV1::Predictions => Table::Predictions,
            TableV1::Late => Table::Late,
            TableV1::Rejects => Table::Rejects,
        }
    }

    fn counters_out(counters: &Counters) -> CountersV2 {
        counters_out(counters)
    }

    fn counters_in(counters: &CountersV2) -> Counters {
        counters_in(counters)
    }
}

impl Parts for WithEvents {
    type Table = TableV3;
    type Counters = CountersV3;

    fn table_out(table: Table) -> TableV3 {
        match table {
            Table::Predictions => TableV3::Predictions,
            Table::Late => TableV3::Late,
            Table::Rejects => TableV3::Rejects,
            Table::Events => TableV3::Events,
        }
    }

    fn table_in(table: &TableV3) -> Table {
        match table {
            TableV3::Predictions => Table::Predictions,
            TableV3::Late => Table::Late,
            TableV3::Rejects => Table::Rejects,
            TableV3::Events => Table::Events,
        }
    }

    fn counters_out(counters: &Counters) -> CountersV3 {
        let CountersV2 {
            messages,
            readable,
            rejected,
            aggregated,
            late,
            late_closed,
            late_arrival,
            late_out_of_order,
            filtered,
            duplicate,
            rows,
            n_readings,
            superseded,
            open,
        } = counters_out(counters);
        CountersV3 {
            messages,
            readable,
            rejected,
            aggregated,
            late,
            late_closed,
            late_arrival,
            late_out_of_order,
            filtered,
            duplicate,
            rows,
            n_readings,
            superseded,
            events: counters.events,
            open,
        }
    }

    fn counters_in(c: &CountersV3) -> Counters {
        Counters {
            messages: c.messages,
            readable: c.readable,
            rejected: c.rejected,
            aggregated: c.aggregated,
            late: c.late,
            late_closed: c.late_closed,
            late_arrival: c.late_arrival,
            late_out_of_order: c.late_out_of_order,
            filtered: c.filtered,
            duplicate: c.duplicate,
            rows: c.rows,
            n_readings: c.n_readings,
            superseded: c.superseded,
            events: c.events,
            open: c.open,
        }
    }
}
