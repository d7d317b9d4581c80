//! Checks as data, done side by side: each becomes a row, with the time that it took.
use super::row::{Found, Row};
use futures::{StreamExt, stream};
use kthw_engine::{BoxFuture, Peers, Result};

/// How many checks are under way at once.
const SIDE_BY_SIDE: usize = 16;
/// Of how many things of a kind each has a row of its own; of more, those that are well share one.
const EACH: usize = 64;

/// One check that was not begun yet.
pub(super) struct Check<'a> {
    what: String,
    want: String,
    work: BoxFuture<'a, Result<Found>>,
}

impl<'a> Check<'a> {
    /// Looks for `want`; a failure of `work` is what was found.
    pub fn new(what: impl Into<String>, want: impl Into<String>, work: impl Future<Output = Result<Found>> + Send + 'a) -> Self {
        Self { what: what.into(), want: want.into(), work: Box::pin(work) }
    }

    /// A check that cannot be done.
    pub fn not_tried(what: impl Into<String>, want: impl Into<String>, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::new(what, want, async move { Ok(Found::NotTried(why)) })
    }

    /// Does the check.
    async fn done(self, peers: &Peers) -> Row {
        let begun = peers.clock().now();
        let found = self.work.await.unwrap_or_else(|error| Found::failed(&error));
        Row { what: self.what, want: self.want, found, took: peers.clock().now().saturating_sub(begun) }
    }
}

/// Does all of them; the rows come in the order of the checks.
pub(super) async fn all(peers: &Peers, checks: Vec<Check<'_>>) -> Vec<Row> {
    let rows: Vec<BoxFuture<'_, Row>> = checks.into_iter().map(|check| Box::pin(check.done(peers)) as BoxFuture<'_, Row>).collect();
    stream::iter(rows).buffered(SIDE_BY_SIDE).collect().await
}

/// The same rows; if there are very many, one for all that are well.
pub(super) fn folded(rows: Vec<Row>, what: &str) -> Vec<Row> {
    if rows.len() <= EACH {
        return rows;
    }
    let (wrong, well): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(Row::is_wrong);
    let want = well.first().map(|row| row.want.clone()).unwrap_or_default();
    let of_the_well = Row::of(what, want.clone(), Found::Well(format!("{} of {}: {want}", well.len(), well.len() + wrong.len())));
    [of_the_well].into_iter().chain(wrong).collect()
}

/// The same, or as many of them as are asked from, evenly spread.
pub(super) fn some<T: Clone>(all: &[T]) -> Vec<T> {
    let step = all.len().div_ceil(EACH).max(1);
    all.iter().step_by(step).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize, found: Found) -> Row {
        Row::of(format!("node {number}"), "Ready", found)
    }

    #[test]
    fn what_is_well_of_very_many_is_told_at_once_and_what_is_wrong_by_name() {
        let of = |count: usize, sick: usize| -> Vec<Row> {
            let found = |number| if number == sick { Found::wrong("not Ready", "") } else { Found::Well("Ready".into()) };
            folded((0..count).map(|number| row(number, found(number))).collect(), "nodes")
        };
        assert_eq!(of(64, 3).len(), 64);
        let told: Vec<(String, Found)> = of(100, 3).into_iter().map(|row| (row.what, row.found)).collect();
        let well = Found::Well("99 of 100: Ready".into());
        assert_eq!(told, [("nodes".to_owned(), well), ("node 3".to_owned(), Found::wrong("not Ready", ""))]);
    }

    #[test]
    fn not_more_are_asked_from_than_64_and_they_are_spread() {
        for count in [0, 1, 64, 65, 128, 129, 10_000] {
            let all: Vec<usize> = (0..count).collect();
            let some = some(&all);
            assert!(some.len() <= EACH && some.len() >= count.min(EACH / 2), "{count}: {}", some.len());
        }
        assert_eq!(some(&(0..10_000).collect::<Vec<_>>())[1], 157);
    }
}
