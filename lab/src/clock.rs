//! Virtual time: a sleep moves the lab's clock at once.
use crate::world::World;
use kthw_engine::{BoxFuture, Clock};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The clock of a lab world.
#[derive(Clone, Debug)]
pub struct LabClock(pub(crate) World);

impl Clock for LabClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.lock().now_ms)
    }

    fn unix_s(&self) -> i64 {
        i64::try_from(self.0.lock().unix_s()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Box::pin(Sleep { world: self.0.clone(), span_ms, until_ms: None })
    }
}

/// Moves the clock on its second poll: sleeps that begin in the same round of polls then pass side by side, as they would
/// in real time, and not one after the other.
pub(crate) struct Sleep {
    pub world: World,
    pub span_ms: u64,
    pub until_ms: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(until_ms) = self.until_ms else {
            let now_ms = self.world.lock().now_ms;
            self.until_ms = Some(now_ms.saturating_add(self.span_ms));
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        let mut state = self.world.lock();
        state.now_ms = state.now_ms.max(until_ms);
        state.settle();
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeps_side_by_side_take_as_long_as_the_longest() {
        let clock = World::default().clock();
        futures::join!(clock.sleep(Duration::from_secs(3600)), clock.sleep(Duration::from_secs(5)));
        assert_eq!(clock.now(), Duration::from_secs(3600));
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), Duration::from_secs(3601));
    }
}
