//! Panics of ours, caught where something has yet to be put in order.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What `future` comes to, or the panic that ends it.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> std::thread::Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// What a panic says.
pub(super) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it does not say what it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_on_its_way() {
        assert_eq!(caught(async { 1 }).await.expect("no panic"), 1);
        let late = caught(async {
            tokio::task::yield_now().await;
            panic!("at last");
        });
        let panic = late.await.expect_err("a panic");
        assert_eq!(said(&*panic), "at last");
        let panic = caught(async { panic!("of {}", 2) }).await;
        assert_eq!(said(&*panic.map(|()| 0).expect_err("a panic")), "of 2");
    }
}
