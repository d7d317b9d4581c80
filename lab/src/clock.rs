//! Virtual time: the lab's clock moves to what is due next when nobody has anything else to do.
//!
//! The queue of due times is the runtime's own, whose time stands still until everybody waits ([`tokio::time::pause`]) and then jumps to
//! the earliest of what is waited for. So a long command on one machine never carries another past its limit.
use crate::{state::BEGIN_S, world::World};
use kthw_engine::{BoxFuture, Clock};
use std::time::Duration;
use tokio::time::Instant;

/// The clock of a lab world.
#[derive(Clone, Debug)]
pub struct LabClock(pub(crate) World);

/// Lets waits in the lab pass at once. To be called once, on a single-threaded runtime that does nothing but the lab's work.
pub fn pass_waits_at_once() {
    tokio::time::pause();
}

impl Clock for LabClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now_ms())
    }

    fn unix_ms(&self) -> u64 {
        BEGIN_S * 1000 + self.0.now_ms()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(sleep(self.0.clone(), u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Waits for so many virtual milliseconds.
pub(crate) async fn sleep(world: World, span_ms: u64) {
    let (due_ms, speed) = {
        let state = world.lock();
        (state.now_ms.saturating_add(span_ms), state.speed)
    };
    tokio::time::sleep(Duration::from_millis(span_ms / u64::from(speed.max(1)))).await;
    world.pass_to(due_ms);
}

/// Never says anything, until whoever waits gives up. The world's time passes for as long as that takes.
pub(crate) async fn silence<T>(world: World) -> T {
    let begun_ms = world.now_ms();
    let _silence = Silence { world, begun_ms, begun: Instant::now() };
    std::future::pending().await
}

/// Time that passes while nothing is heard.
struct Silence {
    world: World,
    begun_ms: u64,
    begun: Instant,
}

impl Drop for Silence {
    fn drop(&mut self) {
        let speed = self.world.lock().speed.max(1);
        let passed_ms = u64::try_from((self.begun.elapsed() * speed).as_millis()).unwrap_or(u64::MAX);
        self.world.pass_to(self.begun_ms.saturating_add(passed_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleeps_side_by_side_take_as_long_as_the_longest() {
        let clock = World::default().clock();
        futures::join!(clock.sleep(Duration::from_secs(3600)), clock.sleep(Duration::from_secs(5)));
        assert_eq!(clock.now(), Duration::from_secs(3600));
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), Duration::from_secs(3601));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_sleep_does_not_carry_the_short_ones_with_it() {
        let clock = World::default().clock();
        let short = async {
            let mut seen = Vec::new();
            for _ in 0..3 {
                clock.sleep(Duration::from_secs(2)).await;
                seen.push(clock.now().as_secs());
            }
            seen
        };
        let (seen, ()) = futures::join!(short, clock.sleep(Duration::from_secs(60)));
        assert_eq!((seen, clock.now().as_secs()), (vec![2, 4, 6], 60));
    }

    #[tokio::test(start_paused = true)]
    async fn time_passes_while_nothing_is_heard() {
        for speed in [1, 10] {
            let world = World::default();
            world.at_speed(speed);
            let limit = Duration::from_secs(90);
            assert!(tokio::time::timeout(limit, silence::<()>(world.clone())).await.is_err());
            assert_eq!(world.clock().now(), limit * speed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_world_with_a_speed_waits_that_much_less() {
        let world = World::default();
        world.at_speed(10);
        let begun = tokio::time::Instant::now();
        world.clock().sleep(Duration::from_secs(60)).await;
        assert_eq!((begun.elapsed().as_secs(), world.clock().now().as_secs()), (6, 60));
    }
}
