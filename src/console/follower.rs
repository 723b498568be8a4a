//! The thread that reads the lake for the console: only when somebody asks, and at most about once a second.
//!
//! *Why a thread*: questions come on several threads at once and must share one look. A first look at a large lake
//! takes longer than a question should wait: it goes on while the asker is told how far it is.
//!
//! *Costs*: nobody asks, nothing is read. Lanes never wait for it.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tidegauge_serve::console::{Answer, ConsoleError};

use super::events::Book;
use super::index::Index;
use super::look::{Look, Looker, Trouble};
use super::origin::Origin;
use crate::background::End;

/// How often the lake is looked at, at most.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// For so long a look is good enough.
    pub fresh: Duration,
    /// For so long it is enough to look for the next records of the lanes that are known.
    pub listed: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { fresh: Duration::from_millis(900), listed: Duration::from_secs(5) }
    }
}

/// For so long a question waits for a look.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the lake.
#[derive(Debug, Default)]
pub struct State {
    pub look: Look,
    /// `None` before the lake is one.
    pub index: Option<Index>,
    pub events: Book,
}

/// What a question needs to be up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Ledger,
    Index,
}

#[derive(Debug, Default)]
struct Turn {
    /// Looks that have ended, whatever came of them.
    rounds: u64,
    ended: Option<Instant>,
    has_ledger: bool,
    has_index: bool,
    ledger_trouble: Option<String>,
    index_trouble: Option<String>,
    /// Files read and files to read, of a look under way.
    progress: (usize, usize),
}

#[derive(Default)]
struct Shared {
    state: RwLock<State>,
    turn: Mutex<Turn>,
    turned: Condvar,
}

/// See the module's documentation.
pub struct Follower {
    shared: Arc<Shared>,
    fresh: Duration,
    wakes: Option<Sender<()>>,
    end: End,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// # Errors
    /// When the system gives no thread.
    pub fn start(origin: Arc<Origin>, pace: Pace) -> std::io::Result<Self> {
        let (wakes, woken) = bounded(1);
        let (shared, end) = (Arc::new(Shared::default()), End::default());
        let (ours, ending) = (shared.clone(), end.clone());
        let body = move || follow(&ours, &woken, Looker::new(origin, ending, pace.listed));
        let thread = std::thread::Builder::new().name("console".into()).spawn(body)?;
        Ok(Self { shared, fresh: pace.fresh, wakes: Some(wakes), end, thread: Some(thread) })
    }

    /// The lake by its ledger, as it was a second ago or later.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] when it cannot be read.
    pub fn ledger(&self) -> Answer<RwLockReadGuard<'_, State>> {
        self.look(Need::Ledger)
    }

    /// The same with the index of its predictions.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] when it cannot be read, or is still being read for the first time.
    pub fn index(&self) -> Answer<RwLockReadGuard<'_, State>> {
        self.look(Need::Index)
    }

    fn look(&self, need: Need) -> Answer<RwLockReadGuard<'_, State>> {
        let mut turn = self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.ended.is_none_or(|ended| ended.elapsed() > self.fresh) {
            let (before, deadline) = (turn.rounds, Instant::now() + PATIENCE);
            if let Some(wakes) = &self.wakes {
                // One who waits is enough: the look is everybody's.
                let _ = wakes.try_send(());
            }
            let is_enough = |turn: &Turn| match need {
                Need::Ledger => turn.rounds > before || turn.has_ledger && !turn.has_index,
                Need::Index => turn.rounds > before,
            };
            while !is_enough(&turn) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = self.shared.turned.wait_timeout(turn, left);
                turn = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let unavailable = |what: &String| Err(ConsoleError::Unavailable(what.clone()));
        let trouble = match need {
            Need::Index => turn.ledger_trouble.as_ref().or(turn.index_trouble.as_ref()),
            Need::Ledger => turn.ledger_trouble.as_ref(),
        };
        if let Some(what) = trouble {
            return unavailable(what);
        }
        let is_there = if need == Need::Index { turn.has_index } else { turn.has_ledger };
        if !is_there {
            let (read, all) = turn.progress;
            return unavailable(&format!(
                "the lake is being read for the first time: {read} of {all} files so far; ask again"
            ));
        }
        drop(turn);
        Ok(self.shared.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end.come();
        self.wakes.take();
        if let Some(thread) = self.thread.take() {
            // It looks at its end between two files.
            let _ = thread.join();
        }
    }
}

fn follow(shared: &Shared, woken: &Receiver<()>, mut looker: Looker) {
    while woken.recv().is_ok() {
        let ledger = looker.look();
        shared.tell(
            |turn| match &ledger {
                Ok(_) => (turn.has_ledger, turn.ledger_trouble) = (true, None),
                Err(error) => turn.ledger_trouble = Some(format!("{error:#}")),
            },
            |state| {
                if let Ok(Some(look)) = &ledger {
                    state.look = look.clone();
                }
            },
        );
        let indexed = match ledger {
            Ok(_) => looker.read(&mut |change| shared.change(change), &mut |progress| {
                shared.tell(|turn| turn.progress = progress, |_| {});
            }),
            Err(_) => Err(Trouble::Passing),
        };
        shared.tell(
            |turn| {
                match indexed {
                    Ok(()) => (turn.has_index, turn.index_trouble) = (true, None),
                    Err(Trouble::Named(what)) => turn.index_trouble = Some(what),
                    Err(Trouble::Passing) => {}
                }
                (turn.rounds, turn.ended) = (turn.rounds + 1, Some(Instant::now()));
            },
            |_| {},
        );
    }
}

impl Shared {
    /// Changes the state first, so that who is woken sees it.
    fn tell(&self, turn: impl FnOnce(&mut Turn), state: impl FnOnce(&mut State)) {
        self.change(state);
        turn(&mut self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        self.turned.notify_all();
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}
