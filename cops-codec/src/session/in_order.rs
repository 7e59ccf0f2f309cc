//! Answers that leave in the order of the questions, whatever order they become ready in.
//!
//! RFC 2748 has this twice: solicited DECs in the order of the REQs of a handle (3.2), solicited RPTs in the order of its
//! DECs (3.3).

use std::collections::VecDeque;

/// Open questions, oldest first. `Q` is kept about a question until it is answered by an `A`.
#[derive(Debug)]
pub(super) struct InOrder<Q, A> {
    slots: VecDeque<Slot<Q, A>>,
}

#[derive(Debug)]
struct Slot<Q, A> {
    id: u64,
    question: Q,
    answer: Option<A>,
}

impl<Q, A> InOrder<Q, A> {
    pub(super) const fn new() -> Self {
        Self {
            slots: VecDeque::new(),
        }
    }

    /// Questions whose answer has not left.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A new question. `id` was never used here before.
    pub(super) fn open(&mut self, id: u64, question: Q) {
        self.slots.push_back(Slot {
            id,
            question,
            answer: None,
        });
    }

    /// What is kept about a question that waits for its answer.
    pub(super) fn question(&self, id: u64) -> Option<&Q> {
        self.slots
            .iter()
            .find(|slot| slot.id == id && slot.answer.is_none())
            .map(|slot| &slot.question)
    }

    /// Answers a question that waits for it; else nothing happens and the result is false.
    pub(super) fn answer(&mut self, id: u64, answer: A) -> bool {
        match self
            .slots
            .iter_mut()
            .find(|slot| slot.id == id && slot.answer.is_none())
        {
            Some(slot) => {
                slot.answer = Some(answer);
                true
            }
            None => false,
        }
    }

    /// The oldest question with its answer, if that is there.
    pub(super) fn pop_ready(&mut self) -> Option<(u64, A)> {
        self.slots.front()?.answer.as_ref()?;
        let slot = self.slots.pop_front()?;
        // A state waits most of its life: without a question it holds no room for any.
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
        slot.answer.map(|answer| (slot.id, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::InOrder;

    #[test]
    fn a_later_answer_waits_for_the_earlier_one() {
        let mut order = InOrder::new();
        for id in 1..=3 {
            order.open(id, ());
        }
        assert!(order.answer(2, "two"));
        assert!(!order.answer(2, "again"));
        assert!(!order.answer(9, "never asked"));
        assert_eq!(order.pop_ready(), None);
        assert!(order.answer(1, "one"));
        assert_eq!(order.pop_ready(), Some((1, "one")));
        assert_eq!(order.pop_ready(), Some((2, "two")));
        assert_eq!(order.pop_ready(), None);
        assert_eq!(order.len(), 1);
        assert!(order.question(3).is_some());
    }
}
