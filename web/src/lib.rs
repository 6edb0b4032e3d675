//! The chat page: plain files compiled into the binary, without a build step.
//!
//! | file | noun |
//! |---|---|
//! | `page/index.html`, `style.css` | the page and its looks |
//! | `page/schema.js`, `protocol.js` | messages and frames as bytes |
//! | `page/log.js` | what is known of one conversation: ordered, without gap or repeat |
//! | `page/outbox.js` | sends not yet acknowledged, in order |
//! | `page/link.js` | one connection after another: login, heartbeats, acks, reconnects |
//! | `page/conversation.js` | one conversation: its state, its id, what is shown of it |
//! | `page/answer.js` | the answer to a request |
//! | `page/conversations.js` | every conversation this device knows |
//! | `page/people.js` | names, presence and who is watched |
//! | `page/away.js` | whether somebody sits at the page |
//! | `page/reader.js` | pulls what the logs miss, marks what was read |
//! | `page/list.js` | the list of conversations as the server has it |
//! | `page/sender.js` | transmits what the outboxes hold |
//! | `page/client.js` | all of these on top of a link: what the page calls |
//! | `page/view.js` | conversations and messages as elements |
//! | `page/changes.js` | edits and recalls: the menu of a message, the composer while it edits |
//! | `page/app.js` | sign-in, the open conversation, what keys and buttons do |

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing runs and nothing is loaded but what this origin serves; sockets may go where the server points them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, content type and text of every file of the page.
const FILES: [(&str, &str, &str); 19] = [
    ("/", HTML, include_str!("../page/index.html")),
    ("/style.css", CSS, include_str!("../page/style.css")),
    ("/schema.js", JAVASCRIPT, include_str!("../page/schema.js")),
    ("/protocol.js", JAVASCRIPT, include_str!("../page/protocol.js")),
    ("/log.js", JAVASCRIPT, include_str!("../page/log.js")),
    ("/outbox.js", JAVASCRIPT, include_str!("../page/outbox.js")),
    ("/link.js", JAVASCRIPT, include_str!("../page/link.js")),
    ("/conversation.js", JAVASCRIPT, include_str!("../page/conversation.js")),
    ("/answer.js", JAVASCRIPT, include_str!("../page/answer.js")),
    ("/conversations.js", JAVASCRIPT, include_str!("../page/conversations.js")),
    ("/people.js", JAVASCRIPT, include_str!("../page/people.js")),
    ("/away.js", JAVASCRIPT, include_str!("../page/away.js")),
    ("/reader.js", JAVASCRIPT, include_str!("../page/reader.js")),
    ("/list.js", JAVASCRIPT, include_str!("../page/list.js")),
    ("/sender.js", JAVASCRIPT, include_str!("../page/sender.js")),
    ("/client.js", JAVASCRIPT, include_str!("../page/client.js")),
    ("/view.js", JAVASCRIPT, include_str!("../page/view.js")),
    ("/changes.js", JAVASCRIPT, include_str!("../page/changes.js")),
    ("/app.js", JAVASCRIPT, include_str!("../page/app.js")),
];

/// Routes that serve the page: `/` and the files it loads. They need no state and no login; the page logs in over
/// `/v1/ws`, and offers to sign in as one of the users of `/dev/users` where that exists.
pub fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(move || async move { file(kind, text) }))
    })
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let headers = headers.map(|(name, value): (HeaderName, _)| (name, HeaderValue::from_static(value)));
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    async fn fetch(path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_file_is_served_with_its_type_and_policy() {
        for (path, kind, text) in FILES {
            let response = fetch(path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let headers = response.headers().clone();
            assert_eq!(headers[header::CONTENT_TYPE], kind, "{path}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache", "{path}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("  "), "{policy}");
            assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), text, "{path}");
        }
    }

    #[tokio::test]
    async fn other_paths_are_left_to_others() {
        for path in ["/index", "/dev/users", "/v1/ws", "/page/app.js", "/test/protocol.test.mjs"] {
            assert_eq!(fetch(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    /// What the page loads is what the router serves.
    #[test]
    fn every_import_is_a_file() {
        for (path, kind, text) in FILES {
            let imports = text.lines().filter_map(|line| line.split_once("from './")).map(|(_, rest)| rest);
            for import in imports {
                let name = import.trim_end_matches("';");
                assert!(FILES.iter().any(|(p, ..)| p[1..] == *name), "{path} imports {name}");
            }
            assert!(!text.contains("innerHTML"), "{path} writes markup");
            assert!(
                kind != HTML || !text.contains(" style=") && !text.contains("<script>"),
                "{path} has inline code"
            );
        }
    }
}
