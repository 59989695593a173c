//! What happens in a world, as data, and how to draw it by lot.

use proptest::prelude::*;

/// Phones are dialled.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What each phone does that is not the one that answers.
    pub phones: Vec<Fate>,
    /// How long they ring.
    pub rings_ms: u64,
    /// Which phone is picked up, and what follows.
    pub answered: Option<(usize, Talk)>,
    /// Whether who waits gives up, where nobody answers.
    pub given_up: bool,
}

/// What a phone does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Rings,
    Busy,
    Declines,
}

impl Fate {
    /// The cause with which it ends by itself, and what is told of it.
    pub fn by_itself(self) -> Option<(u16, &'static str)> {
        match self {
            Fate::Rings => None,
            Fate::Busy => Some((17, "busy")),
            Fate::Declines => Some((21, "rejected")),
        }
    }
}

/// Two talk for so long, and then something happens.
#[derive(Debug, Clone)]
pub struct Talk {
    pub ms: u64,
    pub next: Next,
}

/// One of the two: who called, or was transferred; and who was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Caller,
    Called,
}

/// What ends a conversation.
#[derive(Debug, Clone)]
pub enum Next {
    /// One of them hangs up.
    End(Who),
    /// One of them sends the other on.
    Blind(Who, Box<Plan>),
    /// One of them calls a third on a second line, talks for so long and joins the two.
    Attended(Who, u64, Box<Talk>),
    /// The same by feature code: Asterisk makes the second line.
    ByCode(Who, u64, Box<Talk>),
    /// One of them asks a third by feature code, who does not answer for so long, and goes back to the other.
    Back(Who, u64, Box<Talk>),
    /// One of them calls a third on a second line, lets it ring for so long in vain, and goes on talking.
    InVain(Who, u64, Box<Talk>),
}

/// Any plan in which so many transfers follow one another at most.
pub fn plans(transfers: u32) -> BoxedStrategy<Plan> {
    let fates = proptest::collection::vec(
        prop_oneof![3 => Just(Fate::Rings), 1 => Just(Fate::Busy), 1 => Just(Fate::Declines)],
        1..4,
    );
    let answered = prop_oneof![1 => Just(None), 4 => (0usize..4, talks(transfers)).prop_map(Some)];
    (fates, 100u64..30_000, answered, any::<bool>())
        .prop_map(|(phones, rings_ms, answered, given_up)| Plan { phones, rings_ms, answered, given_up })
        .boxed()
}

fn talks(transfers: u32) -> BoxedStrategy<Talk> {
    let who = || prop_oneof![Just(Who::Caller), Just(Who::Called)];
    let end = who().prop_map(Next::End);
    let next = if transfers == 0 {
        end.boxed()
    } else {
        let blind = (who(), plans(transfers - 1)).prop_map(|(who, plan)| Next::Blind(who, Box::new(plan)));
        let then = |(who, ms, then): (Who, u64, Talk)| (who, ms, Box::new(then));
        let third = move || (who(), 200u64..60_000, talks(transfers - 1)).prop_map(then);
        let attended = third().prop_map(|(who, ms, then)| Next::Attended(who, ms, then));
        let by_code = third().prop_map(|(who, ms, then)| Next::ByCode(who, ms, then));
        // Who goes back and hangs up within a second cannot be told from one who hangs up on both.
        let goes_on = |then: Box<Talk>| Box::new(Talk { ms: then.ms + 1000, ..*then });
        let back = third().prop_map(move |(who, ms, then)| Next::Back(who, ms, goes_on(then)));
        let in_vain = third().prop_map(move |(who, ms, then)| Next::InVain(who, ms, goes_on(then)));
        prop_oneof![2 => end, 2 => blind, 2 => attended, 2 => by_code, 1 => back, 1 => in_vain].boxed()
    };
    (300u64..600_000, next).prop_map(|(ms, next)| Talk { ms, next }).boxed()
}
