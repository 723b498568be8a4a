//! Old state in the place of the new one, and orderly ends.

use std::fs;
use std::sync::Arc;

use tidegauge_flow::NoFailpoint;

use crate::input;
use crate::lake;
use crate::life::{self, Orders, live};

#[test]
fn fm_28_an_older_checkpoint_than_the_last_commit_is_refused_and_nothing_is_written_over() {
    let folder = lake::fresh();
    let pipeline =
        life::pipeline(lake::store(folder.path()), Arc::new(NoFailpoint)).expect("opens");
    let messages = input::messages();
    let mut lane = life::open(&pipeline).expect("opens");
    for part in messages[..120].chunks(40) {
        life::feed(&mut lane, part).expect("feeds");
        lane.commit(1).expect("commits");
    }
    drop(lane);
    let states = lake::files(&folder.path().join("_tidegauge/state/t-0"));
    let [spare, newest] = &states[..] else { panic!("two checkpoints, not {states:?}") };
    let good = fs::read(newest).expect("reads");
    fs::copy(spare, newest).expect("somebody restores the older one");
    let before = lake::rows(folder.path());
    let error = life::open(&pipeline).map(drop).expect_err("refused");
    let text = format!("{error:#}");
    assert!(text.contains("cannot continue") && text.contains("damaged"), "{text}");
    lake::assert_same(&lake::rows(folder.path()), &before, "nothing was committed upon it");
    fs::write(newest, good).expect("somebody puts the right one back");
    live(&Orders::calm(folder.path(), 40)).expect("goes on");
    lake::assert_whole(folder.path(), "the right checkpoint is back");
}

#[test]
fn fm_30_an_orderly_stop_after_any_message_commits_all_that_was_read() {
    let messages = input::messages();
    for read in (0..messages.len()).step_by(17) {
        let folder = lake::fresh();
        let pipeline =
            life::pipeline(lake::store(folder.path()), Arc::new(NoFailpoint)).expect("opens");
        let mut lane = life::open(&pipeline).expect("opens");
        life::feed(&mut lane, &messages[..read]).expect("feeds");
        lane.commit(1).expect("the last commit");
        let stopped = life::position(&lane);
        drop(lane);
        let lane = life::open(&pipeline).expect("opens");
        assert_eq!(life::position(&lane), stopped, "nothing is read twice after {read}");
        drop(lane);
        live(&Orders::calm(folder.path(), 60)).expect("goes on");
        lake::assert_whole(folder.path(), &format!("stopped after {read}"));
    }
}
