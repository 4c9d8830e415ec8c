//! Futures that live in places which are used again: the state of a request is kilobytes, and asking the allocator for them
//! anew each time costs more than filling them, and leaves holes between what stays.
//! Each pool belongs to one thread. Never keeps more places than its bound.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Places that are kept; more may be in use.
const KEPT: usize = 256;

/// A place for one kind of future.
trait Place<I, O> {
    fn fill(&mut self, input: I);
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O>;
    fn clear(&mut self);
}

struct Made<M, F> {
    make: M,
    future: Pin<Box<Option<F>>>,
}

impl<I, O, M: Fn(I) -> F, F: Future<Output = O>> Place<I, O> for Made<M, F> {
    fn fill(&mut self, input: I) {
        let future = (self.make)(input);
        self.future.as_mut().set(Some(future));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        match self.future.as_mut().as_pin_mut() {
            Some(future) => future.poll(cx),
            // Polled after its end; a future may do as it likes then, and this one waits.
            None => Poll::Pending,
        }
    }

    fn clear(&mut self) {
        self.future.as_mut().set(None);
    }
}

type Empty<I, O> = Box<dyn Place<I, O>>;

/// The places for futures that turn an `I` into an `O`.
pub(crate) struct Pool<I, O> {
    make: Box<dyn Fn() -> Empty<I, O>>,
    empty: RefCell<Vec<Empty<I, O>>>,
}

impl<I: 'static, O: 'static> Pool<I, O> {
    /// A pool for the futures that `make` makes.
    pub fn of<M, F>(make: M) -> Rc<Self>
    where
        M: Fn(I) -> F + Copy + 'static,
        F: Future<Output = O> + 'static,
    {
        let make = Box::new(move || -> Empty<I, O> { Box::new(Made { make, future: Box::pin(None) }) });
        Rc::new(Pool { make, empty: RefCell::default() })
    }

    /// The future of `input`.
    pub fn start(self: &Rc<Self>, input: I) -> Reused<I, O> {
        let place = self.empty.borrow_mut().pop();
        let mut place = place.unwrap_or_else(&self.make);
        place.fill(input);
        Reused { place: Some(place), pool: self.clone() }
    }
}

/// A future in its place. Dropped before its end, it is dropped then and there.
pub(crate) struct Reused<I, O> {
    place: Option<Empty<I, O>>,
    pool: Rc<Pool<I, O>>,
}

impl<I, O> Future for Reused<I, O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        match &mut self.place {
            Some(place) => place.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<I, O> Drop for Reused<I, O> {
    fn drop(&mut self) {
        let Some(mut place) = self.place.take() else { return };
        // Before the pool is touched: what is dropped here may start another future.
        place.clear();
        let mut empty = self.pool.empty.borrow_mut();
        if empty.len() < KEPT {
            empty.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn twice(input: Rc<u32>) -> u32 {
        tokio::task::yield_now().await;
        *input * 2
    }

    #[tokio::test]
    async fn places_are_used_again_and_hold_nothing_in_between() {
        let pool = Pool::of(twice);
        let input = Rc::new(4);
        assert_eq!(pool.start(input.clone()).await, 8);
        assert_eq!(Rc::strong_count(&input), 1);
        let (one, other) = (pool.start(input.clone()), pool.start(input.clone()));
        drop(one);
        assert_eq!(other.await, 8);
        assert_eq!((Rc::strong_count(&input), pool.empty.borrow().len()), (1, 2));
    }
}
