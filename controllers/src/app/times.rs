//! How long keys wait for their turn, and how long the work on them takes: from the look at a key until the last write that
//! came of it is answered, since upstream's workers wait for their answers.

use std::{collections::BTreeMap, time::Duration};

use hashbrown::HashMap;
use headroom_core::{
    Mono,
    intent::{Intent, IntentId, Op},
};

/// What there is to tell of one queue.
#[derive(Debug, Default)]
pub(super) struct QueueTimes {
    /// Of the keys since somebody asked: one for each look, so that the batches of the process bound it.
    waited: Vec<Duration>,
    worked: Vec<Duration>,
    /// Looks with writes under way: their number, which grows with time, and when they began.
    open: BTreeMap<u64, Mono>,
    /// Sum of these times, in microseconds.
    begun: u128,
}

impl QueueTimes {
    /// How long those keys had waited that were taken since the last call.
    pub(super) fn waited(&mut self) -> std::vec::Drain<'_, Duration> {
        self.waited.drain(..)
    }

    /// How long the work took that has ended since the last call.
    pub(super) fn worked(&mut self) -> std::vec::Drain<'_, Duration> {
        self.worked.drain(..)
    }

    /// How long the work under way has taken so far: all together, and the longest.
    pub(super) fn in_work(&self, now: Mono) -> (Duration, Duration) {
        let all = (u128::from(now.0) * self.open.len() as u128).saturating_sub(self.begun);
        let longest = self.open.first_key_value().map_or(Duration::ZERO, |(_, since)| now.since(*since));
        (Duration::from_micros(u64::try_from(all).unwrap_or(u64::MAX)), longest)
    }
}

/// One look at a key, while writes that came of it are under way.
#[derive(Debug)]
struct Look {
    queue: &'static str,
    unanswered: usize,
}

/// The times of all queues.
#[derive(Debug, Default)]
pub(super) struct Times {
    queues: BTreeMap<&'static str, QueueTimes>,
    looks: HashMap<u64, Look>,
    writes: HashMap<IntentId, u64>,
    last: u64,
}

impl Times {
    /// Those of one queue.
    pub(super) fn of(&mut self, queue: &'static str) -> &mut QueueTimes {
        self.queues.entry(queue).or_default()
    }

    /// A key was taken after it had waited for so long, and looked at from `from` to `to`; these intents came of it.
    pub(super) fn looked(&mut self, queue: &'static str, waited: Duration, from: Mono, to: Mono, intents: &[Intent]) {
        self.last += 1;
        let number = self.last;
        let unanswered = self.follow(number, intents);
        let times = self.of(queue);
        times.waited.push(waited);
        if unanswered == 0 {
            times.worked.push(to.since(from));
            return;
        }
        times.open.insert(number, from);
        times.begun += u128::from(from.0);
        self.looks.insert(number, Look { queue, unanswered });
    }

    /// An intent was answered. What came of that belongs to the same look.
    pub(super) fn answered(&mut self, id: IntentId, intents: &[Intent], now: Mono) {
        let Some(number) = self.writes.remove(&id) else { return };
        let more = self.follow(number, intents);
        let Some(look) = self.looks.get_mut(&number) else { return };
        look.unanswered = (look.unanswered + more).saturating_sub(1);
        if look.unanswered > 0 {
            return;
        }
        let queue = look.queue;
        self.looks.remove(&number);
        let times = self.of(queue);
        if let Some(since) = times.open.remove(&number) {
            times.begun = times.begun.saturating_sub(u128::from(since.0));
            times.worked.push(now.since(since));
        }
    }

    /// Returns how many answers are to come; events have none.
    fn follow(&mut self, look: u64, intents: &[Intent]) -> usize {
        let mut answers = 0;
        for intent in intents.iter().filter(|intent| !matches!(intent.op, Op::Event(_))) {
            self.writes.insert(intent.id, look);
            answers += 1;
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::{Kind, ObjectKey};

    const fn at(ms: u64) -> Mono {
        Mono(ms * 1000)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn get(id: u64) -> Intent {
        Intent { id: IntentId(id), op: Op::Get { kind: Kind::POD, key: ObjectKey::default() } }
    }

    fn worked(times: &mut Times, queue: &'static str) -> Vec<Duration> {
        times.of(queue).worked().collect()
    }

    #[test]
    fn work_ends_with_the_last_answer() {
        let mut times = Times::default();
        times.looked("a", ms(3), at(10), at(11), &[]);
        assert_eq!(times.of("a").waited().collect::<Vec<_>>(), [ms(3)]);
        assert_eq!((worked(&mut times, "a"), times.of("a").in_work(at(20))), (vec![ms(1)], (ms(0), ms(0))));

        times.looked("a", ms(0), at(20), at(21), &[get(1), get(2)]);
        times.looked("a", ms(0), at(30), at(31), &[get(3)]);
        times.looked("b", ms(0), at(40), at(41), &[get(4)]);
        assert_eq!(times.of("a").in_work(at(50)), (ms(30 + 20), ms(30)));
        assert_eq!(times.of("b").in_work(at(50)), (ms(10), ms(10)));
        // The answer leads to another write of the same look.
        times.answered(IntentId(1), &[get(5)], at(60));
        times.answered(IntentId(2), &[], at(61));
        times.answered(IntentId(3), &[], at(62));
        times.answered(IntentId(9), &[get(10)], at(63));
        assert_eq!(worked(&mut times, "a"), [ms(32)]);
        assert_eq!(times.of("a").in_work(at(70)), (ms(50), ms(50)));
        times.answered(IntentId(5), &[], at(80));
        times.answered(IntentId(4), &[], at(81));
        assert_eq!((worked(&mut times, "a"), worked(&mut times, "b")), (vec![ms(60)], vec![ms(41)]));
        assert_eq!(times.of("a").in_work(at(90)), (ms(0), ms(0)));
        assert!(times.looks.is_empty() && times.writes.is_empty());
    }
}
