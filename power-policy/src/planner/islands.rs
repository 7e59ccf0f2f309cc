//! What hangs together: a union-find over servers and reserves.

/// Sets of things that reserves and lines connect.
#[derive(Debug)]
pub(super) struct Islands {
    parent: Vec<usize>,
}

impl Islands {
    pub(super) fn new(count: usize) -> Self {
        Self {
            parent: (0..count).collect(),
        }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            // Halving the path keeps the trees flat.
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The lower index leads, so that the numbering does not depend on the order of the joins.
        self.parent[a.max(b)] = a.min(b);
    }

    /// Number of the island of each thing, counted from 0 in the order of the first member.
    pub(super) fn number(&mut self) -> Vec<usize> {
        let mut numbers = vec![usize::MAX; self.parent.len()];
        let mut next = 0;
        for at in 0..self.parent.len() {
            let root = self.root(at);
            if numbers[root] == usize::MAX {
                numbers[root] = next;
                next += 1;
            }
            numbers[at] = numbers[root];
        }
        numbers
    }
}
