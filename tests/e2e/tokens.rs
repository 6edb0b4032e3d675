//! Who may log in.

use protocol::code::Code;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::go_away::Verdict;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{GoAway, RefreshAuth};

use crate::support::process::Gateway;
use crate::support::raw::{Raw, acked, hello, refused, text_to};
use crate::support::tokens::{Issuer, TENANT};

async fn refusal(gateway: &Gateway, token: &str) -> GoAway {
    let mut raw = Raw::connect(gateway.tcp).await;
    let go_away = raw.hello(hello(token, "phone")).await.expect_err("this token lets nobody in");
    assert!(raw.next().await.is_none(), "nothing follows");
    go_away
}

#[tokio::test]
async fn a_device_without_a_valid_token_stays_outside() {
    let gateway = Gateway::start().await;
    let good = gateway.token("alice");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (_, other_signature) =
        gateway.token("bob").rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let cases = [
        (String::new(), Code::TOKEN_REQUIRED),
        ("nonsense".to_owned(), Code::TOKEN_INVALID),
        (format!("{signed}.{other_signature}"), Code::TOKEN_INVALID),
        (format!("{signed}."), Code::TOKEN_INVALID),
        (format!("{signed}x.{signature}"), Code::TOKEN_INVALID),
        (Issuer::new().token("alice"), Code::TOKEN_INVALID),
        (gateway.issuer.lasting(TENANT, "alice", -60), Code::TOKEN_EXPIRED),
    ];
    for (token, code) in cases {
        let go_away = refusal(&gateway, &token).await;
        assert_eq!((go_away.code, go_away.verdict()), (code.number(), Verdict::Never), "{token:?}");
    }
    Raw::login(&gateway, "alice", "phone").await;
    // What was refused is not repeated anywhere an operator looks.
    assert!(!gateway.log().contains(signature) && !gateway.log().contains(&other_signature));
}

#[tokio::test]
async fn the_token_decides_who_sends() {
    let gateway = Gateway::start().await;
    let (mut bob, _) = Raw::login(&gateway, "bob", "phone").await;
    let (mut alice, welcome) = Raw::login(&gateway, "alice", "phone").await;
    assert_eq!((welcome.tenant.as_str(), welcome.user.as_str()), (TENANT, "alice"));
    alice.send(text_to("bob", "hi")).await;
    let message = bob.pushed().await;
    assert_eq!((message.sender.as_str(), message.sender_device), ("alice", welcome.device_id));
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let gateway = Gateway::start().await;
    // The server grants five seconds for clocks that differ; this token has one second beyond them left.
    let token = gateway.issuer.lasting(TENANT, "alice", -4);
    let mut raw = Raw::connect(gateway.tcp).await;
    let welcome = raw.hello(hello(&token, "phone")).await.unwrap();
    assert!(welcome.auth_expires_ms - welcome.server_time_ms <= 1_000);
    assert_eq!(raw.closed_with().await, Some(Code::TOKEN_EXPIRED));
}

#[tokio::test]
async fn a_refreshed_token_keeps_the_connection() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(gateway.tcp).await;
    let welcome = raw.hello(hello(&gateway.issuer.lasting(TENANT, "alice", -3), "phone")).await.unwrap();
    let token = gateway.token("alice");
    let Told::AuthRefreshed(refreshed) = raw.request(Ask::RefreshAuth(RefreshAuth { token })).await else {
        panic!("the token is good")
    };
    assert!(refreshed.expires_ms > welcome.auth_expires_ms + 3_000_000);
    assert!((0..10_000).contains(&(refreshed.server_time_ms - welcome.server_time_ms)), "{refreshed:?}");
    // Past the end of the first token.
    let beyond = welcome.auth_expires_ms - welcome.server_time_ms + 1_500;
    tokio::time::sleep(std::time::Duration::from_millis(beyond as u64)).await;
    acked(raw.request(Ask::Send(text_to("bob", "still here"))).await);
}

#[tokio::test]
async fn somebody_elses_token_refreshes_nothing() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(gateway.tcp).await;
    raw.hello(hello(&gateway.issuer.lasting(TENANT, "alice", -3), "phone")).await.unwrap();
    let token = gateway.token("bob");
    let answer = raw.request(Ask::RefreshAuth(RefreshAuth { token })).await;
    assert_eq!(refused(answer), Code::TOKEN_FOR_ANOTHER_USER);
    // Alice's time runs out all the same.
    assert_eq!(raw.closed_with().await, Some(Code::TOKEN_EXPIRED));
}
