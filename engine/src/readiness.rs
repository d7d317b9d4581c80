//! Counts what each thing still waits for, so that deciding whose turn it is costs time linear in the number of edges.
use std::collections::BTreeSet;

/// Things numbered from 0, each of which waits for some of the others.
#[derive(Debug)]
pub(crate) struct Readiness {
    /// For each thing, how many of the things that it waits for are not done.
    open: Vec<usize>,
    /// For each thing, those that wait for it.
    dependents: Vec<Vec<usize>>,
    /// Things that no longer wait and were not taken yet. Ordered, so that equal worlds give equal runs.
    ready: BTreeSet<usize>,
}

impl Readiness {
    /// Each thing with those that it waits for, each of them once.
    pub fn new<E: IntoIterator<Item = usize>>(edges: impl ExactSizeIterator<Item = E>) -> Self {
        let mut dependents = vec![Vec::new(); edges.len()];
        let open: Vec<usize> = edges
            .enumerate()
            .map(|(position, before)| before.into_iter().map(|before| dependents[before].push(position)).count())
            .collect();
        let ready = open.iter().enumerate().filter(|(_, open)| **open == 0).map(|(position, _)| position).collect();
        Self { open, dependents, ready }
    }

    /// Takes the first thing that no longer waits.
    pub fn take(&mut self) -> Option<usize> {
        self.ready.pop_first()
    }

    /// How many of those that `position` waits for are not done.
    pub fn open(&self, position: usize) -> usize {
        self.open[position]
    }

    /// Those that wait for `position`.
    pub fn dependents(&self, position: usize) -> &[usize] {
        &self.dependents[position]
    }

    /// `position` is done; whatever waited only for it becomes ready.
    pub fn done(&mut self, position: usize) {
        for next in &self.dependents[position] {
            self.open[*next] -= 1;
            if self.open[*next] == 0 {
                self.ready.insert(*next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_become_ready_in_the_order_of_their_edges() {
        let mut readiness = Readiness::new([vec![2], vec![], vec![1], vec![0, 1]].into_iter());
        let mut taken = Vec::new();
        while let Some(position) = readiness.take() {
            taken.push(position);
            readiness.done(position);
        }
        assert_eq!(taken, [1, 2, 0, 3]);
    }

    #[test]
    fn what_waits_for_itself_is_never_ready() {
        let mut readiness = Readiness::new([vec![1], vec![0]].into_iter());
        assert_eq!((readiness.take(), readiness.open(0), readiness.dependents(0)), (None, 1, &[1][..]));
    }
}
