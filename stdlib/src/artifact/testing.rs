//! A web of a few pages, for tests.
use crate::seams::{Http, Unreachable};
use bytes::Bytes;
use http::{Request, Response};
use kthw_engine::BoxFuture;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

/// One page.
#[derive(Clone)]
pub(super) struct Page(u16, &'static str, Bytes);

impl Page {
    pub(super) fn text(text: &'static str) -> Self {
        Self(200, "", Bytes::from_static(text.as_bytes()))
    }

    pub(super) fn status(status: u16) -> Self {
        Self(status, "", Bytes::new())
    }

    pub(super) fn to(place: &'static str) -> Self {
        Self(302, place, Bytes::new())
    }
}

/// Pages by their addresses; there is nothing else.
pub(super) struct Web(HashMap<&'static str, Page>, AtomicUsize);

impl Web {
    pub(super) fn of<const N: usize>(pages: [(&'static str, Page); N]) -> Self {
        Self(pages.into_iter().collect(), AtomicUsize::new(0))
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

impl Http for Web {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let Page(status, location, body) = self.0.get(request.uri().to_string().as_str()).cloned().unwrap_or(Page::status(404));
        let response = Response::builder().status(status).header("location", location).body(body).expect("a plain response");
        Box::pin(async move { Ok(response) })
    }
}
