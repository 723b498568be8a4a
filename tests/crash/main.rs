//! Real crashes at every step: child processes that abort at each failpoint over a lake in a directory,
//! and a fresh process that continues. The lake must come out as if nothing had happened, row for row,
//! and prove it.

mod ambiguous;
mod child;
mod input;
mod lake;
mod life;
mod old;
mod swap;
mod upkeep;
mod walk;
