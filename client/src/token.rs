//! Where tokens come from.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Source = dyn Fn() -> BoxFuture<'static, Result<String, Error>> + Send + Sync;

/// A fixed token, or a function that gets a fresh one for every connection and before expiry.
#[derive(Clone)]
pub(crate) enum Tokens {
    Fixed(String),
    Source(Arc<Source>),
}

impl Tokens {
    pub fn source<F, O, E>(source: F) -> Tokens
    where
        F: Fn() -> O + Send + Sync + 'static,
        O: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Error>,
    {
        Tokens::Source(Arc::new(move || {
            let token = source();
            async move { token.await.map_err(Into::into) }.boxed()
        }))
    }

    /// A token to log in with.
    pub async fn get(&self) -> Result<String, Error> {
        match self {
            Tokens::Fixed(token) => Ok(token.clone()),
            Tokens::Source(source) => source().await,
        }
    }

    /// Whether another call may give another token.
    pub fn can_renew(&self) -> bool {
        matches!(self, Tokens::Source(_))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}
