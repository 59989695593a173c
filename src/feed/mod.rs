//! Every way an event comes in.
//!
//! A feed reads what is outside, makes [`Event`](crate::event::Event)s of it and hands them to the one door of
//! the house. It is told whether they are kept, tells that to whoever waits for it, and knows nothing of what
//! becomes of them: no calls, no database, no notices.
//!
//! All feeds may tell of the same things. An event has the same token on whatever way it comes, so what one
//! feed could not deliver in time may be delivered by another, and counts once.

pub mod agi;
pub mod push;
pub mod spool;
