//! Every way an event comes in.
//!
//! A feed reads what is outside, makes [`Event`](crate::event::Event)s of it and hands them to the one door of
//! the house. It is told whether they are kept, tells that to whoever waits for it, and knows nothing of what
//! becomes of them: no calls, no database, no notices.
//!
//! All feeds may tell of the same things. An event of the dialplan has the same token on whatever way it comes, so
//! what one feed could not deliver in time may be delivered by another, and counts once. What somebody else tells of
//! the same call has names of its own and is put under the dialplan's word.

pub mod agi;
pub mod ami;
pub mod cdr;
pub mod push;
pub mod spool;
